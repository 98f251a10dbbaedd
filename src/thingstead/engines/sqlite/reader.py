"""Read-only connections: one pair in the loop for short reads, one pair for each thread of a small pool for long ones.

Promises: a read sees one snapshot per statement (or per `snapshot` block), committed rows only, all that was
acknowledged before it began, and never waits for the writer. It does not know any table; the facets bring the SQL.
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from thingstead.engines.sqlite.schema import SERIES_FILE, STORE_FILE, Cursor, Rows, cursor_of, open_reader
from thingstead.model.errors import StoreFailed

T = TypeVar("T")

SHORT = 5000  # rows; a read of more goes to a thread


class Pair:
    """One connection to each file, with one cursor each; used by one thread at a time."""

    def __init__(self, directory: Path, vfs: str | None):
        self._connections = [open_reader(directory / name, vfs) for name in (STORE_FILE, SERIES_FILE)]
        self._store, self._series = (cursor_of(connection) for connection in self._connections)

    def store(self, sql: str, bindings: Sequence[Any] = ()) -> Rows:
        """All rows of a statement over `store.db`. Raises StoreFailed."""
        return _rows(self._store, sql, bindings)

    def series(self, sql: str, bindings: Sequence[Any] = ()) -> Rows:
        """All rows of a statement over `series.db`. Raises StoreFailed."""
        return _rows(self._series, sql, bindings)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Statements over `series.db` inside see one moment."""
        self.series("BEGIN")
        try:
            yield
        finally:
            self.series("COMMIT")

    def close(self) -> None:
        """Close both connections."""
        for connection in self._connections:
            connection.close()


class LoopPair(Pair):
    """The pair of the loop: its reads of `store.db` share a transaction until `fresh`, and with it the locks of a read.

    The writer calls `fresh` before each group, so that the WAL can begin anew, and once it is committed, before anybody
    is told: no read is older than what was acknowledged before it.
    """

    def __init__(self, directory: Path, vfs: str | None):
        super().__init__(directory, vfs)
        self._begun = False

    def store(self, sql: str, bindings: Sequence[Any] = ()) -> Rows:
        """As Pair's."""
        if not self._begun:
            _rows(self._store, "BEGIN", ())
            self._begun = True
        try:
            return _rows(self._store, sql, bindings)
        except StoreFailed:
            self.fresh()
            raise

    def fresh(self) -> None:
        """The next read sees all that is committed by then."""
        if self._begun:
            self._begun = False
            if self._connections[0].in_transaction:  # a failed read may have ended it
                _rows(self._store, "ROLLBACK", ())


class Reader:
    """The pair of the loop, and the pool."""

    def __init__(self, directory: Path, vfs: str | None, threads: int = 2):
        self._open = lambda: Pair(directory, vfs)
        self.pair = LoopPair(directory, vfs)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store-read")
        self._local = threading.local()
        self._opened: list[Pair] = []
        self._closed = False

    async def offload(self, read: Callable[[Pair], T]) -> T:
        """Run a long read in a thread, on a pair of connections of that thread."""
        if self._closed:
            raise StoreFailed("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._in_thread, read)

    def _in_thread(self, read: Callable[[Pair], T]) -> T:
        pair: Pair | None = getattr(self._local, "pair", None)
        if pair is None:
            pair = self._local.pair = self._open()
            self._opened.append(pair)
        return read(pair)

    async def close(self) -> None:
        """Wait for running reads, then close everything."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        self.pair.fresh()
        for pair in [self.pair, *self._opened]:
            pair.close()


def _rows(cursor: Cursor, sql: str, bindings: Sequence[Any]) -> Rows:
    try:
        return cursor.execute(sql, bindings).fetchall()
    except UnicodeEncodeError:
        return []  # a name that is not Unicode text cannot be stored, so nothing has it
    except apsw.Error as error:
        raise StoreFailed(f"a read failed: {error}") from error
