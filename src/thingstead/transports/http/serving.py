"""HTTP listeners: uvicorn inside our own event loop, beside MQTT and timers (stack.md, "server").

A listener binds first, so that its address is known before anything is announced, and says of every request whether the
binding is loopback. It installs no signal handlers and prints nothing.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Generator, MutableMapping
from functools import partial
from typing import Any

import uvicorn

from thingstead.model.errors import InvalidInput
from thingstead.transports.http import AsgiApp, Receive, Scope, Send, TrustedProxies
from thingstead.transports.http.exchange import Answered, Shared
from thingstead.transports.http.guard import Bounds, Guard
from thingstead.transports.http.protocol import BoundedProtocol
from thingstead.transports.http.websocket import WebSocketProtocol

DRAIN_SECONDS = 5
IDLE_SECONDS = 5
BACKLOG = 2048
NOSNIFF = ("x-content-type-options", "nosniff")  # of every answer, as is what follows (identity.md 17)
HSTS = ("strict-transport-security", "max-age=31536000")


def is_loopback(host: str) -> bool:
    """True if a host to bind to is the loopback interface and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """TLS 1.2 and later with the PEM files of `http.certificate` and `http.key`; None if neither is given.

    Raises InvalidInput, which names the setting, if one of them cannot be used.
    """
    if not certificate and not key:
        return None
    for name, file in (("http.certificate", certificate), ("http.key", key)):
        if not file:
            raise InvalidInput(f"{name}: the certificate and its key go together", field=name)
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise InvalidInput(f"{name}: {file} cannot be read: {error.strerror}", field=name) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        message = f"http.certificate: {certificate} and {key} are no PEM certificate and its key without a password"
        raise InvalidInput(message, field="http.certificate") from None
    return context


def _no_password() -> str:
    raise ValueError  # instead of asking for one at the terminal


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals belong to the process, not to one of its listeners."""
        yield


class HttpListener:
    """One bound address and the ASGI app behind it."""

    def __init__(
        self,
        app: AsgiApp,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        answered: Answered | None = None,
        idle_seconds: float = IDLE_SECONDS,
        bounds: Bounds | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Bind; with `tls` it speaks HTTPS; `answered` is told of each answer; a connection that has been without a
        request for `idle_seconds` is closed; `proxies` may have any number of connections. Raises OSError, which names
        the address, if it cannot be had.
        """
        self.guard = Guard(bounds or Bounds())
        self._host = host
        self._scheme = "http" if tls is None else "https"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.port: int = self._socket.getsockname()[1]
        loopback = is_loopback(host)
        self._shared = Shared(app, answered, loopback=loopback, idle_seconds=idle_seconds)

        async def web_socket(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"loopback_bound": loopback}
            await app(scope, receive, send if answered is None else _telling(scope, send, answered))

        config = uvicorn.Config(
            web_socket,  # pyright: ignore[reportArgumentType]
            http=partial(  # pyright: ignore[reportArgumentType]
                BoundedProtocol, shared=self._shared, guard=self.guard, proxies=proxies or TrustedProxies("")
            ),
            ws=WebSocketProtocol,
            ws_max_size=self.guard.bounds.frame,
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # doors look at trusted proxies themselves
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            headers=[NOSNIFF] if tls is None else [NOSNIFF, HSTS],
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def requests(self) -> int:
        """HTTP requests so far, answered or failed."""
        return self._shared.requests

    @property
    def seconds(self) -> float:
        """How long they took, together."""
        return self._shared.seconds

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else "::1" if self._host == "::" else self._host  # noqa: S104
        return f"{self._scheme}://[{host}]:{self.port}" if ":" in host else f"{self._scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Answer requests; returns when connections are accepted."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise OSError("the listener ended while starting")
            await asyncio.sleep(0)
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="slow clients")

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.guard.every)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.check(now)

    async def close(self) -> None:
        """Take no more connections, finish requests within the drain time, close."""
        self._server.should_exit = True
        if self._watching is not None:
            self._watching.cancel()
        if self._serving is not None:
            await self._serving
        self._socket.close()


def _telling(scope: Scope, send: Send, answered: Answered) -> Send:
    """`send` of a WebSocket, and `answered` told once its handshake is answered."""
    status = size = 0

    def told(message: MutableMapping[str, Any]) -> Awaitable[None]:
        nonlocal status, size
        kind = message["type"]
        if kind == "websocket.http.response.start":
            status = message["status"]
        elif kind == "websocket.http.response.body":
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                answered(scope, status, size)
        elif kind == "websocket.accept":
            status = 101
            answered(scope, 101, 0)
        elif kind == "websocket.close" and not status:
            answered(scope, 403, 0)
        return send(message)

    return told
