"""Re-index: an app's part of the search index made again from the store, while both are in use (objects.md 13).

Each object is handed to the index once more in place of what it holds, and what it holds of objects that are gone, or
not to be found, is removed: the outcome of wiping and indexing anew, without the time in which nothing is found. Other
apps are not touched. Ended half-way it leaves the index no worse than before; it may run again, or twice at once.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from thingstead.core.metrics import SEARCH, Metrics
from thingstead.core.search import Search
from thingstead.core.shapes import document_of, object_of
from thingstead.model.settings import Settings
from thingstead.ports.environment import Clock
from thingstead.ports.index import Change, Document, Removal
from thingstead.ports.store import Store

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many objects of how many are done."""

_COMMITTED: Final = 5_000  # objects between commits of the index: what it must keep until then
_SWEPT: Final = 1_000


class Reindexed(msgspec.Struct, frozen=True):
    """The outcome: objects that can be found now, what of the index belonged to none, milliseconds."""

    count: int
    removed: int
    took: int


class Reindexer:
    """See the module's docstring."""

    def __init__(self, store: Store, search: Search, clock: Clock, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._search = search
        self._clock = clock
        self._metrics = metrics
        self._page = settings.reindex_batch_size

    async def run(self, app: str, progress: Progress | None = None) -> Reindexed:
        """Re-index an app; durable on return. Raises StoreFailed, Unavailable."""
        begun, start = self._clock.now(), self._metrics.now()
        total = await self._store.objects.count(app)
        count = done = uncommitted = after = 0

        async def read() -> Sequence[Change]:
            nonlocal after, done
            rows = await self._store.objects.scan(app, after=after, limit=self._page)
            after = rows[-1].docid if rows else 0
            done += len(rows)
            return [document_of(object_of(row), 0) for row in rows]

        while found := await self._search.refeed(read):
            count += sum(isinstance(change, Document) for change in found)
            uncommitted += len(found)
            if uncommitted >= _COMMITTED:
                uncommitted = 0
                await self._search.flush()
            if progress is not None:
                progress(done, max(done, total))
        await self._search.flush()
        removed = await self._sweep(app)
        self._metrics.record(app, SEARCH.rebuild, start)
        return Reindexed(count, removed, (self._clock.now() - begun) // 1000)

    async def _sweep(self, app: str) -> int:
        """Remove what the index holds of objects that the store does not have."""
        removed = after = 0
        while hits := await self._search.indexed(app, after, _SWEPT):
            ids = [hit.id for hit in hits]
            seen = frozenset(row.id for row in await self._store.objects.get_many(app, ids))
            doubtful = [id for id in ids if id not in seen]

            async def gone(doubtful: Sequence[str] = doubtful) -> Sequence[Change]:
                there = {row.id for row in await self._store.objects.get_many(app, doubtful)}
                loose = await self._search.unstored(app, doubtful)  # what only the index keeps stays there
                return [Removal(app, id, 0) for id in doubtful if id not in there and id not in loose]

            if doubtful:
                removed += len(await self._search.refeed(gone))
            after = hits[-1].docid
        if removed:
            await self._search.flush()
        return removed
