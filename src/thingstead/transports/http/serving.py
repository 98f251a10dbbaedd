"""HTTP listeners: uvicorn inside our own event loop, beside MQTT and timers (stack.md, "server").

A listener binds first, so that its address is known before anything is announced, and says of every request whether the
binding is loopback. It installs no signal handlers and prints nothing.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, TypeAlias

import uvicorn

from thingstead.transports.http import AsgiApp, Receive, Scope, Send
from thingstead.transports.http.corked import CorkedProtocol

Answered: TypeAlias = Callable[[Scope, int, int], None]  # a request, the status of its answer, the bytes of its body

DRAIN_SECONDS = 5
BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """True if a host to bind to is the loopback interface and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals belong to the process, not to one of its listeners."""
        yield


class HttpListener:
    """One bound address and the ASGI app behind it."""

    def __init__(self, app: AsgiApp, host: str, port: int, answered: Answered | None = None) -> None:
        """Bind; `answered` is told of each answer. Raises OSError, which names the address, if it cannot be had."""
        self._host = host
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

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"loopback_bound": loopback}
            await app(scope, receive, _telling(scope, send, answered) if answered is not None else send)

        config = uvicorn.Config(
            told,  # pyright: ignore[reportArgumentType]
            http=CorkedProtocol,
            ws="websockets-sansio",
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # doors look at trusted proxies themselves
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else "::1" if self._host == "::" else self._host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Answer requests; returns when connections are accepted."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise OSError("the listener ended while starting")
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Take no more connections, finish requests within the drain time, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


def _telling(scope: Scope, send: Send, answered: Answered) -> Send:
    """`send`, and `answered` told once the answer is whole; without a coroutine of its own around each message."""
    status = size = 0

    def told(message: MutableMapping[str, Any]) -> Awaitable[None]:
        nonlocal status, size
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            status = message["status"]
        elif kind in ("http.response.body", "websocket.http.response.body"):
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
