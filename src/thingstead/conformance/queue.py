"""What every Queue promises (`thingstead.ports.queue`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with a fresh `Bench`; a check raises AssertionError where a promise is broken.
Over a service whose time cannot be moved, `advance` sleeps.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from thingstead.conformance.aio import until
from thingstead.ports.queue import Leased, Message, Queue

LEASE = 30.0


class Bench(Protocol):
    """A queue that can be opened again over the same messages, and time that can be moved on."""

    queue: Queue

    async def reopen(self) -> None:
        """End the engine and open it again; `queue` is the new one."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


Check = Callable[[Bench], Awaitable[None]]


def message(text: str, lane: str = "", queue: str = "q", after: float = 0.0) -> Message:
    return Message(queue, text.encode(), lane, after)


def texts(leased: list[Leased]) -> list[str]:
    return [one.body.decode() for one in leased]


async def lease(bench: Bench, limit: int = 10, queue: str = "q") -> list[Leased]:
    return await bench.queue.lease(queue, limit, LEASE)


async def what_is_pushed_is_leased_once(bench: Bench) -> None:
    """Each message whole, to one consumer, until its lease runs out."""
    assert await lease(bench) == []
    await bench.queue.push([message("a"), message("b"), Message("q", bytes(range(256)) * 4000)])
    await bench.queue.push([message("")])
    leased = await lease(bench)
    assert sorted(one.body for one in leased) == sorted([b"a", b"b", b"", bytes(range(256)) * 4000])
    assert {one.queue for one in leased} == {"q"}
    assert {one.attempts for one in leased} == {0}
    assert await lease(bench) == []
    assert (await bench.queue.count("q")).waiting == 4


async def a_lease_takes_no_more_than_asked(bench: Bench) -> None:
    await bench.queue.push([message(str(n)) for n in range(5)])
    got = [texts(await lease(bench, 2)) for _ in range(4)]
    assert [len(part) for part in got] == [2, 2, 1, 0]
    assert sorted(text for part in got for text in part) == ["0", "1", "2", "3", "4"]


async def done_is_done(bench: Bench) -> None:
    """An acknowledged message never comes again, whatever happens; the others do."""
    await bench.queue.push([message(text) for text in "abc"])
    first, *rest = leased = await lease(bench)
    assert len(leased) == 3
    await bench.queue.ack([first])
    await bench.queue.ack([first])
    await bench.reopen()
    await bench.advance(LEASE + 1)
    assert sorted(texts(await lease(bench))) == sorted(texts(rest))
    assert (await bench.queue.count("q")).waiting == 2


async def a_lost_lease_comes_again(bench: Bench) -> None:
    await bench.queue.push([message("a")])
    assert texts(await lease(bench)) == ["a"]
    await bench.advance(LEASE - 1)
    assert await lease(bench) == []
    await bench.advance(2)
    assert texts(await lease(bench)) == ["a"]


async def what_is_pushed_survives(bench: Bench) -> None:
    await bench.queue.push([message("a"), message("b", "lane")])
    await bench.reopen()
    assert sorted(texts(await lease(bench))) == ["a", "b"]


async def lanes_keep_their_order(bench: Bench) -> None:
    """One at a time, oldest first; what waits in one lane waits for nobody in another."""
    await bench.queue.push([message(f"{lane}{n}", lane) for n in range(30) for lane in ("x", "y")])
    seen: dict[str, list[str]] = {"x": [], "y": []}
    for _ in range(30):
        leased = await lease(bench)
        assert sorted(one.lane for one in leased) == ["x", "y"]
        assert await lease(bench) == []
        for one in leased:
            seen[one.lane].append(one.body.decode())
        await bench.queue.ack(leased)
    assert seen == {lane: [f"{lane}{n}" for n in range(30)] for lane in ("x", "y")}
    assert await lease(bench) == []


async def a_lane_keeps_no_other_waiting(bench: Bench) -> None:
    """However much is before it."""
    await bench.queue.push([message(f"busy{n}", "busy") for n in range(300)])
    await bench.queue.push([message("other", "other"), message("loose")])
    assert sorted(texts(await lease(bench))) == ["busy0", "loose", "other"]


async def tried_again_later(bench: Bench) -> None:
    """After the time that was asked for, in its old place, with the attempt counted, also after a restart."""
    await bench.queue.push([message("a", "x"), message("b", "x")])
    [first] = await lease(bench)
    await bench.queue.retry(first, 60)
    assert await lease(bench) == []
    await bench.reopen()
    await bench.advance(55)
    assert await lease(bench) == []
    await bench.advance(10)
    [again] = await lease(bench)
    assert (again.body, again.lane, again.pushed) == (b"a", "x", first.pushed)
    assert again.attempts >= first.attempts + 1
    await bench.queue.ack([again])
    assert texts(await lease(bench)) == ["b"]


