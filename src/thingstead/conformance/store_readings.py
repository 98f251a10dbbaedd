"""Promises of the store about readings: histories are the same whatever part of the head is merged."""

import asyncio
import itertools
import random
from collections.abc import Sequence

from thingstead.conformance.aio import until
from thingstead.conformance.store_bench import Bench, check, history, holds, rows_kept
from thingstead.ports.store import Batch, Reading


@history
async def a_window_is_half_open(bench: Bench) -> None:
    """start <= t < end, ascending or newest first, cut after that; None is open; times before 1970 too."""
    moments = [-7_200_000_001, -1, 0, 10, 20, 30, 40, 3_600_000_000, 7_200_000_000]
    await bench.read(*(Reading(1, time, float(time), None) for time in moments))
    await bench.age()
    window, count = bench.store.readings.window, bench.store.readings.count
    bounds = [None, -(2**70), -1, 0, 1, 10, 40, 41, 3_600_000_000, 7_200_000_001, 2**70]
    for start, end in itertools.product(bounds, bounds):
        wanted = [t for t in moments if (start is None or start <= t) and (end is None or t < end)]
        assert [one.time for one in await window(1, start, end)] == wanted
        assert [one.time for one in await window(1, start, end, newest=True)] == wanted[::-1]
        assert [one.time for one in await window(1, start, end, limit=2)] == wanted[:2]
        assert [one.time for one in await window(1, start, end, limit=2, newest=True)] == wanted[::-1][:2]
        assert await window(1, start, end, limit=0) == []
        assert await count(1, start, end) == len(wanted)
    assert [one.time for one in await bench.store.readings.page(1, 2, 3)] == moments[2:5]


@history
async def the_later_write_replaces(bench: Bench) -> None:
    """Same series and time, within a batch or later, across the merge or not: the later, counted once."""
    await bench.read(Reading(1, 10, 1.0, None), Reading(1, 20, 1.0, None), Reading(1, 10, 2.0, None))
    await bench.age()
    await bench.read(Reading(1, 20, None, '"text"'), Reading(1, 30, 1.0, None))
    await bench.age()
    await bench.read(Reading(1, 30, 3.0, None))
    wanted = [Reading(1, 10, 2.0, None), Reading(1, 20, None, '"text"'), Reading(1, 30, 3.0, None)]
    for _ in range(2):
        assert await bench.store.readings.window(1, None, None) == wanted
        assert await bench.store.readings.page(1, 1, 5) == wanted[1:]
        assert await bench.store.readings.count(1) == 3
        assert await bench.store.readings.latest([1]) == {1: wanted[2]}
        await bench.age()


def _pattern(chance: random.Random) -> tuple[float | None, str | None]:
    return chance.choice([(1.5, None), (0.0, "false"), (None, '"text"'), (None, "null"), (None, None)])


@history
async def numbers_are_read_as_if_alone(bench: Bench) -> None:
    """`numeric`: windows, limits, pages and counts of numbers and booleans only, whatever texts replaced or became."""
    chance = random.Random(10)
    model = Model()
    quarter = 900_000_000  # four in an hour of the engines' own summaries, and over the years before 1970
    for _ in range(4):
        batch = [Reading(1, chance.randrange(-20, 20) * quarter, *_pattern(chance)) for _ in range(40)]
        batch += [Reading(2, chance.randrange(-20, 20) * quarter, None, '"text"') for _ in range(5)]
        batch += [Reading(3, time * quarter, *_pattern(chance)) for time in (-1, 0, 1)]  # the same three, over and over
        await bench.read(*batch)
        model.write(batch)
        for series in (1, 2, 3, 4):
            await _numbers_agree(bench, model, series)
        await bench.age()
        for series in (1, 2, 3, 4):
            await _numbers_agree(bench, model, series)


async def _numbers_agree(bench: Bench, model: "Model", series: int) -> None:
    window, count, page = bench.store.readings.window, bench.store.readings.count, bench.store.readings.page
    every = [one for one in model.series(series) if one.value is not None]
    for start, end in itertools.product((None, -5_000_000_001, 0, 3_600_000_000), (None, -1, 0, 900_000_001)):
        inside = [one for one in every if (start is None or start <= one.time) and (end is None or one.time < end)]
        assert await window(series, start, end, numeric=True) == inside
        assert await window(series, start, end, numeric=True, newest=True) == inside[::-1]
        assert await count(series, start, end, numeric=True) == len(inside)
        for limit in (0, 1, 3):
            assert await window(series, start, end, limit=limit, numeric=True) == inside[:limit]
            assert await window(series, start, end, limit=limit, numeric=True, newest=True) == inside[::-1][:limit]
    for offset in range(len(every) + 2):
        assert await page(series, offset, 2, numeric=True) == every[offset : offset + 2]


