"""The Index port on tantivy: one indexer thread, commits asked for by the core, the position kept beside the index.

Promises: see ports.index. A generation (searcher and its seq) is published in one step after its commit is durable
and its position written; a crash between the two only means replay, which is delete and add. A failed commit loses
nothing: what was not committed is applied again with the next one. Only one process may have a directory open.
"""

import asyncio
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import msgspec
import tantivy

from thingstead.engines.tantivy.schema import FORMAT, encode, key, schema, scope
from thingstead.engines.tantivy.snapshot import TantivySnapshot, guarded
from thingstead.model.errors import Unavailable
from thingstead.ports.index import Change, Document, Removal, Snapshot

_HEAP = 50_000_000
_BACKLOG = 20_000


class _Position(msgspec.Struct, frozen=True):
    """The file `position.json`."""

    store: str
    format: int
    seq: int


class _Drop(msgspec.Struct, frozen=True):
    app: str | None  # None: all


_Pending: TypeAlias = Document | Removal | _Drop


class TantivyIndex:
    """Implements ports.index.Index. Use `open`."""

    def __init__(self, directory: Path, store: str) -> None:
        self._directory = directory
        self._store = store
        self._schema = schema()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="search")
        self._queue: queue.SimpleQueue[Callable[[], None] | Sequence[Change]] = queue.SimpleQueue()
        self._enqueued = 0
        self._applied = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # Of the indexer thread alone, once it runs:
        self._uncommitted: list[_Pending] = []
        self._broken = False
        self.refused = 0
        """Documents that tantivy would not take; they cannot be found."""
        position = self._recover()
        self._position = self._asked = position
        self._index = tantivy.Index(self._schema, str(directory), reuse=True)
        self._index.config_reader(reload_policy="manual")
        self._writer = self._index.writer(_HEAP, num_threads=1)
        self._index.reload()
        self._snapshot = self._generation(position)
        self._write_position(position)
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, directory: Path, store: str) -> "TantivyIndex":
        """The index in a directory, for the store of that uuid. Raises Unavailable if it cannot be opened or made."""
        return await asyncio.to_thread(guarded, lambda: cls(directory, store))

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
            self._queue.put(changes)

    async def room(self) -> None:
        """See the port."""
        self._loop = asyncio.get_running_loop()
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
            await self.commit()
        except Unavailable:
            pass  # replayed from the journal at the next start
        self._closed = True
        self._queue.put(self._stop)
        await asyncio.to_thread(self._thread.join)
        self._threads.shutdown(wait=True)
        self._wake()

    # --- the indexer thread

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
            if self._waiting and self._loop is not None and self._enqueued - self._applied <= _BACKLOG:
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
        writer = self._writer
        del self._writer
        try:
            guarded(writer.wait_merging_threads)
        except Unavailable:
            pass

    def _apply(self, changes: Sequence[_Pending]) -> None:
        self._uncommitted.extend(changes)
        if self._broken:
            return
        try:
            guarded(lambda: self._write(changes))
        except Unavailable:
            self._broken = True

    def _write(self, changes: Sequence[_Pending]) -> None:
        writer = self._writer
        for change in changes:
            if isinstance(change, _Drop):
                if change.app is None:
                    writer.delete_documents_by_query(tantivy.Query.all_query())
                else:
                    writer.delete_documents_by_term("scope", scope(change.app, None))
                continue
            if not (isinstance(change, Document) and change.new):
                writer.delete_documents_by_term("key", key(change.app, change.id))
            if isinstance(change, Document):
                try:
                    text = encode(change)
                    writer.add_json(text)
                except (ValueError, TypeError, OverflowError):
                    self.refused += 1

    def _commit(self, seq: int) -> None:
        if self._broken:
            guarded(self._restart)
        try:
            if self._uncommitted:
                guarded(self._writer.commit)
                self._uncommitted = []
                guarded(self._index.reload)
            guarded(lambda: self._write_position(seq))
        except Unavailable:
            self._broken = True
            raise
        self._position = seq
        self._snapshot = self._generation(seq)

    def _restart(self) -> None:
        """Start again from the last commit, with everything since."""
        del self._writer  # lets go of the directory's lock
        self._writer = self._index.writer(_HEAP, num_threads=1)
        self._broken = False
        changes, self._uncommitted = self._uncommitted, []
        self._apply(changes)
        if self._broken:
            raise Unavailable("the search index failed again")

    def _generation(self, seq: int) -> TantivySnapshot:
        return TantivySnapshot(self._index, self._schema, self._index.searcher(), seq, self._threads)

    # --- the directory

    def _recover(self) -> int:
        """The position found; the directory is emptied unless it is ours, of this format and readable."""
        file = self._directory / "position.json"
        try:
            found = msgspec.json.decode(file.read_bytes(), type=_Position)
            if found.store == self._store and found.format == FORMAT and tantivy.Index.exists(str(self._directory)):
                guarded(lambda: tantivy.Index(self._schema, str(self._directory), reuse=True))
                return found.seq
        except (OSError, msgspec.MsgspecError, Unavailable):
            pass
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        return 0

    def _write_position(self, seq: int) -> None:
        file = self._directory / "position.json"
        temporary = file.with_suffix(".new")
        with temporary.open("wb") as out:
            out.write(msgspec.json.encode(_Position(self._store, FORMAT, seq)))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the search index is closed")
