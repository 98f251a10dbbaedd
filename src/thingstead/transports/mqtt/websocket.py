"""MQTT over WebSocket, as an ASGI application for whatever serves HTTP (things.md 6.1; MQTT 5, 6)."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Peer, Wire

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]


def websocket_app(
    broker: Broker, *, loopback_bound: bool = False, client: Callable[[MutableMapping[str, Any]], str] | None = None
) -> AsgiApp:
    """An ASGI application for WebSocket connections of the sub-protocols `mqtt` and `mqttv3.1`; others are refused
    (403).

    `loopback_bound`: the HTTP listener it is mounted in is bound to loopback; `client` tells the address of who opened
    a connection, the peer's unless given. An object and no function, so that
    Starlette's WebSocketRoute takes it for an ASGI application.
    """
    return _WebSocketApp(broker, loopback_bound, client or _peer)


class _WebSocketApp:
    """See `websocket_app`."""

    def __init__(self, broker: Broker, loopback_bound: bool, client: Callable[[MutableMapping[str, Any]], str]):
        self._broker = broker
        self._client = client
        self._loopback_bound = loopback_bound

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        broker = self._broker
        await receive()
        offered: list[str] = scope.get("subprotocols") or []
        chosen = next((name for name in ("mqtt", "mqttv3.1") if name in offered), None)
        if chosen is None:
            await send({"type": "websocket.close", "code": 1002})
            return
        await send({"type": "websocket.accept", "subprotocol": chosen})
        address = self._client(scope)
        wire = _WebSocketWire(broker.limits.write_buffer)
        peer = Peer(address, "websocket", self._loopback_bound, excess=broker.enter(address))
        connection = broker.connection(wire, peer)
        wire.pause_writing = connection.pause_writing
        wire.resume_writing = connection.resume_writing
        reader = asyncio.create_task(_read(receive, connection.feed, wire))
        try:
            await wire.carry(send, broker.limits.close_timeout)
        finally:
            reader.cancel()
            broker.gone(wire, peer)
            connection.lost()


def _peer(scope: MutableMapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _read(receive: _Receive, feed: Callable[[bytes], None], wire: "_WebSocketWire") -> None:
    """Feed the connection until the peer goes or sends text, which MQTT does not know (MQTT 5, 6.0.0-1)."""
    while True:
        await wire.readable.wait()
        message = await receive()
        if message["type"] == "websocket.disconnect":
            wire.gone = True
            break
        data: bytes | None = message.get("bytes")
        if data is None:
            break
        feed(data)
    wire.close()


class _WebSocketWire(Wire):
    """Turns writes into frames, one for whatever has gathered while the last was sent."""

    def __init__(self, high: int):
        self.readable = asyncio.Event()
        self.readable.set()
        self.gone = False
        self.pause_writing: Callable[[], None]
        self.resume_writing: Callable[[], None]
        self._high = high
        self._out: list[bytes] = []
        self._size = 0
        self._paused = False
        self._closing = False
        self._wake = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        self._out.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > self._high and not self._paused:
            self._paused = True
            self.pause_writing()

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    def pause_reading(self) -> None:
        self.readable.clear()

    def resume_reading(self) -> None:
        self.readable.set()

    async def carry(self, send: _Send, close_timeout: float) -> None:
        """Send frames until the wire is closed from either side."""
        try:
            while not self.gone:
                if self._out:
                    data = b"".join(self._out)
                    self._out.clear()
                    async with asyncio.timeout(close_timeout if self._closing else None):
                        await send({"type": "websocket.send", "bytes": data})
                    self._size -= len(data)
                    if self._paused and self._size <= self._high // 4:
                        self._paused = False
                        self.resume_writing()
                elif self._closing:
                    await send({"type": "websocket.close", "code": 1000})
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()
        except (OSError, TimeoutError):
            return
