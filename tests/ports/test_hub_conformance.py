"""Every hub keeps the promises of its port, and the suite that says so catches hubs that do not.

`Joined` shows that the promises between nodes can be kept: hubs that hear of each other later, as bytes, over a line
that may lose what it carries.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from support.aio import run
from thingstead.conformance.hub import (
    BETWEEN,
    HERE,
    Check,
    Nodes,
    a_closed_listener_ends_after_what_waits,
    a_failing_tap_harms_nobody,
    a_slow_listener_is_cut_off_and_told,
    an_ended_tap_is_not_called,
    in_the_order_of_each_node,
    in_the_order_of_the_calls,
    other_nodes_get_equal_events,
    run_check,
    silence_is_never_said_wrongly,
    told_before_publish_returns,
    told_once_however_many_subjects_match,
    told_once_on_every_node,
    what_follows_listen_is_heard,
    what_is_lost_on_the_way_is_told,
    who_waits_is_woken,
)
from thingstead.engines.inprocess import InProcessHub
from thingstead.engines.inprocess.hub import Queue
from thingstead.model.errors import ThingsteadError, Unavailable
from thingstead.model.events import Event, ObjectChanged
from thingstead.ports.hub import Listener


def name(value: object) -> str:
    return getattr(value, "__name__", str(value))


# --- engines that keep them


@pytest.mark.parametrize("check", HERE, ids=name)
def test_in_process_keeps_the_promise(check: Check) -> None:
    run(run_check(check, alone(InProcessHub), 1))


def test_in_process_knows_when_nobody_listens() -> None:
    """More than the port asks: events are built for nobody only while somebody listens."""

    async def story() -> None:
        hub = InProcessHub()
        assert hub.quiet
        listener = await hub.listen(["a", "b"], bound=1)
        end = hub.tap(["b"], lambda _: None)
        assert not hub.wanted(["c"])
        listener.close()
        assert not hub.wanted(["a"])
        assert hub.wanted(["b"])
        end()
        assert hub.quiet
        slow = await hub.listen(["a"], bound=0)
        hub.publish(["a"], ObjectChanged("app", "1", "t", "create", "", b"{}"))
        assert hub.quiet
        slow.close()

    run(story())


@pytest.mark.parametrize("check", [*HERE, *BETWEEN], ids=name)
def test_joined_hubs_keep_the_promise(check: Check) -> None:
    run(run_check(check, joined(Joined)))


def alone(make: Callable[[], InProcessHub]) -> Callable[[int], Awaitable[Nodes]]:
    async def open_hubs(_count: int) -> Nodes:
        return Nodes([make()])

    return open_hubs


class Bus:
    """Brings messages to all nodes but the sender, a little later; while `down` it loses them."""

    def __init__(self) -> None:
        self.nodes: list[Joined] = []
        self.down = False

    def send(self, sender: "Joined", message: bytes) -> None:
        for node in self.nodes:
            if node is not sender and not self.down:
                asyncio.get_running_loop().call_soon(node.receive, message)

    @asynccontextmanager
    async def line_down(self) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        self.down = True
        yield
        self.down = False
        for node in self.nodes:
            node.line_was_down()


class Joined(InProcessHub):
    """A node of a bus. It does not know what the others want."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self.bus = bus
        bus.nodes.append(self)

    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        await asyncio.sleep(0)
        if self.bus.down:
            raise Unavailable("the other nodes cannot be told")
        return await super().listen(subjects, bound=bound)

    def wanted(self, subjects: Iterable[str]) -> bool:
        return True

    @property
    def quiet(self) -> bool:
        return False

    def publish(self, subjects: Iterable[str], event: Event) -> None:
        subjects = list(subjects)
        super().publish(subjects, event)
        self.bus.send(self, pickle.dumps((subjects, event)))

    def receive(self, data: bytes) -> None:
        super().publish(*pickle.loads(data))

    def line_was_down(self) -> None:
        for listener in list(self._listeners):
            listener.cut_off("the line was down")

    async def close(self) -> None:
        await super().close()
        if self in self.bus.nodes:
            self.bus.nodes.remove(self)


def joined(make: Callable[[Bus], Joined], bus: type[Bus] = Bus) -> Callable[[int], Awaitable[Nodes]]:
    async def open_hubs(count: int) -> Nodes:
        line = bus()
        return Nodes([make(line) for _ in range(count)], line.line_down)

    return open_hubs


# --- planted faults: one node


class TellsPerSubject(InProcessHub):
    def publish(self, subjects: Iterable[str], event: Event) -> None:
        for one in subjects:
            super().publish([one], event)


class TellsLater(InProcessHub):
    def publish(self, subjects: Iterable[str], event: Event) -> None:
        asyncio.get_running_loop().call_soon(super().publish, list(subjects), event)


class NeverCutsOff(InProcessHub):
    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        return await super().listen(subjects, bound=1_000_000)


class LetsFailuresThrough(InProcessHub):
    """A tap that raises takes the publisher and everybody behind it with it."""

    def publish(self, subjects: Iterable[str], event: Event) -> None:
        for tap in dict.fromkeys(tap for one in subjects for tap in self._taps.get(one, ())):
            if tap.callback is not None:
                tap.callback(event)


class AsksForTheFirstOnly(InProcessHub):
    def wanted(self, subjects: Iterable[str]) -> bool:
        return super().wanted(list(subjects)[:1])


