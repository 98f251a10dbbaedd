"""A PUBACK means: the report is durable. It comes after the settlement, in order, once; without settlement it does
not come.
"""

import pytest

from support.aio import run
from thingstead.model.errors import LimitReached, StoreFailed
from thingstead.ports.sessions import Space
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.codec import encode
from thingstead.transports.mqtt.contract import ConnectRequest, Grant, Inbound, Limits, Settle
from thingstead.transports.mqtt.packets import Ack, Connect, Disconnect, Publish, Request
from thingstead.transports.mqtt.properties import PUBACK, PUBCOMP, PUBREC, PUBREL, Properties
from thingstead.transports.mqtt.reasons import Reason
from transports.mqtt_harness import Desk, MemorySessionStore, Served, open_door, served, until


def desk_at(pattern: str, desk: Desk, **options: bool):
    return lambda broker: broker.route(pattern, desk, **options)


def test_nothing_before_the_settlement() -> None:
    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("things/+/data", desk)) as site:
            client = await site.client()
            client.publish("things/c/data", b"1", packet_id=7)
            await desk.wait(1)
            assert await client.silent()
            desk.calls[0][1](None)
            assert await client.receive() == Ack(PUBACK, 7)
            desk.calls[0][1](None)
            assert await client.silent(), "a second settlement is ignored"

    run(story())


def test_one_call_for_the_messages_of_a_read() -> None:
    """Consecutive messages of one handler come together; another handler's messages divide them, in order."""

    async def story() -> None:
        first, second = Desk(), Desk()

        def routes(broker: Broker) -> None:
            broker.route("a/+", first)
            broker.route("b/#", second)

        async with served(routes=routes) as site:
            client = await site.client()
            topics = ["a/1", "a/2", "b/x/y", "free", "a/3"]
            client.send(*(Publish(topic, topic.encode(), 1, packet_id=i) for i, topic in enumerate(topics, 1)))
            await first.wait(2)
            assert [[m.topic for m in messages] for messages, _ in first.calls] == [["a/1", "a/2"], ["a/3"]]
            assert [m.levels for messages, _ in second.calls for m in messages] == [("b", "x", "y")]
            assert await client.silent()
            # settled in the wrong order, acknowledged in the right one
            first.calls[1][1](None)
            second.calls[0][1](None)
            assert await client.silent()
            first.calls[0][1](None)
            assert [await client.receive() for _ in topics] == [Ack(PUBACK, i) for i in range(1, 6)]
            assert site.broker.current_stats().received == 5

    run(story())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreFailed("disk full"), Reason.SERVER_BUSY),
        (LimitReached("enough"), Reason.QUOTA_EXCEEDED),
        (RuntimeError("oops"), Reason.UNSPECIFIED),
    ],
)
@pytest.mark.parametrize("raised", [False, True], ids=["settled", "raised"])
def test_a_failure_closes_and_acknowledges_nothing(error: Exception, reason: Reason, raised: bool) -> None:
    async def story() -> None:
        def handler(messages: list[Inbound], settle: Settle) -> None:
            if raised:
                raise error
            settle(error)

        async with served(routes=lambda broker: broker.route("t", handler)) as site:
            five, four = await site.client("five", 5), await site.client("four", 4)
            for client in (five, four):
                client.publish("t")
            answer = await five.receive()
            assert isinstance(answer, Disconnect)
            assert answer.code == reason
            assert await five.receive() is None
            assert await four.receive() is None

    run(story())


def test_a_lost_connection_does_not_keep_others_waiting() -> None:
    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("t", desk)) as site:
            gone, stays = await site.client("gone"), await site.client("stays")
            gone.publish("t", packet_id=1)
            await desk.wait(1)
            stays.publish("t", packet_id=2)
            await desk.wait(2)
            await gone.hang_up()
            await _connections(site, 1)
            for _, settle in desk.calls:
                settle(None)
            assert await stays.receive() == Ack(PUBACK, 2)

    run(story())


