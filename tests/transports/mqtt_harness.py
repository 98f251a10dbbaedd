"""A broker in the test's own loop, a session store that outlives it, and a client that speaks packets one by one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from support.environment import ManualClock, SystemEntropy
from thingstead.model.errors import StoreFailed
from thingstead.ports.sessions import Change, Space
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.codec import Decoder, encode
from thingstead.transports.mqtt.contract import Authenticate, ConnectRequest, Grant, Inbound, Limits, Settle
from thingstead.transports.mqtt.listeners import serve_tcp
from thingstead.transports.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Request,
    Suback,
    Subscribe,
)
from thingstead.transports.mqtt.properties import NONE, Properties


class MemorySessionStore:
    """A SessionStore whose entries are as durable as this object; `failing` and `held` make it a bad or a slow disk."""

    def __init__(self) -> None:
        self.spaces: dict[Space, dict[str, bytes]] = {space: {} for space in Space}
        self.failing = False
        self.open = asyncio.Event()
        self.open.set()
        self.batches = 0

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        return list(self.spaces[space].items())

    async def apply(self, changes: Sequence[Change]) -> None:
        await self.open.wait()
        if self.failing:
            raise StoreFailed("the disk is full")
        self.batches += 1
        assert len({change[:2] for change in changes}) == len(changes)
        for change in changes:
            if change.value is None:
                self.spaces[change.space].pop(change.key, None)
            else:
                self.spaces[change.space][change.key] = change.value

    def copy(self) -> "MemorySessionStore":
        """What a restart after a crash at this moment would find."""
        other = MemorySessionStore()
        other.spaces = {space: dict(entries) for space, entries in self.spaces.items()}
        return other


class Desk:
    """A handler that keeps what it was given until the test settles it."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Inbound], Settle]] = []

    def __call__(self, messages: list[Inbound], settle: Settle) -> None:
        self.calls.append((messages, settle))

    def payloads(self) -> list[bytes]:
        return [message.payload for messages, _ in self.calls for message in messages]

    async def wait(self, calls: int) -> None:
        await until(lambda: len(self.calls) >= calls)


async def until(condition: Callable[[], object], seconds: float = 8) -> None:
    """Look again until the condition holds; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # the other side is a client's thread or socket: no event to wait for


async def open_door(request: ConnectRequest) -> Grant:
    """Lets everybody in, and do everything."""
    return Grant(
        client_id=request.client_id,
        principal=request.client_id,
        allow_publish=lambda _: True,
        allow_subscribe=lambda _: True,
    )


class Served:
    """A started broker and its plain port."""

    def __init__(self, broker: Broker, port: int, clock: ManualClock, store: MemorySessionStore) -> None:
        self.broker = broker
        self.port = port
        self.clock = clock
        self.store = store
        self._clients: list[PacketClient] = []

    async def dial(self, level: int = 4) -> "PacketClient":
        """A client that has said nothing yet."""
        client = PacketClient(*await asyncio.open_connection("127.0.0.1", self.port), level)
        self._clients.append(client)
        return client

    def hang_up(self) -> None:
        """Close what clients have left open."""
        for client in self._clients:
            client.abort()

    async def client(self, client_id: str = "c", level: int = 4, **connect: object) -> "PacketClient":
        """A client that has been let in."""
        client = await self.dial(level)
        client.connack = await client.connect(client_id, **connect)
        assert client.connack.code == 0
        return client


@asynccontextmanager
async def served(
    *,
    authenticate: Authenticate = open_door,
    store: MemorySessionStore | None = None,
    clock: ManualClock | None = None,
    limits: Limits | None = None,
    routes: Callable[[Broker], None] | None = None,
    context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Served]:
    """A broker that listens; closed at the end."""
    store = store or MemorySessionStore()
    clock = clock or ManualClock()
    broker = Broker(clock=clock, entropy=SystemEntropy(), authenticate=authenticate, sessions=store, limits=limits)
    if routes is not None:
        routes(broker)
    await broker.start()
    site = Served(broker, await serve_tcp(broker, host, 0, context), clock, store)
    try:
        yield site
    finally:
        store.open.set()
        await broker.close()
        site.hang_up()


class PacketClient:
    """Sends packets and reads packets; what it does not expect, it does not hide."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        self.level = level
        self.connack = Connack()
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(level=level)
        self._packets: list[Packet] = []

    async def connect(self, client_id: str, **fields: object) -> Connack:
        self.send(Connect(client_id, self.level, **fields))  # type: ignore[arg-type]
        answer = await self.receive()
        assert isinstance(answer, Connack)
        return answer

    def send(self, *packets: Packet) -> None:
        """All in one write."""
        self._writer.write(b"".join(encode(packet, self.level) for packet in packets))

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 1, packet_id: int = 1, **fields: object) -> None:
        self.send(Publish(topic, payload, qos, packet_id=packet_id if qos else 0, **fields))  # type: ignore[arg-type]

    def pause(self) -> None:
        """Read no more, so that the broker's side fills up."""
        self._reader._transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self._reader._transport.resume_reading()  # type: ignore[attr-defined]

    def send_subscribe(self, *requests: Request | str, properties: Properties = NONE) -> None:
        wanted = tuple(Request(one, 1) if isinstance(one, str) else one for one in requests)
        self.send(Subscribe(9, wanted, properties))

    async def subscribe(self, *requests: Request | str, properties: Properties = NONE) -> tuple[int, ...]:
        self.send_subscribe(*requests, properties=properties)
        answer = await self.receive()
        assert isinstance(answer, Suback)
        return answer.codes

    async def receive(self, seconds: float = 5) -> Packet | None:
        """The next packet; None at the end of the connection."""
        async with asyncio.timeout(seconds):
            while not self._packets:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionResetError:
                    return None
                if not data:
                    return None
                packets, error = self._decoder.feed(data)
                assert error is None, error
                self._packets += packets
        return self._packets.pop(0)

    async def publishes(self, count: int) -> list[Publish]:
        """The next packets, which must be PUBLISHes."""
        found = [await self.receive() for _ in range(count)]
        assert all(isinstance(packet, Publish) for packet in found), found
        return [packet for packet in found if isinstance(packet, Publish)]

    async def silent(self) -> bool:
        """True if nothing has come, once the broker has answered a ping sent after all else."""
        self.send(Pingreq())
        return isinstance(await self.receive(), Pingresp)

    def abort(self) -> None:
        """Close the socket at once; nothing happens if it is closed."""
        self._writer.transport.abort()

    async def hang_up(self) -> None:
        """Close the socket without a word."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
