"""Sessions, subscriptions, retained messages: what MQTT promises, and that it survives a restart (things.md 6.3,
6.5).
"""

import asyncio

import pytest

from support.aio import run
from support.environment import ManualClock
from thingstead.ports.sessions import Space
from thingstead.transports.mqtt.contract import ConnectRequest, Grant, Limits
from thingstead.transports.mqtt.packets import Ack, Disconnect, Publish, Request, Unsuback, Unsubscribe, Will
from thingstead.transports.mqtt.properties import PUBACK, Properties
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason
from transports.mqtt_harness import MemorySessionStore, PacketClient, open_door, served, until

DAY = Properties(session_expiry=86_400)


@pytest.mark.parametrize("level", [4, 5])
def test_takeover(level: int) -> None:
    """The old connection is told (MQTT 5) and closed, its will published, the session goes on."""

    async def story() -> None:
        async with served() as site:
            watcher = await site.client("watcher")
            await watcher.subscribe("wills")
            lasting = DAY if level == 5 else Properties()
            old = await site.client("same", level, clean_start=False, will=Will("wills", b"gone"), properties=lasting)
            await old.subscribe("t")
            new = await site.client("same", level, clean_start=False, properties=lasting)
            if level == 5:
                farewell = await old.receive()
                assert isinstance(farewell, Disconnect)
                assert farewell.code == Reason.SESSION_TAKEN_OVER
            assert await old.receive() is None
            assert new.connack.session_present
            assert [p.payload for p in await watcher.publishes(1)] == [b"gone"]
            site.broker.publish("t", b"to the new one", qos=1)
            assert [p.payload for p in await new.publishes(1)] == [b"to the new one"]
            assert site.broker.current_stats().connections == 2

    run(story())


def test_a_client_id_belongs_to_its_owner() -> None:
    """Another owner who picks the same client id neither disconnects the first nor sees its session."""

    async def door(request: ConnectRequest) -> Grant:
        allow = {"allow_publish": lambda _: True, "allow_subscribe": lambda _: True}
        return Grant(client_id=request.client_id, owner=request.username or "", **allow)  # type: ignore[arg-type]

    async def story() -> None:
        async with served(authenticate=door) as site:
            mine = await site.client("same", username="me", clean_start=False)
            await mine.subscribe("t")
            other = await site.client("same", username="you", clean_start=False)
            assert not other.connack.session_present
            site.broker.publish("t", b"x", qos=1)
            assert len(await mine.publishes(1)) == 1
            assert await other.silent()
            assert site.broker.close_client("same")
            assert (await mine.receive(), await other.receive()) == (None, None)
            assert not site.broker.close_client("same")

    run(story())


def test_everything_survives_a_restart() -> None:
    """Subscriptions, messages in flight and queued (in order, marked as sent again), retained messages."""

    async def story() -> None:
        store, clock = MemorySessionStore(), ManualClock()
        async with served(store=store, clock=clock, limits=Limits(receive_maximum=2)) as site:
            away = await site.client("away", 5, clean_start=False, properties=DAY)
            assert await away.subscribe(Request("t/+", 2), Request("zero", 0)) == (1, 0)
            for i in range(4):
                site.broker.publish(f"t/{i}", b"%d" % i, qos=1)
            site.broker.publish("kept", b"r", qos=1, retain=True)
            first = await away.publishes(2)
            assert await away.silent(), "the window is 2"
            away.send(Ack(PUBACK, first[0].packet_id))
            third = (await away.publishes(1))[0]
            assert third.payload == b"2"
        farewell = await away.receive()
        assert isinstance(farewell, Disconnect)
        assert farewell.code == Reason.SERVER_SHUTTING_DOWN
        clock.advance(3_600)
        async with served(store=store, clock=clock) as site:
            site.broker.publish("t/late", b"late", qos=1)
            site.broker.publish("zero", b"never", qos=1)
            away = await site.client("away", 5, clean_start=False, properties=DAY)
            assert away.connack.session_present
            again = await away.publishes(4)
            assert [p.payload for p in again] == [b"1", b"2", b"3", b"late"]
            assert [p.packet_id for p in again[:2]] == [first[1].packet_id, third.packet_id]
            assert [p.dup for p in again] == [True, True, True, False]
            away.send(*(Ack(PUBACK, p.packet_id) for p in again))
            assert await away.subscribe("kept") == (1,)
            retained = (await away.publishes(1))[0]
            assert (retained.payload, retained.retain) == (b"r", True)
            away.send(Ack(PUBACK, retained.packet_id))
            assert await away.silent()
        assert not store.spaces[Space.QUEUED]
        assert set(store.spaces[Space.RETAINED]) == {"kept"}

    run(story())