def test_verdicts() -> None:
    """A refused message is refused to MQTT 5, and costs a 3.1.1 client its connection; what came before it is
    acknowledged.
    """

    async def story() -> None:
        def handler(messages: list[Inbound], settle: Settle) -> None:
            settle([Reason.PAYLOAD_FORMAT_INVALID if m.payload == b"bad" else Reason.SUCCESS for m in messages])

        async with served(routes=lambda broker: broker.route("t", handler)) as site:
            listener = await site.client("listener")
            await listener.subscribe("t")
            for level in (5, 4):
                client = await site.client("c", level)
                client.send(*(Publish("t", p, 1, packet_id=i) for i, p in enumerate((b"a", b"bad", b"b"), 1)))
                assert await client.receive() == Ack(PUBACK, 1)
                if level == 5:
                    assert await client.receive() == Ack(PUBACK, 2, Reason.PAYLOAD_FORMAT_INVALID)
                    assert await client.receive() == Ack(PUBACK, 3)
                else:
                    assert await client.receive() is None
            assert [p.payload for p in await listener.publishes(4)] == [b"a", b"b"] * 2

    run(story())


def test_relay_after_settlement_and_not_at_all() -> None:
    async def story() -> None:
        relayed, kept = Desk(), Desk()

        def routes(broker: Broker) -> None:
            broker.route("relayed", relayed)
            broker.route("kept", kept, relay=False)

        async with served(routes=routes) as site:
            listener = await site.client("listener")
            await listener.subscribe("#")
            client = await site.client()
            client.publish("kept", b"k", packet_id=1)
            client.publish("relayed", b"r", packet_id=2)
            await relayed.wait(1)
            kept.calls[0][1](None)
            assert await client.receive() == Ack(PUBACK, 1)
            assert await listener.silent()
            relayed.calls[0][1](None)
            assert [p.payload for p in await listener.publishes(1)] == [b"r"]

    run(story())


def test_retained_is_acknowledged_when_durable() -> None:
    async def story() -> None:
        async with served() as site:
            client = await site.client()
            site.store.open.clear()
            client.publish("t", b"kept", retain=True)
            assert await client.silent()
            site.store.open.set()
            assert await client.receive() == Ack(PUBACK, 1)
            site.store.failing = True
            client.publish("t", b"lost", packet_id=2, retain=True)
            assert await client.receive() is None, "not durable: not acknowledged"
            site.store.failing = False
            # what is in memory is not forgotten: it is written as soon as the store works again
            await until(lambda: b"lost" in site.store.spaces[Space.RETAINED]["t"])

    run(story())


def test_a_queued_copy_is_durable_before_the_acknowledgement() -> None:
    """Killed right after a PUBACK, the message is still there for the subscriber that was away."""

    async def story() -> None:
        async with served() as site:
            away = await site.client("away", clean_start=False)
            assert await away.subscribe("t") == (1,)
            await away.hang_up()
            client = await site.client()
            client.publish("t", b"m")
            assert await client.receive() == Ack(PUBACK, 1)
            crashed = site.store.copy()
        async with served(store=crashed) as site:
            away = await site.client("away", clean_start=False)
            assert away.connack.session_present
            assert [p.payload for p in await away.publishes(1)] == [b"m"]

    run(story())


