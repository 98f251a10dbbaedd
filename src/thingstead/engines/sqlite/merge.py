"""The merge: head rows of `store.db` become history in `series.db`. Runs in a thread of its own.

Promises: the only writer of `series.db`; it reads `store.db` through a read-only attachment. A round merges the rows
from the mark up to a target in slices of (series, time), each a short transaction; the mark moves with the last slice.
A round that is cut short is done again: every step gives the same result when repeated. Removed leaves are skipped.
It does not delete head rows; the writer does, once the mark is durable.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from thingstead.engines.sqlite.readings import HOUR
from thingstead.engines.sqlite.schema import (
    SERIES_FILE,
    STORE_FILE,
    attach_read_only,
    open_writer,
    prepare_series,
    query,
    read_meta,
)

_TEMPORARY = """
CREATE TEMP TABLE round(series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL, text TEXT,
PRIMARY KEY(series, time)) WITHOUT ROWID
"""
# The later row of one (series, time) replaces the earlier because rows arrive in the order of their sequence.
_COLLECT = (
    "INSERT OR REPLACE INTO temp.round SELECT series, time, value, text FROM store.head "
    "WHERE seq > ? AND seq <= ? AND (value IS NOT NULL OR text IS NOT NULL) ORDER BY series, time, seq"
)
_EMPTY = "DELETE FROM temp.round"
_SLICE_END = "SELECT series, time FROM temp.round WHERE (series, time) > (?, ?) ORDER BY series, time LIMIT 1 OFFSET ?"
_LAST = "SELECT series, time FROM temp.round ORDER BY series DESC, time DESC LIMIT 1"
_INSIDE = "FROM temp.round WHERE (series, time) > (?, ?) AND (series, time) <= (?, ?)"
_MAIN = f"INSERT OR REPLACE INTO main.main SELECT series, time, value, text {_INSIDE}"
_LATEST = (
    f"INSERT INTO main.latest SELECT series, max(time), value, text {_INSIDE} GROUP BY series "
    "ON CONFLICT DO UPDATE SET time = excluded.time, value = excluded.value, text = excluded.text "
    "WHERE excluded.time >= latest.time"
)
# Hours are floored also before 1970, and counted again from the rows, so that replaced and repeated ones are right.
_FLOORED = f"(time - (time % {HOUR} + {HOUR}) % {HOUR}) / {HOUR}"
_HOURLY = (
    f"INSERT OR REPLACE INTO main.hourly SELECT m.series, t.hour, count(*), count(m.value), min(m.value), "
    f"max(m.value), sum(m.value) FROM (SELECT DISTINCT series, {_FLOORED} AS hour {_INSIDE}) t CROSS JOIN main.main m "
    f"ON m.series = t.series AND m.time >= t.hour * {HOUR} AND m.time < (t.hour + 1) * {HOUR} GROUP BY t.series, t.hour"
)
_MARK = "UPDATE main.meta SET value = ? WHERE name = 'mark'"
_BEFORE_ALL = (-(2**63), -(2**63))


class Merger:
    """The connection that writes `series.db`. Made in the loop's thread, then used by one thread at a time."""

    def __init__(self, directory: Path, vfs: str | None, uuid: str, slice_rows: int):
        self._slice_rows = slice_rows
        self._connection = open_writer(directory / SERIES_FILE, vfs)
        prepare_series(self._connection, uuid)
        attach_read_only(self._connection, directory / STORE_FILE, "store")
        query(self._connection, _TEMPORARY)
        self.mark = int(read_meta(self._connection, "mark"))
        self.stop = Event()  # set: a running round ends after its present slice

    def round(self, target: int) -> int:
        """Merge the rows above the mark up to sequence `target`; returns the mark reached. Raises apsw.Error."""
        if target > self.mark:
            try:
                self._round(target)
            finally:
                query(self._connection, _EMPTY)
            query(self._connection, "PRAGMA main.wal_checkpoint(PASSIVE)")
        return self.mark

    def _round(self, target: int) -> None:
        query(self._connection, _COLLECT, (self.mark, target))
        last = self._one(_LAST, ())
        done: tuple[int, int] = _BEFORE_ALL
        while last is not None and done != last:
            if self.stop.is_set():
                return
            end = self._one(_SLICE_END, (*done, self._slice_rows - 1)) or last
            with self._connection:
                self._slice(*done, *end)
                if end == last:
                    query(self._connection, _MARK, (target,))
            done = end
        if last is None:
            query(self._connection, _MARK, (target,))
        self.mark = target

    def _slice(self, *span: int) -> None:
        for sql in (_MAIN, _LATEST, _HOURLY):
            query(self._connection, sql, span)

    def _one(self, sql: str, bindings: Sequence[int]) -> tuple[int, int] | None:
        rows = query(self._connection, sql, bindings)
        return (rows[0][0], rows[0][1]) if rows else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