async def set_aside(bench: Bench) -> None:
    """Moved to another lane, it lets those behind it through, and says what it was told to say."""
    await bench.queue.push([message("a", "x"), message("b", "x")])
    [first] = await lease(bench)
    await bench.queue.retry(first, 60, lane="", body=b"changed")
    assert texts(await lease(bench)) == ["b"]
    await bench.advance(61)
    [again] = [one for one in await lease(bench) if one.body != b"b"]
    assert (again.body, again.lane) == (b"changed", "")
    assert again.attempts >= first.attempts + 1


async def the_dead_stay_dead(bench: Bench) -> None:
    """A buried message is counted, never leased, and no longer in anybody's way."""
    await bench.queue.push([message("a", "x"), message("b", "x")])
    [first] = await lease(bench)
    await bench.queue.bury(first)
    assert texts(await lease(bench)) == ["b"]
    await bench.reopen()
    await bench.advance(LEASE + 1)
    assert texts(await lease(bench)) == ["b"]
    counts = await bench.queue.count("q")
    assert (counts.waiting, counts.dead) == (1, 1)


async def not_before_its_time(bench: Bench) -> None:
    await bench.queue.push([message("later", after=60), message("now")])
    assert texts(await lease(bench)) == ["now"]
    await bench.advance(61)
    assert "later" in texts(await lease(bench))


async def lanes_have_a_length(bench: Bench) -> None:
    """Of what waits or is leased; not of what is done, given up, or in other lanes or queues."""
    await bench.queue.push([message(str(n), "a") for n in range(4)])
    await bench.queue.push([message("x", "b"), message("y"), message("z", "a", "other")])
    assert [await bench.queue.length("q", lane) for lane in ("a", "b", "c")] == [4, 1, 0]
    [first] = [one for one in await lease(bench) if one.lane == "a"]
    assert await bench.queue.length("q", "a") == 4
    await bench.queue.ack([first])
    [second] = [one for one in await lease(bench) if one.lane == "a"]
    await bench.queue.bury(second)
    assert await bench.queue.length("q", "a") == 2
    [third] = [one for one in await lease(bench) if one.lane == "a"]
    await bench.queue.retry(third, 60, lane="")
    assert await bench.queue.length("q", "a") == 1
    await bench.reopen()
    assert await bench.queue.length("q", "a") == 1


async def queues_are_apart(bench: Bench) -> None:
    await bench.queue.push([message("a", "x", "one"), message("b", "x", "two"), message("c", "", "two")])
    assert texts(await lease(bench, queue="one")) == ["a"]
    assert sorted(texts(await lease(bench, queue="two"))) == ["b", "c"]
    assert await lease(bench, queue="three") == []
    assert (await bench.queue.count("one")).waiting == 1


async def settling_what_is_gone_is_fine(bench: Bench) -> None:
    await bench.queue.push([message("a"), message("b")])
    leased = await lease(bench)
    assert len(leased) == 2
    await bench.queue.ack(leased)
    await bench.queue.ack(leased)
    await bench.queue.retry(leased[0], 0)
    await bench.queue.retry(leased[0], 0, lane="x")
    await bench.queue.bury(leased[1])
    await bench.advance(LEASE + 1)
    assert await lease(bench) == []
    assert (await bench.queue.count("q")).waiting == 0


async def a_push_is_told(bench: Bench) -> None:
    told: list[str] = []
    bench.queue.watch("q", lambda: told.append("q"))
    bench.queue.watch("other", lambda: told.append("other"))
    await bench.queue.push([message("a")])

    async def heard() -> bool:
        return bool(told)

    await until(heard)
    assert set(told) == {"q"}


CHECKS: tuple[Check, ...] = (
    lanes_have_a_length,
    what_is_pushed_is_leased_once,
    a_lease_takes_no_more_than_asked,
    done_is_done,
    a_lost_lease_comes_again,
    what_is_pushed_survives,
    lanes_keep_their_order,
    a_lane_keeps_no_other_waiting,
    tried_again_later,
    set_aside,
    the_dead_stay_dead,
    not_before_its_time,
    queues_are_apart,
    settling_what_is_gone_is_fine,
    a_push_is_told,
)