def test_qos_2_is_handed_over_once() -> None:
    async def story() -> None:
        desk = Desk()
        store = MemorySessionStore()
        async with served(routes=desk_at("t", desk), store=store) as site:
            client = await site.client(clean_start=False)
            client.publish("t", b"once", qos=2, packet_id=5)
            await desk.wait(1)
            client.publish("t", b"once", qos=2, packet_id=5, dup=True)
            assert await client.silent()
            desk.calls[0][1](None)
            assert await client.receive() == Ack(PUBREC, 5)
            client.publish("t", b"once", qos=2, packet_id=5, dup=True)
            assert await client.receive() == Ack(PUBREC, 5)
            crashed = store.copy()
        assert len(desk.calls) == 1
        async with served(routes=desk_at("t", desk), store=crashed) as site:
            client = await site.client(clean_start=False)
            client.publish("t", b"once", qos=2, packet_id=5, dup=True)
            assert await client.receive() == Ack(PUBREC, 5)
            client.send(Ack(PUBREL, 5))
            assert await client.receive() == Ack(PUBCOMP, 5)
            assert len(desk.calls) == 1
            client.publish("t", b"twice", qos=2, packet_id=5)
            await desk.wait(2)
            desk.calls[1][1](None)
            assert await client.receive() == Ack(PUBREC, 5)

    run(story())


@pytest.mark.parametrize("outcome", [None, StoreFailed("disk full")])
def test_qos_2_sent_again_while_the_first_is_unsettled(outcome: BaseException | None) -> None:
    """The client lost its connection meanwhile: the second copy waits for the first one's fate."""

    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("t", desk)) as site:
            client = await site.client(clean_start=False)
            client.publish("t", b"once", qos=2, packet_id=5)
            await desk.wait(1)
            await client.hang_up()
            client = await site.client(clean_start=False)
            client.publish("t", b"once", qos=2, packet_id=5, dup=True)
            assert await client.silent()
            desk.calls[0][1](outcome)
            assert await client.receive() == (None if outcome else Ack(PUBREC, 5))
            assert len(desk.calls) == 1

    run(story())


def test_denied_publishes() -> None:
    """QoS 0 dropped; MQTT 5 told so; 3.1.1 closed (things.md 6.4)."""

    async def door(request: ConnectRequest) -> Grant:
        return Grant(
            client_id=request.client_id,
            allow_publish=lambda topic: topic.startswith("mine/"),
            allow_subscribe=lambda _: True,
        )

    async def story() -> None:
        async with served(authenticate=door) as site:
            for level in (4, 5):
                listener = await site.client("l", level)
                await listener.subscribe("#", "$SYS/#")
                client = await site.client("c", level)
                client.publish("mine/1", b"yes", packet_id=1)
                client.publish("other/1", b"no", qos=0)
                client.publish("other/1", b"no", packet_id=2)
                client.publish("mine/1", b"yes", packet_id=3)
                assert await client.receive() == Ack(PUBACK, 1)
                if level == 5:
                    assert await client.receive() == Ack(PUBACK, 2, Reason.NOT_AUTHORIZED)
                    assert await client.receive() == Ack(PUBACK, 3)
                    client.publish("other/2", qos=2, packet_id=4)
                    assert await client.receive() == Ack(PUBREC, 4, Reason.NOT_AUTHORIZED)
                    client.publish("mine/" + "x" * 1_100, packet_id=5)
                    assert await client.receive() == Ack(PUBACK, 5, Reason.TOPIC_NAME_INVALID)
                    client.publish("mine" + "/x" * 100, packet_id=6)
                    assert await client.receive() == Ack(PUBACK, 6, Reason.TOPIC_NAME_INVALID)
                else:
                    assert await client.receive() is None
                assert {p.payload for p in await listener.publishes(2 if level == 5 else 1)} == {b"yes"}
                assert await listener.silent()
            assert site.broker.current_stats().denied == 9

    run(story())


def test_the_receive_maximum_binds() -> None:
    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("t", desk), limits=Limits(receive_maximum=3)) as site:
            client = await site.client(level=5)
            assert client.connack.properties.receive_maximum == 3
            client.send(*(Publish("t", b"", 2, packet_id=i) for i in (1, 2, 3)))
            await desk.wait(1)
            desk.calls[0][1](None)
            assert [await client.receive() for _ in range(3)] == [Ack(PUBREC, i) for i in (1, 2, 3)]
            client.send(Ack(PUBREL, 1), Publish("t", b"", 1, packet_id=4))
            assert await client.receive() == Ack(PUBCOMP, 1)
            await desk.wait(2)
            desk.calls[1][1](None)
            assert await client.receive() == Ack(PUBACK, 4), "a release makes room"
            client.send(*(Publish("t", b"", 1, packet_id=i) for i in (5, 6)))
            answer = await client.receive()
            assert isinstance(answer, Disconnect)
            assert answer.code == Reason.RECEIVE_MAXIMUM_EXCEEDED

    run(story())


