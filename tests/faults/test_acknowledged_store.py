"""What the store acknowledged survives SIGKILL and loss of power, whole; what it did not acknowledge is not there half.

SIGKILL keeps the page cache, so the same is done over a VFS that forgets everything since the last sync, at any sync of
any file, also with some unsynced writes on the disk. A failing or full disk acknowledges nothing and shows nothing.
"""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from support import aio
from support.aio import until
from support.environment import ManualClock, SystemEntropy
from support.forgetful import Forgetful
from thingstead.conformance.store import no_stray_errors
from thingstead.engines.sqlite import Caps, Options, SqliteStore
from thingstead.model.errors import StoreFailed
from thingstead.ports.store import Batch, Changed, Item, Key, Put, Reading, ShadowPut

pytestmark = pytest.mark.faults

A = "app:a"
T = TypeVar("T")
READINGS = 3  # a batch
SMALL = Options(merge_closing=0, merge_rows=60, merge_slice=20, wal_pages=40, caps=Caps(slice=20))
"""Everything that happens in the background happens all the time."""


def run(work: Coroutine[Any, Any, T]) -> T:
    async def strict() -> T:
        with no_stray_errors():
            return await work

    return aio.run(strict())


@pytest.fixture
def vfs() -> Iterator[Forgetful]:
    vfs = Forgetful()
    yield vfs
    vfs.unregister()


def open_store(directory: Path, vfs: str | None = None, options: Options = SMALL) -> SqliteStore:
    return SqliteStore.open(directory, clock=ManualClock(), entropy=SystemEntropy(), vfs=vfs, options=options)


def batch(number: int) -> Batch:
    """A batch that leaves a trace in every table; its readings are of a series that many share."""
    return Batch(
        changes=[Put(A, f"{number}", "t", number, b"%d" % number, keys=(Key("k", f"{number}"),), expect=0)],
        shadows=[ShadowPut(A, f"{number}", b"%d" % number, expect=0, entity_id=f"{number}")],
        readings=[Reading(number % 7, number * READINGS + n, float(number), None) for n in range(READINGS)],
        items=[Item("numbers", f"{number}", b"")],
        together=True,
    )


