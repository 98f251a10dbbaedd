"""MQTT load: QoS 1 publishes over raw sockets with packets encoded before, so that Python is not what is measured.

Every connection keeps a window of unacknowledged publishes: each PUBACK is answered by the next PUBLISH, the answers to
one read go out in one write. At the end nothing more is sent and every publish is waited for, hence what a run
acknowledged is exactly what it sent. Speaks MQTT 3.1.1 and only what it needs.
"""

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.http_load import Load
from bench.processes import Meter

WARM_SECONDS = 0.5
DRAIN_SECONDS = 10
LATENCY_OF_EVERY = 8
CONNECT, CONNACK, PUBLISH_QOS1, DISCONNECT = 0x10, 0x20, 0x32, b"\xe0\x00"
PUBACK = 0x4002  # type and length: always two bytes of packet identifier


@dataclass(frozen=True)
class Device:
    """Who connects, and what it reports again and again."""

    client_id: str
    password: str
    topic: str
    payload: bytes


@dataclass(frozen=True)
class MqttLoad(Load):
    """A load, and what each device was acknowledged, warming up included."""

    by_device: tuple[int, ...] = ()


class _Connection:
    """A socket with a window of publishes under way."""

    def __init__(self, port: int, device: Device, window: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = _text(device.client_id) + _text(device.client_id) + _text(device.password)
        self.sock.sendall(_packet(CONNECT, _text("MQTT") + bytes([4, 0xC2]) + struct.pack(">H", 0) + login))
        answer = self.sock.recv(4, socket.MSG_WAITALL)
        if len(answer) < 4 or answer[0] != CONNACK or answer[3] != 0:
            raise RuntimeError(f"CONNECT of {device.client_id} refused: {answer!r}")
        self.sock.setblocking(False)
        topic = _text(device.topic)
        self.packets = [
            _packet(PUBLISH_QOS1, topic + struct.pack(">H", n) + device.payload) for n in range(1, window + 1)
        ]
        self.sent_at = [0.0] * window
        self.under_way = 0
        self.acknowledged = 0
        self.unread = b""
        self.unsent = b""

    def send(self, data: bytes) -> bool:
        """Writes what fits; True if nothing is left over."""
        if self.unsent:
            data = self.unsent + data
        try:
            n = self.sock.send(data)
        except BlockingIOError:
            n = 0
        self.unsent = data[n:]
        return not self.unsent


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    left, head = len(body), bytearray([first])
    while True:
        left, digit = left >> 7, left & 0x7F
        head.append(digit | 0x80 if left else digit)
        if not left:
            return bytes(head) + body


def publish(port: int, pid: int, devices: Sequence[Device], window: int, seconds: float) -> MqttLoad:
    """Load the broker (process `pid`) with one connection a device.

    RuntimeError if a connection is refused or lost, something else than a PUBACK comes, or one never comes.
    """
    connections = [_Connection(port, device, window) for device in devices]
    try:
        return _Driver(connections).run(pid, seconds)
    finally:
        for connection in connections:
            connection.sock.close()


class _Driver:
    def __init__(self, connections: Sequence[_Connection]) -> None:
        self.epoll = select.epoll()
        self.by_fd = {connection.sock.fileno(): connection for connection in connections}
        self.latencies: list[float] = []
        self.acknowledged = 0

    def run(self, pid: int, seconds: float) -> MqttLoad:
        clock = time.perf_counter
        for fd, connection in self.by_fd.items():
            self.epoll.register(fd, select.EPOLLIN)
            connection.sent_at = [clock()] * len(connection.packets)
            connection.under_way = len(connection.packets)
            self._send(fd, connection, b"".join(connection.packets))
        warm = clock() + WARM_SECONDS
        while clock() < warm:
            self._turn(more=True)
        self.latencies.clear()
        before, meter, began = self.acknowledged, Meter(pid), clock()
        end = began + seconds
        while clock() < end:
            self._turn(more=True)
        span = clock() - began
        counted = self.acknowledged - before
        cores, foreign = meter.read()
        latencies = sorted(self.latencies) or [float("nan")]
        deadline = clock() + DRAIN_SECONDS
        while left := sum(connection.under_way for connection in self.by_fd.values()):
            if clock() > deadline:
                raise RuntimeError(f"{left} publishes were not acknowledged within {DRAIN_SECONDS} s")
            self._turn(more=False)
        for connection in self.by_fd.values():
            connection.send(DISCONNECT)
        self.epoll.close()
        return MqttLoad(
            per_second=counted / span,
            seconds=span,
            p50=1000 * latencies[len(latencies) // 2],
            p99=1000 * latencies[int(len(latencies) * 0.99)],
            cores=cores,
            foreign=foreign,
            acknowledged=self.acknowledged,
            failed=0,
            by_device=tuple(connection.acknowledged for connection in self.by_fd.values()),
        )

    def _send(self, fd: int, connection: _Connection, data: bytes) -> None:
        was_waiting = bool(connection.unsent)
        waiting = not connection.send(data)
        if waiting != was_waiting:
            self.epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if waiting else 0))

    def _turn(self, *, more: bool) -> None:
        """Takes all acknowledgements that are there; `more` publishes again for each."""
        for fd, event in self.epoll.poll(0.1):
            connection = self.by_fd[fd]
            if event & select.EPOLLOUT:
                self._send(fd, connection, b"")
            if not event & ~select.EPOLLOUT:
                continue
            try:
                read = connection.sock.recv(65536)
            except BlockingIOError:
                continue
            if not read:
                raise RuntimeError("the broker closed a connection under load")
            data = connection.unread + read
            whole = len(data) & ~3
            connection.unread = data[whole:]
            now = time.perf_counter()
            packets, sent_at, parts = connection.packets, connection.sent_at, list[bytes]()
            for head, number in struct.iter_unpack(">HH", data[:whole]):
                if head != PUBACK:
                    raise RuntimeError(f"expected a PUBACK, got {data[:64]!r}")
                if number % LATENCY_OF_EVERY == 1 or len(packets) == 1:
                    self.latencies.append(now - sent_at[number - 1])
                sent_at[number - 1] = now
                if more:
                    parts.append(packets[number - 1])
            n = whole // 4
            connection.acknowledged += n
            self.acknowledged += n
            if parts:
                self._send(fd, connection, b"".join(parts))
            else:
                connection.under_way -= n
