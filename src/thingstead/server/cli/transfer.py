"""What `thingstead export`, `import` and `reindex` do: at a running server, or in a data directory that none is using.

At a server: over `/v1`, as any client, with a token made from the app's secret. In a directory: the same core that a
server would run, opened for the length of the command. Neither holds more of an archive than a piece in memory.
"""

import os
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self, TypeAlias
from urllib.parse import quote

from thingstead.core.backend import Backend
from thingstead.core.tenants import App, identifier_of
from thingstead.model.errors import InvalidInput, Unavailable
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject, is_object, parse
from thingstead.server.cli.manage import Place, Server, keys_at, opened

if TYPE_CHECKING:
    from http.client import HTTPResponse

PATIENCE: Final = 120  # s without a byte from the server
_PIECE: Final = 256 * 1024
_NAME: Final = re.compile(r"[\w.-]+\.zip")

Progress: TypeAlias = Callable[[int, int], None]
"""Told how much of how much is done; a total of 0: nobody knows."""


async def exported(place: Place, app: str, to: Path | None, progress: Progress) -> JsonObject:
    """Export an app into a file, or into the folder `to` under its own name; which one, and how large.

    Raises AppNotFound, InvalidInput, StoreFailed, Unavailable, as do the other two.
    """
    if place.url:
        return _exported_from(place, app, to, progress)
    async with _of_app(place, app) as (backend, found):
        export = await backend.archives.export(found.identifier, progress)
        with _Target(to, export.name) as target:
            async for piece in export.pieces:
                target.write(piece)
        return _made(found.identifier, target, export.total)


async def imported(place: Place, app: str, source: Path, progress: Progress) -> JsonObject:
    """Import an archive; the summary."""
    with source.open("rb") as file:
        if place.url:
            query = f"progress&filename={quote(source.name, safe='')}"
            return _followed(place, app, "PUT", "/_import", query, file, progress)
        async with _of_app(place, app) as (backend, found):
            actor = Principal("app", found.identifier, found.object.id, root=found.is_root)
            return await backend.archives.load(found.identifier, file, source.name, actor, progress)


async def reindexed(place: Place, app: str, progress: Progress) -> JsonObject:
    """Re-index an app; how many objects, and how long it took."""
    if place.url:
        return _followed(place, app, "POST", "/_reindex", "progress", None, progress)
    async with _of_app(place, app) as (backend, found):
        done = await backend.reindexer.run(found.identifier, progress)
        return {"reindexed": done.count, "tookMillis": done.took}


@asynccontextmanager
async def _of_app(place: Place, app: str) -> AsyncGenerator[tuple[Backend, App]]:
    """The directory's backend and the app; "" is the root app."""
    async with opened(place) as (_, backend):
        yield backend, await backend.tenants.get(identifier_of(app) if app else backend.tenants.root)


def _made(app: str, target: "_Target", total: int) -> JsonObject:
    return {"appid": app, "file": str(target.path), "bytes": target.size, "objects": total}


# --- at a server


def _exported_from(place: Place, app: str, to: Path | None, progress: Progress) -> JsonObject:
    server = Server(place.url)
    keys = keys_at(server, place, app)
    with server.ask("GET", "/_export", bearer=server.token(keys), seconds=PATIENCE) as answer:
        total = int(answer.headers.get("X-Thingstead-Objects", "0"))
        named = answer.headers.get("Content-Disposition", "").rpartition("=")[2]
        with _Target(to, named if _NAME.fullmatch(named) else "export.zip") as target:
            while piece := _piece(answer):
                target.write(piece)
                progress(target.size, 0)
    return _made(identifier_of(keys.access_key), target, total)


def _piece(answer: "HTTPResponse") -> bytes:
    from http.client import HTTPException

    try:
        return answer.read(_PIECE)
    except (HTTPException, OSError) as error:
        raise Unavailable("the server broke the archive off; its log says why") from error


def _followed(
    place: Place, app: str, method: str, path: str, query: str, archive: IO[bytes] | None, progress: Progress
) -> JsonObject:
    """Follow an answer that tells how far the work is; its last line."""
    server = Server(place.url)
    token = server.token(keys_at(server, place, app))
    last: JsonObject = {}
    with server.ask(method, path, query, bearer=token, archive=archive, seconds=PATIENCE) as answer:
        while line := _line(answer):
            told = parse(line)
            last = told if is_object(told) else {}
            done, total = last.get("done"), last.get("total")
            if isinstance(done, int) and isinstance(total, int):
                progress(done, total)
    if "done" in last or not last:
        raise Unavailable("the server ended before the work did")
    if "message" in last and "code" in last:
        raise Unavailable(str(last["message"]))
    return last


def _line(answer: "HTTPResponse") -> bytes:
    from http.client import HTTPException

    try:
        return answer.readline()
    except (HTTPException, OSError):
        return b""


# --- files


class _Target:
    """A file that has its name only once it is whole; readable by its owner only, because archives hold secrets."""

    def __init__(self, to: Path | None, name: str) -> None:
        self.path = (to or Path()) / name if to is None or to.is_dir() else to
        self.size = 0
        self._part = self.path.with_name(self.path.name + ".part")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._part, flags, 0o600), "wb")
        except OSError as error:
            raise InvalidInput(f"{self._part} cannot be written: {error.strerror}", field="FILE") from error

    def write(self, data: bytes) -> None:
        self.size += self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if error is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)
