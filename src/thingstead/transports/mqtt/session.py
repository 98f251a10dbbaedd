"""A client's session: its subscriptions, what waits for it, what is in flight, and how that is stored (MQTT 5, 4.1;
things.md 6.5).

Promises: QoS 1 messages go out in order, at most a receive maximum unacknowledged; the queue is bounded, the oldest
dropped; a session with an expiry has all of it written through the persister, so that it survives a restart. Outbound
QoS is at most 1. Does no I/O: bytes go to an `Outlet`.
"""

from collections import deque
from typing import Protocol

import msgspec

from thingstead.model.topics import matches
from thingstead.ports.environment import Clock
from thingstead.ports.sessions import Space
from thingstead.transports.mqtt.codec import publish_frame
from thingstead.transports.mqtt.contract import Grant, Limits, Stats
from thingstead.transports.mqtt.packets import Request
from thingstead.transports.mqtt.persister import Persister
from thingstead.transports.mqtt.properties import NONE, Properties
from thingstead.transports.mqtt.reasons import Reason

_FORMAT = 1
_SECOND = 1_000_000


class Outlet(Protocol):
    """The live connection of a session."""

    level: int
    congested: bool
    receive_maximum: int
    maximum_packet: int

    def send(self, data: bytes) -> None: ...

    def close(self, reason: Reason, text: str = "") -> None: ...


class Message:
    """A publish on its way to subscribers. `expires_at` in microseconds, 0 never; frames made once are shared."""

    __slots__ = ("_frames", "expires_at", "payload", "properties", "qos", "retain", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None = None,
        expires_at: int = 0,
    ):
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires_at = expires_at
        self._frames: dict[tuple[int, bool], bytes] = {}

    def frame(
        self, level: int, retain: bool, ids: tuple[int, ...], now: int, packet_id: int = 0, dup: bool = False
    ) -> bytes:
        """The bytes of this message as a PUBLISH; QoS 1 if there is a packet id."""
        shared = not packet_id and not ids and not self.expires_at
        if shared and (known := self._frames.get((level, retain))) is not None:
            return known
        properties = self.properties
        if level >= 5 and (ids or self.expires_at):
            left = (self.expires_at - now) // _SECOND if self.expires_at else None
            properties = msgspec.structs.replace(properties or NONE, subscription_ids=ids, message_expiry=left)
        data = publish_frame(
            self.topic,
            self.payload,
            level,
            qos=1 if packet_id else 0,
            retain=retain,
            packet_id=packet_id,
            dup=dup,
            properties=properties,
        )
        if shared:
            self._frames[level, retain] = data
        return data


class Subscription(msgspec.Struct, frozen=True):
    """One subscription of a session; `identifier` is 0 for none."""

    session: "Session"
    request: Request
    identifier: int = 0


class Delivery:
    """A QoS 1 message that waits for one client or is in flight to it; its packet id follows from its number."""

    __slots__ = ("dup", "ids", "message", "number", "retain")

    def __init__(self, number: int, message: Message, retain: bool, ids: tuple[int, ...], dup: bool = False):
        self.number = number
        self.message = message
        self.retain = retain
        self.ids = ids
        self.dup = dup

    @property
    def packet_id(self) -> int:
        return self.number % 0xFFFF + 1


class SessionRecord(msgspec.Struct, array_like=True):
    """A session at rest. `expires_at` is 0 while connected: after a crash the expiry counts from the restart."""

    format: int
    owner: str
    client_id: str
    expiry: int
    expires_at: int
    received: list[int]
    subscriptions: list[tuple[Request, int]]


class MessageRecord(msgspec.Struct, array_like=True):
    """A queued or retained message at rest."""

    format: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    expires_at: int
    properties: Properties | None
    ids: tuple[int, ...] = ()


def session_key(owner: str, client_id: str) -> str:
    """The key of a session: unambiguous for any owner and client id."""
    return f"{len(owner)}:{owner}:{client_id}"


def pack(message: Message, retain: bool, ids: tuple[int, ...] = ()) -> bytes:
    """A message at rest."""
    return msgspec.msgpack.encode(
        MessageRecord(
            _FORMAT, message.topic, message.payload, message.qos, retain, message.expires_at, message.properties, ids
        )
    )


def unpack(data: bytes) -> tuple[Message, bool, tuple[int, ...]]:
    """The inverse of `pack`. Raises msgspec.MsgspecError."""
    record = msgspec.msgpack.decode(data, type=MessageRecord)
    message = Message(record.topic, record.payload, record.qos, record.retain, record.properties, record.expires_at)
    return message, record.retain, record.ids


