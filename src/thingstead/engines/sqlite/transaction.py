"""The state of one transaction of the writer, shared by all batches of a group.

It collects what is written once per group (journal lines, cursors) and what becomes visible in memory only after
COMMIT. It decides nothing: objects, shadows, readings, items and the queue write through it.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from thingstead.engines.sqlite.schema import Cursor
from thingstead.ports.store import Reading, Refused

STALE = Refused("stale")

_INSERT_JOURNAL = "INSERT INTO journal(seq, at, op, app, id, type, public) VALUES(?, ?, ?, ?, ?, ?, ?)"


class Transaction:
    """One BEGIN ... COMMIT. Sequences start where the last committed transaction left them."""

    __slots__ = ("_lines", "cursor", "cursors", "head", "now", "pushed", "readings", "seq")

    def __init__(self, cursor: Cursor, now: int, seq: int, head: int):
        self.cursor = cursor
        self.now = now
        self.seq = seq  # the last journal sequence given
        self.head = head  # the last head sequence given
        self.readings: list[Reading] = []  # of the head rows written, in order
        self.cursors: dict[tuple[str, str], int] = {}  # (log, follower) -> seq
        self.pushed: set[str] = set()  # names of the queues that got messages
        self._lines: list[tuple[Any, ...]] = []

    def line(self, op: str, app: str, id: str, type: str, public: bytes | None = None) -> int:
        """Add a journal line; returns its sequence."""
        self.seq += 1
        self._lines.append((self.seq, self.now, op, app, id, type, public))
        return self.seq

    def savepoint(self) -> tuple[int, int]:
        """Begin a part that `undo` can take back; only changes and shadows may stand in it."""
        self.cursor.execute("SAVEPOINT part")
        return self.seq, len(self._lines)

    def undo(self, point: tuple[int, int]) -> None:
        """Take back everything since `point`."""
        self.cursor.execute("ROLLBACK TO part")
        self.cursor.execute("RELEASE part")
        self.seq, kept = point
        del self._lines[kept:]

    def keep(self) -> None:
        """End the part and keep it."""
        self.cursor.execute("RELEASE part")

    def write_lines(self) -> None:
        """Write the collected journal lines; the last step before COMMIT."""
        if self._lines:
            self.cursor.executemany(_INSERT_JOURNAL, self._lines)


Step: TypeAlias = Callable[[Transaction], None]
"""Something of the engine's own that is written in a group's transaction."""