@pytest.mark.parametrize("level", [4, 5])
def test_a_client_that_comes_back(level: int) -> None:
    """What it has not acknowledged comes first, in the same order, same ids, marked; then what came since."""

    async def story() -> None:
        lasting = DAY if level == 5 else Properties()
        async with served() as site:
            client = await site.client("c", level, clean_start=False, properties=lasting)
            await client.subscribe("t")
            for i in range(3):
                site.broker.publish("t", b"%d" % i, qos=1)
            before = await client.publishes(3)
            await client.hang_up()
            await until(lambda: site.broker.current_stats().connections == 0)
            site.broker.publish("t", b"3", qos=1)
            client = await site.client("c", level, clean_start=False, properties=lasting)
            after = await client.publishes(4)
            assert [p.payload for p in after] == [b"0", b"1", b"2", b"3"]
            assert [p.packet_id for p in after[:3]] == [p.packet_id for p in before]
            assert [p.dup for p in after] == [True, True, True, False]
            client.send(*(Ack(PUBACK, p.packet_id) for p in after))
            assert await client.silent()
            await until(lambda: not site.store.spaces[Space.QUEUED])

    run(story())


@pytest.mark.parametrize(
    ("level", "expiry", "granted"),
    [(4, None, 3_600), (5, 100, 100), (5, 0xFFFFFFFF, 604_800)],
    ids=["3.1.1", "as asked", "at most 7 days"],
)
def test_sessions_expire(level: int, expiry: int | None, granted: int) -> None:
    async def story() -> None:
        properties = Properties(session_expiry=expiry)
        for late in (-1, 1):
            async with served() as site:
                client = await site.client("c", level, clean_start=False, properties=properties)
                if expiry == 0xFFFFFFFF:
                    assert client.connack.properties.session_expiry == granted
                await client.subscribe("t")
                await client.hang_up()
                await until(lambda site=site: site.broker.current_stats().connections == 0)
                site.clock.advance(granted + late)
                back = await site.client("c", level, clean_start=False, properties=properties)
                assert back.connack.session_present is (late < 0)
        # also when the server was down in between
        store, clock = MemorySessionStore(), ManualClock()
        async with served(store=store, clock=clock) as site:
            client = await site.client("c", level, clean_start=False, properties=properties)
            await client.subscribe("t")
        clock.advance(granted + 1)
        async with served(store=store, clock=clock):
            await until(lambda: not store.spaces[Space.SESSIONS])

    run(story())


def test_clean_sessions_leave_nothing() -> None:
    async def story() -> None:
        async with served() as site:
            lasting = await site.client("c", clean_start=False)
            await lasting.subscribe("t")
            await lasting.hang_up()
            await until(lambda: site.broker.current_stats().connections == 0)
            site.broker.publish("t", b"queued", qos=1)
            clean = await site.client("c")
            assert not clean.connack.session_present
            assert await clean.silent()
            await clean.subscribe("t")
            await clean.hang_up()
            await until(lambda: site.broker.current_stats().sessions == 0)
            assert not site.broker.has_subscribers("t")
            await until(lambda: not any(site.store.spaces.values()))

    run(story())


def test_disconnect_may_change_the_expiry() -> None:
    async def story() -> None:
        async with served() as site:
            client = await site.client("c", 5, properties=DAY)
            client.send(Disconnect(0, Properties(session_expiry=0)))
            assert await client.receive() is None
            assert site.broker.current_stats().sessions == 0
            client = await site.client("c", 5)
            client.send(Disconnect(0, DAY))
            farewell = await client.receive()
            assert isinstance(farewell, Disconnect)
            assert farewell.code == Reason.PROTOCOL_ERROR

    run(story())