class ForgetsTheNeighbours(InProcessHub):
    """Who leaves a subject takes all others along."""

    def _end(self, tap) -> None:  # pyright: ignore
        super()._end(tap)
        for one in tap.subjects:
            self._taps.pop(one, None)


class TellsThoseWhoLeft(InProcessHub):
    def publish(self, subjects: Iterable[str], event: Event) -> None:
        callbacks = {tap: tap.callback for one in subjects for tap in self._taps.get(one, ())}
        for callback in callbacks.values():
            callback(event)  # type: ignore[misc]


class Queues(InProcessHub):
    """With a queue of another kind."""

    queue: type[Queue]

    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        listener = self.queue(bound, self._forget)
        self._listeners[listener] = self.tap(subjects, listener.offer)
        return listener


class DropsSilently(Queues):
    class queue(Queue):
        def offer(self, event: Event) -> None:
            if len(self._waiting) < self._bound:
                super().offer(event)


class DropsWhatWaits(Queues):
    class queue(Queue):
        def cut_off(self, why: str) -> None:
            self._waiting.clear()
            super().cut_off(why)


class NewestFirst(Queues):
    class queue(Queue):
        def offer(self, event: Event) -> None:
            super().offer(event)
            self._waiting.rotate(1)


class LosesWhatIsGivenUp(Queues):
    """An event that comes just after a wait was given up is gone with it."""

    class queue(Queue):
        async def __anext__(self) -> Event:
            try:
                return await super().__anext__()
            except asyncio.CancelledError:
                self.offer = lambda event: None  # type: ignore[method-assign]
                hub = self._forget.__self__  # type: ignore[attr-defined]
                for tap in [tap for taps in hub._taps.values() for tap in taps]:
                    tap.callback = self.offer
                raise


ONE_NODE: list[tuple[type[InProcessHub], Check]] = [
    (TellsPerSubject, told_once_however_many_subjects_match),
    (TellsLater, told_before_publish_returns),
    (NeverCutsOff, a_slow_listener_is_cut_off_and_told),
    (DropsSilently, a_slow_listener_is_cut_off_and_told),
    (DropsWhatWaits, a_slow_listener_is_cut_off_and_told),
    (NewestFirst, in_the_order_of_the_calls),
    (LosesWhatIsGivenUp, who_waits_is_woken),
    (LetsFailuresThrough, a_failing_tap_harms_nobody),
    (AsksForTheFirstOnly, silence_is_never_said_wrongly),
    (ForgetsTheNeighbours, a_closed_listener_ends_after_what_waits),
    (TellsThoseWhoLeft, an_ended_tap_is_not_called),
]


# --- planted faults: between nodes


class Echoes(Bus):
    def send(self, sender: Joined, message: bytes) -> None:
        for node in self.nodes:
            asyncio.get_running_loop().call_soon(node.receive, message)


class Overtakes(Bus):
    """Brings what was sent in one turn of the loop last first."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def send(self, sender: Joined, message: bytes) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.bring)
        self.waiting.append(lambda: super(Overtakes, self).send(sender, message))

    def bring(self) -> None:
        while self.waiting:
            self.waiting.pop()()


class KeepsTheGapToItself(Joined):
    def line_was_down(self) -> None:
        pass


class KnowsOnlyItself(Joined):
    def wanted(self, subjects: Iterable[str]) -> bool:
        return any(one in self._taps for one in subjects)


class SaysTooEarly(Joined):
    """`listen` returns before the other nodes send what is listened to."""

    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        listener = Queue(bound, self._forget)
        self._listeners[listener] = lambda: None
        start = asyncio.get_running_loop().call_later
        start(0.05, lambda: self._listeners.update({listener: self.tap(subjects, listener.offer)}))
        return listener


class WaitsForTheLine(Joined):
    def publish(self, subjects: Iterable[str], event: Event) -> None:
        if self.bus.down:
            raise Unavailable("the other nodes cannot be told")
        super().publish(subjects, event)


TWO_NODES: list[tuple[type[Bus], type[Joined], Check]] = [
    (Echoes, Joined, told_once_on_every_node),
    (Overtakes, Joined, in_the_order_of_each_node),
    (Bus, KeepsTheGapToItself, what_is_lost_on_the_way_is_told),
    (Bus, KnowsOnlyItself, other_nodes_get_equal_events),
    (Bus, SaysTooEarly, what_follows_listen_is_heard),
    (Bus, WaitsForTheLine, what_is_lost_on_the_way_is_told),
]


def fails(check: Check, open_hubs: Callable[[int], Awaitable[Nodes]], count: int) -> bool:
    try:
        run(run_check(check, open_hubs, count, 0.5))
    except (AssertionError, TimeoutError, ThingsteadError, ZeroDivisionError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize(("faulty", "check"), ONE_NODE, ids=name)
def test_a_faulty_hub_is_caught(faulty: type[InProcessHub], check: Check) -> None:
    assert fails(check, alone(faulty), 1)


@pytest.mark.parametrize(("bus", "faulty", "check"), TWO_NODES, ids=name)
def test_a_faulty_bus_is_caught(bus: type[Bus], faulty: type[Joined], check: Check) -> None:
    assert fails(check, joined(faulty, bus), 2)
