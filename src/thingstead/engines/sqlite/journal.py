"""The two logs, journal and head: who has read how far, what may be trimmed, and the journal's reads.

Promises: a line goes only when every registered cursor of its log has passed it (a head row also only when it is
merged), or when the log is over its cap: then the cursors that are left behind are dropped, and `first()` tells. A
journal nobody follows is kept up to the cap. Sequences are never reused: the journal's by its AUTOINCREMENT key, the
head's by the high water kept in `meta` whenever head rows are deleted.
"""

from collections.abc import Mapping
from typing import TypeAlias

import apsw
import msgspec

from thingstead.engines.sqlite.reader import SHORT, Reader
from thingstead.engines.sqlite.schema import Cursor, cursor_of, query, read_meta
from thingstead.engines.sqlite.transaction import Transaction
from thingstead.ports.store import JournalLine

Cursors: TypeAlias = Mapping[tuple[str, str], int]  # (log, follower) -> the last line it is done with

JOURNAL = "journal"
HEAD = "head"

_STAMP = "SELECT at FROM journal WHERE seq = ?"
_CURSOR_PUT = "INSERT INTO cursors(log, follower, seq) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq"
_CURSOR_DROP = "DELETE FROM cursors WHERE log = ? AND follower = ?"


class Caps(msgspec.Struct, frozen=True):
    """How much of a log waits for its slowest follower."""

    journal_lines: int = 1_000_000
    journal_age: int = 86_400_000_000  # us
    head_rows: int = 1_000_000  # merged rows; an unmerged row is never dropped
    slice: int = 5_000  # rows that one transaction deletes


class Logs:
    """Where both logs begin and end, and their cursors: committed state only, kept by the writer."""

    def __init__(self, connection: apsw.Connection, mark: int, caps: Caps):
        self.mark = mark  # head rows up to here are merged
        self._caps = caps
        given = query(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'journal'")
        self.journal_last: int = given[0][0] if given else 0
        self.journal_first: int = _bound(connection, "min(seq)", "journal") or self.journal_last + 1
        high = int(read_meta(connection, "head_high"))
        self._oldest = self._stamp(cursor_of(connection), self.journal_first)
        self.head_last: int = max(_bound(connection, "max(seq)", "head") or 0, mark, high)
        self.head_first: int = _bound(connection, "min(seq)", "head") or self.head_last + 1
        self.cursors: dict[tuple[str, str], int] = {
            (log, follower): seq for log, follower, seq in query(connection, "SELECT log, follower, seq FROM cursors")
        }

    def passed(self, tx: Transaction, log: str, follower: str, seq: int) -> None:
        """Store a cursor."""
        tx.cursor.execute(_CURSOR_PUT, (log, follower, seq))
        tx.cursors[log, follower] = seq

    def committed(self, tx: Transaction) -> None:
        """Take over what a committed transaction did to the logs' ends and cursors."""
        if self.journal_first > self.journal_last:
            self._oldest = tx.now
        self.journal_last, self.head_last = tx.seq, tx.head
        self.cursors.update(tx.cursors)

    def backlog(self, now: int) -> bool:
        """True if `trim` would find something to do."""
        return (
            self._journal_end(self.cursors) >= self.journal_first
            or self._head_end(self.cursors) >= self.head_first
            or (self.journal_first <= self.journal_last and self._oldest <= now - self._caps.journal_age)
        )

    def trim(self, tx: Transaction) -> "Trimmed":
        """Delete one slice of each log inside `tx`; apply the answer with `trimmed` after COMMIT."""
        cursors = {**self.cursors, **tx.cursors}
        journal = min(self._journal_end(cursors), self.journal_first + self._caps.slice - 1)
        if journal < self.journal_first:
            journal = self._aged(tx.cursor, tx.now)
        head = min(self._head_end(cursors), self.head_first + self._caps.slice - 1)
        if journal >= self.journal_first:
            tx.cursor.execute("DELETE FROM journal WHERE seq <= ?", (journal,))
        if head >= self.head_first:
            tx.cursor.execute("DELETE FROM head WHERE seq <= ?", (head,))
            tx.cursor.execute("UPDATE meta SET value = ? WHERE name = 'head_high'", (tx.head,))
        ends = {JOURNAL: journal, HEAD: head}
        dropped = [key for key, seq in cursors.items() if seq < ends[key[0]]]
        for key in dropped:
            tx.cursor.execute(_CURSOR_DROP, key)
        first = max(self.journal_first, journal + 1)
        return Trimmed(first, max(self.head_first, head + 1), dropped, self._stamp(tx.cursor, first))

    def trimmed(self, trimmed: "Trimmed") -> None:
        """Take over what a committed `trim` did."""
        self.journal_first, self.head_first = trimmed.journal_first, trimmed.head_first
        self._oldest = trimmed.oldest
        for key in trimmed.dropped:
            self.cursors.pop(key, None)

    def _journal_end(self, cursors: Cursors) -> int:
        """The last line that may go."""
        slowest = _slowest(cursors, JOURNAL)
        return max(min(slowest or 0, self.journal_last), self.journal_last - self._caps.journal_lines)

    def _aged(self, cursor: Cursor, now: int) -> int:
        """The end of a first slice, or of a part of it, that is wholly over the age; else of nothing."""
        end = min(self.journal_first + self._caps.slice - 1, self.journal_last)
        while end >= self.journal_first and self._stamp(cursor, end) > now - self._caps.journal_age:
            end = self.journal_first + (end - self.journal_first) // 2 if end > self.journal_first else 0
        return end

    def _stamp(self, cursor: Cursor, seq: int) -> int:
        """When a line was written; 0 if it is not there."""
        rows = cursor.execute(_STAMP, (seq,)).fetchall()
        return rows[0][0] if rows else 0

    def _head_end(self, cursors: Cursors) -> int:
        """The last head row that may go."""
        slowest = _slowest(cursors, HEAD)
        if slowest is None:
            return self.mark
        return min(self.mark, max(slowest, self.mark - self._caps.head_rows))


class Trimmed(msgspec.Struct, frozen=True):
    """The outcome of one `Logs.trim`."""

    journal_first: int
    head_first: int
    dropped: list[tuple[str, str]]
    oldest: int  # when the first line that is kept was written


def _slowest(cursors: Cursors, log: str) -> int | None:
    return min((seq for key, seq in cursors.items() if key[0] == log), default=None)


def _bound(connection: apsw.Connection, which: str, table: str) -> int | None:
    return query(connection, f"SELECT {which} FROM {table}")[0][0]


_READ = "SELECT seq, app, id, op, type, public FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"


class Journal:
    """Implements ports.store.JournalReads."""

    def __init__(self, reader: Reader, logs: Logs):
        self._reader = reader
        self._logs = logs

    async def read(self, after: int, limit: int) -> list[JournalLine]:
        """See the port."""
        if limit <= SHORT:
            rows = self._reader.pair.store(_READ, (after, limit))
        else:
            rows = await self._reader.offload(lambda pair: pair.store(_READ, (after, limit)))
        return [JournalLine(*row) for row in rows]

    async def last(self) -> int:
        """See the port."""
        return self._logs.journal_last

    async def first(self) -> int:
        """See the port."""
        return self._logs.journal_first
