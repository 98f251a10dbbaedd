"""Promise: MQTT clients are bounded in number, in how often they connect and fail, and in what they publish; who is
over a limit is told so in the words of its protocol, and counted (docs/reference/limits.md)."""

import pytest

from support.aio import run
from thingstead.model.rates import network
from thingstead.transports.mqtt.contract import ConnectRequest, Grant, Limits
from thingstead.transports.mqtt.packets import Disconnect
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason
from transports.mqtt_harness import served, until

LEVELS = pytest.mark.parametrize("level", [4, 5])


def told(level: int, reason: Reason) -> int:
    """What a CONNACK says to a client of that level."""
    return int(reason) if level == 5 else 3


@LEVELS
def test_connections(level: int) -> None:
    async def main() -> None:
        async with served(limits=Limits(connections=2)) as here:
            first = await here.client("a", level)
            await here.client("b", level)
            assert (await (await here.dial(level)).connect("c")).code == told(level, Reason.SERVER_BUSY)
            await first.hang_up()
            await until(lambda: here.broker.current_stats().connections == 1)
            await here.client("d", level)
            assert (here.broker.stats.limited, here.broker.stats.refused) == (1, 1)

    run(main())


@LEVELS
def test_connections_of_an_address(level: int) -> None:
    async def main() -> None:
        async with served(limits=Limits(connections_of_address=2)) as here:
            await here.client("a", level)
            await here.client("b", level)
            assert (await (await here.dial(level)).connect("c")).code == told(level, Reason.QUOTA_EXCEEDED)
        async with served(limits=Limits(connections_of_address=-2)) as lenient:  # not at loopback
            for name in "abc":
                await lenient.client(name, level)

    run(main())


@LEVELS
def test_connects(level: int) -> None:
    async def main() -> None:
        async with served(limits=Limits(connects=2)) as here:
            for _ in range(2):
                await (await here.client("a", level)).hang_up()
            refused = await (await here.dial(level)).connect("a")
            assert refused.code == told(level, Reason.CONNECTION_RATE_EXCEEDED)
            here.clock.advance(60)
            await here.client("a", level)
            assert here.broker.stats.limited == 1

    run(main())


async def closed(request: ConnectRequest) -> Grant:
    """Knows nobody."""
    raise ConnectRefused(Reason.BAD_CREDENTIALS)


@LEVELS
def test_failures(level: int) -> None:
    async def main() -> None:
        async with served(authenticate=closed, limits=Limits(failed_authentications=2)) as here:
            wrong = 4 if level == 4 else int(Reason.BAD_CREDENTIALS)
            codes = [(await (await here.dial(level)).connect("a")).code for _ in range(3)]
            assert codes == [wrong, wrong, told(level, Reason.CONNECTION_RATE_EXCEEDED)]
            here.clock.advance(60)
            assert (await (await here.dial(level)).connect("a")).code == wrong

    run(main())


@LEVELS
def test_publishes(level: int) -> None:
    """Ten seconds' worth may come at once, and no more in ten seconds."""

    async def main() -> None:
        async with served(limits=Limits(publish_rate=2)) as here:
            client = await here.client("a", level)
            for _ in range(2):
                for n in range(20):
                    client.publish("t", qos=1, packet_id=n + 1)
                assert [type(await client.receive()).__name__ for _ in range(20)] == ["Ack"] * 20
                here.clock.advance(10)
            for n in range(21):
                client.publish("t", qos=1, packet_id=n + 1)
            last = packet = await client.receive()
            while packet is not None:
                last, packet = packet, await client.receive()
            if level == 5:
                assert isinstance(last, Disconnect)
                assert last.code == Reason.MESSAGE_RATE_TOO_HIGH
            assert here.broker.stats.limited == 1

    run(main())


def test_an_ipv6_network_is_one_client() -> None:
    """Who has a /64 has one share, not 2**64."""

    async def main() -> None:
        async with served(limits=Limits(connections_of_address=1)) as here:
            assert here.broker.enter("2001:db8::1") is None
            assert here.broker.enter("2001:db8::2") is Reason.QUOTA_EXCEEDED
            assert here.broker.enter("2001:db8:0:1::1") is None

    run(main())
    assert network("2001:db8::1") == network("2001:db8::2")