class Session:
    """See the module. Handlers read `client_id`, `owner` and `principal`; the rest is the transport's."""

    def __init__(
        self,
        owner: str,
        client_id: str,
        expiry: int,
        *,
        persister: Persister,
        clock: Clock,
        limits: Limits,
        stats: Stats,
    ):
        self.owner = owner
        self.client_id = client_id
        self.key = session_key(owner, client_id)
        self.expiry = expiry
        self.expires_at = 0
        self.grant: Grant | None = None
        self.outlet: Outlet | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.received: set[int] = set()
        """Inbound QoS 2 identifiers settled and not yet released."""
        self.settling: dict[int, Outlet] = {}
        """Inbound QoS 2 identifiers handed to a handler, and by which connection."""
        self.awaited: set[int] = set()
        """Those of them that a later connection has sent again."""
        self.denied = 0
        self._inflight: dict[int, Delivery] = {}
        self._queue: deque[Delivery] = deque()
        self._number = 0
        self._persister = persister
        self._clock = clock
        self._limits = limits
        self._stats = stats

    @property
    def principal(self) -> object:
        """The principal of the last grant; None from a restart until the client is back."""
        return None if self.grant is None else self.grant.principal

    def deliver(self, message: Message, qos: int, retain: bool, ids: tuple[int, ...]) -> None:
        """Send a message, or queue it (QoS 1), or drop it."""
        if self.grant is not None and not self.grant.allow_receive(message.topic):
            return
        outlet = self.outlet
        if not qos:
            if outlet is None:
                return
            data = message.frame(outlet.level, retain, ids, self._clock.now() if message.expires_at else 0)
            if outlet.congested or len(data) > outlet.maximum_packet:
                self._stats.dropped += 1
            else:
                outlet.send(data)
                self._stats.delivered += 1
            return
        delivery = Delivery(self._next_number(), message, retain, ids)
        if self.expiry:
            self._persister.put_once(Space.QUEUED, self._queue_key(delivery), pack(message, retain, ids))
        self._queue.append(delivery)
        self.pump()
        if len(self._queue) > self._limits.offline_queue:
            self._forget(self._queue.popleft())
            self._stats.dropped += 1

    def pump(self) -> None:
        """Send what waits, as far as the window and the connection allow."""
        outlet, queue, inflight = self.outlet, self._queue, self._inflight
        if outlet is None or not queue:
            return
        now = self._clock.now()
        while queue and len(inflight) < outlet.receive_maximum and not outlet.congested:
            delivery = queue.popleft()
            message = delivery.message
            if message.expires_at and message.expires_at <= now:
                self._forget(delivery)
                continue
            packet_id = delivery.packet_id
            data = message.frame(outlet.level, delivery.retain, delivery.ids, now, packet_id, delivery.dup)
            if len(data) > outlet.maximum_packet:
                self._forget(delivery)
                self._stats.dropped += 1
                continue
            inflight[packet_id] = delivery
            outlet.send(data)
            self._stats.delivered += 1

    def acknowledged(self, packet_id: int) -> bool:
        """The client has a message; False if none of that id is in flight."""
        delivery = self._inflight.pop(packet_id, None)
        if delivery is None:
            return False
        self._forget(delivery)
        self.pump()
        return True

    def resume(self, outlet: Outlet, grant: Grant) -> None:
        """A client is back: what was in flight goes first, under its old ids (MQTT 5, 4.4)."""
        self.outlet = outlet
        self.grant = grant
        again = sorted(self._inflight.values(), key=lambda delivery: delivery.number)
        for delivery in again:
            delivery.dup = True
        self._inflight.clear()
        self._queue.extendleft(reversed(again))

    def restrict(self) -> None:
        """Drop what waits and matches no subscription any more, or may not be received any more."""
        grant = self.grant
        for delivery in list(self._queue):
            topic = delivery.message.topic
            subscribed = any(matches(pattern, topic) for pattern in self.subscriptions)
            if not subscribed or (grant is not None and not grant.allow_receive(topic)):
                self._queue.remove(delivery)
                self._forget(delivery)

    def save(self) -> None:
        """Have the session itself written, if it is one that lasts."""
        if self.expiry:
            subscriptions = [(one.request, one.identifier) for one in self.subscriptions.values()]
            record = SessionRecord(
                _FORMAT,
                self.owner,
                self.client_id,
                self.expiry,
                self.expires_at,
                sorted(self.received),
                subscriptions,
            )
            self._persister.put(Space.SESSIONS, self.key, msgspec.msgpack.encode(record))

    def keep(self, expiry: int) -> None:
        """Change how long the session outlives its connection; what must be stored from now on, or no more, follows."""
        before, self.expiry = self.expiry, expiry
        if expiry and not before:
            for delivery in (*self._inflight.values(), *self._queue):
                data = pack(delivery.message, delivery.retain, delivery.ids)
                self._persister.put(Space.QUEUED, self._queue_key(delivery), data)
        elif before and not expiry:
            self._erase()
        self.save()

    def discard(self) -> None:
        """The session is over: take all of it out of the store."""
        if self.expiry:
            self._erase()
        self.expiry = 0
        self._inflight.clear()
        self._queue.clear()

    def restore(self, number: int, message: Message, retain: bool, ids: tuple[int, ...]) -> None:
        """Put a stored message back, in order of numbers; whether it was sent before the restart is not known, so it
        is marked.
        """
        self._number = number + 1
        self._queue.append(Delivery(number, message, retain, ids, dup=True))

    def _erase(self) -> None:
        self._persister.delete(Space.SESSIONS, self.key)
        for delivery in (*self._inflight.values(), *self._queue):
            self._persister.delete(Space.QUEUED, self._queue_key(delivery))

    def _forget(self, delivery: Delivery) -> None:
        if self.expiry:
            self._persister.delete(Space.QUEUED, self._queue_key(delivery))

    def _next_number(self) -> int:
        number = self._number
        while number % 0xFFFF + 1 in self._inflight:
            number += 1
        self._number = number + 1
        return number

    def _queue_key(self, delivery: Delivery) -> str:
        return f"{delivery.number:012x}:{self.key}"
