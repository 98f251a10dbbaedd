"""The HTTP/1.1 protocol of our listeners, under uvicorn's server, with bounded heads (identity.md 13).

Promises: what comes before a body is at most 64 KiB and is never held longer than that; requests of a connection are
answered one after the other; what is no HTTP is answered 400 in JSON, like every other error; a connection too many is
answered 503 or 429, one whose head comes too slowly 408, one that stops in the middle of a body or of an answer is cut:
the listener calls `check` now and then. A WebSocket is handed to uvicorn's protocol for them. uvicorn's own protocol
for HTTP is not used because of what it costs a request (docs/explanation/performance.md).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from thingstead.model.rates import network
from thingstead.transports.http import Scope, TrustedProxies
from thingstead.transports.http.corked import Corked
from thingstead.transports.http.exchange import Exchange, Shared
from thingstead.transports.http.guard import Guard

MAX_HEAD: Final = 65_536  # bytes of request line and header fields
_MAX_BODY_HELD: Final = 65_536  # bytes that were not asked for yet, before the peer must wait
MAX_URI: Final = 32_768  # bytes of path and query
_AROUND: Final = len("  HTTP/1.1\r\n" + "\r\n")  # of the request line, and what ends the head
_RETRY_SECONDS: Final = 5
_GOODBYE_SECONDS: Final = 0.2
_TOO_LONG: Final = f"the request line and header fields are longer than {MAX_HEAD} bytes"
_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})
_LONG_URI: Final = f"the URI is longer than {MAX_URI} bytes"
_NO_HTTP: Final = "Invalid HTTP request received."

log = logging.getLogger(__name__)


class BoundedProtocol(asyncio.Protocol):
    """See the module's docstring. Made by uvicorn for each connection; `shared` is the listener's."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        shared: Shared,
        guard: Guard,
        proxies: TrustedProxies,
    ) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # until the connection is made
        self.writable: asyncio.Event | None = None
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._shared = shared
        self._parser: Any = self._new_parser()
        self._guard = guard
        self._proxies = proxies
        self._place: str | None = None  # the client for whom this connection is counted
        self._heard = self._began = 0.0  # when something came, and when this head began to
        self._stuck = 0.0  # since when the client has not taken what is written; 0: it does
        self._left = 0  # bytes that it had not taken then
        self._addresses: tuple[Any, Any, str] = None, None, "http"
        self._exchange: Exchange | None = None  # that is being answered
        self._newest: Exchange | None = None  # that is being read
        self._waiting: deque[Exchange] = deque()  # requests that came before the answer to one before them
        self._reading = True
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head = 0  # bytes of the head that came in earlier reads
        self._read = 0  # bytes of this read
        self._refusal = ""  # what to say instead of what the parser says
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._upgrade = False  # the parser stopped behind this head
        self._websocket = False

    def _new_parser(self) -> Any:
        parser: Any = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # a peer that says "close" may have sent more
        return parser

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._server.connections.add(self)  # pyright: ignore[reportArgumentType]
        self.transport = cast(asyncio.Transport, transport)
        scheme = "https" if is_ssl(self.transport) else "http"
        client = get_remote_addr(self.transport)
        self._addresses = get_local_addr(self.transport), client, scheme
        self._heard = self._began = self._loop.time()
        self._enter(client[0] if client else "")

    def _enter(self, address: str) -> None:
        client = network(address)
        problem = self._guard.places.enter(client, trusted=self._proxies.includes(address))
        if not problem:
            self._place = client
        elif problem == "full":
            self._refuse("this listener has as many connections as it takes", b"503 Service Unavailable", retry=True)
        else:
            self._refuse("this address has as many connections as it may", b"429 Too Many Requests", retry=True)

    def _leave(self) -> None:
        if self._place is not None:
            self._guard.places.leave(self._place)
            self._place = None

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._server.connections.discard(self)  # pyright: ignore[reportArgumentType]
        self._leave()
        if self._exchange is not None:
            self._exchange.lost()
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()
        self._parser = None

    def pause_writing(self) -> None:
        """See asyncio."""
        self.writable = asyncio.Event()
        self._stuck = self._loop.time()
        self._left = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._stuck = 0.0
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    def resume_reading(self) -> None:
        """Let the peer send more."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def check(self, now: float) -> None:
        """End this connection if its client lets us wait for too long."""
        guard, bounds = self._guard, self._guard.bounds
        if self.transport.is_closing():
            return
        if self._stuck:
            left = self.transport.get_write_buffer_size()
            if left < self._left:
                self._stuck, self._left = now, left
            elif now - self._stuck > bounds.idle:
                guard.idled += 1
                self.transport.abort()
        elif self._exchange is None or self._exchange.complete:
            if self._in_head:
                if now - self._began > bounds.head:
                    guard.slow_heads += 1
                    self._refuse("the head of the request did not come in time", b"408 Request Timeout")
            elif self._idle_since is None and now - self._heard > bounds.head:  # bytes that begin no request
                self.transport.close()
        elif self._exchange.more_body and self._reading and now - self._heard > bounds.idle:
            guard.idled += 1
            self.transport.abort()

    def shutdown(self) -> None:
        """End an idle connection now, a busy one after its answer. A TLS peer may never say goodbye: not waited for."""
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.keep_alive = False
            return
        self._shared.flush()
        self.transport.close()
        if self._addresses[2] == "https":
            self._loop.call_later(_GOODBYE_SECONDS, self.transport.abort)

    # --- the parser

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._idle_since = None
        self._heard = self._loop.time()
        self._read = len(data)
        try:
            while True:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    if self._websocket:
                        self._hand_over()
                        return
                    if not self._upgrade:
                        break
                    data = self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserError:
            log.warning(_NO_HTTP)
            self._refuse(self._refusal or _NO_HTTP)
            return
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._guard.large += 1
                self._refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        """See httptools, as for what follows."""
        self._in_head = True
        self._began = self._heard
        self._head = 0
        self._url = b""
        self._headers = []
        self._expects = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        # a read may hold a body as well: counted only where it is long enough to matter
        if self._head + self._read > MAX_HEAD:
            line = len(self._parser.get_method()) + len(self._url) + _AROUND
            size = line + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > MAX_HEAD:
                raise self._too_long(_TOO_LONG)  # seen by the parser's caller as a request that is none
        if len(self._url) > MAX_URI:
            raise self._too_long(_LONG_URI)
        parser = self._parser
        self._upgrade = parser.should_upgrade() and parser.get_method() != b"CONNECT"
        self._websocket = self._upgrade and self._asks_for_websocket()
        if self._upgrade:
            return
        version: str = parser.get_http_version()
        exchange = Exchange(
            self,
            self._shared,
            self._scope(parser.get_method().decode("ascii"), version),
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects=self._expects,
        )
        self._newest = exchange
        if self._exchange is None or self._exchange.complete:
            self._begin(exchange)
        else:
            self._pause_reading()
            self._waiting.append(exchange)

    def _too_long(self, refusal: str) -> ValueError:
        self._guard.large += 1
        self._refusal = refusal
        return ValueError(refusal)

    def on_body(self, body: bytes) -> None:
        newest = self._newest
        if newest is not None and not self._upgrade and not newest.complete:
            newest.body(body)
            if newest.buffered > _MAX_BODY_HELD:
                self._pause_reading()

    def on_message_complete(self) -> None:
        if self._newest is not None and not self._upgrade and not self._newest.complete:
            self._newest.end()

    def _scope(self, method: str, version: str) -> Scope:
        url = self._url
        if url[:1] == b"/" and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            parsed: Any = httptools.parse_url(url)
            raw_path, query = parsed.path, parsed.query or b""
        path = raw_path.decode("ascii")
        server, client, scheme = self._addresses
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": server,
            "client": client,
            "scheme": scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
            "state": {"loopback_bound": self._shared.loopback},
        }

    # --- one request after the other

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.task = self._loop.create_task(exchange.run())
        self._server.tasks.add(exchange.task)

    def ended(self, task: asyncio.Task[None]) -> None:
        """The app has returned."""
        self._server.tasks.discard(task)

    def answered(self) -> None:
        """The answer is whole: on with the next request, or wait for one, though not for ever."""
        self._server.total_requests += 1
        if self.transport.is_closing():
            return
        if self._waiting:
            self._begin(self._waiting.popleft())
            return
        self.resume_reading()
        self._idle_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._shared.idle_seconds, self._look_idle)

    def _look_idle(self) -> None:
        """Close a connection that nobody uses. One timer for all its pauses: setting one a request costs more."""
        self._timer = None
        if self._idle_since is None or self.transport.is_closing():
            return
        left = self._idle_since + self._shared.idle_seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_idle)
        else:
            self.transport.close()

    def default_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of every answer."""
        return self._server.default_headers

    def _refuse(self, why: str, status: bytes = b"400 Bad Request", *, retry: bool = False) -> None:
        """Say what is wrong with this connection, and close it."""
        if self.transport.is_closing():
            return
        body = b'{"code":%b,"message":"%b"}' % (status[:3], why.encode())
        lines = self._shared.lines(self._server.default_headers)
        if retry:
            lines += b"retry-after: %d\r\n" % _RETRY_SECONDS
        head = b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n" % (
            status,
            lines,
            len(body),
        )
        self._shared.flush()
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    # --- WebSockets

    def _asks_for_websocket(self) -> bool:
        """Whether it can be a handshake at all: with another method or a body it is a request like others."""
        fields = dict(self._headers)
        if self._parser.get_method() != b"GET" or not fields.keys().isdisjoint(_OF_BODIES):
            return False
        asked = [each.strip() for each in fields.get(b"connection", b"").lower().split(b",")]
        return b"upgrade" in asked and fields.get(b"upgrade", b"").lower() == b"websocket"

    def _without_upgrade(self) -> bytes:
        """The head again for a new parser, without the wish to speak something else that nobody speaks here."""
        head = [b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())]
        head += [b"%b: %b\r\n" % field for field in self._headers if field[0] != b"upgrade"]
        self._parser = self._new_parser()
        return b"".join([*head, b"\r\n"])

    def _hand_over(self) -> None:
        """Give the connection to uvicorn's protocol for WebSockets, corked, and with its handshake as it came."""
        self._shared.flush()
        self._server.connections.discard(self)  # pyright: ignore[reportArgumentType]
        lines = [b"%b %b HTTP/1.1\r\n" % (self._parser.get_method(), self._url)]
        lines += [b"%b: %b\r\n" % field for field in self._headers]
        make = cast(Callable[..., asyncio.Protocol], self._config.ws_protocol_class)
        protocol = make(config=self._config, server_state=self._server, app_state=self._app_state, left=self._leave)
        protocol.connection_made(Corked(self.transport, self._loop))
        protocol.data_received(b"".join([*lines, b"\r\n"]))
        self.transport.set_protocol(protocol)