async def traces(store: SqliteStore) -> dict[str, list[int]]:
    """The numbers of the batches found in each table."""
    objects = await store.objects.scan(A, limit=100_000)
    series = [await store.readings.window(one, None, None) for one in range(7)]
    readings = [reading.time for rows in series for reading in rows]
    assert [len(rows) for rows in series] == [await store.readings.count(one) for one in range(7)]
    found = {
        "objects": [int(one.public) for one in objects],
        "keys": [
            int(one.id) for one in (await store.objects.find_many([Key("k", one.id) for one in objects])).values()
        ],
        "shadows": [int(one.document) for one in await store.shadows.entities(A, limit=100_000)],
        "items": [int(key) for key in await store.items.scan("numbers")],
    }
    found.update(
        {f"reading {n}": [time // READINGS for time in readings if time % READINGS == n] for n in range(READINGS)}
    )
    lines = await store.journal.read(0, 100_000)
    assert [line.seq for line in lines] == list(range(await store.journal.first(), await store.journal.last() + 1))
    if await store.journal.first() == 1:
        found["journal"] = [int(line.id) for line in lines]
    return {table: sorted(numbers) for table, numbers in found.items()}


async def check(store: SqliteStore, acknowledged: set[int]) -> int:
    """All that was acknowledged is there, and every batch is there whole or not at all; how many there are."""
    found = await traces(store)
    whole = found.pop("objects")
    assert acknowledged <= set(whole)
    for table, numbers in found.items():
        assert numbers == whole, table
    assert await store.readings.head() == len(whole) * READINGS
    assert await store.journal.last() == len(whole)
    return len(whole)


async def write(store: SqliteStore, numbers: Iterator[int], acknowledged: set[int], stop: threading.Event) -> None:
    """Some callers, each committing one batch after the other until `stop` or the store fails."""

    async def caller() -> None:
        while not stop.is_set():
            number = next(numbers)
            result = await store.commit(batch(number))
            assert isinstance(result.changes[0], Changed)
            acknowledged.add(number)

    await asyncio.gather(*(caller() for _ in range(8)))


@pytest.mark.parametrize("torn", [False, True], ids=["nothing unsynced is left", "some unsynced writes are left"])
def test_loss_of_power_at_any_sync(torn: bool, tmp_path: Path, vfs: Forgetful) -> None:
    chance = random.Random(torn)

    async def once(round: int, acknowledged: set[int]) -> set[int]:
        """Write in the directory of this round until the power goes, which makes the directory of the next."""
        here, there = tmp_path / f"{round}", tmp_path / f"{round + 1}"
        store = open_store(here, vfs.name)
        before = await check(store, acknowledged)
        at, syncs, lost, known = chance.randrange(1, 300), itertools.count(1), threading.Event(), set[int]()

        def on_sync(when: str, path: str) -> None:
            if next(syncs) == at:
                with vfs.lock:
                    vfs.power_loss(here, there, chance if torn else None)
                    known.update(acknowledged)
                    lost.set()

        vfs.on_sync = on_sync
        await write(store, itertools.count(before + 1_000 * (round + 1)), acknowledged, lost)
        vfs.on_sync = lambda when, path: None
        await store.close()
        return known

    acknowledged: set[int] = set()
    for round in range(25):
        acknowledged = run(once(round, acknowledged))
    assert len(acknowledged) > 100


CHILD = """
import itertools, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from faults.test_acknowledged_store import open_store, write
from support.aio import run
from support.forgetful import Forgetful

class Told(set):
    def add(self, number):
        print(number, flush=True)

async def main():
    store = open_store(Path(sys.argv[2]), sys.argv[4])
    await write(store, itertools.count(int(sys.argv[3])), Told(), threading.Event())

vfs = Forgetful()
run(main())
"""


@pytest.mark.parametrize("vfs_name", ["unix", "forgetful"])
def test_sigkill_at_any_moment(vfs_name: str, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    chance = random.Random(1)
    acknowledged: set[int] = set()
    for round in range(4):
        command = [sys.executable, "-c", CHILD, tests, str(tmp_path), str(round * 100_000 + 1), vfs_name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in itertools.islice(child.stdout, chance.randrange(1, 400)):
                acknowledged.add(int(line))
            os.kill(child.pid, signal.SIGKILL)
            rest = child.stdout.read()
            acknowledged.update(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))

        async def look() -> None:
            store = open_store(tmp_path)
            await check(store, acknowledged)
            await store.close()

        run(look())
    assert len(acknowledged) > 4


def test_nothing_is_acknowledged_before_the_sync(tmp_path: Path, vfs: Forgetful) -> None:
    """Neither by commit nor by commit_soon: at the beginning of the sync nobody has been told."""

    async def main() -> None:
        store = open_store(tmp_path, vfs.name)
        told: list[int] = []
        seen: list[tuple[str, list[int]]] = []
        vfs.on_sync = lambda when, path: seen.append((when, list(told))) if path.endswith("store.db-wal") else None
        for number in range(3):
            store.commit_soon(batch(number), lambda _, number=number: told.append(number))
        result = await store.commit(batch(3))
        assert isinstance(result.changes[0], Changed)
        assert seen == [("before", []), ("after", [])]
        assert told == [0, 1, 2]
        await store.close()

    run(main())


@pytest.mark.parametrize("fault", ["fail", "fail-once", "full"])
def test_a_failed_commit_leaves_nothing(fault: str, tmp_path: Path, vfs: Forgetful) -> None:
    """All callers of the group are told, no read shows a trace, the next group works, and no number is skipped."""

    async def main() -> None:
        store = open_store(tmp_path, vfs.name, Options())
        await store.commit(batch(1))
        vfs.fault = fault  # type: ignore[assignment]
        results = await asyncio.gather(*(store.commit(batch(n)) for n in range(2, 9)), return_exceptions=True)
        assert [type(one) for one in results] == [StoreFailed] * 7
        assert await check(store, {1}) == 1
        if vfs.fault:
            with pytest.raises(StoreFailed):
                await store.passed("f", 0)
        vfs.fault = ""
        # The frames of the failed commit are whole in the file; they must not come back with the power.
        vfs.power_loss(tmp_path, tmp_path / "kept", _All() if fault == "fail-once" else None)
        await store.commit(batch(9))
        assert await check(store, {1, 9}) == 2
        await store.close()
        for directory, numbers in ((tmp_path, {1, 9}), (tmp_path / "kept", {1})):
            again = open_store(directory)
            assert await check(again, numbers) == len(numbers)
            await again.close()

    run(main())


class _All(random.Random):
    """Every unsynced write is kept."""

    def random(self) -> float:
        return 0.5

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[-1]


def test_a_failed_merge_loses_nothing(tmp_path: Path, vfs: Forgetful) -> None:
    """Between any two slices and at any sync of series.db: reads stay as they were, and the merge is done again."""

    async def main() -> None:
        store = open_store(tmp_path, vfs.name, Options(merge_slice=20))
        await asyncio.gather(*(store.commit(batch(n)) for n in range(1, 101)))
        failed = 0
        for at in itertools.count(1):
            vfs.on_sync = _fails_once(vfs, "series.db", at)
            try:
                await store.merge(60)
            except StoreFailed:
                failed += 1
                assert await check(store, set(range(1, 101))) == 100
                vfs.power_loss(tmp_path, tmp_path / f"lost{at}")
                again = open_store(tmp_path / f"lost{at}", options=Options())
                await again.merge()
                assert await check(again, set(range(1, 101))) == 100
                await again.close()
            else:
                break
        assert failed >= 3
        vfs.on_sync = lambda when, path: None
        await store.merge()
        assert await check(store, set(range(1, 101))) == 100
        await until(lambda: _emptied(store))
        await store.close()

    run(main())


def _fails_once(vfs: Forgetful, file: str, at: int) -> Callable[[str, str], None]:
    """An `on_sync` that makes the `at`-th sync of `file` fail."""
    syncs = itertools.count(1)

    def on_sync(when: str, path: str) -> None:
        if when == "before" and file in path and next(syncs) == at:
            vfs.fault = "fail-once"

    return on_sync


async def _emptied(store: SqliteStore) -> bool:
    return not await store.readings.log(0, 1)


def test_where_the_disk_is_slow_a_group_commits_beside_the_loop(tmp_path: Path, vfs: Forgetful) -> None:
    """While the commit of several waits for the disk, the loop reads what was before it, takes more, and tells nobody;
    afterwards each is told in order, and a read sees all."""

    async def main() -> None:
        store = open_store(tmp_path, vfs.name, Options(slow_seconds=0))
        await store.commit(batch(1))
        told: list[int] = []
        vfs.fault = "hold"
        for number in (2, 3):
            store.commit_soon(batch(number), lambda _, number=number: told.append(number))
        for _ in range(50):
            await asyncio.sleep(0)
        assert await store.objects.get(A, "2") is None
        store.commit_soon(batch(4), lambda _: told.append(4))
        await asyncio.sleep(0.05)
        assert told == []
        assert await store.objects.count(A) == 1
        vfs.fault = ""
        await store.commit(batch(5))
        assert told == [2, 3, 4]
        assert await check(store, {1, 2, 3, 4, 5}) == 5
        await store.close()

    run(main())


def test_closing_waits_for_the_commit_beside_the_loop(tmp_path: Path, vfs: Forgetful) -> None:
    async def main() -> None:
        store = open_store(tmp_path, vfs.name, Options(slow_seconds=0))
        told: list[int] = []
        vfs.fault = "hold"
        for number in (1, 2):
            store.commit_soon(batch(number), lambda _, number=number: told.append(number))
        await asyncio.sleep(0.05)
        store.commit_soon(batch(3), lambda _: told.append(3))
        threading.Timer(0.1, lambda: setattr(vfs, "fault", "")).start()
        await store.close()
        assert told == [1, 2, 3]
        again = open_store(tmp_path)
        assert await check(again, {1, 2, 3}) == 3
        await again.close()

    run(main())