@history
async def values_keep_their_kind(bench: Bench) -> None:
    """Numbers, booleans (both columns), text and JSON come back as they went in."""
    values: list[tuple[float | None, str | None]] = [
        (1.0, None), (0.1, None), (-1e300, None), (5e-324, None), (1.0, "true"), (0.0, "false"), (None, '""'),
        (None, "null"), (None, '{"a":[1,"ä"]}'), (float(2**60), None),
    ]  # fmt: skip
    readings = [Reading(1, time, value, text) for time, (value, text) in enumerate(values)]
    await bench.read(*readings)
    await bench.age()
    assert await bench.store.readings.window(1, None, None) == readings
    assert [row.reading for row in await bench.store.readings.log(0, 100)] in (readings, readings[5:], [])


@history
async def a_removed_leaf_is_in_no_history(bench: Bench) -> None:
    """It is a row of the log, has a sequence, replaces nothing, and no history read shows or counts it."""
    await bench.store.passed("follower", 0, log="head")
    head = await bench.read(Reading(1, 10, 1.0, None), Reading(1, 20, None, None), Reading(1, 10, None, None))
    assert head == 3
    await bench.read(Reading(2, 5, None, None))
    await bench.age()
    assert await bench.store.readings.window(1, None, None) == [Reading(1, 10, 1.0, None)]
    assert await bench.store.readings.page(1, 0, 5) == [Reading(1, 10, 1.0, None)]
    assert (await bench.store.readings.count(1), await bench.store.readings.count(2)) == (1, 0)
    assert await bench.store.readings.latest([1, 2]) == {1: Reading(1, 10, 1.0, None)}
    log = await bench.store.readings.log(1, 10)
    assert [(row.seq, row.reading) for row in log] == [
        (2, Reading(1, 20, None, None)), (3, Reading(1, 10, None, None)), (4, Reading(2, 5, None, None)),
    ]  # fmt: skip


@history
async def series_never_meet(bench: Bench) -> None:
    """Two apps with sensors of the same id have two series: equal times do not replace, counts and pages are apart."""
    series = [1, 2, 2**62]
    for time, one in itertools.product(range(5), series):
        await bench.read(Reading(one, time, float(one + time), None))
    await bench.age()
    for one in series:
        wanted = [Reading(one, time, float(one + time), None) for time in range(5)]
        assert await bench.store.readings.window(one, None, None) == wanted
        assert await bench.store.readings.page(one, 3, 5) == wanted[3:]
        assert await bench.store.readings.count(one) == 5
    latest = await bench.store.readings.latest([*series, 3])
    assert {key: one.time for key, one in latest.items()} == dict.fromkeys(series, 4)
    assert await bench.store.readings.latest([]) == {}


@history
async def the_log_outlives_the_merge(bench: Bench) -> None:
    """Head rows stay until merged and passed by every cursor of the head; the sequence has no holes."""
    await bench.store.passed("follower", 0, log="head")
    for n in range(6):
        assert await bench.read(Reading(1, n, 1.0, None), Reading(2, n, 2.0, None)) == 2 * n + 2
    await bench.age()
    await bench.store.merge()
    rows = await bench.store.readings.log(0, 100)
    assert [row.seq for row in rows] == list(range(1, 13))
    assert [row.reading.series for row in rows[:4]] == [1, 2, 1, 2]
    assert [row.seq for row in await bench.store.readings.log(4, 3)] == [5, 6, 7]
    await bench.store.passed("follower", 8, log="head")
    await until(lambda: holds(rows_kept(bench), 4))
    await bench.reopen()
    assert [row.seq for row in await bench.store.readings.log(0, 100)] == [9, 10, 11, 12]
    assert await bench.store.readings.head() == 12
    assert await bench.store.readings.count(1) == 6


@check
async def a_merge_takes_the_oldest(bench: Bench) -> None:
    """At most `limit` rows a call, all without; it tells how many, and every read stays as it was."""
    await bench.read(*(Reading(1, time, 1.0, None) for time in range(10)))
    before = await bench.store.readings.window(1, None, None)
    for limit, wanted in ((3, 3), (1, 1), (None, 6), (5, 0)):
        assert await bench.store.merge(limit) == wanted
        assert await bench.store.readings.window(1, None, None) == before


@history
async def a_long_history_reads_like_a_short_one(bench: Bench) -> None:
    """Some thousand readings over days, with text and replaced ones between: windows, counts, pages and ends."""
    step = 61_000_000
    total = 12_000
    for start in range(0, total, 2_000):
        await bench.read(*(Reading(1, n * step, float(n), None) for n in range(start, start + 2_000)))
    await bench.age()
    await bench.read(*(Reading(1, n * step, None, f'"{n}"') for n in range(0, total, 7)))
    readings = bench.store.readings
    every = await readings.window(1, None, None)
    assert [one.time for one in every] == [n * step for n in range(total)]
    assert all(one.text == (f'"{n}"' if n % 7 == 0 else None) for n, one in enumerate(every))
    assert await readings.window(1, None, None, newest=True) == every[::-1]
    assert await readings.count(1) == total
    numbers = [one for one in every if one.value is not None]
    assert await readings.window(1, None, None, numeric=True) == numbers
    assert await readings.window(1, None, None, limit=6_000, numeric=True, newest=True) == numbers[:-6_001:-1]
    assert await readings.count(1, numeric=True) == len(numbers)
    for first, last in ((0, 1), (100, 7_777), (5_000, 12_000), (11_999, 20_000)):
        assert await readings.count(1, first * step, last * step) == len(every[first:last])
        assert await readings.window(1, first * step, last * step) == every[first:last]
    for offset, limit in ((0, 500), (499, 3), (5_000, 500), (6_500, 6_000), (11_500, 500), (11_999, 9), (12_000, 1)):
        assert await readings.page(1, offset, limit) == every[offset : offset + limit]
        assert await readings.page(1, offset, limit, numeric=True) == numbers[offset : offset + limit]


