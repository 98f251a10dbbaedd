"""The MQTT endpoint as the rest of the server sees it: routes, publishing, sessions, closing (things.md 6; stack.md,
MQTT).

Promises: a message is acknowledged only when it is settled and durable; sessions that outlive their connection, their
queues and retained messages survive a restart through the SessionStore; a client id names one live connection per
owner; every queue is bounded. Knows nothing of doors, things or credentials: rights come with the authenticator's
`Grant`. Everything here runs in one event loop. Subscriptions are granted at QoS 1 at most; shared subscriptions and
`$SYS` do not exist.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

import msgspec
import structlog

from thingstead.model.errors import InvalidInput
from thingstead.model.rates import Places, Rate, is_loopback, network
from thingstead.model.topics import TopicIndex, TopicTree, check_filter, check_topic, matches
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.sessions import SessionStore, Space
from thingstead.transports.mqtt.connection import Connection
from thingstead.transports.mqtt.contract import (
    Authenticate,
    ConnectRequest,
    Grant,
    Handler,
    Inbound,
    Limits,
    Peer,
    Settle,
    Stats,
    Wire,
)
from thingstead.transports.mqtt.intake import Route
from thingstead.transports.mqtt.packets import Connect, Request, Subscribe, Unsubscribe, Will
from thingstead.transports.mqtt.persister import Persister
from thingstead.transports.mqtt.properties import Properties
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason
from thingstead.transports.mqtt.session import (
    Message,
    Session,
    SessionRecord,
    Subscription,
    pack,
    session_key,
    unpack,
)
from thingstead.transports.mqtt.throttle import Throttle

_log = structlog.get_logger()
_SECOND = 1_000_000
_MOST_EXCESS = 1_000  # connections too many that are told so; more are just closed
_SWEEP_SECONDS = 15.0
_FAILED_AUTHENTICATION = {Reason.BAD_CREDENTIALS, Reason.NOT_AUTHORIZED, Reason.BANNED}


def _accept(_messages: list[Inbound], settle: Settle) -> None:
    settle(None)


@contextmanager
def _readable(key: str) -> Generator[None]:
    """One record that cannot be read is logged and left out; it does not keep the server from starting."""
    try:
        yield
    except msgspec.MsgspecError as error:
        _log.error("mqtt_record_unreadable", key=key, error=str(error))


class Broker:
    """See the module. `start` before the first connection, `close` at the end; listeners live in `listeners`."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        authenticate: Authenticate,
        sessions: SessionStore,
        limits: Limits | None = None,
    ):
        self.limits = limits or Limits()
        self.stats = Stats()
        self.connections: set[Connection] = set()
        self.persister = Persister(sessions)
        self.unrouted = Route("#", _accept, relay=True)
        self.clock = clock
        self._entropy = entropy
        self._authenticate = authenticate
        self._store = sessions
        self._throttle = Throttle(clock, self.limits.failed_authentications, self.limits.refusal_seconds)
        self._places = Places(self.limits.connections, self.limits.connections_of_address)
        self._excess = 0  # connections too many that wait to be told so
        self._connects = Rate(abs(self.limits.connects))
        self._routes: list[Route] = []
        self._sessions: dict[str, Session] = {}
        self._tree: TopicTree[Subscription] = TopicTree()
        self._retained: TopicIndex[Message] = TopicIndex()
        self._delayed_wills: dict[str, tuple[asyncio.TimerHandle, Callable[[], None]]] = {}
        self._dirty: list[Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._wires: set[Wire] = set()
        self._last_wire: asyncio.Event | None = None
        self._closing: list[Callable[[], None]] = []
        self._told_refused: list[Callable[[ConnectRequest, ConnectRefused], None]] = []

    # ---- for doors and the composition

    def route(self, pattern: str, handler: Handler, *, relay: bool = True) -> None:
        """Send messages of matching topics to a handler; the first matching route wins. `relay`: once settled,
        subscribers (and the retained messages) get them too. Routes are registered before the first connection.
        Raises InvalidInput.
        """
        check_filter(pattern)
        self._routes.append(Route(pattern, handler, relay))

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Publish on the server's behalf: to subscribers, never to routes. Raises InvalidInput for a topic that is
        none.
        """
        check_topic(topic)
        self._distribute(self._message(topic, payload, min(qos, 1), retain, properties), None)

    def has_subscribers(self, topic: str) -> bool:
        """Would anybody, connected or with a session that waits, get a message of this topic? Costs a dict look-up."""
        return bool(self._tree.match(topic))

    def close_client(self, client_id: str, reason: Reason = Reason.ADMINISTRATIVE_ACTION) -> bool:
        """Close the connections of a client id, whoever owns them; False if there are none."""
        found = [one for one in self.connections if one.session is not None and one.session.client_id == client_id]
        for connection in found:
            connection.close(reason)
        return bool(found)

    def close_where(self, predicate: Callable[[object], bool], reason: Reason = Reason.ADMINISTRATIVE_ACTION) -> int:
        """Close the connections whose principal the predicate picks, at once; their number. Sessions stay until they
        expire, their subscriptions are checked again when the client returns.
        """
        found = [one for one in self.connections if one.session is not None and predicate(one.grant.principal)]
        for connection in found:
            connection.close(reason)
        return len(found)

    def review(self, predicate: Callable[[object], bool]) -> None:
        """Have the connections whose principal the predicate picks, and whose rights are looked up, asked again about
        what they subscribed to; who has lost the right to some of it is closed. Until then they are sent nothing.
        """
        for connection in list(self.connections):
            if connection.session is not None and predicate(connection.grant.principal):
                connection.review()

    def on_refused(self, told: Callable[[ConnectRequest, ConnectRefused], None]) -> None:
        """Have `told` called with each CONNECT that was refused for who or what it said; it must be quick."""
        self._told_refused.append(told)

    def current_stats(self) -> Stats:
        """A copy of the counters."""
        return msgspec.structs.replace(
            self.stats,
            connections=len(self.connections),
            sessions=len(self._sessions),
            subscriptions=sum(len(session.subscriptions) for session in self._sessions.values()),
            retained=len(self._retained),
        )

    async def start(self) -> None:
        """Load sessions, queues and retained messages. Raises Unavailable."""
        now = self.clock.now()
        for key, data in await self._store.load(Space.SESSIONS):
            with _readable(key):
                self._restore_session(data, now)
        for key, data in sorted(await self._store.load(Space.QUEUED)):
            number, _, session_of = key.partition(":")
            session = self._sessions.get(session_of)
            if session is None:
                self.persister.delete(Space.QUEUED, key)
                continue
            with _readable(key):
                session.restore(int(number, 16), *unpack(data))
        for topic, data in await self._store.load(Space.RETAINED):
            with _readable(topic):
                self._retained.set(topic, unpack(data)[0])
        self._sweep()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have something called when the broker closes, before its connections do: listeners stop listening."""
        self._closing.append(callback)

    async def close(self) -> None:
        """Stop listening, tell every client (0x8B), save sessions. Wills are not published: it is the server that
        goes.
        """
        for callback in self._closing:
            callback()
        for connection in list(self.connections):
            connection.close(Reason.SERVER_SHUTTING_DOWN)
        for timer, _ in self._delayed_wills.values():
            timer.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.persister.close()
        if self._wires:
            self._last_wire = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.close_timeout):
                    await self._last_wire.wait()

    # ---- for listeners and connections

    def connection(self, wire: Wire, peer: Peer) -> Connection:
        """A new connection; the listener feeds it, and says `gone` when the wire is closed to its last byte."""
        self._wires.add(wire)
        connection = Connection(self, wire, peer)
        if self._excess > _MOST_EXCESS:
            connection.close(Reason.SERVER_BUSY)
        return connection

    def enter(self, address: str) -> Reason | None:
        """A connection from an address was accepted; why it is one too many, if it is. `gone` gives its place back."""
        problem = self._places.enter(network(address))
        if not problem:
            return None
        self.stats.limited += 1
        self._excess += 1
        return Reason.SERVER_BUSY if problem == "full" else Reason.QUOTA_EXCEEDED

    def gone(self, wire: Wire, peer: Peer) -> None:
        """A wire is closed."""
        if peer.excess is None:
            self._places.leave(network(peer.address))
        else:
            self._excess -= 1
        self._wires.discard(wire)
        if self._last_wire is not None and not self._wires:
            self._last_wire.set()

    def flush_soon(self, connection: Connection) -> None:
        """Flush a connection at the end of this tick, with all others that have something to send."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            try:
                connection.flush()
            except Exception:
                # one broken transport does not keep the others from their bytes
                _log.exception("mqtt_write_failed", peer=connection.peer.address)
                connection.lost()

    def route_of(self, topic: str) -> Route:
        """The first route that matches, or the one that only relays."""
        return next((route for route in self._routes if matches(route.pattern, topic)), self.unrouted)

    async def admit(self, peer: Peer, packet: Connect) -> Grant:
        """Ask who this is. Raises ConnectRefused."""
        if peer.excess is not None:
            raise ConnectRefused(peer.excess, "too many connections")
        client = network(peer.address)
        if not (self.limits.connects < 0 and is_loopback(client)) and self._connects.hit(client, self.clock.now()):
            self.stats.limited += 1
            raise ConnectRefused(Reason.CONNECTION_RATE_EXCEEDED, "too many connects, wait a minute")
        if self._throttle.blocked(client):
            self.stats.limited += 1
            raise ConnectRefused(Reason.CONNECTION_RATE_EXCEEDED, "too many failed attempts, wait a minute")
        if packet.properties.authentication_method is not None:
            raise ConnectRefused(Reason.BAD_AUTHENTICATION_METHOD)
        if len(packet.client_id.encode()) > self.limits.client_id_bytes:
            raise ConnectRefused(Reason.CLIENT_ID_NOT_VALID, "the client id is too long")
        if not packet.client_id and not packet.clean_start and packet.level < 5:
            raise ConnectRefused(Reason.CLIENT_ID_NOT_VALID, "a session that is kept needs a client id")
        will = packet.will
        request = ConnectRequest(
            client_id=packet.client_id,
            username=packet.username,
            password=packet.password,
            fingerprint=peer.fingerprint,
            listener=peer.listener,
            loopback_bound=peer.loopback_bound,
            peer=peer.address,
            level=packet.level,
            will_topic=None if will is None else will.topic,
        )
        try:
            try:
                grant = await self._authenticate(request)
            except ConnectRefused as refusal:
                if refusal.reason in _FAILED_AUTHENTICATION:
                    self._throttle.failed(client)
                raise
            if grant.prepare is not None:
                await grant.prepare(self._asked_first(packet, grant))
            if will is not None:
                self._check_will(will.topic, grant)
        except ConnectRefused as refusal:
            for told in self._told_refused:
                told(request, refusal)
            raise
        if not grant.client_id:
            grant = msgspec.structs.replace(grant, client_id="auto-" + self._entropy.token(12).hex())
        return grant

    def _asked_first(self, packet: Connect, grant: Grant) -> list[str]:
        """The topics and filters that matter to a CONNECT."""
        session = None if packet.clean_start else self._sessions.get(session_key(grant.owner, grant.client_id))
        names = [] if session is None else list(session.subscriptions)
        return names if packet.will is None else [packet.will.topic, *names]

    def _check_will(self, topic: str, grant: Grant) -> None:
        try:
            check_topic(topic, max_bytes=self.limits.topic_bytes, max_levels=self.limits.topic_levels)
        except InvalidInput as error:
            raise ConnectRefused(Reason.TOPIC_NAME_INVALID, error.message) from None
        if topic.startswith(("$SYS", "$share")) or not grant.allow_publish(topic):
            raise ConnectRefused(Reason.NOT_AUTHORIZED, "the will may not be published to its topic")

    def attach(self, grant: Grant, clean_start: bool, expiry: int) -> tuple[Session, bool]:
        """The session of a client that is let in, and whether it was there before. A connection that holds it is
        closed.
        """
        key = session_key(grant.owner, grant.client_id)
        session = self._sessions.get(key)
        if session is not None and session.outlet is not None:
            session.outlet.close(Reason.SESSION_TAKEN_OVER)
            session = self._sessions.get(key)
        if session is not None and (clean_start or self._expired(session)):
            self._remove(session)
            session = None
        if (delayed := self._delayed_wills.pop(key, None)) is not None:
            # back in time: no will; but a session that ends takes its will with it (MQTT 5, 3.1.3.2.2)
            timer, publish = delayed
            timer.cancel()
            if session is None:
                publish()
        if session is not None:
            for pattern in [one for one in session.subscriptions if not grant.allow_subscribe(one)]:
                del session.subscriptions[pattern]
                self._tree.remove(pattern, key)
            session.expires_at = 0
            session.keep(expiry)
            return session, True
        session = self._sessions[key] = self._new_session(grant.owner, grant.client_id, expiry)
        session.save()
        return session, False

    def detach(self, session: Session, connection: Connection, will: Will | None) -> None:
        """A connection has ended: keep its session for as long as it asked, and publish the will."""
        if session.outlet is connection:
            session.outlet = None
        if session.expiry:
            session.expires_at = self.clock.now() + session.expiry * _SECOND
            session.save()
        else:
            self._remove(session)
        if will is not None:
            delay = min(will.properties.will_delay or 0, session.expiry)
            if delay:
                publish = partial(self._publish_will, session, will)
                timer = asyncio.get_running_loop().call_later(delay, publish)
                self._delayed_wills[session.key] = timer, publish
            else:
                self._publish_will(session, will)

    def subscribe(self, connection: Connection, session: Session, packet: Subscribe) -> None:
        """Answer a SUBSCRIBE: each filter on its own; retained messages follow the answer."""
        before = self.persister.serial
        identifier = packet.properties.subscription_ids[0] if packet.properties.subscription_ids else 0
        codes: list[int] = []
        granted: list[tuple[Subscription, bool]] = []
        for request in packet.requests:
            refusal = self._refusal(session, connection.grant, request)
            if refusal is not None:
                codes.append(refusal if connection.level >= 5 else 0x80)
                continue
            known = request.filter in session.subscriptions
            subscription = Subscription(session, request, identifier)
            session.subscriptions[request.filter] = subscription
            self._tree.add(request.filter, session.key, subscription)
            granted.append((subscription, known))
            codes.append(min(request.qos, 1))
        if granted:
            session.save()

        def answer(error: BaseException | None) -> None:
            if error is not None:
                connection.close(Reason.SERVER_BUSY, "the subscription could not be saved")
                return
            connection.answer_subscribe(packet.packet_id, codes)
            for subscription, known in granted:
                self._send_retained(session, subscription, known)

        if self.persister.serial == before:
            answer(None)
        else:
            self.persister.after(answer)

    def unsubscribe(self, connection: Connection, session: Session, packet: Unsubscribe) -> None:
        """Answer an UNSUBSCRIBE."""
        before = self.persister.serial
        codes: list[int] = []
        for pattern in packet.filters:
            found = session.subscriptions.pop(pattern, None) is not None
            if found:
                self._tree.remove(pattern, session.key)
            codes.append(Reason.SUCCESS if found else Reason.NO_SUBSCRIPTION_EXISTED)
        if any(code == Reason.SUCCESS for code in codes):
            session.save()

        def answer(error: BaseException | None) -> None:
            if error is not None:
                connection.close(Reason.SERVER_BUSY, "the subscription could not be saved")
            else:
                connection.answer_unsubscribe(packet.packet_id, codes)

        if self.persister.serial == before:
            answer(None)
        else:
            self.persister.after(answer)

    @property
    def has_subscriptions(self) -> bool:
        """True if anybody listens to anything."""
        return bool(self._tree)

    def relay(self, inbound: Inbound) -> None:
        """Bring a client's message to the subscribers, and among the retained ones if it asks for that."""
        properties = inbound.properties
        if properties is not None and properties.topic_alias is not None:
            properties = msgspec.structs.replace(properties, topic_alias=None)
        message = self._message(inbound.topic, inbound.payload, inbound.qos, inbound.retain, properties)
        self._distribute(message, inbound.session)

    def denied(self, session: Session, action: str, topic: str) -> None:
        """Count a refusal; each session's first, tenth, hundredth, ... is logged."""
        self.stats.denied += 1
        session.denied += 1
        if str(session.denied).strip("0") == "1":
            _log.warning("mqtt_denied", client=session.client_id, action=action, topic=topic, times=session.denied)

    # ---- inside

    def _message(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> Message:
        expires_at = 0
        if properties is not None and properties.message_expiry is not None:
            expires_at = self.clock.now() + properties.message_expiry * _SECOND
        return Message(topic, payload, qos, retain, properties, expires_at)

    def _distribute(self, message: Message, sender: Session | None) -> None:
        if message.retain and not message.topic.startswith("$"):
            self._retain(message)
        found = self._tree.match(message.topic)
        if len(found) == 1:
            self._hand_over(message, sender, found)
        elif found:
            by_session: dict[str, list[Subscription]] = {}
            for subscription in found:
                by_session.setdefault(subscription.session.key, []).append(subscription)
            for subscriptions in by_session.values():
                self._hand_over(message, sender, subscriptions)

    def _hand_over(
        self, message: Message, sender: Session | None, subscriptions: list[Subscription] | tuple[Subscription, ...]
    ) -> None:
        """One copy for one session, at the highest QoS of its subscriptions, with all their identifiers."""
        session = subscriptions[0].session
        if session is sender:
            subscriptions = [one for one in subscriptions if not one.request.no_local]
            if not subscriptions:
                return
        qos = min(1, message.qos, max(one.request.qos for one in subscriptions))
        retain = message.retain and any(one.request.retain_as_published for one in subscriptions)
        session.deliver(message, qos, retain, tuple(one.identifier for one in subscriptions if one.identifier))

    def _retain(self, message: Message) -> None:
        topic = message.topic
        if not message.payload:
            if self._retained.discard(topic):
                self.persister.delete(Space.RETAINED, topic)
        elif topic in self._retained or len(self._retained) < self.limits.retained:
            self._retained.set(topic, message)
            self.persister.put(Space.RETAINED, topic, pack(message, retain=True))
        else:
            self.stats.dropped += 1

    def _send_retained(self, session: Session, subscription: Subscription, known: bool) -> None:
        request = subscription.request
        if request.retain_handling == 2 or (request.retain_handling == 1 and known):
            return
        now = self.clock.now()
        ids = (subscription.identifier,) if subscription.identifier else ()
        for message in self._retained.select(request.filter):
            if message.expires_at and message.expires_at <= now:
                self._retained.discard(message.topic)
                self.persister.delete(Space.RETAINED, message.topic)
            else:
                session.deliver(message, min(1, message.qos, request.qos), True, ids)

    def _publish_will(self, session: Session, will: Will) -> None:
        """A will goes the way of any publish of its client, only that nobody waits for its acknowledgement."""
        self._delayed_wills.pop(session.key, None)
        route = self.route_of(will.topic)
        properties = msgspec.structs.replace(will.properties, will_delay=None)
        levels = tuple(will.topic.split("/"))
        inbound = Inbound(session, will.topic, will.payload, will.qos, will.retain, levels, properties, 0)

        def settle(outcome: object) -> None:
            if isinstance(outcome, BaseException):
                _log.error("mqtt_will_lost", client=session.client_id, error=repr(outcome))
            elif route.relay:
                self.relay(inbound)

        try:
            route.handler([inbound], settle)
        except Exception as error:
            settle(error)

    def _refusal(self, session: Session, grant: Grant, request: Request) -> Reason | None:
        limits, pattern = self.limits, request.filter
        if pattern.startswith("$share"):
            return Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        try:
            check_filter(pattern, max_bytes=limits.topic_bytes, max_levels=limits.topic_levels)
        except InvalidInput:
            return Reason.TOPIC_FILTER_INVALID
        if pattern.startswith("$SYS") or not grant.allow_subscribe(pattern):
            self.denied(session, "subscribe", pattern)
            return Reason.NOT_AUTHORIZED
        if len(session.subscriptions) >= limits.subscriptions and pattern not in session.subscriptions:
            return Reason.QUOTA_EXCEEDED
        return None

    def _new_session(self, owner: str, client_id: str, expiry: int) -> Session:
        return Session(
            owner,
            client_id,
            expiry,
            persister=self.persister,
            clock=self.clock,
            limits=self.limits,
            stats=self.stats,
        )

    def _restore_session(self, data: bytes, now: int) -> None:
        record = msgspec.msgpack.decode(data, type=SessionRecord)
        session = self._new_session(record.owner, record.client_id, record.expiry)
        session.expires_at = record.expires_at or now + record.expiry * _SECOND
        session.received = set(record.received)
        self._sessions[session.key] = session
        for request, identifier in record.subscriptions:
            subscription = Subscription(session, request, identifier)
            session.subscriptions[request.filter] = subscription
            self._tree.add(request.filter, session.key, subscription)

    def _expired(self, session: Session) -> bool:
        return session.outlet is None and 0 < session.expires_at <= self.clock.now()

    def _remove(self, session: Session) -> None:
        for pattern in session.subscriptions:
            self._tree.remove(pattern, session.key)
        session.subscriptions.clear()
        session.discard()
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def _sweep(self) -> None:
        """Forget sessions whose time has come."""
        for session in [one for one in self._sessions.values() if self._expired(one)]:
            self._remove(session)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
