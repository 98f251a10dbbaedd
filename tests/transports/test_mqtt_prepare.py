"""Rights that must be looked up (`Grant.prepare`): asked before the message that needs them, in order, with bounded
input; a failure or an end of the connection meanwhile is handled, and who has lost a right hears nothing more."""

import asyncio
from collections.abc import Sequence

from support.aio import run
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import ConnectRequest, Grant
from thingstead.transports.mqtt.packets import Ack, Disconnect, Publish, Will
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason
from transports.mqtt_harness import Desk, open_door, served, until


class Rights:
    """Allows what is in `allowed`, once it was asked about; `open` lets questions through."""

    def __init__(self) -> None:
        self.allowed = {"a", "b"}
        self.known: set[str] = set()
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing: Exception | None = None

    async def prepare(self, names: Sequence[str]) -> None:
        self.asked.append(list(names))
        await self.open.wait()
        if self.failing is not None:
            raise self.failing
        self.known = self.allowed & set(names)

    async def door(self, request: ConnectRequest) -> Grant:
        if request.client_id == "device":
            return await open_door(request)
        return Grant(
            client_id=request.client_id,
            principal=request.client_id,
            allow_publish=lambda topic: topic in self.known,
            allow_subscribe=lambda pattern: pattern in self.known,
            prepare=self.prepare,
        )


def test_input_waits_in_order() -> None:
    async def story() -> None:
        rights, desk = Rights(), Desk()

        def routes(broker: Broker) -> None:
            broker.route("#", desk)

        async with served(authenticate=rights.door, routes=routes) as site:
            client = await site.client(level=5)
            rights.open.clear()
            for n in range(250):
                client.publish("a", str(n).encode(), qos=0)
            await until(lambda: len(rights.asked) == 2)
            client.publish("c", b"no", qos=1, packet_id=7)
            client.publish("b", b"last", qos=0)
            assert desk.calls == []
            rights.open.set()
            await until(lambda: desk.payloads()[-1:] == [b"last"])
            assert desk.payloads() == [*(str(n).encode() for n in range(250)), b"last"]
            for _, settle in desk.calls:
                settle(None)
            answer = await client.receive()
            assert isinstance(answer, Ack)
            assert answer.code == Reason.NOT_AUTHORIZED
            # the device asks nobody
            asked = len(rights.asked)
            device = await site.client("device")
            device.publish("a", b"d", qos=0)
            await until(lambda: desk.payloads()[-1] == b"d")
            assert len(rights.asked) == asked

    run(story())


def test_a_failure_closes() -> None:
    async def story() -> None:
        rights = Rights()
        async with served(authenticate=rights.door) as site:
            for error, reason in (
                (ValueError("x"), Reason.SERVER_BUSY),
                (ConnectRefused(Reason.NOT_AUTHORIZED), Reason.NOT_AUTHORIZED),
            ):
                rights.failing = None
                client = await site.client(level=5)
                rights.failing = error
                client.publish("a")
                answer = await client.receive()
                assert isinstance(answer, Disconnect)
                assert answer.code == reason
                assert await client.receive() is None
            assert not site.broker.connections

    run(story())


def test_what_came_before_the_end_is_served() -> None:
    async def story() -> None:
        rights, desk = Rights(), Desk()

        def routes(broker: Broker) -> None:
            broker.route("#", desk)

        async with served(authenticate=rights.door, routes=routes) as site:
            client = await site.client(will=Will("b", b"will"))
            rights.open.clear()
            client.publish("a", b"1", qos=0)
            client.send(Disconnect(0))
            await until(lambda: len(rights.asked) == 2)
            await client.hang_up()
            rights.open.set()
            await until(lambda: not site.broker.connections)
            assert desk.payloads() == [b"1"]  # and no will: the client said goodbye

    run(story())


def test_who_lost_a_right_hears_nothing_more() -> None:
    """Until it is known nothing is sent; then all of it, or nothing and the end."""

    async def story() -> None:
        rights = Rights()
        async with served(authenticate=rights.door) as site:
            device = await site.client("device")
            for still in (True, False):
                rights.allowed = {"a", "b"}
                client = await site.client(level=5)
                assert await client.subscribe("a") == (1,)
                rights.open.clear()
                if not still:
                    rights.allowed = {"b"}
                site.broker.review(lambda principal: principal == "c")
                device.publish("a", b"secret")
                assert isinstance(await device.receive(), Ack)
                device.publish("a", b"secret too", qos=0)
                assert await device.silent()
                rights.open.set()
                answer = await client.receive()
                if still:
                    assert isinstance(answer, Publish)
                    assert answer.payload == b"secret"
                    assert [packet.payload for packet in await client.publishes(1)] == [b"secret too"]
                else:
                    assert isinstance(answer, Disconnect)
                    assert answer.code == Reason.NOT_AUTHORIZED
                    assert await client.receive() is None
                client.abort()
                await until(lambda: len(site.broker.connections) == 1)

    run(story())
