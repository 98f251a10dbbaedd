"""The one writer: all batches of a loop tick share a transaction (group commit, stack.md row "embedded store").

Promises: an outcome is reported only after COMMIT returned with the WAL synced; batches of a group act as if one after
the other; if COMMIT or the disk fails, nothing of the group is stored and each gets StoreFailed; a batch that fails by
its own fault (a value that cannot be stored) fails alone. Memory (sequences, heads) follows only what was committed.

A group commits in the loop as long as commits are quick: the way to a thread and back, for the interpreter's lock as
well, costs the loop more than most syncs take. Where the disk is slow they go to a thread, and the loop goes on.
While batches are few, and each turn of the loop brings more, the group waits for them: a commit costs as much as two.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import apsw
import msgspec

from thingstead.engines.sqlite import items, objects, queue, shadows
from thingstead.engines.sqlite.heads import Heads
from thingstead.engines.sqlite.journal import Logs, Trimmed
from thingstead.engines.sqlite.readings import append
from thingstead.engines.sqlite.schema import cursor_of
from thingstead.engines.sqlite.transaction import Step, Transaction
from thingstead.model.errors import InvalidInput, StoreFailed, ThingsteadError
from thingstead.ports.environment import Clock
from thingstead.ports.store import Batch, Changed, Committed, Put, Refused

log = logging.getLogger(__name__)

Done: TypeAlias = Callable[[Committed | BaseException], None]

TRIM_SOON = 0.01  # s between slices while there is a backlog to trim
_FEW = 16  # batches
_REMEMBERED = 8  # commits, about, that the mean time of one looks back on


class Passed(NamedTuple):
    """A cursor to store."""

    log: str
    follower: str
    seq: int


Work: TypeAlias = Batch | Passed | Step | None  # None: trim only
_Entry: TypeAlias = tuple[Work, Done]

_NOTHING = Committed()
# What a batch can cause by itself; every other apsw.Error is about the file or the disk.
_OWN_FAULT = (apsw.TooBigError, apsw.ConstraintError, apsw.MismatchError)


class _Group(msgspec.Struct, gc=False):
    """Batches that share a transaction, written and not committed."""

    tx: Transaction
    taken: list[_Entry]
    outcomes: list[Committed]
    trimmed: Trimmed | None


class Writer:
    """Owns the only connection that writes `store.db`. Used in the loop's thread only, but for a COMMIT."""

    def __init__(
        self,
        connection: apsw.Connection,
        logs: Logs,
        heads: Heads,
        clock: Clock,
        *,
        group_seconds: float,
        slow_seconds: float,
        timer: Callable[[], float],
        fresh: Callable[[], None],
        committed: Callable[[Transaction], None],
    ):
        self._connection = connection
        self._cursor = cursor_of(connection)
        self._logs = logs
        self._heads = heads
        self._clock = clock
        self._group_seconds = group_seconds
        self._slow_seconds = slow_seconds
        self._commit_seconds = 0.0  # of late, on the mean
        self._timer = timer
        self._fresh = fresh  # ends the snapshot of the loop's reads
        self._committed = committed  # told after each group
        self._pending: deque[_Entry] = deque()
        self._scheduled = False
        self._seen = 0  # of those pending, when the loop last came by
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        self._committing: tuple[_Group, Future[BaseException | None]] | None = None
        self._trim_timer: asyncio.TimerHandle | None = None
        self._trim_due = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def submit(self, work: Work, done: Done) -> None:
        """Queue work for the next group; `done` is called once, in the loop, with its outcome."""
        if self._closed:
            raise StoreFailed("the store is closed")
        self._pending.append((work, done))
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled:
            return
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._scheduled = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._seen < len(self._pending) < _FEW:
            self._seen = len(self._pending)
            self._schedule()
            return
        self._seen = 0
        if not self._pending:
            return
        group = self._write(self._pending)
        if group is not None and self._commit_seconds >= self._slow_seconds:
            self._scheduled = True  # until it is committed nothing else is written
            self._committing = group, self._thread.submit(self._commit)
            self._committing[1].add_done_callback(self._committed_apart)
            return
        if group is not None:
            self._settle(group, self._commit())
        if self._pending:  # the group was capped by time: let the loop breathe
            self._schedule()

    def _committed_apart(self, _: "Future[BaseException | None]") -> None:
        """In the thread: back to the loop."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._settle_apart)
        except RuntimeError:
            pass  # the loop has ended: `stop` has waited, or nobody does

    def _settle_apart(self) -> None:
        self._await_commit()
        self._scheduled = False
        if self._pending:
            self._schedule()

    def _await_commit(self) -> None:
        """Wait for the commit in the thread, if there is one, and tell how it went."""
        if self._committing is not None:
            (group, committing), self._committing = self._committing, None
            self._settle(group, committing.result())

    def _group(self, pending: deque[_Entry]) -> None:
        """One transaction over as many of `pending` as the time cap allows."""
        group = self._write(pending)
        if group is not None:
            self._settle(group, self._commit())

    def _write(self, pending: deque[_Entry]) -> _Group | None:
        """Begin a transaction and write as many of `pending` as the time cap allows; None if it failed, which was
        told."""
        tx = Transaction(self._cursor, self._clock.now(), self._logs.journal_last, self._logs.head_last)
        taken: list[_Entry] = []
        outcomes: list[Committed] = []
        trim = False
        deadline = self._timer() + self._group_seconds
        try:
            self._fresh()
            tx.cursor.execute("BEGIN IMMEDIATE")
            while pending:
                entry = pending.popleft()
                taken.append(entry)
                work = entry[0]
                if isinstance(work, Batch):
                    outcomes.append(_apply(tx, work))
                else:
                    outcomes.append(_NOTHING)
                    if work is None:
                        trim = True
                    elif isinstance(work, Passed):
                        self._logs.passed(tx, *work)
                    else:
                        work(tx)
                if self._timer() > deadline:
                    break
            tx.write_lines()
            trimmed = self._logs.trim(tx) if trim else None
        except BaseException as error:
            self._undo(taken, error, committing=False)
            return None
        return _Group(tx, taken, outcomes, trimmed)

    def _commit(self) -> BaseException | None:
        """What went wrong."""
        start = self._timer()
        try:
            self._cursor.execute("COMMIT")
        except BaseException as error:
            return error
        self._commit_seconds += (self._timer() - start - self._commit_seconds) / _REMEMBERED
        return None

    def _undo(self, taken: list[_Entry], error: BaseException, *, committing: bool) -> None:
        self._rollback(committing)
        self._failed(taken, error)
        if not isinstance(error, Exception):
            raise error

    def _settle(self, group: _Group, error: BaseException | None) -> None:
        """Tell how the commit of a group went."""
        self._fresh()  # what was read during the commit may be older
        if error is not None:
            self._undo(group.taken, error, committing=True)
            return
        tx = group.tx
        first = self._logs.head_last + 1
        self._logs.committed(tx)
        if group.trimmed:
            self._logs.trimmed(group.trimmed)
        if tx.readings:
            self._heads.extend(first, tx.readings)
        self._report(zip(group.taken, group.outcomes, strict=True))
        self._committed(tx)
        if self._logs.backlog(tx.now):
            self.trim_later(TRIM_SOON)

    def _rollback(self, committing: bool) -> None:
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
            if committing:
                # Frames of the failed commit may stand whole in the WAL file: write over them, or a crash revives them.
                self._cursor.execute("UPDATE meta SET value = value + 1 WHERE name = 'scrub'")
        except Exception as error:  # whatever it is, the callers must be told
            log.warning("rolling back a failed group: %s", error)

    def _failed(self, taken: list[_Entry], error: BaseException) -> None:
        """Tell the batches of a group that was rolled back; after one batch's own fault, try the others again alone."""
        own = isinstance(error, Exception) and (not isinstance(error, apsw.Error) or isinstance(error, _OWN_FAULT))
        if own and len(taken) > 1:
            for entry in taken:
                self._group(deque([entry]))
            return
        if isinstance(error, ThingsteadError):
            answer: ThingsteadError = error
        elif own:
            answer = InvalidInput(f"a value cannot be stored: {error}")
        else:
            log.error("a commit of %d batches failed: %r", len(taken), error)
            answer = StoreFailed(f"the commit failed: {error}")
        answer.__cause__ = error if answer is not error else None
        self._report((entry, answer) for entry in taken)

    def _report(self, outcomes: Iterable[tuple[_Entry, Committed | BaseException]]) -> None:
        for (_, done), outcome in outcomes:
            try:
                done(outcome)
            except Exception:  # one broken listener must not keep the others from their acknowledgements
                log.exception("a listener of a commit failed")

    def trim_later(self, seconds: float) -> None:
        """Trim one slice of the logs after a while, in a group of its own or with others."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._trim_timer is not None:
            if self._trim_due <= due:
                return
            self._trim_timer.cancel()
        self._trim_due = due
        self._trim_timer = loop.call_later(seconds, self._trim)

    def _trim(self) -> None:
        self._trim_timer = None
        if not self._closed:
            self.submit(None, _ignore)

    def stop(self) -> None:
        """Write what is pending, and take nothing more."""
        self._closed = True
        self._await_commit()
        while self._pending:
            self._group(self._pending)
        if self._trim_timer is not None:
            self._trim_timer.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._thread.shutdown()
        self._connection.close()


def _ignore(_: Committed | BaseException) -> None:
    """Nobody waits for a trim."""


def _apply(tx: Transaction, batch: Batch) -> Committed:
    """Check and write one batch (ports.store.Batch)."""
    undoable = batch.together and len(batch.changes) + len(batch.shadows) > 1
    point = tx.savepoint() if undoable else None
    changes = [objects.put(tx, c) if isinstance(c, Put) else objects.remove(tx, c) for c in batch.changes]
    rows = [shadows.put(tx, shadow) for shadow in batch.shadows]
    if batch.together and any(isinstance(result, Refused) for result in (*changes, *rows)):
        if point is not None:
            tx.undo(point)
        return Committed([_together(r) for r in changes], [_together(r) for r in rows], refused=True)
    if point is not None:
        tx.keep()
    for app, thing in batch.desired:
        objects.desired(tx, app, thing)
    for item in batch.items:
        items.put(tx, item)
    if batch.messages:
        queue.push(tx, batch.messages)
    head = append(tx, batch.readings) if batch.readings else 0
    return Committed(changes, rows, head=head)


def _together(result: Changed | Refused) -> Refused:
    return result if isinstance(result, Refused) else Refused("batch")