def test_unsettled_messages_stop_the_reading() -> None:
    """A client that is faster than the store is not read further; all of it is served once the store has caught up."""

    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("t", desk), limits=Limits(unsettled=50)) as site:
            client = await site.client()
            flood = b"".join(encode(Publish("t", b"%d" % i + b"." * 1_000, 0), 4) for i in range(5_000))
            client.send_bytes(flood)
            await desk.wait(1)
            await site.client("somebody else")
            taken = len(desk.payloads())
            assert 50 <= taken < 2_500
            done = 0
            while len(desk.payloads()) < 5_000:
                await desk.wait(done + 1)
                desk.calls[done][1](None)
                done += 1
            assert [int(payload.rstrip(b".")) for payload in desk.payloads()] == list(range(5_000))

    run(story())


def test_topic_aliases() -> None:
    async def story() -> None:
        desk = Desk()
        async with served(routes=desk_at("t/#", desk)) as site:
            client = await site.client(level=5)
            known = client.connack.properties.topic_alias_maximum
            assert known
            client.publish("t/1", b"a", qos=0, properties=Properties(topic_alias=1))
            client.publish("", b"b", qos=0, properties=Properties(topic_alias=1))
            client.publish("t/2", b"c", qos=0, properties=Properties(topic_alias=1))
            client.publish("", b"d", qos=0, properties=Properties(topic_alias=1))
            client.publish("", b"e", qos=0, properties=Properties(topic_alias=2))
            answer = await client.receive()
            assert isinstance(answer, Disconnect)
            assert answer.code == Reason.TOPIC_ALIAS_INVALID
            got = [(m.topic, m.payload) for messages, _ in desk.calls for m in messages]
            assert got == [("t/1", b"a"), ("t/1", b"b"), ("t/2", b"c"), ("t/2", b"d")]

    run(story())


def test_packets_sent_before_the_connack_are_served_after_it() -> None:
    async def story() -> None:
        async with served() as site:
            client = await site.dial()
            client.send(Connect("eager"), Publish("t", b"x", 1, packet_id=1))
            connack = await client.receive()
            assert (connack, await client.receive()) != (None, None)
            assert type(connack).__name__ == "Connack"

    run(story())


def test_server_side_publish_reaches_the_same_client_before_or_after_but_once() -> None:
    """A handler may answer from within: the answer and the acknowledgement both arrive."""

    async def story() -> None:
        site_broker: list[Broker] = []

        def handler(messages: list[Inbound], settle: Settle) -> None:
            for message in messages:
                assert message.session.principal == "c"
                site_broker[0].publish("answers/c", message.payload, qos=1)
            settle(None)

        def routes(broker: Broker) -> None:
            site_broker.append(broker)
            broker.route("questions", handler, relay=False)

        async with served(routes=routes, authenticate=open_door) as site:
            assert not site.broker.has_subscribers("answers/c")
            client = await site.client()
            await client.subscribe(Request("answers/+", 1))
            assert site.broker.has_subscribers("answers/c")
            client.publish("questions", b"why")
            packets = [await client.receive(), await client.receive()]
            assert Ack(PUBACK, 1) in packets
            assert [p.payload for p in packets if isinstance(p, Publish)] == [b"why"]
            client.publish("questions", b"how", packet_id=1)
            assert {type(await client.receive()), type(await client.receive())} == {Ack, Publish}

    run(story())


async def _connections(site: Served, count: int) -> None:
    await until(lambda: site.broker.current_stats().connections == count)
