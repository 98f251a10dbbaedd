"""Every store keeps the promises of its port, and the suite that says so catches stores that do not."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.aio import run
from support.environment import ManualClock, SystemEntropy
from thingstead.conformance.store import CHECKS, HISTORY, STAGES, Check, Stage, run_check
from thingstead.engines.sqlite import Options, SqliteStore
from thingstead.ports.store import Batch, Committed, Put, Reading, Store, StoredObject

KEPT = Options(merge_closing=0)  # closing must not hide what reads over unmerged rows give


async def open_sqlite(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory, clock=ManualClock(), entropy=SystemEntropy(), options=KEPT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite_keeps_the_promise(check: Check, tmp_path: Path) -> None:
    run(run_check(check, open_sqlite, tmp_path))


@pytest.mark.parametrize("stage", STAGES[1:])
@pytest.mark.parametrize("check", HISTORY, ids=lambda check: check.__name__)
def test_sqlite_history_at_every_stage(check: Check, stage: Stage, tmp_path: Path) -> None:
    run(run_check(check, open_sqlite, tmp_path, stage))


class Faulty:
    """A store that is right but for what a subclass breaks."""

    def __init__(self, right: Store, directory: Path) -> None:
        self.right = right
        self.directory = directory

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)

    @classmethod
    async def open(cls, directory: Path) -> Any:
        return cls(await open_sqlite(directory), directory)


class LosesTheTail(Faulty):
    """Acknowledges before the data is safe: the last commit is not there after a restart."""

    async def commit(self, batch: Batch) -> Committed:
        self.saved = self.directory.with_name("saved")
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.directory, self.saved, ignore=shutil.ignore_patterns("*-shm"))
        return await self.right.commit(batch)

    async def close(self) -> None:
        await self.right.close()
        if hasattr(self, "saved") and self.saved.exists():
            shutil.rmtree(self.directory)
            self.saved.rename(self.directory)


class IgnoresExpect(Faulty):
    """The last writer wins."""

    async def commit(self, batch: Batch) -> Committed:
        changes = [_without(change, expect=None) for change in batch.changes]
        return await self.right.commit(_without(batch, changes=changes))


class SplitsBatches(Faulty):
    """Writes a `together` batch change by change."""

    async def commit(self, batch: Batch) -> Committed:
        if not batch.together:
            return await self.right.commit(batch)
        parts = [await self.right.commit(Batch(changes=[change])) for change in batch.changes]
        rest = await self.right.commit(_without(batch, changes=[]))
        return Committed([part.changes[0] for part in parts], rest.shadows, rest.refused, rest.head)


class ReusesSequences(Faulty):
    """Numbers the journal by what it still holds."""

    @classmethod
    async def open(cls, directory: Path) -> Any:
        if (directory / "store.db").exists():
            connection = apsw.Connection(str(directory / "store.db"))
            connection.execute("UPDATE sqlite_sequence SET seq = (SELECT ifnull(max(seq), 0) FROM journal)")
            connection.close()
        return await super().open(directory)


class ForgetsKeys(Faulty):
    """Takes every key for the object that claims it first, and keeps it for ever."""

    async def commit(self, batch: Batch) -> Committed:
        changes = [_without(c, keys=c.keys or None) if isinstance(c, Put) else c for c in batch.changes]
        return await self.right.commit(_without(batch, changes=changes))


class MixesTenants(Faulty):
    """Scans without looking at the app."""

    @property
    def objects(self) -> Any:
        right = self.right.objects

        class Reads:
            def __getattr__(self, name: str) -> Any:
                return getattr(right, name)

            async def scan(self, app: str, **more: Any) -> list[StoredObject]:
                return [one for each in ("app:a", "app:b") for one in await right.scan(each, **more)]

        return Reads()


class DropsReplacedValues(Faulty):
    """Merges with the first value of a (series, time), not the last."""

    first: dict[tuple[int, int], Reading]

    async def merge(self, limit: int | None = None) -> int:
        self.first = {}
        for row in reversed(await self.right.readings.log(0, 100_000)):
            self.first[row.reading.series, row.reading.time] = row.reading
        return await self.right.merge(limit)

    @property
    def readings(self) -> Any:
        right, first = self.right.readings, getattr(self, "first", {})

        class Reads:
            def __getattr__(self, name: str) -> Any:
                return getattr(right, name)

            async def window(self, series: int, *bounds: Any, **more: Any) -> Sequence[Reading]:
                found = await right.window(series, *bounds, **more)
                return [first.get((one.series, one.time), one) for one in found]

        return Reads()


class CutsBeforeItFilters(Faulty):
    """Takes texts out of a window of numbers only after cutting it to its limit."""

    @property
    def readings(self) -> Any:
        right = self.right.readings

        class Reads:
            def __getattr__(self, name: str) -> Any:
                return getattr(right, name)

            async def window(self, *bounds: Any, numeric: bool = False, **more: Any) -> Sequence[Reading]:
                found = await right.window(*bounds, **more)
                return [one for one in found if one.value is not None] if numeric else found

        return Reads()


class ForgetsFollowers(Faulty):
    """Does not wait for slow followers."""

    async def passed(self, follower: str, seq: int, **more: Any) -> None:
        await self.right.passed("all", seq, **more)


def _without(struct: Any, **changed: Any) -> Any:
    fields = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return type(struct)(**{**fields, **{name: value for name, value in changed.items() if name in fields}})


FAULTY: list[type[Faulty]] = [
    LosesTheTail, IgnoresExpect, SplitsBatches, ReusesSequences, ForgetsKeys, MixesTenants, DropsReplacedValues,
    CutsBeforeItFilters, ForgetsFollowers,
]  # fmt: skip


async def broken_promises(open_store: Callable[[Path], Awaitable[Any]], directory: Path) -> list[str]:
    broken: list[str] = []
    runs: list[tuple[Check, Stage]] = [(check, "unmerged") for check in CHECKS]
    runs += [(check, stage) for check in HISTORY for stage in STAGES[1:]]
    for number, (check, stage) in enumerate(runs):
        if check.__name__ == "reads_beside_a_merge_see_everything":
            continue  # long, and none of these faults is about it
        try:
            async with asyncio.timeout(5):
                await run_check(check, open_store, directory / f"{number}", stage)
        except (AssertionError, TimeoutError):
            broken.append(check.__name__)
            break
    return broken


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda faulty: faulty.__name__)
def test_suite_catches_faulty_engines(faulty: type[Faulty], tmp_path: Path) -> None:
    assert run(broken_promises(faulty.open, tmp_path), 100)


def test_the_wrapper_itself_is_faultless(tmp_path: Path) -> None:
    assert run(broken_promises(Faulty.open, tmp_path), 100) == []
