"""The Index port on tantivy: written by a process of its own (`indexer`), read in this one.

Promises: see ports.index. A generation (searcher and its seq) is published in one step after its commit is durable
and its position written; a crash between the two only means replay, which is delete and add. A commit that fails, or
an indexer that ends, loses nothing: what was not committed is sent again to a new one. Only one process may have a
directory open.

A thread talks to the indexer, so that neither a full pipe nor a commit holds up the event loop. Changes are handed to
it in batches: one by one they would cost the loop more than its own work for a write, in waking that thread.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tantivy
from msgspec import structs

from thingstead.engines.tantivy.child import Child
from thingstead.engines.tantivy.directory import empty, own, read_position, write_position
from thingstead.engines.tantivy.schema import schema
from thingstead.engines.tantivy.snapshot import TantivySnapshot, guarded
from thingstead.model.errors import Unavailable
from thingstead.ports.index import Change, Document, Removal, Snapshot

_BACKLOG = 20_000
_BATCH = 500  # changes
_BATCH_SECONDS = 0.02
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Drop:
    app: str | None  # None: all


_Pending: TypeAlias = Document | Removal | _Drop


class TantivyIndex:
    """Implements ports.index.Index. Use `open`."""

    def __init__(self, directory: Path, store: str, loop: asyncio.AbstractEventLoop) -> None:
        self._directory = directory
        self._store = store
        self._loop = loop
        self._schema = schema()
        self._queue: queue.SimpleQueue[Callable[[], None] | Sequence[Change]] = queue.SimpleQueue()
        self._ids: dict[tuple[str, int], str] = {}
        self._edges: dict[Any, int] = {}
        self._batch: list[Change] = []
        self._timer: asyncio.TimerHandle | None = None
        self._enqueued = 0
        self._applied = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        # Of the thread alone, once it runs:
        self._uncommitted: list[_Pending] = []
        self._broken = False
        self.refused = 0
        """Documents that tantivy would not take; they cannot be found."""
        self._lock = own(directory)
        try:
            position = self._recover()
            self._child = Child(directory, store)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._position = self._asked = position
            self._index = tantivy.Index(self._schema, str(directory), reuse=True)
            self._index.config_reader(reload_policy="manual")
            self._index.reload()
        except BaseException:
            self._child.kill()
            os.close(self._lock)
            raise
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="search")
        self._snapshot = self._generation(position)
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, directory: Path, store: str) -> "TantivyIndex":
        """The index in a directory, for the store of that uuid. Raises Unavailable if it cannot be opened or made."""
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(guarded, lambda: cls(directory, store, loop))

    # --- the port

    async def position(self) -> int:
        """See the port."""
        return self._position

    def enqueue(self, changes: Sequence[Change]) -> None:
        """See the port."""
        self._check_open()
        if changes:
            self._enqueued += len(changes)
            self._asked = max(self._asked, changes[-1].seq)
            self._batch.extend(changes)
            if len(self._batch) >= _BATCH:
                self._hand_over()
            elif self._timer is None:
                self._timer = self._loop.call_later(_BATCH_SECONDS, self._hand_over)

    async def room(self) -> None:
        """See the port."""
        while self._enqueued - self._applied > _BACKLOG and not self._closed:
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting

    async def commit(self, seq: int = 0) -> int:
        """See the port."""
        self._check_open()
        self._asked = max(self._asked, seq)
        asked = self._asked
        if asked > self._position or self._applied != self._enqueued or self._uncommitted:
            await self._in_thread(lambda: self._commit(asked))
        return self._position

    def snapshot(self) -> Snapshot:
        """See the port."""
        self._check_open()
        return self._snapshot

    async def drop_app(self, app: str) -> None:
        """See the port."""
        self._check_open()
        asked = self._asked

        def drop() -> None:
            self._apply([_Drop(app)])
            self._commit(asked)

        await self._in_thread(drop)

    async def clear(self) -> None:
        """See the port."""
        self._check_open()

        def clear() -> None:
            self._apply([_Drop(None)])
            self._commit(0)

        await self._in_thread(clear)
        self._asked = 0

    async def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.commit()
        except Unavailable:
            pass  # replayed from the journal at the next start
        except TimeoutError:
            self._child.abort()
        self._closed = True
        self._queue.put(self._stop)
        await asyncio.to_thread(self._thread.join)
        self._threads.shutdown(wait=True)
        os.close(self._lock)
        self._wake()

    # --- the thread that talks to the indexer

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch:
            batch, self._batch = self._batch, []
            self._queue.put(batch)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            error: Exception | None = None
            try:
                work()
            except Exception as caught:
                error = caught
            try:
                loop.call_soon_threadsafe(settle, error)
            except RuntimeError:
                pass  # the loop is gone, and with it who waited

        def settle(error: Exception | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

        self._hand_over()
        self._queue.put(run)
        await done

    def _run(self) -> None:
        while not self._closed or not self._queue.empty():
            work = self._queue.get()
            if callable(work):
                work()
                continue
            self._apply(work)
            self._applied += len(work)
            if self._waiting and self._enqueued - self._applied <= _BACKLOG:
                try:
                    self._loop.call_soon_threadsafe(self._wake)
                except RuntimeError:
                    pass

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _stop(self) -> None:
        self._child.close()

    def _apply(self, changes: Sequence[_Pending]) -> None:
        self._uncommitted.extend(changes)
        if self._broken:
            return
        try:
            self._write(changes)
        except Unavailable:
            self._broken = True

    def _write(self, changes: Sequence[_Pending]) -> None:
        self.refused += self._child.send([self._framed(change) for change in changes])

    def _framed(self, change: _Pending) -> list[Any]:
        """As `indexer` has it."""
        if isinstance(change, Document):
            return [change.app, change.id, change.type, change.docid, change.new, change.fields]
        return [change.app, change.id] if isinstance(change, Removal) else [change.app]

    def _commit(self, seq: int) -> None:
        if self._broken or not self._committed(seq):
            self._restart()
            if not self._committed(seq):
                raise Unavailable("the search index failed again")
        if self._uncommitted:
            guarded(self._index.reload)
            self._uncommitted = []
        self._position = seq
        self._snapshot = self._generation(seq)

    def _committed(self, seq: int) -> bool:
        try:
            self.refused += self._child.commit(seq)
        except Unavailable:
            self._broken = True
        return not self._broken

    def _restart(self) -> None:
        """Another indexer, from the last commit, with everything since."""
        self._child.kill()
        if self._closed:
            raise Unavailable("the search index is closed")
        self._child = Child(self._directory, self._store)
        self._broken = False
        # The one that failed may have committed what it did not answer for: nothing is new.
        changes = [
            structs.replace(each, new=False) if isinstance(each, Document) else each for each in self._uncommitted
        ]
        self._uncommitted = []
        self._apply(changes)
        if self._broken:
            raise Unavailable("the search index failed again")

    def _generation(self, seq: int) -> TantivySnapshot:
        return TantivySnapshot(
            self._index, self._schema, self._index.searcher(), seq, self._threads, self._ids, self._edges
        )

    def _recover(self) -> int:
        """The position found; the directory is emptied unless it is ours, of this format and readable."""
        found = read_position(self._directory, self._store)
        try:
            if found is not None and tantivy.Index.exists(str(self._directory)):
                guarded(lambda: tantivy.Index(self._schema, str(self._directory), reuse=True))
                return found
        except Unavailable:
            pass
        empty(self._directory)
        guarded(lambda: tantivy.Index(self._schema, str(self._directory), reuse=True))
        write_position(self._directory, self._store, 0)
        return 0

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the search index is closed")
