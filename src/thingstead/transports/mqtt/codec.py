"""Bytes <-> packets of MQTT 3.1.1 and 5, without I/O (MQTT 5, chapters 2 and 3; MQTT 3.1.1 where it differs).

`Decoder` takes whole socket reads and gives whole packets, in both directions of the protocol; `encode` is its
inverse. Bytes that are no valid packet raise MalformedPacket and nothing else. What a packet may do in a session is
not decided here.
"""

from collections.abc import Callable

from thingstead.transports.mqtt.packets import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Request,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from thingstead.transports.mqtt.properties import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    NONE,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    U16,
    UNSUBACK,
    UNSUBSCRIBE,
    WILL,
    Properties,
    Reader,
    binary,
    decode_text,
    encode_properties,
    text,
    varint,
)
from thingstead.transports.mqtt.reasons import MalformedPacket, Reason

_REMEMBERED_TOPICS = 256
# The low four bits of the first byte, by packet type (2.1.3); PUBLISH has its own meaning for them.
_FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}


class Decoder:
    """One direction of one connection. `level` is 4 until a CONNECT of level 5 has been read (a client's side sets it
    itself).
    """

    def __init__(self, *, max_packet: int = 268_435_460, level: int = 4):
        """`max_packet`: bytes of a whole packet, header included; more is refused with reason 0x95 once its header is
        read.
        """
        self.level = level
        self._max = max_packet
        self._parts: list[bytes] = []
        self._held = 0
        self._need = 0
        self._topics: dict[bytes, str] = {}

    def feed(self, data: bytes) -> tuple[list[Packet], MalformedPacket | None]:
        """The packets completed by one read, and what is wrong with the bytes after them (nothing may be fed then)."""
        if self._parts:
            # a packet may come in many small reads: they are joined only once there is enough
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._need:
                return [], None
            data = b"".join(self._parts)
            self._parts = []
        packets: list[Packet] = []
        try:
            at = self._read(data, packets)
        except MalformedPacket as error:
            return packets, error
        if at < len(data):
            self._parts = [data[at:]]
            self._held = len(data) - at
        return packets, None

    def _read(self, data: bytes, packets: list[Packet]) -> int:
        at, end = 0, len(data)
        publish = self._publish
        while end - at >= 2:
            first = data[at]
            size = data[at + 1]
            body = at + 2
            if size >= 0x80:
                header = _long_size(data, at + 1, end)
                if header is None:
                    self._need = end - at + 1
                    return at
                size, body = header
            stop = body + size
            if stop - at > self._max:
                raise MalformedPacket(f"a packet of more than {self._max} bytes", Reason.PACKET_TOO_LARGE)
            if stop > end:
                self._need = stop - at
                return at
            if first & 0xF0 == 0x30:
                packets.append(publish(first, data, body, stop))
            else:
                packets.append(self._other(first, Reader(data, body, stop)))
            at = stop
        self._need = 2
        return at

    def _publish(self, first: int, data: bytes, at: int, stop: int) -> Publish:
        qos = first >> 1 & 3
        start = at + 2
        end = start + (data[at] << 8 | data[at + 1]) if start <= stop else stop + 1
        after = end + 2 if qos else end
        if after > stop or qos == 3 or (first & 8 and not qos):
            raise MalformedPacket("a PUBLISH with a wrong header or length")
        raw = data[start:end]
        topic = self._topics.get(raw)
        if topic is None:
            topic = self._topic(raw)
        packet_id = 0
        if qos:
            packet_id = data[end] << 8 | data[end + 1]
            if not packet_id:
                raise MalformedPacket("a packet identifier of 0", Reason.PROTOCOL_ERROR)
        properties = None
        if self.level >= 5:
            if after < stop and not data[after]:
                after += 1
            else:
                reader = Reader(data, after, stop)
                properties = reader.properties(PUBLISH)
                after = reader.at
        if not topic and (properties is None or properties.topic_alias is None):
            raise MalformedPacket("an empty topic", Reason.PROTOCOL_ERROR)
        return Publish(topic, data[after:stop], qos, first & 1 == 1, packet_id, first & 8 == 8, properties)

    def _topic(self, raw: bytes) -> str:
        """Check a topic name once for as long as it is remembered."""
        topic = decode_text(raw)
        if "+" in topic or "#" in topic:
            raise MalformedPacket("a wildcard in a topic name", Reason.TOPIC_NAME_INVALID)
        if len(self._topics) >= _REMEMBERED_TOPICS:
            self._topics.clear()
        self._topics[raw] = topic
        return topic

    def _other(self, first: int, reader: Reader) -> Packet:
        kind = first >> 4
        if not kind or first & 0x0F != _FLAGS.get(kind, 0):
            raise MalformedPacket(f"an unknown first byte 0x{first:02x}")
        packet = self._connect(reader) if kind == CONNECT else _PARSE[kind](kind, self.level, reader)
        if reader.at != reader.end:
            raise MalformedPacket("bytes after the end of a packet's content")
        return packet

    def _connect(self, reader: Reader) -> Packet:
        name = reader.binary()
        level = reader.u8()
        if name != b"MQTT" or level not in (4, 5):
            self.level = 5 if name == b"MQTT" and level > 5 else 4
            raise MalformedPacket("only MQTT 3.1.1 and 5 are spoken", Reason.UNSUPPORTED_PROTOCOL_VERSION)
        self.level = level
        flags = reader.u8()
        has_will, will_qos = flags & 4, flags >> 3 & 3
        if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38) or (level == 4 and flags & 0xC0 == 0x40):
            raise MalformedPacket("CONNECT flags that contradict each other")
        keep_alive = reader.u16()
        properties = reader.properties(CONNECT) if level == 5 else NONE
        client_id = reader.text()
        will = None
        if has_will:
            will_properties = reader.properties(WILL) if level == 5 else NONE
            topic = reader.text()
            if not topic or "+" in topic or "#" in topic:
                raise MalformedPacket("a will topic that is no topic name", Reason.TOPIC_NAME_INVALID)
            will = Will(topic, reader.binary(), will_qos, flags & 0x20 == 0x20, will_properties)
        username = reader.text() if flags & 0x80 else None
        password = reader.binary() if flags & 0x40 else None
        return Connect(client_id, level, flags & 2 == 2, keep_alive, username, password, will, properties)