class Model:
    """What histories should show, the plain way."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[int, Reading]] = {}

    def write(self, readings: Sequence[Reading]) -> None:
        for one in readings:
            if one.value is not None or one.text is not None:
                self.rows.setdefault(one.series, {})[one.time] = one

    def series(self, series: int) -> list[Reading]:
        rows = self.rows.get(series, {})
        return [rows[time] for time in sorted(rows)]


async def _agrees(bench: Bench, model: Model, chance: random.Random) -> None:
    readings = bench.store.readings
    for series in range(1, 5):
        every = model.series(series)
        assert await readings.window(series, None, None) == every
        assert await readings.count(series) == len(every)
        low, high = sorted((chance.randrange(-5, 45), chance.randrange(-5, 45)))
        low, high = low * 900_000_000, high * 900_000_000
        inside = [one for one in every if low <= one.time < high]
        limit = chance.randrange(6)
        assert await readings.window(series, low, high, limit=limit) == inside[:limit]
        assert await readings.window(series, low, high, limit=limit, newest=True) == inside[::-1][:limit]
        assert await readings.count(series, low, high) == len(inside)
        numbers = [one for one in inside if one.value is not None]
        assert await readings.window(series, low, high, limit=limit, numeric=True) == numbers[:limit]
        assert await readings.window(series, low, high, limit=limit, newest=True, numeric=True) == numbers[::-1][:limit]
        assert await readings.count(series, low, high, numeric=True) == len(numbers)
        offset = chance.randrange(len(every) + 2)
        assert await readings.page(series, offset, limit) == every[offset : offset + limit]
        numbers = [one for one in every if one.value is not None]
        assert await readings.page(series, offset, limit, numeric=True) == numbers[offset : offset + limit]
    latest = await readings.latest(range(1, 5))
    assert latest == {series: model.series(series)[-1] for series in range(1, 5) if model.series(series)}


@check
async def histories_agree_with_a_model(bench: Bench) -> None:
    """Random writes (out of order, replaced, removed, text), merges of random size and restarts, against a dict."""
    chance = random.Random(20261122)
    merged = 0
    for round in range(6):
        await bench.reopen()
        model = Model()
        model.rows = {series: {} for series in range(1, 5)}
        for series in range(1, 5):  # what the rounds before left
            model.write(await bench.store.readings.window(series, None, None))
        unmerged = await bench.store.readings.head() - merged
        for _ in range(12):
            batch = [
                Reading(chance.randrange(1, 5), chance.randrange(-4, 40) * 900_000_000, *chance.choice(
                    [(float(chance.randrange(99)), None), (None, f'"{round}"'), (None, None), (1.0, "true")]
                ))
                for _ in range(chance.randrange(12))
            ]  # fmt: skip
            await bench.store.commit(Batch(readings=batch))
            model.write(batch)
            unmerged += len(batch)
            if chance.random() < 0.5:
                limit = chance.choice([None, chance.randrange(1, 20)])
                moved = await bench.store.merge(limit)
                assert moved == (unmerged if limit is None else min(limit, unmerged))
                unmerged -= moved
                merged += moved
            if chance.random() < 0.1:
                await bench.reopen()
            await _agrees(bench, model, chance)


@check
async def reads_beside_a_merge_see_everything(bench: Bench) -> None:
    """While rows are being merged and more are written, each read shows all that was committed before it."""
    stored = 0

    async def write() -> None:
        nonlocal stored
        for start in range(0, 3_000, 50):
            await bench.read(*(Reading(1, n, float(n), None) for n in range(start, start + 50)))
            stored = start + 50
            await asyncio.sleep(0)

    async def merge() -> None:
        while stored < 3_000:
            await bench.store.merge(chance.randrange(1, 200))
            await asyncio.sleep(0)

    async def read() -> None:
        while stored < 3_000:
            before = stored
            times = [one.time for one in await bench.store.readings.window(1, None, None)]
            assert times == list(range(len(times)))
            assert len(times) >= before
            assert await bench.store.readings.count(1) >= before
            newest = await bench.store.readings.latest([1])
            assert not before or newest[1].time >= before - 1
            page = await bench.store.readings.page(1, before // 2, 3)
            assert [one.time for one in page] == list(range(before // 2, before // 2 + 3))[: len(page)]
            await asyncio.sleep(0)

    chance = random.Random(1)
    await asyncio.gather(write(), merge(), read())
    assert await bench.store.readings.count(1) == 3_000
