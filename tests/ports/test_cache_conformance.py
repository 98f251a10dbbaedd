"""Every cache keeps the promises of its port, and the suite that says so catches caches that do not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.aio import run
from support.environment import ManualClock
from thingstead.conformance.cache import CHECKS, A, Check, copy
from thingstead.engines.inprocess import InProcessCache
from thingstead.ports.cache import Cache
from thingstead.ports.store import StoredObject


def opened() -> InProcessCache:
    return InProcessCache(ManualClock(), size=100, minutes=10)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_in_process_keeps_the_promise(check: Check) -> None:
    run(check(opened()))


class Faulty:
    """A cache that is right but for what a subclass breaks."""

    def __init__(self, right: Cache) -> None:
        self.right = right

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)


class LastWins(Faulty):
    """Sets whatever comes, as most caches do."""

    async def put(self, objects: Sequence[StoredObject]) -> None:
        for each in objects:
            await self.right.remove(each.app, {each.id: 0})
            await self.right.put([each])


class ForgetsRemovals(Faulty):
    """A reader who read before the deletion brings the object back."""

    async def remove(self, app: str, revs: Mapping[str, int]) -> None:
        for id, rev in revs.items():
            held = await self.right.get(app, id)
            if (held is not None and held.rev <= rev) or not rev:
                await self.right.remove(app, {id: 0})


class OneTenant(Faulty):
    """Keys without the app."""

    async def get(self, app: str, id: str) -> StoredObject | None:
        found = await self.right.get("", id)
        return found and msgspec.structs.replace(found, app=app)

    async def put(self, objects: Sequence[StoredObject]) -> None:
        await self.right.put([msgspec.structs.replace(each, app="") for each in objects])


class Grows(Faulty):
    """Never lets go."""

    def __init__(self, right: Cache) -> None:
        super().__init__(InProcessCache(ManualClock(), size=10**9, minutes=10))


@pytest.mark.parametrize("fault", [LastWins, ForgetsRemovals, OneTenant, Grows])
def test_a_planted_fault_is_caught(fault: Callable[[Cache], Any]) -> None:
    async def failures() -> list[str]:
        found: list[str] = []
        for check in CHECKS:
            try:
                await check(fault(opened()))
            except AssertionError:
                found.append(check.__name__)
        return found

    caught = run(failures())
    assert caught
    assert len(caught) < len(CHECKS)


def test_age_and_bytes_are_bounded() -> None:
    async def work() -> None:
        clock = ManualClock()
        cache = InProcessCache(clock, size=100, minutes=10, most_bytes=1000)
        await cache.put([copy(1)])
        clock.advance(599)
        assert await cache.get(A, "1") == copy(1)
        clock.advance(1)
        assert await cache.get(A, "1") is None

        for n in range(10):
            await cache.put([StoredObject(A, f"i{n}", "t", 1, n + 1, b"x" * 300, None)])
        assert sorted(await cache.get_many(A, [f"i{n}" for n in range(10)])) == ["i7", "i8", "i9"]
        await cache.get(A, "i7")
        await cache.put([StoredObject(A, "more", "t", 1, 1, b"x" * 300, None)])
        assert sorted(await cache.get_many(A, ["i7", "i8", "i9", "more"])) == ["i7", "i9", "more"]

        await cache.put([StoredObject(A, "i9", "t", 1, 99, b"x" * 1001, None)])
        assert await cache.get(A, "i9") is None, "neither the one too large nor the one before it"
        assert sorted(await cache.get_many(A, ["i7", "more"])) == ["i7", "more"]

    run(work())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "remove", "forget"]), st.integers(1, 6), st.sampled_from("ab")), max_size=30
    )
)
def test_a_copy_is_never_older_than_one_before_it(steps: list[tuple[str, int, str]]) -> None:
    async def work() -> None:
        cache = opened()
        floor: dict[str, int] = {}
        for step, rev, id in steps:
            if step == "put":
                await cache.put([copy(rev, id)])
            else:
                await cache.remove(A, {id: rev if step == "remove" else 0})
            if step == "forget":
                floor[id] = 0
            found = await cache.get(A, id)
            assert found is None or found.rev >= floor.get(id, 0)
            if step != "forget":
                floor[id] = max(floor.get(id, 0), rev)

    run(work())
