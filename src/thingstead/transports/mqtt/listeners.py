"""Where MQTT connections come from: TCP with or without TLS, and WebSocket through ASGI (things.md 6.1; MQTT 5, 6)."""

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast

from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Listener, Peer, Wire

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]

_HANDSHAKE_SECONDS = 10.0


async def serve_tcp(broker: Broker, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
    """Listen until the broker closes; the bound port. With a context it is TLS, whose client certificates `context`
    asks for and checks.

    Raises OSError if the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    bound_to_loopback = False

    def protocol() -> _TcpProtocol:
        return _TcpProtocol(broker, "tls" if context else "plain", bound_to_loopback)

    handshake = _HANDSHAKE_SECONDS if context else None
    server = await loop.create_server(protocol, host, port, ssl=context, ssl_handshake_timeout=handshake, backlog=1024)
    addresses = [socket.getsockname() for socket in server.sockets]
    bound_to_loopback = all(ipaddress.ip_address(address[0]).is_loopback for address in addresses)
    broker.on_close(server.close)
    return addresses[0][1]


class _TcpProtocol(asyncio.Protocol, Wire):
    """A socket."""

    def __init__(self, broker: Broker, listener: Listener, loopback_bound: bool):
        self._broker = broker
        self._listener: Listener = listener
        self._loopback_bound = loopback_bound

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._broker.limits.write_buffer)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        address = transport.get_extra_info("peername")
        peer = Peer(
            str(address[0]) if address else "",
            self._listener,
            self._loopback_bound,
            hashlib.sha256(certificate).hexdigest() if certificate else None,
        )
        self._connection = self._broker.connection(self, peer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._broker.gone(self)
        self._connection.lost()

    def data_received(self, data: bytes) -> None:
        self._connection.feed(data)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(self._broker.limits.close_timeout, self._transport.abort)

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


class WebSocketApp:
    """An ASGI application for WebSocket connections of the sub-protocols `mqtt` and `mqttv3.1`; others are refused
    (403).

    `loopback_bound`: the HTTP listener it is mounted in is bound to loopback.
    """

    def __init__(self, broker: Broker, *, loopback_bound: bool = False):
        self._broker = broker
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
        client = scope.get("client")
        wire = _WebSocketWire(broker.limits.write_buffer)
        connection = broker.connection(wire, Peer(str(client[0]) if client else "", "websocket", self._loopback_bound))
        wire.pause_writing = connection.pause_writing
        wire.resume_writing = connection.resume_writing
        reader = asyncio.create_task(_read(receive, connection.feed, wire))
        try:
            await wire.carry(send, broker.limits.close_timeout)
        finally:
            reader.cancel()
            broker.gone(wire)
            connection.lost()


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
