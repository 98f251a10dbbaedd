"""`_export`, `_import`, `_reindex`: work on a whole app, in streams (objects.md 13; identity.md 13, 17).

Promises: a client that goes away ends an export; an archive is read no further than its limit, and kept in a nameless
file that is gone with the request. `_import` and `_reindex` with the parameter `progress` answer lines of JSON while
they work: `{"done":...,"total":...}`, and last what they answer otherwise.
"""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import IO, Final, TypeAlias

from msgspec.structs import replace

from thingstead.core.archives import Progress
from thingstead.core.backend import Backend
from thingstead.core.identity import SignedRequest
from thingstead.doors.objects import render
from thingstead.doors.objects.errors import error_answer, plain
from thingstead.doors.objects.read import Call
from thingstead.doors.objects.render import Answer
from thingstead.model.errors import (
    BadSignature,
    InvalidInput,
    LimitReached,
    NotFound,
    StoreFailed,
    ThingsteadError,
    Unavailable,
)
from thingstead.model.values import JsonObject, dump
from thingstead.transports.http import Disconnected, Receive

IMPORT: Final = ("_import",)
"""The path whose body `load` reads by itself."""
UNPROVEN: Final = 64 * 1024 * 1024  # bytes taken of a body whose signature can only be checked when all of it is there
UNPROVEN_AT_ONCE: Final = 4  # so many of those bodies: anybody may send one
_NEEDED: Final = "a signed archive needs the header X-Amz-Content-Sha256, or a token instead of the signature"
_ZIP: Final = b"application/zip"
_TAKEN: Final = frozenset({"", "application/zip", "application/x-zip-compressed", "application/octet-stream"})
_WRITTEN: Final = 1024 * 1024  # bytes collected before a thread writes them
_TOLD_SECONDS: Final = 0.5
_LINES: Final = b"application/x-ndjson"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Authenticate: TypeAlias = Callable[[SignedRequest], Awaitable[Call]]
"""Who is asking, and whether they may use the method; raises Unauthenticated, Forbidden."""


