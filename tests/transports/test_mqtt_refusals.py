"""Refusals explain themselves: what a client may not do is answered with a reason, in its protocol's words, and
changes nothing.
"""

import asyncio

import pytest

from support.aio import run
from thingstead.model.errors import InvalidInput
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.codec import encode
from thingstead.transports.mqtt.contract import ConnectRequest, Grant, Limits
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
    Will,
)
from thingstead.transports.mqtt.properties import PUBREC, PUBREL, Properties
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason
from transports.mqtt_harness import open_door, served, until


async def strict_door(request: ConnectRequest) -> Grant:
    """Refuses as its user name says; lets others do what concerns `mine/`."""
    if request.username == "crash":
        raise RuntimeError("the database is away")
    if request.username == "slow":
        await asyncio.sleep(60)
    if request.username in Reason.__members__:
        raise ConnectRefused(Reason[request.username], "because I say so")
    return Grant(
        client_id=request.client_id,
        allow_publish=lambda topic: topic.startswith("mine/"),
        allow_subscribe=lambda pattern: pattern.startswith("mine/"),
    )


CONNECTS = [
    ("bad credentials", {"username": "BAD_CREDENTIALS"}, 4, 0x86),
    ("not authorised", {"username": "NOT_AUTHORIZED"}, 5, 0x87),
    ("client id", {"username": "CLIENT_ID_NOT_VALID"}, 2, 0x85),
    ("banned", {"username": "BANNED"}, 5, 0x8A),
    ("busy", {"username": "SERVER_BUSY"}, 3, 0x89),
    ("the authenticator fails", {"username": "crash"}, 3, 0x88),
    ("the authenticator hangs", {"username": "slow"}, 3, 0x88),
    ("a client id of 257 bytes", {"client_id": "x" * 257}, 2, 0x85),
    ("a will without right", {"will": Will("other/will", b"")}, 5, 0x87),
    ("a will to the system", {"will": Will("$SYS/x", b"")}, 5, 0x87),
    ("a will's topic too long", {"will": Will("mine/" + "x" * 2_000, b"")}, 3, 0x90),
]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize(("fields", "four", "five"), [row[1:] for row in CONNECTS], ids=[row[0] for row in CONNECTS])
def test_connect(level: int, fields: dict[str, object], four: int, five: int) -> None:
    async def story() -> None:
        async with served(authenticate=strict_door, limits=Limits(connect_timeout=0.3)) as site:
            client = await site.dial(level)
            connack = await client.connect(**{"client_id": "c", **fields})  # type: ignore[arg-type]
            assert connack.code == (five if level == 5 else four)
            if level == 5:
                assert connack.properties.reason_string
            assert await client.receive() is None
            stats = site.broker.current_stats()
            assert (stats.connections, stats.sessions, stats.refused) == (0, 0, 1)

    run(story())


RAW_CONNECTS = [
    ("MQTT 3.1", "100f00064d51497364700302003c000163", Connack(False, 1), 4),
    ("MQTT 6", "100d00044d5154540602003c000163", Reason.UNSUPPORTED_PROTOCOL_VERSION, 5),
    ("no client id and a kept session", encode(Connect("", 4, False), 4).hex(), Connack(False, 2), 4),
    (
        "enhanced authentication",
        encode(Connect("c", 5, properties=Properties(authentication_method="SCRAM")), 5).hex(),
        Reason.BAD_AUTHENTICATION_METHOD,
        5,
    ),
    ("no CONNECT first", encode(Pingreq(), 4).hex(), None, 4),
    ("HTTP", b"GET / HTTP/1.1\r\n\r\n".hex(), None, 4),
    ("TLS", "16030100c8010000c4" + "00" * 100, None, 4),
]


@pytest.mark.parametrize(
    ("raw", "expected", "level"), [row[1:] for row in RAW_CONNECTS], ids=[row[0] for row in RAW_CONNECTS]
)
def test_no_connect_at_all(raw: str, expected: Connack | Reason | None, level: int) -> None:
    async def story() -> None:
        async with served(limits=Limits(connect_timeout=1)) as site:
            client = await site.dial(level)
            client.send_bytes(bytes.fromhex(raw))
            answer = await client.receive()
            if isinstance(expected, Reason):
                assert isinstance(answer, Connack)
                assert answer.code == expected
                answer = await client.receive()
            elif expected is not None:
                assert answer == expected
                answer = await client.receive()
            assert answer is None

    run(story())


def test_silence_instead_of_connect() -> None:
    async def story() -> None:
        async with served(limits=Limits(connect_timeout=0.2)) as site:
            client = await site.dial()
            assert await client.receive() is None

    run(story())


