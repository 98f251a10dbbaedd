"""Writes session changes to the SessionStore in batches, and tells who waits when theirs are durable.

Promises: changes are applied in order of their making, merged by key; a change undone before it was written is not
written; a failed batch is kept and comes again with the next. One task at a time, none where nothing changes.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import structlog

from thingstead.ports.sessions import Change, SessionStore, Space

_log = structlog.get_logger()
_RETRY_SECONDS = 1.0

Done: TypeAlias = Callable[[BaseException | None], None]


class Persister:
    """The only writer to the session store."""

    def __init__(self, store: SessionStore):
        self.serial = 0
        """Grows with every change: whoever compares it before and after knows whether there is something to wait
        for.
        """
        self._store = store
        self._pending: dict[tuple[Space, str], bytes | None] = {}
        self._fresh: set[tuple[Space, str]] = set()
        self._waiting: list[Done] = []
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None

    def put(self, space: Space, key: str, value: bytes) -> None:
        """Have an entry written."""
        self.serial += 1
        self._pending[space, key] = value
        self._wake()

    def delete(self, space: Space, key: str) -> None:
        """Have an entry deleted."""
        self.serial += 1
        if (space, key) in self._fresh:
            self._fresh.remove((space, key))
            del self._pending[space, key]
        else:
            self._pending[space, key] = None
        self._wake()

    def put_once(self, space: Space, key: str, value: bytes) -> None:
        """Like `put`, for a key that is not in the store: if `delete` comes before the write has gone out, nothing is
        written.
        """
        self._fresh.add((space, key))
        self.put(space, key, value)

    def after(self, done: Done) -> None:
        """Call `done` once all changes made so far are durable, with None, or with what prevented it."""
        self._waiting.append(done)
        self._wake()

    async def close(self) -> None:
        """Write what is pending; a failure is logged."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
            self._wake()
        while self._task is not None:
            await self._task
        if self._retry is not None:
            self._retry.cancel()

    def _wake(self) -> None:
        if self._task is None and self._retry is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    def _try_again(self) -> None:
        self._retry = None
        self._wake()

    async def _drain(self) -> None:
        error: BaseException | None = None
        try:
            while (self._pending or self._waiting) and error is None:
                pending, self._pending = self._pending, {}
                self._fresh.clear()
                waiting, self._waiting = self._waiting, []
                error = await self._apply(pending)
                if error is not None:
                    self._pending = {**pending, **self._pending}
                for done in waiting:
                    try:
                        done(error)
                    except Exception:
                        _log.exception("mqtt_settle_failed")
        finally:
            self._task = None
        if error is not None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._try_again)

    async def _apply(self, pending: dict[tuple[Space, str], bytes | None]) -> BaseException | None:
        if not pending:
            return None
        try:
            await self._store.apply([Change(space, key, value) for (space, key), value in pending.items()])
        except Exception as error:
            _log.error("mqtt_sessions_not_saved", error=repr(error), changes=len(pending))
            return error
        return None