def test_the_offline_queue_is_bounded() -> None:
    async def story() -> None:
        async with served(limits=Limits(offline_queue=3)) as site:
            away = await site.client("away", clean_start=False)
            await away.subscribe("t")
            await away.hang_up()
            await until(lambda: site.broker.current_stats().connections == 0)
            for i in range(5):
                site.broker.publish("t", b"%d" % i, qos=1)
            assert site.broker.current_stats().dropped == 2
            await until(lambda: len(site.store.spaces[Space.QUEUED]) == 3)
            away = await site.client("away", clean_start=False)
            assert [p.payload for p in await away.publishes(3)] == [b"2", b"3", b"4"]

    run(story())


def test_a_subscriber_that_does_not_read() -> None:
    """Its QoS 0 messages are dropped, its QoS 1 messages wait up to the bound; others do not notice."""

    async def story() -> None:
        async with served(limits=Limits(offline_queue=10, write_buffer=10_000)) as site:
            slow, quick = await site.client("slow"), await site.client("quick")
            for client in (slow, quick):
                await client.subscribe(Request("zero", 0), Request("one", 1))
            slow.pause()
            for i in range(600):
                site.broker.publish("zero", b"%d" % i + b"." * 50_000)
                assert (await quick.publishes(1))[0].payload.startswith(b"%d." % i)
            assert site.broker.current_stats().dropped > 0
            for i in range(20):
                site.broker.publish("one", b"%d" % i, qos=1)
                packet = (await quick.publishes(1))[0]
                quick.send(Ack(PUBACK, packet.packet_id))
            slow.resume()
            kept: list[bytes] = []
            while len(kept) < 10:
                packet = (await slow.publishes(1))[0]
                if packet.qos:
                    kept.append(packet.payload)
                    slow.send(Ack(PUBACK, packet.packet_id))
            assert kept == [b"%d" % i for i in range(10, 20)]

    run(story())


def test_retained_messages() -> None:
    async def story() -> None:
        async with served() as site:
            client = await site.client()
            for topic, payload in [
                ("a/1", b"1"),
                ("a/2", b"2"),
                ("a/b/3", b"3"),
                ("$aws/x", b"hidden"),
                ("a/1", b"1b"),
            ]:
                client.publish(topic, payload, qos=0, retain=True)
            client.publish("a/2", b"", qos=0, retain=True)
            assert await client.silent()
            assert site.broker.current_stats().retained == 2
            reader = await site.client("reader")
            for pattern, expected in [
                ("a/+", {b"1b"}),
                ("#", {b"1b", b"3"}),
                ("a/b/3", {b"3"}),
                ("$aws/#", set[bytes]()),
            ]:
                await reader.subscribe(pattern)
                packets = await reader.publishes(len(expected))
                assert {p.payload for p in packets} == expected
                assert all(p.retain and p.qos == 0 for p in packets)
                assert await reader.silent()
            client.publish("a/1", b"live", qos=0, retain=True)
            live = (await reader.publishes(1))[0]
            assert (live.payload, live.retain) == (b"live", False), "once per client, not marked when it is news"

    run(story())


def test_subscription_options_of_mqtt_5() -> None:
    async def story() -> None:
        async with served() as site:
            site.broker.publish("kept", b"r", retain=True)
            client = await site.client("c", 5)
            await client.subscribe(Request("kept", 0, retain_handling=2))
            assert await client.silent()
            await client.subscribe(Request("kept", 0, retain_handling=1))
            assert await client.silent(), "the subscription was there before"
            assert await client.subscribe(Request("own", 1, no_local=True), Request("as", 0, retain_as_published=True))
            client.publish("own", b"mine", qos=0)
            assert await client.silent()
            site.broker.publish("as", b"marked", retain=True)
            assert (await client.publishes(1))[0].retain
            ids = Properties(subscription_ids=(5,))
            await client.subscribe(Request("x/#", 0), properties=ids)
            await client.subscribe(Request("x/+", 1), properties=Properties(subscription_ids=(268_435_455,)))
            site.broker.publish("x/y", b"both", qos=1)
            packet = (await client.publishes(1))[0]
            assert packet.properties is not None
            assert sorted(packet.properties.subscription_ids) == [5, 268_435_455]
            assert packet.qos == 1
            assert await client.silent(), "overlapping subscriptions: one copy"
            client.send(Unsubscribe(3, ("x/#", "unknown")))
            assert await client.receive() == Unsuback(3, (Reason.SUCCESS, Reason.NO_SUBSCRIPTION_EXISTED))

    run(story())


