"""The codec: what is encoded is decoded again, in however many reads it comes; other bytes are a MalformedPacket,
never worse.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thingstead.transports.mqtt.codec import Decoder, ack_frame, encode
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
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    TABLE,
    UNSUBACK,
    UNSUBSCRIBE,
    WILL,
    Properties,
)
from thingstead.transports.mqtt.reasons import MalformedPacket, Reason

text = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=12)
topic = text.filter(lambda value: value and not set("+#") & set(value))
packet_id = st.integers(1, 65_535)
payload = st.binary(max_size=300)

_VALUES: dict[str, st.SearchStrategy[object]] = {
    "bit": st.integers(0, 1),
    "u16": st.integers(1, 65_535),
    "u32": st.integers(1, 2**32 - 1),
    "varint": st.integers(1, 268_435_455),
    "text": text,
    "binary": st.binary(max_size=12),
    "pair": st.tuples(text, text),
}


@st.composite
def properties(draw: st.DrawFn, packet: int, level: int) -> Properties:
    """Any properties that a packet may have."""
    if level < 5:
        return NONE
    values: dict[str, object] = {}
    for name, kind, packets in draw(st.lists(st.sampled_from(list(TABLE.values())), max_size=6)):
        if packet not in packets:
            continue
        if kind == "pair" or (kind == "varint" and packet == PUBLISH):
            values[name] = tuple(draw(st.lists(_VALUES[kind], min_size=1, max_size=3)))
        else:
            value = draw(_VALUES[kind])
            values[name] = (value,) if kind == "varint" else value
    return Properties(**values)  # type: ignore[arg-type]


@st.composite
def publishes(draw: st.DrawFn, level: int) -> Publish:
    qos = draw(st.integers(0, 2))
    extra = draw(properties(PUBLISH, level))
    return Publish(
        draw(topic),
        draw(payload),
        qos,
        draw(st.booleans()),
        draw(packet_id) if qos else 0,
        draw(st.booleans()) if qos else False,
        None if extra == NONE else extra,
    )


@st.composite
def connects(draw: st.DrawFn, level: int) -> Connect:
    will = None
    if draw(st.booleans()):
        qos = draw(st.integers(0, 2))
        will = Will(draw(topic), draw(payload), qos, draw(st.booleans()), draw(properties(WILL, level)))
    username = draw(st.none() | text)
    # 3.1.1 knows no password without a user name
    password = draw(st.none() | st.binary(max_size=12)) if level == 5 or username is not None else None
    return Connect(
        draw(text),
        level,
        draw(st.booleans()),
        draw(st.integers(0, 65_535)),
        username,
        password,
        will,
        draw(properties(CONNECT, level)),
    )


@st.composite
def acks(draw: st.DrawFn, level: int) -> Ack:
    kind = draw(st.integers(4, 7))
    code = draw(st.sampled_from([0, 0x10, 0x80, 0x87])) if level == 5 else 0
    return Ack(kind, draw(packet_id), code, draw(properties(kind, level)))


def requests(level: int) -> st.SearchStrategy[Request]:
    if level < 5:
        return st.builds(Request, text, st.integers(0, 2))
    return st.builds(Request, text, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))


def packets(level: int) -> st.SearchStrategy[Packet]:
    """Any packet of a level."""
    codes = st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=4).map(tuple)
    nothing = st.just(())
    common: list[st.SearchStrategy[Packet]] = [
        publishes(level),
        connects(level),
        acks(level),
        st.builds(Connack, st.booleans(), st.integers(0, 5), properties(CONNACK, level)),
        st.builds(
            Subscribe,
            packet_id,
            st.lists(requests(level), min_size=1, max_size=3).map(tuple),
            properties(SUBSCRIBE, level),
        ),
        st.builds(Suback, packet_id, codes, properties(SUBACK, level)),
        st.builds(
            Unsubscribe, packet_id, st.lists(text, min_size=1, max_size=3).map(tuple), properties(UNSUBSCRIBE, level)
        ),
        st.builds(Unsuback, packet_id, codes if level == 5 else nothing, properties(UNSUBACK, level)),
        st.just(Pingreq()),
        st.just(Pingresp()),
        st.just(Disconnect()),
    ]
    if level == 5:
        code = st.sampled_from([0, 4, 0x81, 0x8E])
        common.append(st.builds(Disconnect, code, properties(DISCONNECT, level)))
        common.append(st.builds(Auth, st.sampled_from([0, 0x18, 0x19]), properties(AUTH, level)))
    return st.one_of(common)


def session_of(level: int) -> st.SearchStrategy[list[Packet]]:
    """A stream of packets. A CONNECT sets the level for what follows, so all are of one."""
    return st.lists(packets(level), min_size=1, max_size=6)


streams = st.sampled_from([4, 5]).flatmap(lambda level: st.tuples(st.just(level), session_of(level)))


@given(streams, st.data())
def test_round_trip_in_any_pieces(stream: tuple[int, list[Packet]], data: st.DataObject) -> None:
    level, sent = stream
    raw = b"".join(encode(packet, level) for packet in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder = Decoder(level=level)
    got: list[Packet] = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found, error = decoder.feed(raw[start:end])
        assert error is None
        got += found
    assert got == sent


@settings(max_examples=40)
@given(streams)
def test_round_trip_byte_by_byte(stream: tuple[int, list[Packet]]) -> None:
    level, sent = stream
    decoder = Decoder(level=level)
    got: list[Packet] = []
    for byte in b"".join(encode(packet, level) for packet in sent):
        found, error = decoder.feed(bytes((byte,)))
        assert error is None
        got += found
    assert got == sent


@given(st.sampled_from([4, 5]), st.lists(st.binary(max_size=60), max_size=4))
def test_random_bytes(level: int, reads: list[bytes]) -> None:
    decoder = Decoder(level=level, max_packet=1_000)
    for read in reads:
        _, error = decoder.feed(read)
        if error is not None:
            assert error.reason >= Reason.UNSPECIFIED
            assert error.message
            break


@given(streams, st.data())
def test_damaged_packets(stream: tuple[int, list[Packet]], data: st.DataObject) -> None:
    """One wrong byte in a valid stream: packets or a MalformedPacket, nothing else."""
    level, sent = stream
    raw = bytearray(b"".join(encode(packet, level) for packet in sent))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _, error = Decoder(level=level).feed(bytes(raw))
    assert error is None or isinstance(error, MalformedPacket)


@pytest.mark.parametrize(
    ("level", "raw", "packet"),
    [
        (4, "30050003414243", Publish("ABC", b"")),
        (4, "32070001610001" + "4869", Publish("a", b"Hi", 1, packet_id=1)),
        (5, "3208000161000100" + "4869", Publish("a", b"Hi", 1, packet_id=1)),
        (4, "40020001", Ack(4, 1)),
        (5, "4003000187", Ack(4, 1, 0x87)),
        (4, "62020001", Ack(6, 1)),
        (4, "c000", Pingreq()),
        (5, "e0018e", Disconnect(0x8E)),
        (4, "820800010003612f6201", Subscribe(1, (Request("a/b", 1),))),
        (4, "20020100", Connack(True, 0)),
    ],
)
def test_known_bytes(level: int, raw: str, packet: Packet) -> None:
    assert Decoder(level=level).feed(bytes.fromhex(raw)) == ([packet], None)
    assert encode(packet, level).hex() == raw


MALFORMED = [
    ("a packet type of 0", 4, "0000", Reason.MALFORMED_PACKET),
    ("wrong flags of SUBSCRIBE", 4, "80080001" + "0003612f6201", Reason.MALFORMED_PACKET),
    ("QoS 3", 4, "360700016100014869", Reason.MALFORMED_PACKET),
    ("dup without QoS", 4, "380500016148" + "69", Reason.MALFORMED_PACKET),
    ("packet id 0", 4, "320700016100004869", Reason.PROTOCOL_ERROR),
    ("a topic longer than its packet", 4, "3003000961", Reason.MALFORMED_PACKET),
    ("an empty PUBLISH", 4, "3000", Reason.MALFORMED_PACKET),
    ("an empty topic", 4, "30020000", Reason.PROTOCOL_ERROR),
    ("a wildcard in a topic", 4, "30030001" + "23", Reason.TOPIC_NAME_INVALID),
    ("a NUL in a topic", 4, "30030001" + "00", Reason.MALFORMED_PACKET),
    ("a topic that is not UTF-8", 4, "30030001" + "ff", Reason.MALFORMED_PACKET),
    ("a surrogate in a topic", 4, "30050003" + "eda080", Reason.MALFORMED_PACKET),
    ("a remaining length of five bytes", 4, "30ffffffff01", Reason.MALFORMED_PACKET),
    ("a packet over the limit", 4, "30ffff01", Reason.PACKET_TOO_LARGE),
    ("bytes after the content", 4, "c00100", Reason.MALFORMED_PACKET),
    ("SUBSCRIBE without filters", 4, "82020001", Reason.PROTOCOL_ERROR),
    ("UNSUBSCRIBE without filters", 4, "a2020001", Reason.PROTOCOL_ERROR),
    ("options of MQTT 5 in 3.1.1", 4, "820800010003612f6205", Reason.PROTOCOL_ERROR),
    ("retain handling 3", 5, "82090001000003612f6231", Reason.PROTOCOL_ERROR),
    ("AUTH in 3.1.1", 4, "f000", Reason.PROTOCOL_ERROR),
    ("a property twice", 5, "300900016105" + "01010101" + "00", Reason.PROTOCOL_ERROR),
    ("a property of another packet", 5, "30080001610411" + "000000", Reason.PROTOCOL_ERROR),
    ("an unknown property", 5, "3006000161027f00", Reason.PROTOCOL_ERROR),
    ("a flag of 2", 5, "30060001610201" + "02", Reason.PROTOCOL_ERROR),
    ("properties longer than the packet", 5, "3004000161" + "09", Reason.MALFORMED_PACKET),
    ("no property length", 5, "3003000161", Reason.MALFORMED_PACKET),
    ("an empty topic without alias", 5, "3003000000", Reason.PROTOCOL_ERROR),
    ("MQTT 3.1", 4, "100f00064d51497364700302003c000163", Reason.UNSUPPORTED_PROTOCOL_VERSION),
    ("MQTT 6", 4, "100d00044d5154540602003c000163", Reason.UNSUPPORTED_PROTOCOL_VERSION),
    ("the reserved CONNECT flag", 4, "100d00044d5154540403003c000163", Reason.MALFORMED_PACKET),
    ("a will's QoS without a will", 4, "100d00044d515454040a003c000163", Reason.MALFORMED_PACKET),
    ("a password without a user in 3.1.1", 4, "101000044d5154540442003c000163000170", Reason.MALFORMED_PACKET),
]


@pytest.mark.parametrize(("level", "raw", "reason"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(level: int, raw: str, reason: Reason) -> None:
    """What came whole before the malformed bytes is still given."""
    ping = encode(Pingreq(), level)
    packets, error = Decoder(level=level, max_packet=10_000).feed(ping + bytes.fromhex(raw))
    assert packets == [Pingreq()]
    assert error is not None
    assert error.reason is reason


def test_connect_sets_the_level() -> None:
    stream = encode(Connect("c", 5), 5) + encode(Publish("t", b"p", 1, packet_id=3), 5)
    assert Decoder().feed(stream) == ([Connect("c", 5), Publish("t", b"p", 1, packet_id=3)], None)


def test_the_limit_counts_the_whole_packet() -> None:
    fits = encode(Publish("t", b"x" * 100), 4)
    assert Decoder(max_packet=len(fits)).feed(fits)[1] is None
    assert Decoder(max_packet=len(fits) - 1).feed(fits)[1] is not None


def test_short_acknowledgements() -> None:
    """The hand-made frames are those of the general encoder."""
    for kind in (4, 5, 6, 7):
        assert ack_frame(kind, 77) == encode(Ack(kind, 77), 4) == encode(Ack(kind, 77), 5)
        assert ack_frame(kind, 77, 0x87) == encode(Ack(kind, 77, 0x87), 5)
