"""One HTTP request and its answer, as the ASGI app sees them: `scope`, `receive` and `send`.

Promises: the head of an answer leaves with the first piece of its body, in one write; a field that would break out of
the head, and a body of another length than its head says, are errors of the app, answered 500 if nothing has left; who
does not read is waited for. Does not parse, and does not know of other requests of its connection: that is `protocol`.
"""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from functools import lru_cache
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias

from thingstead.transports.http import AsgiApp, Scope

Message: TypeAlias = MutableMapping[str, Any]
Answered: TypeAlias = Callable[[Scope, int, int], None]  # a request, the status of its answer, the bytes of its body

log = logging.getLogger(__name__)

FAILED: Final = b'{"code":500,"message":"Internal Server Error"}'
_JOINED: Final = 65_536  # bytes; a longer body is not copied to join it with its head
_BREAKING: Final = bytes(code for code in (*range(9), *range(10, 32), 127))
_PLAIN: Final = bytes(set(range(256)) - set(_BREAKING))
_IN_NAMES: Final = frozenset(bytes(range(33, 127))) - frozenset(b'()<>@,;:\\[]={}"')


class Shared:
    """What the requests of a listener share."""

    def __init__(self, app: AsgiApp, answered: Answered | None, *, loopback: bool, idle_seconds: float) -> None:
        self.app = app
        self.answered = answered
        self.loopback = loopback  # the listener is bound to it
        self.idle_seconds = idle_seconds  # how long a connection waits for its next request
        self.requests = 0
        """HTTP requests so far, answered or failed."""
        self.seconds = 0.0
        """How long they took, together."""
        self._fields: list[tuple[bytes, bytes]] | None = None
        self._lines = b""
        self._outgoing: list[tuple[asyncio.Transport, bytes]] = []

    def write_soon(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write a whole answer together with the others that are ready now: a sleeping peer is woken once for all."""
        self._outgoing.append((transport, answer))
        if len(self._outgoing) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits. Whoever writes to a transport itself, or closes one, calls this before."""
        outgoing, self._outgoing = self._outgoing, []
        for transport, answer in outgoing:
            if not transport.is_closing():
                transport.write(answer)

    def lines(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The fields of every answer, encoded: uvicorn makes the list anew each second, for the date."""
        if fields is not self._fields:
            self._fields, self._lines = fields, b"".join([b"%b: %b\r\n" % field for field in fields])
        return self._lines


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    writable: asyncio.Event | None  # set once the peer reads again; None: it does

    def default_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of every answer."""
        ...

    def resume_reading(self) -> None:
        """Let the peer send more."""
        ...

    def answered(self) -> None:
        """The answer is whole."""
        ...

    def ended(self, task: asyncio.Task[None]) -> None:
        """The app has returned."""
        ...


class _Done:
    """An awaitable that is done: what `send` returns costs no coroutine."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # pyright: ignore[reportReturnType]


_DONE: Final = _Done()


class Exchange:
    """See the module's docstring."""

    __slots__ = (
        "_chunked",
        "_chunks",
        "_connection",
        "_event",
        "_expects",
        "_head",
        "_left",
        "_news",
        "_scope",
        "_shared",
        "_size",
        "_status",
        "buffered",
        "complete",
        "gone",
        "keep_alive",
        "more_body",
        "task",
    )

    def __init__(self, connection: Connection, shared: Shared, scope: Scope, *, keep_alive: bool, expects: bool):
        self._connection = connection
        self._shared = shared
        self._scope = scope
        self._expects = expects  # the client waits for "100 Continue"
        self._chunks: list[bytes] = []
        self._news = False  # something that `receive` has not told
        self._event: asyncio.Event | None = None
        self._head = b""  # held until there is some body
        self._chunked: bool | None = None
        self._left = 0  # bytes of the body that the head promised
        self._status = 0
        self._size = 0
        self.keep_alive = keep_alive
        self.buffered = 0  # bytes of the body that were not asked for yet
        self.more_body = True
        self.complete = False
        self.gone = False
        self.task: asyncio.Task[None] | None = None

    # --- what the connection says

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""
        self._chunks.append(data)
        self.buffered += len(data)
        self._tell()

    def end(self) -> None:
        """The request is whole."""
        self.more_body = False
        self._tell()

    def lost(self) -> None:
        """The connection is no more."""
        self.gone = not self.complete
        self._tell()

    def _tell(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()

    # --- what the app calls

    async def run(self) -> None:
        """Have the app answer."""
        shared = self._shared
        began = perf_counter()
        problem = ""
        try:
            await shared.app(self._scope, self.receive, self.send)
        except BaseException:
            log.exception("an app failed")
            problem = "it failed"
        else:
            if not self.complete and not self.gone:
                problem = "it returned without a whole answer"
                log.error("an app: %s", problem)
        shared.requests += 1
        shared.seconds += perf_counter() - began
        if problem:
            self._fail()
        assert self.task is not None
        self._connection.ended(self.task)

    def _fail(self) -> None:
        if self._status == 0 or self._head:
            self._status, self._size, self._head, self._chunked, self.keep_alive = 0, 0, b"", None, False
            fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(FAILED))]
            self._send({"type": "http.response.start", "status": 500, "headers": fields})
            self._send({"type": "http.response.body", "body": FAILED})
        else:
            self._shared.flush()
            self._connection.transport.close()

    async def receive(self) -> Message:
        """See ASGI."""
        connection = self._connection
        if self._expects and not connection.transport.is_closing():
            self._shared.flush()
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        if not (self.gone or self.complete):
            connection.resume_reading()
            if not self._news:
                self._event = self._event or asyncio.Event()
                await self._event.wait()
                self._event.clear()
            self._news = False
        if self.gone or self.complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._chunks)
        self._chunks, self.buffered = [], 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def send(self, message: Message) -> Awaitable[None]:
        """See ASGI."""
        if self._connection.writable is not None and not self.gone:
            return self._send_later(message)
        self._send(message)
        return _DONE

    async def _send_later(self, message: Message) -> None:
        while (writable := self._connection.writable) is not None and not self.gone:
            await writable.wait()
        self._send(message)

    def _send(self, message: Message) -> None:
        kind = message["type"]
        if not self._status:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {kind}")
            self._start(message["status"], message.get("headers", ()))
            return
        if kind != "http.response.body" or self.complete:
            raise RuntimeError(f"{kind} has no place here in an answer")
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if not self.gone:
            self._piece(body, more)
        self._size += len(body)
        if not more:
            self._end()

    def _end(self) -> None:
        self.complete = True
        self._tell()
        if self._shared.answered is not None:
            self._shared.answered(self._scope, self._status, self._size)
        if not self.gone:
            if not self.keep_alive:
                self._shared.flush()
                self._connection.transport.close()
            self._connection.answered()

    # --- bytes

    def _start(self, status: int, fields: Any) -> None:
        self._expects = False
        count = 0
        closing = False
        parts: list[bytes] = []
        for name, value in fields:
            lead = _lead(name)
            parts += (lead, value, b"\r\n")
            count += 1
            if lead == b"content-length: ":
                if self._chunked is None:
                    self._chunked, self._left = False, int(value)
            elif lead == b"transfer-encoding: ":
                if value.lower() == b"chunked":
                    self._chunked, self._left = True, 0
            elif lead == b"connection: " and b"close" in [each.strip() for each in value.lower().split(b",")]:
                self.keep_alive, closing = False, True
        lines = b"".join(parts)
        if lines.translate(None, _PLAIN) != b"\r\n" * count:
            raise RuntimeError("a header field holds a control character")
        if not self.keep_alive and not closing:
            lines += b"connection: close\r\n"
        if self._chunked is None and self._scope["method"] != "HEAD" and status not in (204, 304):
            self._chunked = True
            lines += b"transfer-encoding: chunked\r\n"
        defaults = self._shared.lines(self._connection.default_fields())
        self._head = b"%b%b%b\r\n" % (_status_line(status), defaults, lines)
        self._status = status

    def _piece(self, body: bytes, more: bool) -> None:
        if self._scope["method"] == "HEAD":
            self._left, body = 0, b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("a body is not as long as its head said")
        transport = self._connection.transport
        head, self._head = self._head, b""
        if head and not more and self.keep_alive and len(body) <= _JOINED:
            self._shared.write_soon(transport, head + body)
            return
        self._shared.flush()
        if head and len(body) > _JOINED:
            transport.writelines((head, body))
        elif head or body:
            transport.write(head + body)


@lru_cache(maxsize=1024)
def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


@lru_cache(maxsize=1024)
def _lead(name: bytes) -> bytes:
    """What stands before a field's value."""
    if not name or not _IN_NAMES.issuperset(name):
        raise RuntimeError("a header field has no name")
    return name.lower() + b": "
