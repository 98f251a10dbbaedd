"""Turns: whatever concerns one name happens one after the other, and not too many wait for it."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Final

from thingstead.model.errors import LimitReached

MOST_WAITING: Final = 32


class Turns:
    """Locks by name, kept only while somebody holds or awaits them."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most = most_waiting
        self._held: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, name: Hashable) -> AsyncGenerator[None]:
        """Have one's turn. Raises LimitReached if too many wait already."""
        lock, waiting = self._held.get(name) or (asyncio.Lock(), 0)
        if waiting > self._most:
            raise LimitReached("too many sign-ins of one person at once; try again")
        self._held[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._held[name]
            if waiting == 1:
                del self._held[name]
            else:
                self._held[name] = (lock, waiting - 1)
