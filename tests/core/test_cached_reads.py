"""Promise: with the object cache on, a read that begins after a write was acknowledged never shows what was before it.

Readers and writers of a few objects are interleaved at random, over a store whose reads and commits take their time on
both sides of the moment at which they look or become visible. Stored, unstored and deleted objects alike.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.environment import CountingIds, ManualClock, SystemEntropy
from thingstead.core.cached import CachedStore
from thingstead.core.metrics import Metrics
from thingstead.engines.inprocess import InProcessCache
from thingstead.engines.sqlite import SqliteStore
from thingstead.ports.cache import Cache
from thingstead.ports.store import Batch, Changed, Committed, Put, Remove, Store, StoredObject

APP = "app"
IDS = ("a", "b", "c")


class Slow:
    """A store that answers late: what it read may be old by then."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.objects: Any = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _pause(self) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 2, 5, 9))):
            await asyncio.sleep(0)

    async def get(self, app: str, id: str) -> StoredObject | None:
        await self._pause()
        row = await self._store.objects.get(app, id)
        await self._pause()
        return row

    async def get_many(self, app: str, ids: Sequence[str]) -> list[StoredObject]:
        await self._pause()
        rows = await self._store.objects.get_many(app, ids)
        await self._pause()
        return rows

    async def commit(self, batch: Batch) -> Committed:
        await self._pause()
        committed = await self._store.commit(batch)
        await self._pause()
        return committed


class World:
    """What was acknowledged of each object: the number of its last write, and whether it is gone."""

    def __init__(self, store: CachedStore, chance: random.Random) -> None:
        self.store = store
        self.chance = chance
        self.ids = CountingIds()
        self.written = 0
        self.done: dict[str, int] = dict.fromkeys(IDS, 0)
        self.locks = {id: asyncio.Lock() for id in IDS}
        self.reads = self.seen = 0

    async def write(self, kinds: str) -> None:
        id = self.chance.choice(IDS)
        async with self.locks[id]:  # so that the order of the acknowledgements is the order of the writes
            self.written += 1
            number, kind = self.written, self.chance.choice(kinds)
            flags = {"s": "", "u": ',"stored":false', "n": ',"cached":false'}.get(kind, "")
            public = f'{{"id":"{id}","type":"t","n":{number}{flags}}}'.encode()
            put = Put(APP, id, "t", self.ids.next(), public, stored=kind != "u")
            while True:
                held = await self.store.objects.get(APP, id)
                change = Remove(APP, id, None if held is None else held.rev) if kind == "d" else put
                [result] = (await self.store.commit(Batch(changes=[change]))).changes
                if isinstance(result, Changed):
                    break
                assert held is not None, "only a copy that was evicted since can be stale"
            self.done[id] = number

    async def read(self) -> None:
        id = self.chance.choice(IDS)
        floor = self.done[id]
        row = await self.store.objects.get(APP, id)
        self.check({} if row is None else {id: row.public}, {id: floor})

    async def page(self) -> None:
        floors = dict(self.done)
        self.check(await self.store.objects.publics(APP, IDS), floors)

    def check(self, found: Mapping[str, bytes], floors: Mapping[str, int]) -> None:
        self.reads += len(floors)
        for id, public in found.items():
            self.seen += 1
            number = int(public.split(b'"n":')[1].split(b",")[0].rstrip(b"}"))
            assert number >= floors[id], f"{id}: {number} after {floors[id]} was acknowledged"


class Still(int):
    """A count that does not move."""

    def __add__(self, other: int) -> "Still":
        return self


class LastWins:
    """A cache with the fault that the promise is about; the layer's own guard is taken out with it."""

    def __init__(self, right: Cache) -> None:
        self.right = right

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)

    async def put(self, objects: list[StoredObject]) -> None:
        for each in objects:
            await asyncio.sleep(0)
            await self.right.remove(each.app, {each.id: 0})
            await self.right.put([each])


async def interleave(directory: Path, seed: int, kinds: str, *, faulty: bool = False) -> World:
    chance = random.Random(seed)
    clock = ManualClock()
    store = SqliteStore.open(directory, clock=clock, entropy=SystemEntropy())
    cache: Any = InProcessCache(clock, size=chance.choice((2, 100)), minutes=10)
    cached = CachedStore(
        Slow(store, chance),  # pyright: ignore[reportArgumentType]
        LastWins(cache) if faulty else cache,
        enabled=True,
        unstored=set(),
        metrics=Metrics.off(),
    )
    if faulty:
        cached._objects.writes = Still()
    world = World(cached, chance)

    async def worker() -> None:
        for _ in range(25):
            throw = chance.random()
            await (world.write(kinds) if throw < 0.3 else world.page() if throw < 0.4 else world.read())

    try:
        await asyncio.gather(*(worker() for _ in range(12)))
    finally:
        await cached.close()
    return world


@pytest.mark.parametrize("kinds", ["s", "sd", "sn", "suudn"])
@pytest.mark.parametrize("seed", range(5))
def test_no_read_is_older_than_what_was_acknowledged(tmp_path: Path, seed: int, kinds: str) -> None:
    world = run(interleave(tmp_path, seed, kinds))
    assert world.reads > 150
    assert world.seen > 20


def test_a_cache_in_which_the_last_wins_is_caught(tmp_path: Path) -> None:
    def caught(seed: int) -> bool:
        try:
            run(interleave(tmp_path / f"{seed}", seed, "s", faulty=True))
        except AssertionError:
            return True
        return False

    for seed in range(20):
        (tmp_path / f"{seed}").mkdir()
    assert any(caught(seed) for seed in range(20))
