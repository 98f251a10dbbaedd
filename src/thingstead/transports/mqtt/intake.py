"""Published messages on their way in: authorised, handed to handlers, relayed, acknowledged in order (things.md 6.4,
6.5).

Promises: an acknowledgement is sent only after the handler has settled the message and what had to be stored for
subscribers is durable; those of one connection go out in the order of its messages, what is settled in one tick in
one write; QoS 2 messages are handed over once, however often they are sent before their release. No task and no
future per message.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from thingstead.model.rates import Rate
from thingstead.transports.mqtt.codec import ack_frame
from thingstead.transports.mqtt.contract import Handler, Inbound, Verdict
from thingstead.transports.mqtt.packets import Publish
from thingstead.transports.mqtt.properties import PUBACK, PUBCOMP, PUBREC
from thingstead.transports.mqtt.reasons import Reason, reason_of

if TYPE_CHECKING:
    from thingstead.transports.mqtt.broker import Broker
    from thingstead.transports.mqtt.connection import Connection
    from thingstead.transports.mqtt.session import Session

_log = structlog.get_logger()
_KNOWN_TOPICS = 1_000
_RATED = 10  # seconds over which the rate of publishing is taken: what a device has gathered may come at once
_KIND = (0, PUBACK, PUBREC)


class Route:
    """A topic pattern and who takes its messages; `relay`: subscribers get them too, once they are settled."""

    __slots__ = ("handler", "pattern", "relay")

    def __init__(self, pattern: str, handler: Handler, relay: bool):
        self.pattern = pattern
        self.handler = handler
        self.relay = relay


class _Known:
    """What was decided about a topic for one connection: where it goes, or why not."""

    __slots__ = ("levels", "refusal", "route")

    def __init__(self, route: Route, levels: tuple[str, ...], refusal: Reason):
        self.route = route
        self.levels = levels
        self.refusal = refusal


class _Batch:
    """Messages handed over together.

    `acks` is set once they may be acknowledged, `quota` is what then returns to the client's receive maximum, `refused`
    says why a 3.1.1 client must go.
    """

    __slots__ = ("acks", "messages", "quota", "refused", "route", "settled")

    def __init__(self, route: Route, messages: list[Inbound]):
        self.route = route
        self.messages = messages
        self.acks: bytes | None = None
        self.quota = 0
        self.refused: Reason | None = None
        self.settled = False


class Intake:
    """The inbound side of one open connection."""

    def __init__(self, broker: "Broker", connection: "Connection", session: "Session"):
        self.unsettled = 0
        self._broker = broker
        self._connection = connection
        self._session = session
        self._grant = connection.grant
        self._five = connection.level >= 5
        self._known: dict[str, _Known] = {}
        self._aliases: dict[int, str] = {}
        self._batches: deque[_Batch] = deque()
        self._window = 0
        often = broker.limits.publish_rate
        self._rate = Rate(_RATED * often, _RATED * 1_000_000) if often else None

    def take(self, publishes: list[Publish]) -> None:
        """Take consecutive PUBLISHes of one read. May close the connection."""
        session, known_topics = self._session, self._known
        self._broker.stats.received += len(publishes)
        if self._rate is not None and self._rate.hit("", self._broker.clock.now(), len(publishes)):
            self._broker.stats.limited += 1
            self._connection.close(Reason.MESSAGE_RATE_TOO_HIGH, "too many messages")
            return
        run: list[Inbound] = []
        route: Route | None = None
        for packet in publishes:
            topic, qos = packet.topic, packet.qos
            if packet.properties is not None and packet.properties.topic_alias is not None:
                topic = self._alias(packet.topic, packet.properties.topic_alias)
                if not topic:
                    if route is not None and run:
                        self._submit(route, run)
                    self._connection.close(Reason.TOPIC_ALIAS_INVALID)
                    return
            known = known_topics.get(topic)
            if known is None:
                known = self._learn(topic)
            refusal = known.refusal
            if qos == 2 and not refusal and self._seen(packet.packet_id):
                continue
            if known.route is not route or refusal:
                if route is not None and run:
                    self._submit(route, run)
                    run = []
                route = known.route
            if refusal:
                if not self._refuse(topic, qos, packet.packet_id, refusal):
                    return
                route = None
                continue
            run.append(
                Inbound(
                    session,
                    topic,
                    packet.payload,
                    qos,
                    packet.retain,
                    known.levels,
                    packet.properties,
                    packet.packet_id,
                )
            )
        if route is not None and run:
            self._submit(route, run)

    def released(self, packet_id: int) -> None:
        """PUBREL: the client will not send this QoS 2 message again."""
        session = self._session
        found = packet_id in session.received
        if found:
            self._window = max(0, self._window - 1)
            session.received.remove(packet_id)
            session.save()
        code = 0 if found or not self._five else Reason.PACKET_ID_NOT_FOUND
        self._connection.send(ack_frame(PUBCOMP, packet_id, code))

    def _alias(self, topic: str, alias: int) -> str:
        if not 0 < alias <= self._broker.limits.topic_aliases:
            return ""
        if topic:
            self._aliases[alias] = topic
        return topic or self._aliases.get(alias, "")

    def _learn(self, topic: str) -> _Known:
        limits = self._broker.limits
        refusal = Reason.SUCCESS
        if len(topic.encode()) > limits.topic_bytes or topic.count("/") >= limits.topic_levels:
            refusal = Reason.TOPIC_NAME_INVALID
        elif topic.startswith(("$SYS", "$share")) or not self._grant.allow_publish(topic):
            refusal = Reason.NOT_AUTHORIZED
        known = _Known(self._broker.route_of(topic), tuple(topic.split("/")), refusal)
        if self._grant.prepare is None:
            if len(self._known) >= _KNOWN_TOPICS:
                self._known.clear()
            self._known[topic] = known
        return known

    def topic_of(self, packet: Publish) -> str:
        """The topic that a message will be for, as far as its alias is known by now; "" if it is not."""
        properties = packet.properties
        if packet.topic or properties is None or properties.topic_alias is None:
            return packet.topic
        return self._aliases.get(properties.topic_alias, "")

    def _seen(self, packet_id: int) -> bool:
        """Note a QoS 2 identifier; True if its message has been handed over before."""
        session = self._session
        if packet_id in session.received:
            self._connection.send(ack_frame(PUBREC, packet_id))
            return True
        holder = session.settling.get(packet_id)
        if holder is None:
            session.settling[packet_id] = self._connection
        elif holder is not self._connection:
            session.awaited.add(packet_id)
        return holder is not None

    def _refuse(self, topic: str, qos: int, packet_id: int, refusal: Reason) -> bool:
        """Answer a message that may not be; False if that closes the connection (3.1.1 knows no other no)."""
        self._broker.denied(self._session, "publish", topic)
        if not qos:
            return True
        if not self._five:
            self._connection.close(refusal)
            return False
        batch = _Batch(self._broker.unrouted, [])
        batch.settled = True
        batch.acks = ack_frame(_KIND[qos], packet_id, refusal)
        self._batches.append(batch)
        self._acknowledge()
        return True

    def _submit(self, route: Route, run: list[Inbound]) -> None:
        if self._connection.closed:
            self._release(run)
            return
        batch = _Batch(route, run)
        self._batches.append(batch)
        self.unsettled += len(run)
        if self._five:
            self._window += sum([1 for message in run if message.qos])
            if self._window > self._broker.limits.receive_maximum:
                self._release(run)
                self._connection.close(Reason.RECEIVE_MAXIMUM_EXCEEDED)
                return
        try:
            route.handler(run, partial(self._settle, batch))
        except Exception as error:
            _log.exception("mqtt_handler_failed", pattern=route.pattern)
            self._settle(batch, error)

    def _release(self, messages: list[Inbound]) -> None:
        """Forget QoS 2 identifiers whose messages were not taken; who waits for one elsewhere must send it anew."""
        session = self._session
        for message in messages:
            if message.qos == 2:
                session.settling.pop(message.packet_id, None)
                if message.packet_id in session.awaited:
                    session.awaited.remove(message.packet_id)
                    if session.outlet is not None:
                        session.outlet.close(Reason.UNSPECIFIED)

    def _settle(self, batch: _Batch, outcome: Sequence[Verdict] | BaseException | None) -> None:
        """What handlers are given as `settle`. Never raises: who settles many connections is not to be stopped by
        one.
        """
        if batch.settled:
            return
        batch.settled = True
        try:
            self._conclude(batch, outcome)
        except Exception as error:
            _log.exception("mqtt_settle_failed", pattern=batch.route.pattern)
            self._connection.close(reason_of(error))

    def _conclude(self, batch: _Batch, outcome: Sequence[Verdict] | BaseException | None) -> None:
        messages = batch.messages
        if outcome is not None and not isinstance(outcome, BaseException) and len(outcome) != len(messages):
            outcome = ValueError(f"{len(outcome)} verdicts for {len(messages)} messages at {batch.route.pattern}")
            _log.error("mqtt_handler_failed", error=str(outcome))
        if isinstance(outcome, BaseException):
            self._release(messages)
            self._connection.close(reason_of(outcome), str(outcome))
            return
        broker = self._broker
        persister = broker.persister
        before = persister.serial
        if batch.route.relay:
            somebody = broker.has_subscriptions
            for i, message in enumerate(messages):
                if (somebody or message.retain) and (outcome is None or outcome[i] < Reason.UNSPECIFIED):
                    broker.relay(message)
        self._receive(messages, outcome)
        if persister.serial == before:
            self._finish(batch, outcome, None)
        else:
            persister.after(partial(self._finish, batch, outcome))

    def _receive(self, messages: list[Inbound], outcome: Sequence[Verdict] | None) -> None:
        """Remember QoS 2 messages until their release."""
        session = self._session
        count = len(session.received)
        for i, message in enumerate(messages):
            if message.qos == 2:
                session.settling.pop(message.packet_id, None)
                if outcome is None or outcome[i] < Reason.UNSPECIFIED:
                    session.received.add(message.packet_id)
        if len(session.received) != count:
            session.save()

    def _finish(self, batch: _Batch, outcome: Sequence[Verdict] | None, error: BaseException | None) -> None:
        connection = self._connection
        if error is not None:
            connection.close(reason_of(error), str(error))
            return
        if connection.closed:
            self._answer_elsewhere(batch.messages)
            return
        if outcome is None or not any(outcome):
            batch.acks = b"".join([ack_frame(_KIND[m.qos], m.packet_id) for m in batch.messages if m.qos])
        else:
            batch.acks = self._verdicts(batch, outcome)
        if self._five:
            # a QoS 2 message occupies the client's quota until its PUBCOMP, or its refusal (MQTT 5, 4.9)
            refused = outcome or ()
            batch.quota = sum([1 for message in batch.messages if message.qos == 1])
            batch.quota += sum(
                [
                    1
                    for m, verdict in zip(batch.messages, refused, strict=False)
                    if m.qos == 2 and verdict >= Reason.UNSPECIFIED
                ]
            )
        self._acknowledge()

    def _answer_elsewhere(self, messages: list[Inbound]) -> None:
        """The client has come back meanwhile and sent its QoS 2 messages again: now it may hear that they are
        settled.
        """
        session = self._session
        for message in messages:
            if message.packet_id in session.awaited:
                session.awaited.remove(message.packet_id)
                if session.outlet is not None:
                    session.outlet.send(ack_frame(PUBREC, message.packet_id))

    def _verdicts(self, batch: _Batch, outcome: Sequence[Verdict]) -> bytes:
        acks: list[bytes] = []
        for message, verdict in zip(batch.messages, outcome, strict=True):
            if not message.qos:
                continue
            if not self._five and verdict >= Reason.UNSPECIFIED:
                batch.refused = verdict
                break
            acks.append(ack_frame(_KIND[message.qos], message.packet_id, verdict if self._five else 0))
        return b"".join(acks)

    def _acknowledge(self) -> None:
        """Send the acknowledgements that are at the head of the line."""
        connection, batches = self._connection, self._batches
        while batches and (acks := batches[0].acks) is not None:
            batch = batches.popleft()
            self.unsettled -= len(batch.messages)
            self._window -= batch.quota
            if acks:
                connection.send(acks)
            if batch.refused is not None:
                connection.close(batch.refused)
                return
        connection.update_reading()