def test_properties_pass_through() -> None:
    """What one MQTT 5 client attaches, another gets; the message expiry counts down and ends in not being delivered."""

    async def story() -> None:
        sent = Properties(
            payload_format=1,
            message_expiry=100,
            content_type="text/plain",
            response_topic="answers",
            correlation_data=b"\x00\x01",
            user_properties=(("a", "1"), ("a", "2")),
        )
        async with served() as site:
            away = await site.client("away", 5, properties=DAY)
            old = await site.client("old", 4)
            await away.subscribe("t")
            await old.subscribe("t")
            await away.hang_up()
            await until(lambda: site.broker.current_stats().connections == 1)
            client = await site.client("c", 5)
            client.publish("t", b"x", properties=sent)
            client.publish("t", b"short", packet_id=2, properties=Properties(message_expiry=10, topic_alias=1))
            assert [p.properties for p in await old.publishes(2)] == [None, None]
            assert await client.receive() == Ack(PUBACK, 1)
            assert await client.receive() == Ack(PUBACK, 2)
            site.clock.advance(30)
            away = await site.client("away", 5, clean_start=False, properties=DAY)
            packet = (await away.publishes(1))[0]
            assert packet.properties == Properties(
                payload_format=1,
                message_expiry=70,
                content_type="text/plain",
                response_topic="answers",
                correlation_data=b"\x00\x01",
                user_properties=(("a", "1"), ("a", "2")),
            )
            away.send(Ack(PUBACK, packet.packet_id))
            assert await away.silent(), "the other message has expired"

    run(story())


def test_wills() -> None:
    """Published when a client vanishes or asks for it, not when it says goodbye; after its delay, unless the client
    is back.
    """

    async def story() -> None:
        async with served() as site:
            watcher = await site.client("watcher")
            await watcher.subscribe("wills/+")

            async def doomed(name: str, delay: int | None = None) -> PacketClient:
                will = Will(f"wills/{name}", name.encode(), 1, properties=Properties(will_delay=delay))
                return await site.client(name, 5, clean_start=False, will=will, properties=DAY)

            for name, last_word in [("polite", Disconnect(0)), ("hangs up", None), ("asks", Disconnect(4))]:
                client = await doomed(name)
                if last_word is not None:
                    client.send(last_word)
                    assert await client.receive() is None
                await client.hang_up()
            assert [p.payload for p in await watcher.publishes(2)] == [b"hangs up", b"asks"]
            returns = await doomed("returns", 1)
            await returns.hang_up()
            late = await doomed("late", 1)
            await late.hang_up()
            await until(lambda: site.broker.current_stats().connections == 1)
            await site.client("returns", 5, clean_start=False, properties=DAY)
            assert await watcher.silent()
            assert [p.payload for p in await watcher.publishes(1)] == [b"late"]
            assert await watcher.silent()

    run(story())


def test_rights_that_shrink() -> None:
    """Subscriptions and waiting messages that a returning client may no longer have are gone; so is its connection at
    once.
    """

    async def story() -> None:
        rights = {"a", "b"}

        async def door(request: ConnectRequest) -> Grant:
            return Grant(
                client_id=request.client_id,
                principal={"name": request.client_id},
                allow_publish=lambda _: False,
                allow_subscribe=lambda pattern: pattern in rights,
                allow_receive=lambda topic: topic in rights,
            )

        async with served(authenticate=door) as site:
            client = await site.client("c", 5, clean_start=False, properties=DAY)
            other = await site.client("other", 5)
            assert await client.subscribe("a", "b", "x") == (1, 1, Reason.NOT_AUTHORIZED)
            assert site.broker.close_where(lambda principal: principal == {"name": "c"}, Reason.NOT_AUTHORIZED) == 1
            farewell = await client.receive()
            assert isinstance(farewell, Disconnect)
            assert farewell.code == Reason.NOT_AUTHORIZED
            assert await client.receive() is None
            assert await other.silent()
            site.broker.publish("a", b"a", qos=1)
            site.broker.publish("b", b"b", qos=1)
            rights.remove("a")
            client = await site.client("c", 5, clean_start=False, properties=DAY)
            assert [p.payload for p in await client.publishes(1)] == [b"b"]
            assert not site.broker.has_subscribers("a")

    run(story())