def _connack(kind: int, level: int, reader: Reader) -> Packet:
    present = reader.bit()
    return Connack(present == 1, reader.u8(), _properties(kind, level, reader))


def _ack(kind: int, level: int, reader: Reader) -> Packet:
    packet_id = _packet_id(reader)
    if level < 5 or reader.at == reader.end:
        return Ack(kind, packet_id)
    code = reader.u8()
    return Ack(kind, packet_id, code, NONE if reader.at == reader.end else reader.properties(kind))


def _subscribe(kind: int, level: int, reader: Reader) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(kind, level, reader)
    requests: list[Request] = []
    while reader.at < reader.end:
        pattern, options = reader.text(), reader.u8()
        handling = options >> 4 & 3
        if options & 3 == 3 or handling == 3 or options & (0xC0 if level >= 5 else 0xFC):
            raise MalformedPacket("unknown subscription options", Reason.PROTOCOL_ERROR)
        requests.append(Request(pattern, options & 3, options & 4 == 4, options & 8 == 8, handling))
    if not requests:
        raise MalformedPacket("a SUBSCRIBE without a filter", Reason.PROTOCOL_ERROR)
    return Subscribe(packet_id, tuple(requests), properties)


def _suback(kind: int, level: int, reader: Reader) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(kind, level, reader)
    return Suback(packet_id, tuple(reader.rest()), properties)


def _unsubscribe(kind: int, level: int, reader: Reader) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(kind, level, reader)
    filters: list[str] = []
    while reader.at < reader.end:
        filters.append(reader.text())
    if not filters:
        raise MalformedPacket("an UNSUBSCRIBE without a filter", Reason.PROTOCOL_ERROR)
    return Unsubscribe(packet_id, tuple(filters), properties)


def _unsuback(kind: int, level: int, reader: Reader) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(kind, level, reader)
    return Unsuback(packet_id, tuple(reader.rest()), properties)


def _ping(kind: int, _level: int, _reader: Reader) -> Packet:
    return Pingreq() if kind == PINGREQ else Pingresp()


def _disconnect(kind: int, level: int, reader: Reader) -> Packet:
    if level < 5 or reader.at == reader.end:
        return Disconnect()
    code = reader.u8()
    return Disconnect(code, NONE if reader.at == reader.end else reader.properties(kind))


def _auth(kind: int, level: int, reader: Reader) -> Packet:
    if level < 5:
        raise MalformedPacket("AUTH belongs to MQTT 5", Reason.PROTOCOL_ERROR)
    if reader.at == reader.end:
        return Auth()
    code = reader.u8()
    return Auth(code, reader.properties(kind))


def _properties(kind: int, level: int, reader: Reader) -> Properties:
    return reader.properties(kind) if level >= 5 else NONE


def _packet_id(reader: Reader) -> int:
    packet_id = reader.u16()
    if not packet_id:
        raise MalformedPacket("a packet identifier of 0", Reason.PROTOCOL_ERROR)
    return packet_id


