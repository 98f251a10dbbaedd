"""Health says what the last check of each part found, is checked when told and never otherwise, and always ends."""

import asyncio
import logging

import pytest

from support.aio import run
from support.environment import ManualClock
from thingstead.core.health import Health


class Part:
    """A part that works, fails, finds nothing or hangs."""

    def __init__(self) -> None:
        self.looks = 0
        self.does: Exception | bool | None = True

    async def __call__(self) -> bool:
        self.looks += 1
        if self.does is None:
            await asyncio.Event().wait()
        if isinstance(self.does, Exception):
            raise self.does
        return bool(self.does)


def test_unknown_until_checked_then_as_found(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    store, search = Part(), Part()
    health = Health({"store": store, "search": search}, clock, seconds=0.05)
    assert not health.healthy
    assert dict(health.parts) == {}
    assert health.checked == 0

    async def checks() -> None:
        assert await health.check()
        assert health.checked == clock.now()
        for fault in (OSError("disk gone"), False, None):
            store.does = fault
            assert not await health.check()
            assert dict(health.parts) == {"store": False, "search": True}
        store.does = True
        assert await health.check()

    with caplog.at_level(logging.WARNING):
        run(checks())
    assert health.healthy
    assert (store.looks, search.looks) == (5, 5)
    assert "disk gone" in caplog.records[0].getMessage()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "unhealthy part=store",
        "healthy again part=store",
    ]


def test_the_first_check_that_fails_is_logged(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    part = Part()
    part.does = False
    with caplog.at_level(logging.WARNING):
        assert not run(Health({"search": part}, clock).check())
    assert "unhealthy part=search" in caplog.text


def test_switched_off_it_looks_at_nothing(clock: ManualClock) -> None:
    part = Part()
    part.does = False
    health = Health({"store": part}, clock, enabled=False)
    assert run(health.check())
    assert health.healthy
    assert part.looks == 0
