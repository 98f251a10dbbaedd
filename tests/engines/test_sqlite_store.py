"""What the embedded store promises beyond its port: files, caps, background work, and one bad caller among many."""

import asyncio
import random
import shutil
import threading
from pathlib import Path
from time import sleep
from typing import Any

import apsw
import pytest

from support import aio
from support.aio import until
from support.environment import ManualClock, SystemEntropy
from support.forgetful import Forgetful
from thingstead.conformance.store import no_stray_errors
from thingstead.engines.sqlite import Caps, Options, SqliteStore
from thingstead.engines.sqlite.schema import set_pragmas
from thingstead.model.errors import NotSupported, StoreFailed
from thingstead.ports.store import Batch, Committed, Put, Reading

A = "app:a"


def run(work: Any) -> None:
    async def strict() -> None:
        with no_stray_errors():
            await work

    aio.run(strict())


def open_store(
    directory: Path, clock: ManualClock | None = None, *, vfs: str | None = None, **options: Any
) -> SqliteStore:
    return SqliteStore.open(
        directory,
        clock=clock or ManualClock(),
        entropy=SystemEntropy(),
        vfs=vfs,
        options=Options(**{"merge_closing": 0, **options}),
    )


def put(number: int) -> Batch:
    return Batch(changes=[Put(A, f"{number}", "t", number, b"{}")])


def readings(first: int, count: int) -> Batch:
    return Batch(readings=[Reading(1, time, float(time), None) for time in range(first, first + count)])


