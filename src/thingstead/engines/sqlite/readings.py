"""Readings: appending to the head, and history = merged rows overlaid by the unmerged ones (ports.store.ReadingReads).

Promises: every answer is the same whether the head is unmerged, half merged or merged, because the overlay is taken
before the merged rows are read and covers every row that was not merged then. Long reads go to a thread.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import apsw
import msgspec

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
_LAST_TIME = "SELECT time FROM latest WHERE series = ?"
_LATEST = "SELECT series, time, value, text FROM latest WHERE series IN carray(?)"


class _Sql(msgspec.Struct, frozen=True):
    """The statements over the merged rows of one series: of all, or of those with a number."""

    oldest: str  # ?1 series, ?2 and ?3 half-open times, ?4 and ?5 the first and the last hour of them, ?6 limit
    newest: str
    count: str
    count_hours: str
    hours: str
    nth_time: str
    known: str


def _sql(window: str, total: str, shown: str) -> _Sql:
    """`total` is the column of `hourly` that counts the rows that the condition `shown` lets through."""
    span = f"FROM main WHERE series = ? AND time >= ? AND time < ?{shown}"
    return _Sql(
        oldest=window.format(order=""),
        newest=window.format(order="DESC"),
        count=f"SELECT count(*) {span}",
        count_hours=f"SELECT ifnull(sum({total}), 0) FROM hourly WHERE series = ? AND hour >= ? AND hour < ?",
        hours=f"SELECT hour, {total} FROM hourly WHERE series = ? ORDER BY hour",
        nth_time=(
            f"SELECT time FROM (SELECT time {span} AND time NOT IN (SELECT value FROM json_each(?)) "
            "UNION ALL SELECT value FROM json_each(?)) ORDER BY time LIMIT 1 OFFSET ?"
        ),
        known=f"SELECT time FROM main WHERE series = ? AND time IN carray(?){shown}",
    )


_ALL = _sql(
    "SELECT time, value, text FROM main WHERE series = ?1 AND time >= ?2 AND time < ?3 ORDER BY time {order} LIMIT ?6",
    total="total",
    shown="",
)
# By hours, so that texts, however many, are not read one by one to find the numbers between them.
_NUMERIC = _sql(
    "SELECT m.time, m.value, m.text FROM hourly h CROSS JOIN main m ON m.series = h.series "
    f"AND m.time >= max(?2, h.hour * {HOUR}) AND m.time < min(?3, (h.hour + 1) * {HOUR}) "
    "WHERE h.series = ?1 AND h.hour >= ?4 AND h.hour <= ?5 AND h.count > 0 AND m.value IS NOT NULL "
    "ORDER BY h.hour {order}, m.time {order} LIMIT ?6",
    total="count",
    shown=" AND value IS NOT NULL",
)


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
        self,
        series: int,
        start: int | None,
        end: int | None,
        *,
        limit: int | None = None,
        newest: bool = False,
        numeric: bool = False,
    ) -> list[Reading]:
        """See the port."""
        low, high = _bounds(start, end)
        wanted = SHORT + 1 if limit is None else limit
        if wanted <= SHORT + 1:
            fresh = self._heads.window(series, low, high, None if numeric else wanted, newest)
            if len(fresh) <= SHORT + 1:
                found = _window(self._pair, series, low, high, fresh, wanted, newest, numeric)
                if limit is not None or len(found) <= SHORT:
                    return found
        fresh = self._heads.window(series, low, high, None if numeric else limit, newest)
        return await self._reader.offload(lambda pair: _window(pair, series, low, high, fresh, limit, newest, numeric))

    async def page(self, series: int, offset: int, limit: int, *, numeric: bool = False) -> list[Reading]:
        """See the port."""
        fresh = self._heads.window(series, None, None)
        if max(offset, limit, len(fresh)) <= SHORT:
            return _page(self._pair, series, fresh, offset, limit, numeric)
        return await self._reader.offload(lambda pair: _page(pair, series, fresh, offset, limit, numeric))

    async def count(
        self, series: int, start: int | None = None, end: int | None = None, *, numeric: bool = False
    ) -> int:
        """See the port."""
        low, high = _bounds(start, end)
        fresh = self._heads.window(series, low, high)
        if len(fresh) <= SHORT:
            return _count(self._pair, series, low, high, fresh, numeric)
        return await self._reader.offload(lambda pair: _count(pair, series, low, high, fresh, numeric))

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


def _shown(rows: list[Reading], numeric: bool) -> list[Reading]:
    return [row for row in rows if row.value is not None] if numeric else rows


def _window(
    pair: Pair,
    series: int,
    low: int,
    high: int,
    fresh: list[Reading],
    limit: int | None,
    newest: bool,
    numeric: bool,
) -> list[Reading]:
    """The window, `fresh` being its unmerged rows (all if `numeric`, else at least the `limit` first or newest)."""
    sql = _NUMERIC if numeric else _ALL
    merged_limit = -1 if limit is None else limit + len(fresh) - len(_shown(fresh, numeric))  # texts hide numbers
    rows = pair.series(
        sql.newest if newest else sql.oldest, (series, low, high, low // HOUR, (high - 1) // HOUR, merged_limit)
    )
    merged = [Reading(series, *row) for row in rows]
    if not fresh:
        return merged
    if newest:
        merged.reverse()
    found = _shown(overlay(merged, fresh), numeric)
    if newest:
        found.reverse()
    return found[:limit]


def _changes(pair: Pair, series: int, fresh: list[Reading], sql: _Sql) -> tuple[list[int], list[int]]:
    """The times, ascending, that `fresh` adds to those of the merged rows, and that it takes from them."""
    if not fresh:
        return [], []
    shown = times(_shown(fresh, sql is _NUMERIC))
    last = pair.series(_LAST_TIME, (series,))
    if not last or last[0][0] < fresh[0].time:
        return shown, []
    below = times(cut(fresh, None, last[0][0] + 1))
    known: set[int] = {row[0] for row in pair.series(sql.known, (series, apsw.carray(array("q", below))))}
    return [time for time in shown if time not in known], sorted(known.difference(shown))


def _count(pair: Pair, series: int, low: int, high: int, fresh: list[Reading], numeric: bool) -> int:
    sql = _NUMERIC if numeric else _ALL
    first, last = -(-low // HOUR), high // HOUR  # the whole hours inside
    with pair.snapshot():
        if first >= last:
            merged = pair.series(sql.count, (series, low, high))[0][0]
        else:
            merged = pair.series(sql.count_hours, (series, first, last))[0][0]
            merged += pair.series(sql.count, (series, low, first * HOUR))[0][0]
            merged += pair.series(sql.count, (series, last * HOUR, high))[0][0]
        added, taken = _changes(pair, series, fresh, sql)
        return merged + len(added) - len(taken)


def _page(pair: Pair, series: int, fresh: list[Reading], offset: int, limit: int, numeric: bool) -> list[Reading]:
    with pair.snapshot():
        start = _EARLIEST if offset <= 0 else _nth_time(pair, series, fresh, offset, _NUMERIC if numeric else _ALL)
        if start is None:
            return []
        inside = cut(fresh, start, None, None if numeric else limit)
        return _window(pair, series, start, _END, inside, limit, False, numeric)


def _nth_time(pair: Pair, series: int, fresh: list[Reading], offset: int, sql: _Sql) -> int | None:
    """The time of the reading that `offset` others precede; None if there are not so many."""
    added, taken = _changes(pair, series, fresh, sql)
    totals: dict[int, int] = dict(pair.series(sql.hours, (series,)))
    for changed, by in ((added, 1), (taken, -1)):
        for time in changed:
            totals[time // HOUR] = totals.get(time // HOUR, 0) + by
    passed = 0
    for hour in sorted(totals):
        if passed + totals[hour] > offset:
            low, high = hour * HOUR, (hour + 1) * HOUR
            without, more = (str(_inside(part, low, high)) for part in (taken, added))
            return pair.series(sql.nth_time, (series, low, high, without, more, offset - passed))[0][0]
        passed += totals[hour]
    return None


def _inside(moments: list[int], low: int, high: int) -> list[int]:
    return moments[bisect_left(moments, low) : bisect_left(moments, high)]