_PARSE: dict[int, Callable[[int, int, Reader], Packet]] = {
    CONNACK: _connack,
    PUBACK: _ack,
    PUBREC: _ack,
    PUBREL: _ack,
    PUBCOMP: _ack,
    SUBSCRIBE: _subscribe,
    SUBACK: _suback,
    UNSUBSCRIBE: _unsubscribe,
    UNSUBACK: _unsuback,
    PINGREQ: _ping,
    PINGRESP: _ping,
    DISCONNECT: _disconnect,
    AUTH: _auth,
}


def _long_size(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """The remaining length that starts at `at` and the place after it; None if its bytes have not all come."""
    size = 0
    for shift in (0, 7, 14, 21):
        if at == end:
            return None
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
    raise MalformedPacket("a remaining length of more than four bytes")


def frame(first: int, body: bytes) -> bytes:
    """A packet from its first byte and its body."""
    size = len(body)
    return (bytes((first, size)) if size < 0x80 else bytes((first,)) + varint(size)) + body


def publish_frame(
    topic: str,
    payload: bytes,
    level: int,
    *,
    qos: int = 0,
    retain: bool = False,
    packet_id: int = 0,
    dup: bool = False,
    properties: Properties | None = None,
) -> bytes:
    """The bytes of a PUBLISH. Raises ValueError if the topic has more than 65,535 bytes."""
    head = text(topic)
    if qos:
        head += U16.pack(packet_id)
    if level >= 5:
        head += encode_properties(properties) if properties else b"\x00"
    return frame(0x30 | dup << 3 | qos << 1 | retain, head + payload)


def ack_frame(kind: int, packet_id: int, code: int = 0) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP without properties; `code` only towards level 5."""
    first = kind << 4 | _FLAGS.get(kind, 0)
    return bytes((first, 3 if code else 2)) + U16.pack(packet_id) + (bytes((code,)) if code else b"")


def encode(packet: Packet, level: int) -> bytes:
    """The bytes of a packet in a protocol level. Raises ValueError for text or binary data that is too long."""
    five = level >= 5

    def optional(code: int, properties: Properties) -> bytes:
        """Reason code and properties as short as the specification allows (3.4.2.1, 3.14.2.1)."""
        if not five or (not code and properties == NONE):
            return b""
        return bytes((code,)) + (b"" if properties == NONE else encode_properties(properties))

    def always(properties: Properties) -> bytes:
        return encode_properties(properties) if five else b""

    match packet:
        case Publish(topic, payload, qos, retain, packet_id, dup, properties):
            return publish_frame(
                topic, payload, level, qos=qos, retain=retain, packet_id=packet_id, dup=dup, properties=properties
            )
        case Ack(kind, packet_id, code, properties):
            return frame(kind << 4 | _FLAGS.get(kind, 0), U16.pack(packet_id) + optional(code, properties))
        case Connect():
            return frame(CONNECT << 4, _connect_body(packet))
        case Connack(session_present, code, properties):
            return frame(CONNACK << 4, bytes((session_present, code)) + always(properties))
        case Subscribe(packet_id, requests, properties):
            body = b"".join(
                text(r.filter) + bytes((r.qos | r.no_local << 2 | r.retain_as_published << 3 | r.retain_handling << 4,))
                for r in requests
            )
            return frame(SUBSCRIBE << 4 | 2, U16.pack(packet_id) + always(properties) + body)
        case Suback(packet_id, codes, properties):
            return frame(SUBACK << 4, U16.pack(packet_id) + always(properties) + bytes(codes))
        case Unsubscribe(packet_id, filters, properties):
            body = b"".join(map(text, filters))
            return frame(UNSUBSCRIBE << 4 | 2, U16.pack(packet_id) + always(properties) + body)
        case Unsuback(packet_id, codes, properties):
            return frame(UNSUBACK << 4, U16.pack(packet_id) + always(properties) + (bytes(codes) if five else b""))
        case Pingreq():
            return bytes((PINGREQ << 4, 0))
        case Pingresp():
            return bytes((PINGRESP << 4, 0))
        case Disconnect(code, properties):
            return frame(DISCONNECT << 4, optional(code, properties))
        case Auth(code, properties):
            plain = not code and properties == NONE
            return frame(AUTH << 4, b"" if plain else bytes((code,)) + encode_properties(properties))


def _connect_body(packet: Connect) -> bytes:
    five, will = packet.level >= 5, packet.will
    flags = packet.clean_start << 1
    tail = text(packet.client_id)
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        tail += (encode_properties(will.properties) if five else b"") + text(will.topic) + binary(will.payload)
    if packet.username is not None:
        flags |= 0x80
        tail += text(packet.username)
    if packet.password is not None:
        flags |= 0x40
        tail += binary(packet.password)
    head = text("MQTT") + bytes((packet.level, flags)) + U16.pack(packet.keep_alive)
    return head + (encode_properties(packet.properties) if five else b"") + tail
