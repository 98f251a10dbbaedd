"""Gzip of answers (objects.md 19: `para.gzip_enabled`).

Promises: an answer stays what it is for who does not ask for gzip; pieces of a streamed answer leave as they come;
whether an answer was compressed is told in `Vary`. Leaves alone what is small, already encoded, of a type that does not
shrink, partial, without a body, or must not be stored: such answers hold secrets, whose length gzip would tell.
"""

import asyncio
import zlib
from collections.abc import MutableMapping
from typing import Any, Final

from thingstead.transports.http import AsgiApp, Receive, Scope, Send

SMALLEST: Final = 1_024  # bytes; below, a packet is a packet
LEVEL: Final = 5
_IN_LOOP: Final = 65_536  # longer bodies are compressed in a thread
_GZIP_WINDOW: Final = 31

_SHRINKING: Final = (b"application/json", b"text/", b"application/hal+json", b"application/xml")

Message = MutableMapping[str, Any]


def gzipped(app: AsgiApp) -> AsgiApp:
    """The app, its answers compressed where the client takes that."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        await app(scope, receive, _Answering(send, wanted=accepts_gzip(scope["headers"])).send)

    return serve


def accepts_gzip(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether `Accept-Encoding` takes gzip: named, or `*`, and not with q=0 (RFC 9110 12.5.3)."""
    found: dict[str, bool] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for part in value.decode("latin-1").lower().split(","):
                coding, _, parameters = part.partition(";")
                found[coding.strip()] = _weight(parameters) > 0
    return found.get("gzip", found.get("x-gzip", found.get("*", False)))


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip() != "q":
        return 1
    try:
        return float(value)
    except ValueError:
        return 0


class _Answering:
    """One answer on its way."""

    def __init__(self, send: Send, *, wanted: bool) -> None:
        self._send = send
        self._wanted = wanted
        self._start: Message | None = None
        self._compressor: zlib._Compress | None = None  # pyright: ignore[reportPrivateUsage]

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and _may_shrink(message):
            message["headers"] = _with_vary(message["headers"])
            if self._wanted:
                self._start = message  # until the first piece of the body says how long it is
                return
        elif kind == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            if message.get("more_body") or len(message.get("body", b"")) >= SMALLEST:
                await self._begin(start, message)
                return
            await self._send(start)
        elif kind == "http.response.body" and self._compressor is not None:
            message = await self._piece(message)
        await self._send(message)

    async def _begin(self, start: Message, message: Message) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        message = await self._piece(message)
        fields = [(name, _weak(name, value)) for name, value in start["headers"] if name != b"content-length"]
        if not message.get("more_body"):
            fields.append((b"content-length", b"%d" % len(message["body"])))
        start["headers"] = [*fields, (b"content-encoding", b"gzip")]
        await self._send(start)
        await self._send(message)

    async def _piece(self, message: Message) -> Message:
        body: bytes = message.get("body", b"")
        more = bool(message.get("more_body"))
        if len(body) > _IN_LOOP:
            body = await asyncio.to_thread(self._compressed, body, more)
        else:
            body = self._compressed(body, more)
        return {**message, "body": body}

    def _compressed(self, body: bytes, more: bool) -> bytes:
        assert self._compressor is not None
        # flushed with every piece: a stream must not wait for what comes later
        return self._compressor.compress(body) + self._compressor.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)


def _may_shrink(start: Message) -> bool:
    """Whether this answer would be compressed for who asks, if it is long enough."""
    status: int = start["status"]
    if status < 200 or status in (204, 206, 304):
        return False
    fields: dict[bytes, bytes] = {}
    for name, value in start["headers"]:
        fields[name.lower()] = value
    length = fields.get(b"content-length", b"")
    return (
        not (length.isdigit() and int(length) < SMALLEST)
        and b"content-encoding" not in fields
        and b"content-range" not in fields
        and not any(word in fields.get(b"cache-control", b"").lower() for word in (b"no-store", b"no-transform"))
        and fields.get(b"content-type", b"").lower().startswith(_SHRINKING)
    )


def _with_vary(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`Accept-Encoding` added to what the answer varies by."""
    named = [value.strip() for name, values in headers if name.lower() == b"vary" for value in values.split(b",")]
    if b"*" in named or b"accept-encoding" in [value.lower() for value in named]:
        return headers
    rest = [field for field in headers if field[0].lower() != b"vary"]
    return [*rest, (b"vary", b", ".join([*named, b"Accept-Encoding"]))]


def _weak(name: bytes, value: bytes) -> bytes:
    """A strong entity tag names other bytes than those that are sent now."""
    return b"W/" + value if name.lower() == b"etag" and not value.startswith(b"W/") else value