class Archived:
    """The handlers of archives and of re-indexing."""

    def __init__(self, backend: Backend) -> None:
        self._archives = backend.archives
        self._audit = backend.audit
        self._reindexer = backend.reindexer
        self._directory = backend.directory
        self._limit = backend.settings.max_import_size
        self._unproven = 0

    async def export(self, call: Call) -> Answer:
        """GET _export: the ZIP, as it is made."""
        app = call.app.identifier
        export = await self._archives.export(app)
        self._audit.note("exported", call.app.identifier, call.principal.id)
        headers = (
            (b"content-disposition", f"attachment;filename={export.name}".encode()),
            (b"x-thingstead-objects", b"%d" % export.total),
            *render.NO_STORE,
        )
        return Answer(content_type=_ZIP, headers=headers, stream=export.pieces)

    async def reindex(self, call: Call) -> Answer:
        """POST _reindex; `destinationIndex` names nothing here."""

        async def work(progress: Progress | None) -> JsonObject:
            done = await self._reindexer.run(call.app.identifier, progress)
            self._audit.note("reindexed", call.app.identifier, call.principal.id)
            return {"reindexed": done.count, "tookMillis": done.took}

        return await _answered(call, work)

    async def unread(self, call: Call) -> Answer:
        """PUT _import stands in the table of routes, but is handed to `load` before its body is read."""
        raise NotFound

    async def load(self, receive: Receive, request: SignedRequest, authenticate: Authenticate) -> Answer:
        """PUT _import. Who is asking is known before the body is read, where that can be."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _TAKEN:
            raise _failed(InvalidInput("the content type must be application/zip", field="Content-Type"))
        try:
            file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 closed when the work has ended
        except OSError as error:
            raise StoreFailed(f"the archive cannot be kept: {error.strerror}") from error
        try:
            answer = await self._load(file, receive, request, authenticate)
        except BaseException:
            file.close()
            raise
        if answer.stream is None:
            file.close()
        else:
            answer.stream = _closing(answer.stream, file)
        return answer

    async def _load(
        self, file: IO[bytes], receive: Receive, request: SignedRequest, authenticate: Authenticate
    ) -> Answer:
        signed = request.headers.get("authorization", "").strip().startswith("AWS4")
        stated = request.headers.get("x-amz-content-sha256", "").strip().lower()
        proven = not signed or _SHA256.fullmatch(stated) is not None
        call = await authenticate(replace(request, body_hash=stated)) if proven else None
        limit = self._limit if proven else min(self._limit, UNPROVEN)
        if not proven and self._unproven == UNPROVEN_AT_ONCE:
            raise LimitReached(f"Import failed - {_NEEDED}, because too many without it arrive now")
        self._unproven += not proven
        try:
            digest = await _received(receive, file, limit)
        finally:
            self._unproven -= not proven
        if digest is None:
            return plain(413, _too_large(limit, self._limit))
        if call is None:
            call = await authenticate(replace(request, body_hash=digest))
        elif signed and digest != stated:
            raise BadSignature("the body is not the one that X-Amz-Content-Sha256 names", field="X-Amz-Content-Sha256")
        name = _CONTROL.sub("", next(iter(call.params().get("filename", ())), "")).strip()[:255]
        app, principal = call.app, call.principal

        async def work(progress: Progress | None) -> JsonObject:
            try:
                done = await self._archives.load(app.identifier, file, name, principal, progress)
            except (InvalidInput, StoreFailed, Unavailable) as error:
                raise _failed(error) from error
            self._audit.note("imported", app.identifier, principal.id, objects=str(done["count"]))
            return done

        return await _answered(call, work)


def _failed(error: ThingsteadError) -> ThingsteadError:
    return type(error)(f"Import failed - {error.message}", field=error.field, details=error.details)


def _too_large(limit: int, whole: int) -> str:
    if limit < whole:
        return f"Import failed - {_NEEDED}, because it is larger than {limit} bytes"
    return f"Import failed - the archive is larger than {limit} bytes"


async def _received(receive: Receive, file: IO[bytes], limit: int) -> str | None:
    """Write the body to a file; its SHA-256 (hex), or None as soon as it is over the limit. Raises Disconnected."""
    digest = hashlib.sha256()
    size = 0
    held = bytearray()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body: bytes = message.get("body", b"")
        size += len(body)
        if size > limit:
            return None
        held += body
        last = not message.get("more_body")
        if held and (last or len(held) >= _WRITTEN):
            try:
                await asyncio.to_thread(write, bytes(held))
            except OSError as error:
                raise StoreFailed(f"Import failed - the archive cannot be kept: {error.strerror}") from error
            held.clear()
        if last:
            return digest.hexdigest()


async def _answered(call: Call, work: Callable[[Progress | None], Awaitable[JsonObject]]) -> Answer:
    """What the work answers, or lines that tell how far it is."""
    if "progress" not in call.params():
        return render.json(await work(None))
    return Answer(content_type=_LINES, stream=_lines(work))


async def _lines(work: Callable[[Progress | None], Awaitable[JsonObject]]) -> AsyncGenerator[bytes]:
    at: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        at[:] = [(done, total)]

    async def run() -> JsonObject:
        return await work(progress)

    task = asyncio.get_running_loop().create_task(run())
    told = False
    try:
        while True:
            await asyncio.wait([task], timeout=_TOLD_SECONDS)
            if task.done():
                break
            if at:
                done, total = at[0]
                told = True
                yield dump({"done": done, "total": total}) + b"\n"
        try:
            yield dump(task.result()) + b"\n"
        except ThingsteadError as error:
            if not told:
                raise
            yield error_answer(error).body + b"\n"
    finally:
        if not task.done():  # whoever asked has gone: what was begun is finished, unless the server ends
            await task


async def _closing(stream: AsyncGenerator[bytes], file: IO[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for piece in stream:
            yield piece
    finally:
        await stream.aclose()
        file.close()