def test_keep_alive() -> None:
    """Silence for one and a half times the keep-alive ends the connection; a client that sends stays."""

    async def story() -> None:
        async with served() as site:
            silent, lively = await site.client("silent", 5, keep_alive=1), await site.client("lively", keep_alive=1)
            loop = asyncio.get_running_loop()
            start = loop.time()

            async def talk() -> None:
                while True:
                    lively.publish("t", qos=0)
                    await asyncio.sleep(0.2)

            talking = asyncio.create_task(talk())
            farewell = await silent.receive()
            assert isinstance(farewell, Disconnect)
            assert farewell.code == Reason.KEEP_ALIVE_TIMEOUT
            assert 1.3 < loop.time() - start < 3
            talking.cancel()
            assert await lively.silent()
            forever = await site.client("forever", 5, keep_alive=0)
            assert forever.connack.properties.server_keep_alive == 1_200

    run(story())


def test_a_client_too_small_for_a_message() -> None:
    async def story() -> None:
        async with served() as site:
            client = await site.client("c", 5, properties=Properties(maximum_packet_size=50, receive_maximum=1))
            await client.subscribe(Request("zero", 0), Request("one", 1))
            for topic in ("zero", "one"):
                site.broker.publish(topic, b"x" * 100, qos=1)
                site.broker.publish(topic, b"fits", qos=1)
                assert [p.payload for p in await client.publishes(1)] == [b"fits"]
            assert site.broker.current_stats().dropped == 2

    run(story())


def test_a_record_that_cannot_be_read_is_left_out() -> None:
    async def story() -> None:
        store = MemorySessionStore()
        async with served(store=store) as site:
            client = await site.client("good", clean_start=False)
            await client.subscribe("t")
            site.broker.publish("r", b"good", retain=True)
        store.spaces[Space.SESSIONS]["0::bad"] = b"\xc1"
        store.spaces[Space.RETAINED]["bad"] = b"nonsense"
        store.spaces[Space.QUEUED]["000000000000:0::nobody"] = b""
        async with served(store=store) as site:
            assert site.broker.current_stats().sessions == 1
            assert site.broker.current_stats().retained == 1
            await until(lambda: not store.spaces[Space.QUEUED])

    run(story())


def test_failed_saves_come_again() -> None:
    """While the store fails nothing is promised; once it works, what is in memory is written."""

    async def story() -> None:
        async with served() as site:
            client = await site.client("c", clean_start=False)
            site.store.failing = True
            client.send_subscribe("t")
            assert await client.receive() is None
            site.store.failing = False
            await until(lambda: "0::c" in site.store.spaces[Space.SESSIONS])
            back = await site.client("c", clean_start=False)
            assert back.connack.session_present
            assert await back.subscribe("t") == (1,)

    run(story())


def _refuse(reason: Reason):
    async def door(request: ConnectRequest) -> Grant:
        if request.password == b"good":
            return await open_door(request)
        raise ConnectRefused(reason, "because")

    return door


def test_too_many_failed_authentications() -> None:
    async def story() -> None:
        async with served(
            authenticate=_refuse(Reason.BAD_CREDENTIALS), limits=Limits(failed_authentications=3)
        ) as site:

            async def attempt(password: bytes) -> int:
                client = await site.dial(5)
                return (await client.connect("c", username="u", password=password)).code

            assert [await attempt(b"bad") for _ in range(3)] == [Reason.BAD_CREDENTIALS] * 3
            assert await attempt(b"good") == Reason.CONNECTION_RATE_EXCEEDED
            site.clock.advance(61)
            assert await attempt(b"good") == 0
            for _ in range(6):
                assert await attempt(b"bad") == Reason.BAD_CREDENTIALS
                site.clock.advance(30)

    run(story())


def test_fan_out_is_one_frame_for_all() -> None:
    async def story() -> None:
        async with served() as site:
            clients = [await site.client(f"c{i}", 4 + i % 2) for i in range(10)]
            for client in clients:
                await client.subscribe(Request("news/+", 0))
            site.broker.publish("news/1", b"extra", qos=1)
            for client in clients:
                assert await client.publishes(1) == [Publish("news/1", b"extra")]

    run(story())