ENDS = [
    ("a second CONNECT", encode(Connect("c", 5), 5), Reason.PROTOCOL_ERROR),
    ("a server's packet", encode(Suback(1, (0,)), 5), Reason.PROTOCOL_ERROR),
    ("AUTH", encode(Auth(), 5), Reason.PROTOCOL_ERROR),
    ("garbage", b"\x00\x00", Reason.MALFORMED_PACKET),
    ("a wildcard in a topic", b"\x30\x04\x00\x01#\x00", Reason.TOPIC_NAME_INVALID),
    ("a packet too large", encode(Publish("mine/1", b"x" * 131_072), 5)[:20], Reason.PACKET_TOO_LARGE),
    ("an unknown alias", encode(Publish("", b"", properties=Properties(topic_alias=7)), 5), Reason.TOPIC_ALIAS_INVALID),
    (
        "an alias above the maximum",
        encode(Publish("t", b"", properties=Properties(topic_alias=999)), 5),
        Reason.TOPIC_ALIAS_INVALID,
    ),
]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize(("raw", "reason"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_what_ends_a_connection(level: int, raw: bytes, reason: Reason) -> None:
    """MQTT 5 is told why; 3.1.1 has no packet for that. What came before in the same read is still served."""

    async def story() -> None:
        async with served() as site:
            client = await site.client("c", level)
            client.send_bytes(encode(Pingreq(), level) + raw)
            assert isinstance(await client.receive(), Pingresp)
            farewell = await client.receive()
            if level == 5:
                assert isinstance(farewell, Disconnect)
                assert farewell.code == reason
                farewell = await client.receive()
            assert farewell is None
            await until(lambda: site.broker.current_stats().connections == 0)

    # the packets of a row that is written in MQTT 5 mean something else to 3.1.1
    if level == 5 or reason not in (Reason.TOPIC_ALIAS_INVALID,):
        run(story())


FILTERS = [
    ("mine/#", 1, 1),
    ("mine/+/x", 1, 1),
    ("other/1", 0x80, Reason.NOT_AUTHORIZED),
    ("#", 0x80, Reason.NOT_AUTHORIZED),
    ("$SYS/#", 0x80, Reason.NOT_AUTHORIZED),
    ("$share/g/mine/1", 0x80, Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED),
    ("mine/#/x", 0x80, Reason.TOPIC_FILTER_INVALID),
    ("mine/x#", 0x80, Reason.TOPIC_FILTER_INVALID),
    ("", 0x80, Reason.TOPIC_FILTER_INVALID),
    ("mine/" + "x" * 2_000, 0x80, Reason.TOPIC_FILTER_INVALID),
    ("mine" + "/x" * 100, 0x80, Reason.TOPIC_FILTER_INVALID),
]


@pytest.mark.parametrize("level", [4, 5])
def test_each_filter_is_answered_on_its_own(level: int) -> None:
    async def story() -> None:
        async with served(authenticate=strict_door) as site:
            client = await site.client("c", level)
            codes = await client.subscribe(*(Request(row[0], 1) for row in FILTERS))
            assert codes == tuple(row[2] if level == 5 else row[1] for row in FILTERS)
            assert site.broker.current_stats().subscriptions == 2

    run(story())


def test_too_many_subscriptions() -> None:
    async def story() -> None:
        async with served(limits=Limits(subscriptions=2)) as site:
            client = await site.client("c", 5)
            assert await client.subscribe("a", "b", "c", "a") == (1, 1, Reason.QUOTA_EXCEEDED, 1)

    run(story())


def test_acknowledgements_of_nothing_do_no_harm() -> None:
    async def story() -> None:
        async with served() as site:
            for level in (4, 5):
                client = await site.client("c", level)
                client.send(*(Ack(kind, 77) for kind in (4, 7)))
                assert await client.silent()
                client.send(Ack(PUBREC, 77))
                answer = await client.receive()
                assert isinstance(answer, Ack)
                assert answer.kind == PUBREL
                client.send(Ack(PUBREL, 77))
                answer = await client.receive()
                assert isinstance(answer, Ack)
                assert answer.code == (Reason.PACKET_ID_NOT_FOUND if level == 5 else 0)

    run(story())


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\x00b", "\ud800"])
def test_the_server_publishes_to_topics_only(topic: str) -> None:
    async def story() -> None:
        async with served() as site:
            with pytest.raises(InvalidInput):
                site.broker.publish(topic, b"x", retain=True)
            assert site.broker.current_stats().retained == 0

    run(story())


def test_routes_are_filters() -> None:
    async def story() -> None:
        def routes(broker: Broker) -> None:
            with pytest.raises(InvalidInput):
                broker.route("a/#/b", lambda messages, settle: settle(None))

        async with served(routes=routes) as site:
            assert site.broker.route_of("a/x/b") is site.broker.unrouted

    run(story())


def test_assigned_client_ids() -> None:
    async def story() -> None:
        async with served() as site:
            seen: set[str] = set()
            for _ in range(3):
                client = await site.client("", 5)
                assigned = client.connack.properties.assigned_client_id
                assert assigned
                seen.add(assigned)
            assert len(seen) == 3
            assert (await site.client("", 4)).connack == Connack()

    run(story())


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("0.0.0.0", False), ("::1", True)])
def test_the_authenticator_knows_how_the_listener_is_bound(host: str, loopback: bool) -> None:
    """doors.md 28: never by the peer's address."""

    async def story() -> None:
        asked: list[ConnectRequest] = []

        async def door(request: ConnectRequest) -> Grant:
            asked.append(request)
            return await open_door(request)

        async with served(authenticate=door, host=host) as site:
            if host == "::1":
                reader, writer = await asyncio.open_connection(host, site.port)
                writer.write(encode(Connect("c"), 4))
                assert await reader.readexactly(4)
                writer.transport.abort()
            else:
                await site.client("c", username="u", password=b"p", will=Will("w", b""))
        request = asked[0]
        assert (request.loopback_bound, request.listener) == (loopback, "plain")
        assert (request.peer, request.fingerprint, request.level) == ("::1" if ":" in host else "127.0.0.1", None, 4)
        if host != "::1":
            assert (request.username, request.password, request.will_topic) == ("u", b"p", "w")

    run(story())


def test_a_flood_before_the_answer() -> None:
    """What a client sends before it has been let in is bounded."""

    async def story() -> None:
        async with served(authenticate=strict_door) as site:
            client = await site.dial()
            packets: list[Packet] = [Connect("c", username="slow")]
            client.send(*packets, *(Pingreq() for _ in range(2_000)))
            assert await client.receive() is None

    run(story())
