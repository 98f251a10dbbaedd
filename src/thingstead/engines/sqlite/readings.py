"""Readings: appending to the head, and history = merged rows overlaid by the unmerged ones (ports.store.ReadingReads).

Promises: every answer is the same whether the head is unmerged, half merged or merged, because the overlay is taken
before the merged rows are read and covers every row that was not merged then. Long reads go to a thread.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import apsw

from thingstead.engines.sqlite.heads import Heads, cut, overlay, times
from thingstead.engines.sqlite.journal import Logs
from thingstead.engines.sqlite.reader import SHORT, Pair, Reader
from thingstead.engines.sqlite.schema import query
from thingstead.engines.sqlite.transaction import Transaction
from thingstead.ports.store import LogRow, Reading

HOUR = 3_600_000_000  # us
_EARLIEST, _END = -(2**63), 2**63 - 1  # what a time can be in the file

_INSERT = "INSERT INTO head(seq, series, time, value, text) VALUES(?, ?, ?, ?, ?)"
_LOG = "SELECT seq, series, time, value, text FROM head WHERE seq > ? ORDER BY seq LIMIT ?"
_WINDOW = "SELECT time, value, text FROM main WHERE series = ? AND time >= ? AND time < ? ORDER BY time"
_COUNT = "SELECT count(*) FROM main WHERE series = ? AND time >= ? AND time < ?"
_COUNT_HOURS = "SELECT ifnull(sum(total), 0) FROM hourly WHERE series = ? AND hour >= ? AND hour < ?"
_HOURS = "SELECT hour, total FROM hourly WHERE series = ? ORDER BY hour"
_NTH_TIME = (
    "SELECT time FROM (SELECT time FROM main WHERE series = ? AND time >= ? AND time < ? "
    "UNION ALL SELECT value FROM json_each(?)) ORDER BY time LIMIT 1 OFFSET ?"
)
_KNOWN = "SELECT time FROM main WHERE series = ? AND time IN carray(?)"
_LAST_TIME = "SELECT time FROM latest WHERE series = ?"
_LATEST = "SELECT series, time, value, text FROM latest WHERE series IN carray(?)"


def append(tx: Transaction, readings: Sequence[Reading]) -> int:
    """Write head rows; returns the sequence of the last."""
    first = tx.head + 1
    tx.cursor.executemany(_INSERT, [(seq, r.series, r.time, r.value, r.text) for seq, r in enumerate(readings, first)])
    tx.readings.extend(readings)
    tx.head += len(readings)
    return tx.head


def load_heads(connection: apsw.Connection, mark: int, generation: int) -> Heads:
    """The index of the unmerged rows of a store that is being opened; `mark` is the last merged sequence."""
    heads = Heads(generation)
    last = mark
    while rows := query(connection, _LOG, (last, SHORT)):
        for seq, *reading in rows:
            heads.extend(seq, [Reading(*reading)])
        last = rows[-1][0]
    return heads


class Readings:
    """Implements ports.store.ReadingReads."""

    def __init__(self, reader: Reader, heads: Heads, logs: Logs):
        self._reader = reader
        self._pair = reader.pair
        self._heads = heads
        self._logs = logs

    async def window(
        self, series: int, start: int | None, end: int | None, *, limit: int | None = None, newest: bool = False
    ) -> list[Reading]:
        """See the port."""
        low, high = _bounds(start, end)
        wanted = SHORT + 1 if limit is None else limit
        if wanted <= SHORT + 1:
            found = _window(
                self._pair, series, low, high, self._heads.window(series, low, high, wanted, newest), wanted, newest
            )
            if limit is not None or len(found) <= SHORT:
                return found
        fresh = self._heads.window(series, low, high, limit, newest)
        return await self._reader.offload(lambda pair: _window(pair, series, low, high, fresh, limit, newest))

    async def page(self, series: int, offset: int, limit: int) -> list[Reading]:
        """See the port."""
        fresh = self._heads.window(series, None, None)
        if max(offset, limit, len(fresh)) <= SHORT:
            return _page(self._pair, series, fresh, offset, limit)
        return await self._reader.offload(lambda pair: _page(pair, series, fresh, offset, limit))

    async def count(self, series: int, start: int | None = None, end: int | None = None) -> int:
        """See the port."""
        low, high = _bounds(start, end)
        fresh = self._heads.window(series, low, high)
        if len(fresh) <= SHORT:
            return _count(self._pair, series, low, high, fresh)
        return await self._reader.offload(lambda pair: _count(pair, series, low, high, fresh))

    async def latest(self, series: Sequence[int]) -> Mapping[int, Reading]:
        """See the port."""
        found: dict[int, Reading] = {}
        if not series:
            return found
        for row in self._pair.series(_LATEST, (apsw.carray(array("q", series)),)):
            found[row[0]] = Reading(*row)
        for one in series:
            fresh = self._heads.latest(one)
            if fresh is not None and (one not in found or fresh.time >= found[one].time):
                found[one] = fresh
        return found

    async def log(self, after: int, limit: int) -> list[LogRow]:
        """See the port."""
        if limit <= SHORT:
            rows = self._pair.store(_LOG, (after, limit))
        else:
            rows = await self._reader.offload(lambda pair: pair.store(_LOG, (after, limit)))
        return [LogRow(row[0], Reading(*row[1:])) for row in rows]

    async def head(self) -> int:
        """See the port."""
        return self._logs.head_last


def _bounds(start: int | None, end: int | None) -> tuple[int, int]:
    low = _EARLIEST if start is None else max(_EARLIEST, min(start, _END))
    high = _END if end is None else max(_EARLIEST, min(end, _END))
    return low, high


def _window(
    pair: Pair, series: int, low: int, high: int, fresh: list[Reading], limit: int | None, newest: bool
) -> list[Reading]:
    """The window, `fresh` being its unmerged rows (at least the `limit` first or newest of them)."""
    sql = _WINDOW + (" DESC" if newest else "") + " LIMIT ?"
    rows = pair.series(sql, (series, low, high, -1 if limit is None else limit))
    merged = [Reading(series, *row) for row in rows]
    if not fresh:
        return merged
    if newest:
        merged.reverse()
    found = overlay(merged, fresh)
    if newest:
        found.reverse()
    return found[:limit]


def _new(pair: Pair, series: int, fresh: list[Reading]) -> list[int]:
    """The times of `fresh` that the merged rows do not have, ascending."""
    if not fresh:
        return []
    last = pair.series(_LAST_TIME, (series,))
    if not last or last[0][0] < fresh[0].time:
        return times(fresh)
    below = cut(fresh, None, last[0][0] + 1)
    known = {row[0] for row in pair.series(_KNOWN, (series, apsw.carray(array("q", times(below)))))}
    return [time for time in times(fresh) if time not in known]


def _count(pair: Pair, series: int, low: int, high: int, fresh: list[Reading]) -> int:
    first, last = -(-low // HOUR), high // HOUR  # the whole hours inside
    with pair.snapshot():
        if first >= last:
            merged = pair.series(_COUNT, (series, low, high))[0][0]
        else:
            merged = pair.series(_COUNT_HOURS, (series, first, last))[0][0]
            merged += pair.series(_COUNT, (series, low, first * HOUR))[0][0]
            merged += pair.series(_COUNT, (series, last * HOUR, high))[0][0]
        return merged + len(_new(pair, series, fresh))


def _page(pair: Pair, series: int, fresh: list[Reading], offset: int, limit: int) -> list[Reading]:
    with pair.snapshot():
        start = _EARLIEST if offset <= 0 else _nth_time(pair, series, fresh, offset)
        if start is None:
            return []
        return _window(pair, series, start, _END, cut(fresh, start, None, limit), limit, False)


def _nth_time(pair: Pair, series: int, fresh: list[Reading], offset: int) -> int | None:
    """The time of the reading that `offset` others precede; None if there are not so many."""
    new = _new(pair, series, fresh)
    totals: dict[int, int] = dict(pair.series(_HOURS, (series,)))
    for time in new:
        totals[time // HOUR] = totals.get(time // HOUR, 0) + 1
    passed = 0
    for hour in sorted(totals):
        if passed + totals[hour] > offset:
            low, high = hour * HOUR, (hour + 1) * HOUR
            inside = new[bisect_left(new, low) : bisect_left(new, high)]
            return pair.series(_NTH_TIME, (series, low, high, str(inside), offset - passed))[0][0]
        passed += totals[hour]
    return None
