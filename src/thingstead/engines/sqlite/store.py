"""The embedded store: `store.db` and `series.db` in one directory (design.md 6), behind the port `Store`.

Promises: what ports/store.py promises. One process may have a directory open; the server's lock file sees to that.
It does not lock the directory itself, and it does not copy or migrate data.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from thingstead.engines.sqlite.checkpoint import Checkpointer
from thingstead.engines.sqlite.items import Items
from thingstead.engines.sqlite.journal import Caps, Journal, Logs
from thingstead.engines.sqlite.merge import Merger
from thingstead.engines.sqlite.objects import Objects
from thingstead.engines.sqlite.queue import SqliteQueue
from thingstead.engines.sqlite.reader import Reader
from thingstead.engines.sqlite.readings import Readings, load_heads
from thingstead.engines.sqlite.schema import STORE_FILE, open_writer, prepare_store
from thingstead.engines.sqlite.shadows import Shadows
from thingstead.engines.sqlite.transaction import Step, Transaction
from thingstead.engines.sqlite.writer import Done, Passed, Writer
from thingstead.model.errors import StoreFailed
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.store import Batch, Committed

log = logging.getLogger(__name__)

MERGE_RETRY = 10.0  # s after a merge that failed


class Options(msgspec.Struct, frozen=True):
    """Fixed values that tests and unusual machines change."""

    group_seconds: float = 0.005  # a group takes no further batch after this
    slow_seconds: float = 0.002  # commits that take as long, on the mean of late, leave the loop; 0: all
    merge_rows: int = 200_000  # unmerged rows that start a merge
    merge_quiet: float = 60.0  # s without a reading that start one
    merge_slice: int = 10_000  # rows of one transaction of the merge
    merge_closing: float = 3.0  # s that closing gives to merging: what is left is read into memory at the next start
    wal_pages: int = 4_000  # pages in the WAL that start a checkpoint
    caps: Caps = Caps()


class SqliteStore:
    """Implements ports.store.Store. Made by `open`; everything but `open` runs in one event loop."""

    def __init__(self, directory: Path, clock: Clock, entropy: Entropy, vfs: str | None, options: Options):
        self._options = options
        connection = open_writer(directory / STORE_FILE, vfs)
        self._uuid = prepare_store(connection, entropy)
        self._merger = Merger(directory, vfs, self._uuid, options.merge_slice)
        self._logs = Logs(connection, self._merger.mark, options.caps)
        self._heads = load_heads(connection, self._merger.mark, options.merge_rows)
        self._checkpointer = Checkpointer(directory, vfs, connection, options.wal_pages)
        self._reader = Reader(directory, vfs)
        self._writer = Writer(
            connection,
            self._logs,
            self._heads,
            clock,
            group_seconds=options.group_seconds,
            slow_seconds=options.slow_seconds,
            timer=time.perf_counter,
            fresh=self._reader.pair.fresh,
            committed=self._after_group,
        )
        self._merge_pool = ThreadPoolExecutor(1, thread_name_prefix="store-merge")
        self._merging: asyncio.Task[int] | None = None
        self._merge_lock = asyncio.Lock()
        self._quiet: asyncio.TimerHandle | None = None
        self._last_reading = 0.0
        self._merge_after = 0.0
        self._closed = False
        self.objects = Objects(self._reader)
        self.shadows = Shadows(self._reader)
        self.readings = Readings(self._reader, self._heads, self._logs)
        self.journal = Journal(self._reader, self._logs)
        self.items = Items(self._reader)
        self.queue = SqliteQueue(self._reader, self._submitted, clock)

    @classmethod
    def open(
        cls, directory: Path, *, clock: Clock, entropy: Entropy, vfs: str | None = None, options: Options | None = None
    ) -> "SqliteStore":
        """Open or make the store of a directory.

        `vfs` names a registered SQLite VFS. Raises StoreFailed if a file cannot be opened, NotSupported if its schema
        is newer than this release or the two files do not belong together.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return cls(directory, clock, entropy, vfs, options or Options())
        except (apsw.Error, OSError) as error:
            raise StoreFailed(f"cannot open the store in {directory}: {error}") from error

    @property
    def uuid(self) -> str:
        """See the port."""
        return self._uuid

    def commit_soon(self, batch: Batch, done: Done) -> None:
        """As `commit`, without a future: `done` gets the outcome, in the loop, in the order of the calls.

        Raises StoreFailed if the store is closed; everything else, InvalidInput and StoreFailed, goes to `done`.
        """
        self._writer.submit(batch, done)

    async def commit(self, batch: Batch) -> Committed:
        """See the port."""
        return await self._submitted(batch)

    async def passed(self, follower: str, seq: int, *, log: Literal["journal", "head"] = "journal") -> None:
        """See the port."""
        await self._submitted(Passed(log, follower, seq))

    def _submitted(self, work: Batch | Passed | Step) -> asyncio.Future[Committed]:
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

        def done(outcome: Committed | BaseException) -> None:
            if future.done():  # the caller has gone; the batch is stored all the same
                return
            if isinstance(outcome, Committed):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self._writer.submit(work, done)
        return future

    def _after_group(self, tx: Transaction) -> None:
        """Between groups: see to the WAL, to merges of the head, and to who waits for messages."""
        self._checkpointer.after_group()
        if tx.pushed:
            self.queue.committed(tx.pushed)
        if not tx.readings or self._closed:
            return
        loop = asyncio.get_running_loop()
        self._last_reading = loop.time()
        if len(self._heads) >= self._options.merge_rows:
            self._merge_soon()
        elif self._quiet is None:
            self._quiet = loop.call_later(self._options.merge_quiet, self._look_quiet)

    def _look_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last_reading + self._options.merge_quiet - loop.time()
        self._quiet = loop.call_later(left, self._look_quiet) if left > 0 else None
        if self._quiet is None:
            self._merge_soon()

    def _merge_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._merging is None and not self._closed and loop.time() >= self._merge_after:
            self._merging = loop.create_task(self.merge())
            self._merging.add_done_callback(self._merged)

    def _merged(self, task: asyncio.Task[int]) -> None:
        self._merging = None
        if not task.cancelled() and (error := task.exception()):
            log.error("merging readings: %s", error)
            self._merge_after = asyncio.get_running_loop().time() + MERGE_RETRY
        elif len(self._heads) >= self._options.merge_rows:
            self._merge_soon()

    async def merge(self, limit: int | None = None) -> int:
        """See the port. Without `limit`, rows that are written meanwhile may be merged too."""
        end = self._logs.head_last
        async with self._merge_lock:
            start = self._logs.mark
            if limit is not None:
                end = min(end, start + limit)
            while self._logs.mark < end and await self._merge_round(limit and end - self._logs.mark):
                pass
            return self._logs.mark - start

    async def _merge_round(self, limit: int | None) -> bool:
        """Merge one generation, at most `limit` rows of it; False if that moved nothing."""
        target = self._heads.take(limit)
        if self._merger.stop.is_set() or target <= self._logs.mark:
            return False
        loop = asyncio.get_running_loop()
        try:
            reached = await loop.run_in_executor(self._merge_pool, self._merger.round, target)
        except apsw.Error as error:
            raise StoreFailed(f"the merge failed: {error}") from error
        self._logs.mark = reached
        self._heads.drop(reached)
        if not self._closed:
            self._writer.trim_later(0)
        return reached == target

    async def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        if self._options.merge_closing:
            try:
                async with asyncio.timeout(self._options.merge_closing):
                    await self.merge()
            except (TimeoutError, StoreFailed):
                pass
        self._merger.stop.set()
        if self._quiet is not None:
            self._quiet.cancel()
        async with self._merge_lock:
            self._merge_pool.shutdown()
        await self._reader.close()
        await self._checkpointer.close()
        self._merger.close()
        self._writer.close()
