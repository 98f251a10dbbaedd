"""One client connection, whatever carries its bytes: from CONNECT to the last byte (MQTT 5, chapters 3 and 4).

Promises: whole reads in, joined writes out (one per read, or per loop tick); nothing but CONNECT is served before the
authenticator has let the client in; a malformed packet ends the connection with a reason; a peer that does not read
is not read. Does not know sockets (`Wire`), nor what messages mean (`Intake`).
"""

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

import structlog

from thingstead.transports.mqtt.codec import Decoder, ack_frame, encode
from thingstead.transports.mqtt.contract import Grant, Peer, Wire
from thingstead.transports.mqtt.intake import Intake
from thingstead.transports.mqtt.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from thingstead.transports.mqtt.properties import NONE, PUBREL, Properties
from thingstead.transports.mqtt.reasons import ConnectRefused, MalformedPacket, Reason, connack_code
from thingstead.transports.mqtt.session import Session

if TYPE_CHECKING:
    from thingstead.transports.mqtt.broker import Broker

_log = structlog.get_logger()
_JOIN_BYTES = 65_536
_HELD_PACKETS = 1_000
_ASKED_AT_ONCE = 100  # packets whose topics and filters one question is about


class State(Enum):
    NEW = auto()
    CONNECTING = auto()
    OPEN = auto()
    CLOSED = auto()