def table(path: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_files_of_another_release_or_store_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        for name in ("one", "two"):
            await open_store(tmp_path / name).close()
        shutil.copy(tmp_path / "two" / "series.db", tmp_path / "one" / "series.db")
        with pytest.raises(NotSupported, match="belongs to store"):
            open_store(tmp_path / "one")
        table(tmp_path / "two" / "store.db", "PRAGMA user_version=99")
        with pytest.raises(NotSupported, match="schema 99"):
            open_store(tmp_path / "two")
        (tmp_path / "three").write_text("a file where a directory should be")
        with pytest.raises(StoreFailed):
            open_store(tmp_path / "three")

    run(main())


def test_a_pragma_that_does_not_hold_is_told() -> None:
    with pytest.raises(StoreFailed, match="journal_mode"):
        set_pragmas(apsw.Connection(":memory:"), {"synchronous": 2, "journal_mode": "wal"})


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Short reads, long reads and commits: StoreFailed, not the engine's own error."""

    async def main() -> None:
        store = open_store(tmp_path)
        await store.close()
        for work in (store.objects.get(A, "1"), store.objects.scan(A, limit=100_000), store.commit(put(1))):
            with pytest.raises(StoreFailed):
                await work
        assert await store.merge() == 0

    run(main())


def test_files_have_wal_and_small_pages(tmp_path: Path) -> None:
    async def main() -> None:
        await open_store(tmp_path).close()
        for name in ("store.db", "series.db"):
            assert table(tmp_path / name, "PRAGMA journal_mode") == [("wal",)]
            assert table(tmp_path / name, "PRAGMA page_size") == [(4096,)]

    run(main())


@pytest.mark.parametrize("slow_seconds", [0.0, 10.0], ids=["in a thread", "in the loop"])
@pytest.mark.parametrize("group_seconds", [0.0, 10.0])
def test_groups_of_any_size_give_the_same(group_seconds: float, slow_seconds: float, tmp_path: Path) -> None:
    """Wherever they commit, and whenever more arrives."""

    async def main() -> None:
        store = open_store(tmp_path, group_seconds=group_seconds, slow_seconds=slow_seconds)

        async def write(n: int) -> Committed:
            for _ in range(n % 7):
                await asyncio.sleep(0)
            return await store.commit(put(n))

        for at in range(1, 501, 50):
            results = await asyncio.gather(*(write(n) for n in range(at, at + 50)))
            seqs = [one.changes[0].seq for one in results]  # type: ignore[union-attr]
            assert sorted(seqs) == list(range(at, at + 50))
        assert await store.objects.count(A) == 500
        await store.close()

    run(main())


def test_commits_leave_the_loop_while_the_disk_is_slow(tmp_path: Path) -> None:
    """And come back when it is quick again."""

    async def main() -> None:
        disk = Forgetful()
        seconds = 0.0
        in_loop = False

        def sync(when: str, path: str) -> None:
            nonlocal in_loop
            if when == "before":
                in_loop = threading.current_thread() is threading.main_thread()
                sleep(seconds)

        disk.on_sync = sync
        store = open_store(tmp_path, vfs=disk.name, slow_seconds=0.005)

        async def where(n: int) -> bool:
            await store.commit(put(n))
            return in_loop

        assert await where(1)
        seconds = 0.05
        await where(2)
        assert not await where(3)
        seconds = 0.0
        assert [await where(n) for n in range(4, 60)][-1]
        await store.close()

    run(main())


def test_one_bad_caller_does_not_keep_others_from_their_answer(tmp_path: Path) -> None:
    """A caller that has gone, and a listener that raises, in the middle of a group."""

    async def main() -> None:
        store = open_store(tmp_path)
        told: list[int] = []

        def breaks(_: Committed | BaseException) -> None:
            raise ValueError("a closed transport")

        gone = asyncio.ensure_future(store.commit(put(1)))
        await asyncio.sleep(0)
        store.commit_soon(put(2), breaks)
        store.commit_soon(put(3), lambda _: told.append(3))
        gone.cancel()
        await store.commit(put(4))
        assert told == [3]
        assert [one.id for one in await store.objects.scan(A)] == ["1", "2", "3", "4"]
        await store.close()

    run(main())


@pytest.mark.parametrize("over", ["lines", "age"])
def test_a_journal_over_its_cap_leaves_slow_followers_behind(over: str, tmp_path: Path) -> None:
    """The slowest is dropped and can see so from first(); the others go on; what is younger stays."""

    async def main() -> None:
        clock = ManualClock()
        caps = Caps(journal_lines=30, slice=7) if over == "lines" else Caps(journal_age=60_000_000, slice=7)
        store = open_store(tmp_path, clock, caps=caps)
        await store.passed("slow", 3)
        for n in range(1, 101):
            if n == 71:
                clock.advance(61)
            await store.commit(put(n))
        await until(lambda: _first(store, 71))
        await store.passed("fast", 85)
        await until(lambda: _first(store, 86))  # nobody slower is left
        assert [line.seq for line in await store.journal.read(0, 100)] == list(range(86, 101))
        await store.close()
        again = open_store(tmp_path, clock, caps=caps)
        assert (await again.journal.first(), await again.journal.last()) == (86, 100)
        await again.close()

    run(main())


def test_the_head_over_its_cap_leaves_slow_followers_behind(tmp_path: Path) -> None:
    """Merged rows only: unmerged ones are never dropped."""

    async def main() -> None:
        store = open_store(tmp_path, caps=Caps(head_rows=30, slice=7))
        await store.passed("slow", 3, log="head")
        await store.commit(readings(0, 100))
        await store.merge(60)
        await until(lambda: _log(store, 61, 100))  # nobody follows any more
        assert await store.readings.count(1) == 100
        await store.close()

    run(main())


async def _first(store: SqliteStore, wanted: int) -> bool:
    return await store.journal.first() == wanted


async def _log(store: SqliteStore, first: int, last: int) -> bool:
    return [row.seq for row in await store.readings.log(0, 1_000)] == list(range(first, last + 1))


@pytest.mark.parametrize(("options", "left"), [({"merge_rows": 100}, 99), ({"merge_quiet": 0.05}, 0)])
def test_the_head_is_merged_by_itself(options: dict[str, Any], left: int, tmp_path: Path) -> None:
    """Whenever so many rows are unmerged, and when no reading came for a while."""

    async def main() -> None:
        store = open_store(tmp_path, **options)
        for start in range(0, 300, 10):
            await store.commit(readings(start, 10))

        async def merged() -> bool:
            return len(await store.readings.log(0, 1_000)) <= left

        await until(merged)
        assert await store.readings.count(1) == 300
        await store.close()
        assert table(tmp_path / "series.db", "SELECT count(*) FROM main")[0][0] >= 300 - left

    run(main())


def test_the_wal_does_not_grow_without_end(tmp_path: Path) -> None:
    """Groups follow each other without a pause; the checkpoints keep up."""

    async def main() -> None:
        store = open_store(tmp_path, wal_pages=50)
        largest = 0
        for start in range(0, 4_000, 10):
            await asyncio.gather(*(store.commit(put(n)) for n in range(start, start + 10)))
            largest = max(largest, (tmp_path / "store.db-wal").stat().st_size)
        written = table(tmp_path / "store.db", "SELECT count(*) FROM objects")
        assert written == [(4_000,)]
        assert largest < 3_000_000  # without checkpoints it grows past this
        await store.close()

    run(main())


@pytest.mark.parametrize("newer", ["store.db", "series.db"])
def test_head_sequences_are_above_all_that_were_given(newer: str, tmp_path: Path) -> None:
    """Also when one of the two files comes from an older copy: no new reading hides below the mark."""

    async def main() -> None:
        data, older = tmp_path / "data", tmp_path / "older"
        store = open_store(data)
        await store.commit(readings(0, 10))
        await store.close()
        shutil.copytree(data, older)
        store = open_store(data)
        await store.commit(readings(10, 10))
        await store.merge()
        await until(lambda: _log(store, 1, 0))
        await store.close()
        shutil.copy(data / newer, older / newer)
        store = open_store(older)
        assert await store.readings.head() == 20
        assert (await store.commit(readings(20, 5))).head == 25
        await store.merge()
        assert {one.time for one in await store.readings.window(1, None, None)} >= set(range(20, 25))
        assert await store.readings.count(1) == len(await store.readings.window(1, None, None))
        await store.close()

    run(main())


def test_hourly_sums_are_those_of_the_readings(tmp_path: Path) -> None:
    """Every reading is in total, the numeric ones in count, min, max and sum; replaced ones and early times too."""

    async def main() -> None:
        store = open_store(tmp_path, merge_slice=7)
        chance = random.Random(3)
        hour = 3_600_000_000
        model: dict[tuple[int, int], float | None] = {}
        for _ in range(20):
            batch: list[Reading] = []
            for _ in range(chance.randrange(20)):
                value = chance.choice([None, float(chance.randrange(100))])
                one = Reading(chance.randrange(3), chance.randrange(-8, 24) * hour // 4, value, '"x"')
                batch.append(one)
                model[one.series, one.time] = value
            await store.commit(Batch(readings=batch))
            if chance.random() < 0.5:
                await store.merge(chance.randrange(1, 30))
        await store.merge()
        await store.close()
        wanted: dict[tuple[int, int], list[float | None]] = {}
        for (series, time), value in model.items():
            wanted.setdefault((series, time // hour), []).append(value)
        found = table(tmp_path / "series.db", "SELECT * FROM hourly ORDER BY series, hour")
        assert found == [
            (*key, len(values), len(numbers), min(numbers, default=None), max(numbers, default=None),
             sum(numbers) if numbers else None)
            for key, values in sorted(wanted.items())
            for numbers in [[value for value in values if value is not None]]
        ]  # fmt: skip

    run(main())


def test_closing_merges_what_is_left(tmp_path: Path) -> None:
    """The next start has nothing to read into memory."""

    async def work() -> None:
        store = open_store(tmp_path, merge_closing=5.0)
        await store.commit(Batch(readings=[Reading(1, time, 1.0, None) for time in range(500)]))
        await store.close()
        store = open_store(tmp_path)
        assert await store.merge() == 0
        assert await store.readings.count(1) == 500
        await store.close()

    run(work())
