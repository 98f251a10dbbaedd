"""Hashing and checking of passwords (identity.md 7.4): bcrypt, in a few threads of its own.

Promises: the event loop never waits for a hash; no more threads hash at once than there are in the pool, and no more
callers wait than it takes, so that a storm of sign-ins is refused and not hoarded; a check that fails takes as long as
one of today's cost, also where there is no hash to check.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from thingstead.model import passwords as rules
from thingstead.model.errors import LimitReached

THREADS: Final = 2
MOST_WAITING: Final = 64  # about eight seconds of work
_T = TypeVar("_T")
_NOBODYS: Final = rules.unknown_hash(bytes(rules.UNKNOWN_BYTES))


class Passwords:
    """See the module's docstring."""

    def __init__(self, *, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._room = threads + most_waiting
        self.pending = 0
        """Callers that wait now."""

    async def hash(self, password: str) -> str:
        """A new hash. Raises LimitReached if too many wait already."""
        return await self._run(lambda: _hash(password))

    async def check(self, password: str, hash: str) -> bool:
        """Whether a hash is of this password; False, as slowly, for what is no hash. Raises LimitReached."""
        return await self._run(lambda: _check(password, hash))

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self.pending >= self._room:
            raise LimitReached("too many passwords are being checked; try again")
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self.pending -= 1

    def close(self) -> None:
        """Nothing is hashed any more; what waits is given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _hash(password: str) -> str:
    import bcrypt  # here, because few processes need it soon after their start

    return bcrypt.hashpw(rules.hashed_text(password), bcrypt.gensalt(rules.COST)).decode()


def _check(password: str, hash: str) -> bool:
    import bcrypt

    text = rules.hashed_text(password)
    cost = rules.cost_of(hash)
    if cost and bcrypt.checkpw(text, hash.encode()):
        return True
    if cost < rules.COST:
        bcrypt.checkpw(text, _NOBODYS.encode())
    return False
