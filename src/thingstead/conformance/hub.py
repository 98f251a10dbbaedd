"""What every Hub promises (`thingstead.ports.hub`), as checks to run against any engine.

An engine's author calls `run_check` for each of `HERE`, and, where a bus joins nodes, for each of `BETWEEN`, with a
function that opens as many hubs as asked, new and joined to each other. A check that fails, raises.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from thingstead.conformance.store_bench import no_stray_errors
from thingstead.model.errors import CutOff, Unavailable
from thingstead.model.events import ORPHAN, Event, ObjectChanged, Point, Reported, everything, subject
from thingstead.ports.hub import Hub, Listener

APP = "app"
ONE, TWO, ALL = subject(APP, "1"), subject(APP, "2"), everything(APP)
PLENTY = 10_000


@dataclass
class Nodes:
    """Hubs of one bus. Inside of `line_down()` what they publish does not reach each other; it works again when that
    returns from its exit.
    """

    hubs: Sequence[Hub]
    line_down: Callable[[], AbstractAsyncContextManager[None]] | None = None


Opener = Callable[[int], Awaitable[Nodes]]
Check = Callable[[Nodes], Awaitable[None]]
HERE: list[Check] = []
"""Promises about one node, which is `hubs[0]`, alone or not."""
BETWEEN: list[Check] = []
"""Promises about two nodes."""


def here(check: Callable[[Hub], Awaitable[None]]) -> Check:
    async def on_one(nodes: Nodes) -> None:
        await check(nodes.hubs[0])

    on_one.__name__ = check.__name__
    HERE.append(on_one)
    return on_one


def between(check: Check) -> Check:
    BETWEEN.append(check)
    return check


async def run_check(check: Check, open_hubs: Opener, count: int = 2, seconds: float = 5) -> None:
    """Run a check on `count` new hubs; TimeoutError if somebody waits in vain. The hubs are closed whatever happens."""
    with no_stray_errors():
        nodes = await open_hubs(count)
        try:
            async with asyncio.timeout(seconds):
                await check(nodes)
        finally:
            for hub in nodes.hubs:
                await hub.close()


def event(number: int) -> Reported:
    return Reported(APP, "1", "", number, (Point("temp", "7", number, number),))


def events(count: int, first: int = 0) -> list[Event]:
    return [event(number) for number in range(first, first + count)]


async def take(listener: Listener, count: int) -> list[Event]:
    return [await anext(listener) for _ in range(count)]


async def rest(listener: Listener) -> list[Event]:
    """All until the end."""
    return [event async for event in listener]


async def left(listener: Listener) -> list[Event]:
    """Close, and what was waiting."""
    listener.close()
    return await rest(listener)


# --- one node


@here
async def told_before_publish_returns(hub: Hub) -> None:
    """No turn of the loop lies between publishing and being told."""
    heard: list[Event] = []
    hub.tap([ONE], heard.append)
    listener = await hub.listen([ONE], bound=PLENTY)
    hub.publish([ONE], event(1))
    assert heard == [event(1)]
    assert await left(listener) == [event(1)]


@here
async def told_once_however_many_subjects_match(hub: Hub) -> None:
    heard: list[Event] = []
    hub.tap([ONE, TWO, ALL, ONE], heard.append)
    listener = await hub.listen([ONE, TWO, ALL, ONE], bound=PLENTY)
    hub.publish([ALL, ONE, TWO, TWO], event(1))
    hub.publish([TWO], event(2))
    assert heard == events(2, 1)
    assert await left(listener) == events(2, 1)


@here
async def only_what_was_asked_for(hub: Hub) -> None:
    """Ids, apps, the app as a whole and what has no parent do not run into each other."""
    asked = {name: [name] for name in (ONE, TWO, ALL, subject(APP, ORPHAN), everything("ap"), subject("app2", "1"))}
    asked["nothing"] = []
    listeners = {name: await hub.listen(subjects, bound=PLENTY) for name, subjects in asked.items()}
    for number, name in enumerate(asked):
        hub.publish(asked[name], event(number))
    for number, name in enumerate(asked):
        assert await left(listeners[name]) == ([] if name == "nothing" else [event(number)])


@here
async def in_the_order_of_the_calls(hub: Hub) -> None:
    """Also over several subjects, and while somebody takes them."""
    listeners = [await hub.listen(subjects, bound=PLENTY) for subjects in ([ONE, TWO], [ALL], [TWO, ONE, ALL])]
    taken: list[Event] = []
    for number in range(300):
        hub.publish([ALL, (ONE, TWO)[number % 2]], event(number))
        if number % 7 == 0:
            taken.append(await anext(listeners[2]))
    for listener in listeners[:2]:
        assert await left(listener) == events(300)
    assert taken + await left(listeners[2]) == events(300)


@here
async def a_slow_listener_is_cut_off_and_told(hub: Hub) -> None:
    """It keeps what waits, and is told each time it asks; nothing comes afterwards, closed or not."""
    listener = await hub.listen([ONE], bound=3)
    for number in range(8):
        hub.publish([ONE], event(number))
    assert await take(listener, 3) == events(3)
    hub.publish([ONE], event(8))
    for _ in range(2):
        with pytest.raises(CutOff):
            await anext(listener)
    listener.close()
    with pytest.raises(CutOff):
        await rest(listener)


@here
async def the_bound_is_of_what_waits(hub: Hub) -> None:
    """Who keeps up is never cut off, and a full queue is no reason."""
    listener = await hub.listen([ONE], bound=3)
    for number in range(0, 60, 3):
        for each in events(3, number):
            hub.publish([ONE], each)
        assert await take(listener, 3) == events(3, number)
    for each in events(3):
        hub.publish([ONE], each)
    assert await left(listener) == events(3)


@here
async def a_slow_listener_delays_nobody(hub: Hub) -> None:
    heard: list[Event] = []
    await hub.listen([ONE], bound=1)
    quick = await hub.listen([ONE], bound=PLENTY)
    hub.tap([ONE], heard.append)
    await hub.listen([ONE, ALL], bound=1)
    for each in events(100):
        hub.publish([ONE], each)
    assert heard == events(100)
    assert await left(quick) == events(100)


@here
async def a_closed_listener_ends_after_what_waits(hub: Hub) -> None:
    """It stays ended, and its neighbours hear on."""
    listener = await hub.listen([ONE, TWO], bound=2)
    neighbour = await hub.listen([ONE], bound=PLENTY)
    for each in events(2):
        hub.publish([ONE], each)
    listener.close()
    listener.close()
    for each in events(5, 2):
        hub.publish([ONE], each)
    assert await rest(listener) == events(2)
    assert await rest(listener) == []
    assert await left(neighbour) == events(7)


@here
async def who_waits_is_woken(hub: Hub) -> None:
    """By an event, and by the end; a wait that is given up loses nothing."""
    listener = await hub.listen([ONE], bound=PLENTY)
    for number in range(3):
        waiting = asyncio.ensure_future(anext(listener))
        await asyncio.sleep(0)
        hub.publish([ONE], event(number))
        assert await waiting == event(number)
    given_up = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    hub.publish([ONE], event(3))
    assert await anext(listener) == event(3)
    ending = asyncio.ensure_future(rest(listener))
    await asyncio.sleep(0)
    listener.close()
    assert await ending == []


@here
async def a_failing_tap_harms_nobody(hub: Hub) -> None:
    """It is reported, `publish` does not raise, and all others are told."""

    def fail(_: Event) -> None:
        raise ZeroDivisionError

    heard: list[list[Event]] = [[], []]
    hub.tap([ONE], heard[0].append)
    hub.tap([ONE], fail)
    hub.tap([ONE], heard[1].append)
    listener = await hub.listen([ONE], bound=PLENTY)
    loop = asyncio.get_running_loop()
    before, reported = loop.get_exception_handler(), []
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    try:
        hub.publish([ONE], event(1))
        hub.publish([ONE], event(2))
    finally:
        loop.set_exception_handler(before)
    assert [type(error) for error in reported] == [ZeroDivisionError] * 2
    assert heard == [events(2, 1)] * 2
    assert await left(listener) == events(2, 1)


@here
async def an_ended_tap_is_not_called(hub: Hub) -> None:
    """Not even by an event that is being told; each tap is ended by its own call only."""
    heard: list[Event] = []
    ends = [hub.tap([ONE, ALL], heard.append) for _ in range(2)]
    hub.publish([ONE], event(1))
    assert heard == [event(1)] * 2
    ends[0]()
    ends[0]()
    hub.publish([ALL], event(2))
    assert heard == [event(1), event(1), event(2)]
    ends[1]()
    hub.publish([ONE, ALL], event(3))
    assert len(heard) == 3

    called: list[str] = []
    rivals: dict[str, Callable[[], None]] = {}

    def duel(me: str, other: str) -> None:
        called.append(me)
        rivals[other]()
        rivals[me]()

    rivals["a"] = hub.tap([ONE], lambda _: duel("a", "b"))
    rivals["b"] = hub.tap([ONE], lambda _: duel("b", "a"))
    for each in events(3):
        hub.publish([ONE], each)
    assert len(called) == 1


@here
async def silence_is_never_said_wrongly(hub: Hub) -> None:
    """As long as anybody listens, whoever else has left, been cut off or been closed twice."""

    def heard_of(*subjects: str) -> bool:
        return not hub.quiet and all(hub.wanted(["other", name]) and hub.wanted([name, "other"]) for name in subjects)

    first = await hub.listen([ONE, TWO], bound=1)
    assert heard_of(ONE, TWO)
    second = await hub.listen([TWO], bound=PLENTY)
    end = hub.tap([ALL], lambda _: None)
    assert heard_of(ONE, TWO, ALL)
    for each in events(2):
        hub.publish([ONE], each)
    assert heard_of(TWO, ALL)
    first.close()
    end()
    end()
    assert heard_of(TWO)
    third = await hub.listen([TWO], bound=PLENTY)
    second.close()
    second.close()
    assert heard_of(TWO)
    hub.publish([TWO], event(9))
    assert await left(third) == [event(9)]


@here
async def closing_ends_everybody(hub: Hub) -> None:
    heard: list[Event] = []
    end = hub.tap([ONE], heard.append)
    listener = await hub.listen([ONE], bound=PLENTY)
    idle = await hub.listen([TWO], bound=PLENTY)
    waiting = asyncio.ensure_future(rest(idle))
    await asyncio.sleep(0)
    hub.publish([ONE], event(1))
    await hub.close()
    hub.publish([ONE], event(2))
    assert heard == [event(1)]
    assert await rest(listener) == [event(1)]
    assert await waiting == []
    with pytest.raises(Unavailable):
        await hub.listen([ONE], bound=1)
    listener.close()
    end()
    await hub.close()


# --- two nodes


@between
async def other_nodes_get_equal_events(nodes: Nodes) -> None:
    """Of every kind, with every kind of value, as soon as `listen` has returned."""
    here, there = nodes.hubs[:2]
    listener = await there.listen([ONE], bound=PLENTY)
    assert here.wanted([TWO, ONE])
    assert not here.quiet
    values = [1, 1.0, -0.5, True, None, "", "ünï\U0001f331", 2**62, [1, [2.5]], {"a": {"b": None}}]
    points = tuple(Point(f"p{n}", f"{n}", value, n) for n, value in enumerate(values))
    wanted: list[Event] = [
        Reported(APP, "1", "5", 7, points),
        ObjectChanged(APP, "1", "thing", "create", "5", b'{"id":"1"}'),
        ObjectChanged(APP, "1", "thing", "delete", "", bytes(range(256))),
    ]
    for each in wanted:
        here.publish([ONE], each)
    got = await take(listener, len(wanted))
    assert got == wanted
    assert isinstance(got[0], Reported)
    assert [type(point.value) for point in got[0].points] == [type(value) for value in values]


@between
async def told_once_on_every_node(nodes: Nodes) -> None:
    """The publishing one as well."""
    here, there = nodes.hubs[:2]
    listeners = [await hub.listen([ONE, TWO, ALL], bound=PLENTY) for hub in (here, there)]
    taps: list[list[Event]] = [[], []]
    here.tap([ONE, TWO], taps[0].append)
    there.tap([ONE, TWO], taps[1].append)
    here.publish([ONE, TWO, ALL], event(1))
    there.publish([ONE, TWO, ALL], event(2))
    for listener in listeners:
        got = await take(listener, 2)
        assert sorted(one.version for one in got if isinstance(one, Reported)) == [1, 2]
    for number, hub in enumerate((here, there), 3):  # an echo would come before what is published later
        hub.publish([TWO], event(number))
    for listener in listeners:
        got = await take(listener, 2)
        assert sorted(one.version for one in got if isinstance(one, Reported)) == [3, 4]
    assert [len(tap) for tap in taps] == [4, 4]


@between
async def in_the_order_of_each_node(nodes: Nodes) -> None:
    """Both publish; a listener may hear one node's events between the other's, but never out of their order."""
    here, there = nodes.hubs[:2]
    listeners = [await hub.listen([ONE, TWO], bound=PLENTY) for hub in (here, there)]
    for number in range(100):
        here.publish([(ONE, TWO)[number % 2]], event(number))
        there.publish([(ONE, TWO)[number % 2]], event(1000 + number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    for listener in listeners:
        got = await take(listener, 200)
        assert [one for one in got if isinstance(one, Reported) and one.version < 1000] == events(100)
        assert [one for one in got if isinstance(one, Reported) and one.version >= 1000] == events(100, 1000)


@between
async def what_follows_listen_is_heard(nodes: Nodes) -> None:
    """No event published after `listen` returned is missed, on whatever node."""
    here, there = nodes.hubs[:2]
    for number in range(20):
        name = subject(APP, f"{number}")
        listener = await there.listen([name], bound=PLENTY)
        assert here.wanted([name])
        here.publish([name], event(number))
        assert await take(listener, 1) == [event(number)]
        listener.close()


@between
async def a_slow_listener_elsewhere_is_told(nodes: Nodes) -> None:
    """And alone: neither the publisher nor its neighbours on its own node wait or miss anything."""
    here, there = nodes.hubs[:2]
    slow = await there.listen([ONE], bound=3)
    quick = await there.listen([ONE], bound=PLENTY)
    own = await here.listen([ONE], bound=PLENTY)
    for each in events(50):
        here.publish([ONE], each)
    assert await left(own) == events(50)
    assert await take(quick, 50) == events(50)
    assert await take(slow, 3) == events(3)
    with pytest.raises(CutOff):
        await anext(slow)


@between
async def what_is_lost_on_the_way_is_told(nodes: Nodes) -> None:
    """While the line is down this node's taps are told at once; a listener elsewhere hears all, or is cut off at the
    gap. Whoever listens when it is up again, hears again.
    """
    here, there = nodes.hubs[:2]
    assert nodes.line_down is not None
    heard: list[Event] = []
    here.tap([ONE], heard.append)
    listener = await there.listen([ONE], bound=PLENTY)
    for each in events(3):
        here.publish([ONE], each)
    async with nodes.line_down():
        for each in events(5, 3):
            here.publish([ONE], each)
        assert heard == events(8)
    for each in events(2, 8):
        here.publish([ONE], each)
    got: list[Event] = []
    try:
        while len(got) < 10:
            got.append(await anext(listener))
            assert got == events(len(got))
    except CutOff:
        pass
    again = await there.listen([ONE], bound=PLENTY)
    here.publish([ONE], event(10))
    assert await take(again, 1) == [event(10)]


@between
async def a_node_that_ends_harms_nobody(nodes: Nodes) -> None:
    here, there = nodes.hubs[:2]
    await there.listen([ONE], bound=1)
    there.tap([ONE], lambda _: None)
    own = await here.listen([ONE], bound=PLENTY)
    await there.close()
    for each in events(20):
        here.publish([ONE], each)
        await asyncio.sleep(0)
    assert await left(own) == events(20)