class Connection:
    """`feed` it what was read; `lost` when the wire is gone; `pause_writing` and `resume_writing` as the wire fills
    and drains.
    """

    def __init__(self, broker: "Broker", wire: Wire, peer: Peer):
        self.peer = peer
        self.level = 4
        self.congested = False
        self.receive_maximum = 0
        self.maximum_packet = 0
        self.session: Session | None = None
        self.grant: Grant
        self._broker = broker
        self._wire = wire
        self._state = State.NEW
        self._decoder = Decoder(max_packet=broker.limits.max_packet)
        self._intake: Intake
        self._will: Will | None = None
        self._held: list[Packet] = []
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._corked = False
        self._full = False  # the wire
        self._doubtful = False  # may it still see what it subscribed to? until that is known nothing is written
        self._review = False
        self._gone = False  # the wire, while something that came is still asked about
        self._reading = True
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._grace = broker.limits.connect_timeout
        self._timer = self._loop.call_later(self._grace, self._check_alive)
        self._task: asyncio.Task[None] | None = None
        broker.connections.add(self)

    @property
    def closed(self) -> bool:
        """True once nothing more will be read or sent."""
        return self._state is State.CLOSED

    # ---- bytes

    def feed(self, data: bytes) -> None:
        """Take a read. Never raises."""
        if self._state is State.CLOSED:
            return
        self._heard = self._loop.time()
        self._corked = True
        packets, error = self._decoder.feed(data)
        try:
            self._take(packets)
        except Exception:
            _log.exception("mqtt_connection_failed")
            self.close(Reason.UNSPECIFIED)
        if error is not None:
            self._malformed(error)
        self._corked = False
        self.flush()

    def send(self, data: bytes) -> None:
        """Write at the end of this read or tick, joined with what else there is."""
        if self._state is State.CLOSED:
            return
        if not self._out and not self._corked:
            self._broker.flush_soon(self)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= _JOIN_BYTES:
            self.congested |= self._doubtful
            self.flush()

    def flush(self) -> None:
        """Write what was joined."""
        out = self._out
        if out and not self._doubtful:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._out_bytes = 0
            self._wire.write(data)

    def pause_writing(self) -> None:
        """The peer does not take its bytes."""
        self._full = self.congested = True
        self.update_reading()

    def resume_writing(self) -> None:
        """The peer has taken them."""
        self._full = False
        if self._doubtful:
            return
        self.congested = False
        if self._state is State.OPEN and self.session is not None:
            self.session.pump()
        self.update_reading()

    def update_reading(self) -> None:
        """Read only while there is room for what comes of it."""
        reading = not self.congested and (
            self._state is State.NEW
            or (
                self._state is State.OPEN
                and self._task is None
                and self._intake.unsettled < self._broker.limits.unsettled
            )
        )
        if reading is self._reading:
            return
        self._reading = reading
        if reading:
            self._heard = self._loop.time()
            self._wire.resume_reading()
        else:
            self._wire.pause_reading()

    def lost(self) -> None:
        """The wire is gone."""
        if self._state is State.OPEN and self._task is not None:
            self._gone = True  # what was sent before the end is served first
        else:
            self._end(with_will=True)

    # ---- end

    def close(self, reason: Reason, text: str = "") -> None:
        """End the connection, saying why to those who understand (MQTT 5); its will is published. Idempotent."""
        if self._state is State.CLOSED:
            return
        if self._doubtful:
            self._out.clear()
            self._doubtful = False
        if self._state is State.OPEN and self.level >= 5:
            self._out.append(encode(Disconnect(reason, self._reason_string(text)), 5))
        self.flush()
        # where rights are looked up a will needs them too, and they have ended
        ended = reason is Reason.NOT_AUTHORIZED and self._state is State.OPEN and self.grant.prepare is not None
        self._end(with_will=reason is not Reason.SERVER_SHUTTING_DOWN and not ended)

    def _refuse(self, refusal: ConnectRefused) -> None:
        """Answer a CONNECT with no."""
        self._broker.stats.refused += 1
        properties = self._reason_string(refusal.message) if self.level >= 5 else NONE
        self._out.append(encode(Connack(False, connack_code(refusal.reason, self.level), properties), self.level))
        self.flush()
        self._end(with_will=False)

    def _malformed(self, error: MalformedPacket) -> None:
        if self._state is State.NEW and error.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
            self.level = self._decoder.level
            self._refuse(ConnectRefused(error.reason, error.message))
        else:
            self.close(error.reason, error.message)

    def _end(self, *, with_will: bool) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._held.clear()
        self._broker.connections.discard(self)
        self._wire.close()
        if self.session is not None:
            self._broker.detach(self.session, self, self._will if with_will else None)

    def _reason_string(self, text: str) -> Properties:
        # a reason is a courtesy: kept short so that no client's maximum packet size is in its way
        return Properties(reason_string=text[:100]) if text else NONE

    def _check_alive(self) -> None:
        # while we do not read for our own reasons, silence is not the client's fault
        if not self._reading and not self.congested:
            self._heard = self._loop.time()
        left = self._heard + self._grace - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_alive)
        else:
            self.close(Reason.KEEP_ALIVE_TIMEOUT)

    # ---- packets

    def _take(self, packets: list[Packet]) -> None:
        if self._state is State.OPEN:
            if self.grant.prepare is None:
                self._serve(packets)
            else:
                self._held += packets
                self._proceed()
        elif self._state is State.CONNECTING:
            self._hold(packets)
        elif packets and self._state is State.NEW:
            first = packets[0]
            if isinstance(first, Connect):
                self._begin(first)
                self._hold(packets[1:])
            else:
                self.close(Reason.PROTOCOL_ERROR)

    def _hold(self, packets: list[Packet]) -> None:
        """What comes before the CONNACK waits for it."""
        self._held += packets
        if len(self._held) > _HELD_PACKETS:
            self.close(Reason.QUOTA_EXCEEDED)

    # ---- rights that are looked up

    def review(self) -> None:
        """Rights may have changed: nothing is written before the subscriptions have been asked about again."""
        if self._state is State.OPEN and self.grant.prepare is not None:
            self._review = self._doubtful = True
            self._proceed()

    def _proceed(self) -> None:
        """Serve what is held, in order, as far as nothing must be asked first."""
        while self._task is None and self._state is State.OPEN and (self._review or self._held):
            packets: list[Packet] = []
            if self._review:
                assert self.session is not None
                names = list(self.session.subscriptions)
            else:
                packets, self._held = self._held[:_ASKED_AT_ONCE], self._held[_ASKED_AT_ONCE:]
                names = self._names(packets)
            if names or self._review:
                self._task = self._loop.create_task(self._ask(names, packets, self._review))
                self._review = False
            else:
                self._serve(packets)
        if self._state is State.OPEN:
            self.update_reading()

    def _names(self, packets: list[Packet]) -> list[str]:
        names: dict[str, None] = {}
        for packet in packets:
            if isinstance(packet, Publish):
                names[self._intake.topic_of(packet)] = None
            elif isinstance(packet, Subscribe):
                names.update((request.filter, None) for request in packet.requests)
        names.pop("", None)
        return list(names)

    async def _ask(self, names: list[str], packets: list[Packet], review: bool) -> None:
        """Ask about names; then serve the packets that they come from, or look at the subscriptions again."""
        prepare = self.grant.prepare
        assert prepare is not None
        refusal: ConnectRefused | None = None
        try:
            async with asyncio.timeout(self._broker.limits.connect_timeout):
                await prepare(names)
        except ConnectRefused as error:
            refusal = error
        except Exception as error:
            _log.error("mqtt_rights_failed", error=repr(error))
            refusal = ConnectRefused(Reason.SERVER_BUSY, "rights cannot be looked up now")
        self._task = None
        if self._state is not State.OPEN:
            return
        if refusal is not None:
            self.close(refusal.reason, refusal.message)
            return
        self._corked = True
        try:
            if review:
                self._reviewed()
            else:
                self._serve(packets)
            self._proceed()
        except Exception:
            _log.exception("mqtt_connection_failed")
            self.close(Reason.UNSPECIFIED)
        self._corked = False
        if self._gone and self._task is None:
            self._end(with_will=True)
        self.flush()

    def _reviewed(self) -> None:
        session = self.session
        assert session is not None
        if not all(map(self.grant.allow_subscribe, session.subscriptions)):
            self.close(Reason.NOT_AUTHORIZED, "rights have ended")
        elif not self._review:
            self._doubtful = False
            self.congested = self._full
            if not self.congested:
                session.pump()

    def _serve(self, packets: list[Packet]) -> None:
        run: list[Publish] = []
        for packet in packets:
            if type(packet) is Publish:
                run.append(packet)
                continue
            if run:
                self._intake.take(run)
                run = []
            if self._state is not State.OPEN:
                return
            self._one(packet)
        if run and self._state is State.OPEN:
            self._intake.take(run)
        self.update_reading()

    def _one(self, packet: Packet) -> None:
        session = self.session
        assert session is not None
        match packet:
            case Ack(kind=4, packet_id=packet_id):
                session.acknowledged(packet_id)
            case Ack(kind=6, packet_id=packet_id):
                self._intake.released(packet_id)
            case Ack(kind=5, packet_id=packet_id):
                # we never send QoS 2: a PUBREC belongs to nothing
                self.send(ack_frame(PUBREL, packet_id, Reason.PACKET_ID_NOT_FOUND if self.level >= 5 else 0))
            case Ack():
                pass
            case Subscribe():
                self._broker.subscribe(self, session, packet)
            case Unsubscribe():
                self._broker.unsubscribe(self, session, packet)
            case Pingreq():
                self.send(encode(Pingresp(), self.level))
            case Disconnect():
                self._disconnected(packet, session)
            case _:
                self.close(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} is not expected here")

    def _disconnected(self, packet: Disconnect, session: Session) -> None:
        expiry = packet.properties.session_expiry
        if expiry is not None:
            if expiry and not session.expiry:
                self.close(Reason.PROTOCOL_ERROR, "a session that ends with its connection cannot be prolonged")
                return
            session.keep(min(expiry, self._broker.limits.session_expiry_max))
        self.flush()
        self._end(with_will=packet.code != Reason.SUCCESS)

    # ---- CONNECT

    def _begin(self, packet: Connect) -> None:
        self._state = State.CONNECTING
        self.level = packet.level
        self._task = self._loop.create_task(self._connect(packet))
        self.update_reading()

    async def _connect(self, packet: Connect) -> None:
        try:
            async with asyncio.timeout(self._broker.limits.connect_timeout):
                grant = await self._broker.admit(self.peer, packet)
        except ConnectRefused as refusal:
            self._task = None
            self._refuse(refusal)
        except Exception as error:
            _log.error("mqtt_authenticator_failed", error=repr(error))
            self._task = None
            self._refuse(ConnectRefused(Reason.SERVER_UNAVAILABLE))
        else:
            self._task = None
            if self._state is State.CONNECTING:
                self._open(packet, grant)

    def _open(self, packet: Connect, grant: Grant) -> None:
        limits, asked = self._broker.limits, packet.properties
        self.grant = grant
        self.receive_maximum = min(asked.receive_maximum or 65_535, limits.receive_maximum)
        self.maximum_packet = asked.maximum_packet_size or 268_435_460
        if packet.level >= 5:
            expiry = min(asked.session_expiry or 0, limits.session_expiry_max)
        else:
            expiry = 0 if packet.clean_start else min(limits.session_expiry_default, limits.session_expiry_max)
        self._will = packet.will
        session, present = self._broker.attach(grant, packet.clean_start, expiry)
        self.session = session
        self._intake = Intake(self._broker, self, session)
        self._state = State.OPEN
        self._grace = 1.5 * (packet.keep_alive or limits.keep_alive_default)
        self._heard = self._loop.time()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._grace, self._check_alive)
        properties = NONE
        if packet.level >= 5:
            properties = Properties(
                session_expiry=None if expiry == (asked.session_expiry or 0) else expiry,
                assigned_client_id=None if packet.client_id else session.client_id,
                server_keep_alive=None if packet.keep_alive else limits.keep_alive_default,
                receive_maximum=limits.receive_maximum,
                topic_alias_maximum=limits.topic_aliases,
                maximum_packet_size=limits.max_packet,
                shared_subscription_available=0,
            )
        self._corked = True
        self.send(encode(Connack(present, 0, properties), packet.level))
        session.resume(self, grant)
        session.restrict()
        session.pump()
        held, self._held = self._held, []
        try:
            self._take(held)
        except Exception:
            _log.exception("mqtt_connection_failed")
            self.close(Reason.UNSPECIFIED)
        self._corked = False
        self.flush()

    # ---- answers

    def answer_subscribe(self, packet_id: int, codes: list[int]) -> None:
        """SUBACK."""
        self.send(encode(Suback(packet_id, tuple(codes)), self.level))

    def answer_unsubscribe(self, packet_id: int, codes: list[int]) -> None:
        """UNSUBACK."""
        self.send(encode(Unsuback(packet_id, tuple(codes)), self.level))
