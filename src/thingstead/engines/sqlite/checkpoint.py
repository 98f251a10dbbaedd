"""Checkpoints of `store.db`: a thread drains the WAL passively, the writer finishes between groups (stack.md).

Promises: the WAL is bounded although groups never stop coming; the loop does only the small remainder. It never blocks
readers, and a reader that holds an old snapshot only delays it.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from thingstead.engines.sqlite.schema import STORE_FILE, open_writer, query

log = logging.getLogger(__name__)

_DRAIN = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpointer:
    """Watches the size of the WAL after each commit of the writer's connection."""

    def __init__(self, directory: Path, vfs: str | None, writer: apsw.Connection, pages: int):
        self._writer = writer
        self._drainer = open_writer(directory / STORE_FILE, vfs)
        self._pages = pages
        self._wal_pages = 0
        self._draining: asyncio.Future[None] | None = None
        self._finish = False
        self._closed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store-checkpoint")
        writer.set_wal_hook(self._grown)

    def _grown(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def after_group(self) -> None:
        """Called in the loop between groups: finish what the thread drained, or set it to work."""
        if self._closed:
            return
        if self._finish:
            self._finish = False
            self._run(self._writer)
        elif self._wal_pages >= self._pages and self._draining is None:
            self._draining = asyncio.get_running_loop().run_in_executor(self._pool, self._run, self._drainer)
            self._draining.add_done_callback(self._drained)

    def _drained(self, _: asyncio.Future[None]) -> None:
        self._draining = None
        self._finish = True

    def _run(self, connection: apsw.Connection) -> None:
        try:
            query(connection, _DRAIN)
        except apsw.Error as error:
            log.warning("checkpoint of %s: %s", STORE_FILE, error)

    async def close(self) -> None:
        """Wait for a running drain and close the thread's connection."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        self._drainer.close()
