"""Properties of MQTT 5 (2.2.2) and the primitive data types (1.5). Pure bytes; no packet is known here but by its
type number.
"""

import struct
from typing import Any

import msgspec

from thingstead.transports.mqtt.reasons import MalformedPacket, Reason

# Packet types (2.1.2). A will has properties of its own: 0 is no packet type.
WILL, CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)

U16 = struct.Struct(">H")
U32 = struct.Struct(">I")


class Properties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The properties of one packet; None or () is absent. Names as in the specification."""

    payload_format: int | None = None
    message_expiry: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_ids: tuple[int, ...] = ()
    session_expiry: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_ids_available: int | None = None
    shared_subscription_available: int | None = None


NONE = Properties()

_ACKS = (PUBACK, PUBREC, PUBREL, PUBCOMP)
# identifier: name, data type, the packets it may stand in
TABLE: dict[int, tuple[str, str, tuple[int, ...]]] = {
    1: ("payload_format", "bit", (PUBLISH, WILL)),
    2: ("message_expiry", "u32", (PUBLISH, WILL)),
    3: ("content_type", "text", (PUBLISH, WILL)),
    8: ("response_topic", "text", (PUBLISH, WILL)),
    9: ("correlation_data", "binary", (PUBLISH, WILL)),
    11: ("subscription_ids", "varint", (PUBLISH, SUBSCRIBE)),
    17: ("session_expiry", "u32", (CONNECT, CONNACK, DISCONNECT)),
    18: ("assigned_client_id", "text", (CONNACK,)),
    19: ("server_keep_alive", "u16", (CONNACK,)),
    21: ("authentication_method", "text", (CONNECT, CONNACK, AUTH)),
    22: ("authentication_data", "binary", (CONNECT, CONNACK, AUTH)),
    23: ("request_problem_information", "bit", (CONNECT,)),
    24: ("will_delay", "u32", (WILL,)),
    25: ("request_response_information", "bit", (CONNECT,)),
    26: ("response_information", "text", (CONNACK,)),
    28: ("server_reference", "text", (CONNACK, DISCONNECT)),
    31: ("reason_string", "text", (CONNACK, *_ACKS, SUBACK, UNSUBACK, DISCONNECT, AUTH)),
    33: ("receive_maximum", "u16", (CONNECT, CONNACK)),
    34: ("topic_alias_maximum", "u16", (CONNECT, CONNACK)),
    35: ("topic_alias", "u16", (PUBLISH,)),
    36: ("maximum_qos", "bit", (CONNACK,)),
    37: ("retain_available", "bit", (CONNACK,)),
    38: (
        "user_properties",
        "pair",
        (WILL, CONNECT, CONNACK, PUBLISH, *_ACKS, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH),
    ),
    39: ("maximum_packet_size", "u32", (CONNECT, CONNACK)),
    40: ("wildcard_subscription_available", "bit", (CONNACK,)),
    41: ("subscription_ids_available", "bit", (CONNACK,)),
    42: ("shared_subscription_available", "bit", (CONNACK,)),
}
_NOT_ZERO = {"receive_maximum", "maximum_packet_size", "subscription_ids"}


class Reader:
    """Reads primitives from a packet's body; everything that runs over its end is a MalformedPacket."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int):
        self.data = data
        self.at = at
        self.end = end

    def _advance(self, size: int) -> int:
        at = self.at
        if at + size > self.end:
            raise MalformedPacket("the packet ends too early")
        self.at = at + size
        return at

    def u8(self) -> int:
        return self.data[self._advance(1)]

    def u16(self) -> int:
        return U16.unpack_from(self.data, self._advance(2))[0]

    def u32(self) -> int:
        return U32.unpack_from(self.data, self._advance(4))[0]

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MalformedPacket("a variable byte integer of more than four bytes")

    def binary(self) -> bytes:
        size = self.u16()
        at = self._advance(size)
        return self.data[at : at + size]

    def text(self) -> str:
        return decode_text(self.binary())

    def rest(self) -> bytes:
        at, self.at = self.at, self.end
        return self.data[at : self.end]

    def properties(self, packet: int) -> Properties:
        """The property length and the properties of a packet type. Raises MalformedPacket (0x81 or 0x82)."""
        size = self.varint()
        if not size:
            return NONE
        stop = self._advance(size) + size
        reader = Reader(self.data, stop - size, stop)
        values: dict[str, Any] = {}
        while reader.at < stop:
            number = reader.varint()
            name, kind, packets = TABLE.get(number, ("", "", ()))
            if packet not in packets:
                raise MalformedPacket(f"property {number} does not belong here", Reason.PROTOCOL_ERROR)
            value = _READ[kind](reader)
            if value == 0 and name in _NOT_ZERO:
                raise MalformedPacket(f"{name} may not be 0", Reason.PROTOCOL_ERROR)
            if kind == "pair" or (kind == "varint" and packet == PUBLISH):
                values[name] = (*values.get(name, ()), value)
            elif name in values:
                raise MalformedPacket(f"{name} appears twice", Reason.PROTOCOL_ERROR)
            else:
                values[name] = (value,) if kind == "varint" else value
        return Properties(**values)

    def bit(self) -> int:
        value = self.u8()
        if value > 1:
            raise MalformedPacket("a flag that is neither 0 nor 1", Reason.PROTOCOL_ERROR)
        return value

    def pair(self) -> tuple[str, str]:
        return self.text(), self.text()


_READ = {
    "bit": Reader.bit,
    "u16": Reader.u16,
    "u32": Reader.u32,
    "varint": Reader.varint,
    "text": Reader.text,
    "binary": Reader.binary,
    "pair": Reader.pair,
}


def decode_text(raw: bytes) -> str:
    """UTF-8 without NUL (1.5.4). Raises MalformedPacket."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedPacket("text that is not UTF-8") from None
    if "\x00" in text:
        raise MalformedPacket("a NUL character in text")
    return text


def varint(value: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def binary(value: bytes) -> bytes:
    """Length-prefixed bytes. Raises ValueError above 65,535."""
    if len(value) > 0xFFFF:
        raise ValueError("more than 65,535 bytes")
    return U16.pack(len(value)) + value


def text(value: str) -> bytes:
    """Length-prefixed UTF-8."""
    return binary(value.encode())


def _write(kind: str, value: Any) -> bytes:
    match kind:
        case "bit":
            return bytes((value,))
        case "u16":
            return U16.pack(value)
        case "u32":
            return U32.pack(value)
        case "varint":
            return varint(value)
        case "text":
            return text(value)
        case "binary":
            return binary(value)
        case _:
            return text(value[0]) + text(value[1])


def encode_properties(properties: Properties) -> bytes:
    """Property length and properties, in the order of their identifiers."""
    if properties is NONE:
        return b"\x00"
    parts: list[bytes] = []
    for number, (name, kind, _) in TABLE.items():
        value = getattr(properties, name)
        if value is None or value == ():
            continue
        values = value if kind in ("varint", "pair") else (value,)
        parts += [bytes((number,)) + _write(kind, one) for one in values]
    body = b"".join(parts)
    return varint(len(body)) + body
