"""The workbench of the store's suite: a store under test, the stage of its readings, and the lists of promises."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from thingstead.conformance.aio import until
from thingstead.ports.store import Batch, Changed, Put, Reading, Refused, Remove, Store

Stage = Literal["unmerged", "half", "merged", "restarted"]
STAGES: tuple[Stage, ...] = ("unmerged", "half", "merged", "restarted")

Opener = Callable[[Path], Awaitable[Store]]

A, B = "app:a", "app:b"


class Bench:
    """A store under test, its directory, and the stage at which histories are read."""

    def __init__(self, open_store: Opener, directory: Path, stage: Stage, store: Store) -> None:
        self.store = store
        self.stage = stage
        self._open = open_store
        self._directory = directory
        self._docids = itertools.count(1)

    async def reopen(self) -> None:
        """Close and open again."""
        await self.store.close()
        self.store = await self._open(self._directory)

    async def age(self) -> None:
        """Bring the readings to the stage: merged not at all, half (and opened again), or whole."""
        left = len(await self.store.readings.log(0, 100_000))
        if self.stage == "merged":
            await self.store.merge()
        elif self.stage == "half":
            await self.store.merge(left // 2)
        elif self.stage == "restarted":
            await self.store.merge(left // 2)
            await self.reopen()

    def put(self, id: str, app: str = A, type: str = "t", body: bytes = b"{}", **more: object) -> Put:
        """A Put with the next docid."""
        return Put(app, id, type, next(self._docids), body, **more)  # type: ignore[arg-type]

    async def change(self, *changes: Put | Remove, together: bool = False) -> list[Changed | Refused]:
        """Commit changes."""
        return list((await self.store.commit(Batch(changes=changes, together=together))).changes)

    async def read(self, *readings: Reading) -> int:
        """Commit readings."""
        return (await self.store.commit(Batch(readings=readings))).head

    async def ids(self, app: str = A) -> list[str]:
        """All ids of an app in creation order."""
        return [found.id for found in await self.store.objects.scan(app)]


Check = Callable[[Bench], Awaitable[None]]
CHECKS: list[Check] = []
"""All promises."""
HISTORY: list[Check] = []
"""Those of CHECKS that read histories, and are worth running at every stage."""


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def history(function: Check) -> Check:
    HISTORY.append(function)
    return check(function)


async def run_check(check: Check, open_store: Opener, directory: Path, stage: Stage = "unmerged") -> None:
    """Run one check on a new store in `directory`; the store is closed whatever happens."""
    with no_stray_errors():
        bench = Bench(open_store, directory, stage, await open_store(directory))
        try:
            await check(bench)
        finally:
            await bench.store.close()


@contextmanager
def no_stray_errors() -> Iterator[None]:
    """What the loop caught because nobody waited for it fails the test too."""
    strays: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strays.append(context))
    yield
    assert strays == []


def outcome(result: Changed | Refused) -> str:
    """ "stored", or why it was refused."""
    return result.reason if isinstance(result, Refused) else "stored"


async def holds(answer: Awaitable[int], wanted: int) -> bool:
    return await answer == wanted


async def trimmed_to(bench: Bench, first: int) -> None:
    await until(lambda: holds(bench.store.journal.first(), first))


async def rows_kept(bench: Bench) -> int:
    return len(await bench.store.readings.log(0, 1_000))
