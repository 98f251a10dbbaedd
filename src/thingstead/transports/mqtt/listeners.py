"""Where MQTT connections come from: TCP with or without TLS (things.md 6.1). WebSocket is in `websocket`."""

import asyncio
import hashlib
import ipaddress
import ssl
from typing import cast

from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Listener, Peer, Wire

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
        found = transport.get_extra_info("peername")
        address = str(found[0]) if found else ""
        excess = self._broker.enter(address)
        peer = Peer(
            address,
            self._listener,
            self._loopback_bound,
            hashlib.sha256(certificate).hexdigest() if certificate else None,
            excess,
        )
        self._connection = self._broker.connection(self, peer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._broker.gone(self, self._connection.peer)
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
