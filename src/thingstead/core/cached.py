"""The store as core sees it: with the object cache before it, and beside it the objects that are not stored.

(objects.md 4.) An object with `stored` false has no row: its bytes are in the cache, its searchable form in the index,
and a journal line carries it there. So this layer

* answers reads of single objects from the cache, where it is enabled. Promises: a read that begins after a write was
  acknowledged never shows what was before it, nor does it show an older revision after a newer one;
* keeps unstored objects in the cache whether it is enabled or not, for they have no other place; an app that ever had
  one is noted in the store (`SPACE`), so that all others pay nothing;
* takes the row out of the store when an object becomes unstored, and checks `expect` of those that have no row: their
  rev is the journal line's, which is above all that the id had before.

Everything else is the inner store's. An object with `cached` false is never put into the cache.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from thingstead.core.metrics import CACHE, DAO, Metrics
from thingstead.core.shapes import object_of
from thingstead.ports.cache import Cache
from thingstead.ports.queue import Queue
from thingstead.ports.store import (
    Batch,
    Change,
    Changed,
    Committed,
    Item,
    ItemReads,
    JournalReads,
    Key,
    ObjectReads,
    Put,
    ReadingReads,
    Refused,
    Remove,
    ShadowReads,
    Store,
    StoredObject,
)

SPACE: Final = "unstored"
_PAGE: Final = 100  # the most that one answer may bring into the cache
_STALE: Final = Refused("stale")
_UNCACHED: Final = b'"cached":false'
_UNSTORED: Final = b'"stored":false'


class CachedStore:
    """Implements ports.store.Store over one. `unstored` holds the apps that ever had an unstored object."""

    def __init__(self, store: Store, cache: Cache, *, enabled: bool, unstored: set[str], metrics: Metrics) -> None:
        self._store = store
        self._cache = cache
        self._enabled = enabled
        self._unstored = unstored
        self._metrics = metrics
        self._one_by_one = asyncio.Lock()  # writes of objects that have no row to check `expect` against
        self._objects = _Objects(store.objects, cache, enabled, unstored, metrics)

    @property
    def uuid(self) -> str:
        """See the port."""
        return self._store.uuid

    @property
    def objects(self) -> ObjectReads:
        """See the port."""
        return self._objects

    @property
    def shadows(self) -> ShadowReads:
        """See the port."""
        return self._store.shadows

    @property
    def readings(self) -> ReadingReads:
        """See the port."""
        return self._store.readings

    @property
    def journal(self) -> JournalReads:
        """See the port."""
        return self._store.journal

    @property
    def items(self) -> ItemReads:
        """See the port."""
        return self._store.items

    @property
    def queue(self) -> Queue:
        """See the port."""
        return self._store.queue

    async def passed(self, follower: str, seq: int, *, log: Literal["journal", "head"] = "journal") -> None:
        """See the port."""
        await self._store.passed(follower, seq, log=log)

    async def merge(self, limit: int | None = None) -> int:
        """See the port."""
        return await self._store.merge(limit)

    async def close(self) -> None:
        """See the port."""
        await self._cache.close()
        await self._store.close()

    async def commit(self, batch: Batch) -> Committed:
        """See the port."""
        changes = batch.changes
        if not changes:
            return await self._store.commit(batch)
        start = self._metrics.now()
        if (self._unstored or _some_unstored(changes)) and await self._has_unstored(changes):
            async with self._one_by_one:
                committed = await self._commit_unstored(batch)
        else:
            committed = await self._commit(batch, changes)
        self._metrics.record(changes[0].app, _timer_of(changes, committed.changes), start)
        return committed

    async def _commit(self, batch: Batch, changes: Sequence[Change]) -> Committed:
        if not self._enabled and not self._unstored:
            return await self._store.commit(batch)
        try:
            committed = await self._store.commit(batch)
        except BaseException:  # it may have been written all the same, if the caller was cancelled
            await self._forget(changes)
            raise
        await self._remember(changes, committed.changes)
        return committed

    # --- what was written

    async def _remember(self, changes: Sequence[Change], results: Sequence[Changed | Refused]) -> None:
        """Before the writers are answered: the newest copies, or nothing older."""
        self._objects.writes += 1
        for change, result in zip(changes, results, strict=True):
            if not self._enabled and change.app not in self._unstored:
                continue
            if isinstance(result, Refused):
                if result.reason == "stale" and change.expect is not None:
                    await self._drop_stored(change)
            elif isinstance(change, Put):
                if result.created and change.app not in self._unstored:
                    continue  # nobody can have a copy of it, and most of what is written is not read by id soon
                row = StoredObject(
                    change.app, change.id, change.type, result.docid, result.rev, change.public, change.private
                )
                if object_of(row).cached if is_unstored(row) else self._enabled and _UNCACHED not in row.public:
                    await self._cache.put([row])
                else:
                    await self._cache.remove(change.app, {change.id: result.rev})
            else:
                await self._cache.remove(change.app, {change.id: max(result.rev, result.seq)})

    async def _drop_stored(self, change: Change) -> None:
        """The copy that a refused change was computed from may be old."""
        held = await self._cache.get(change.app, change.id)
        if held is not None and not is_unstored(held):
            await self._cache.remove(change.app, {change.id: 0})

    async def _forget(self, changes: Sequence[Change]) -> None:
        self._objects.writes += 1
        for change in changes:
            await self._drop_stored(change)

    # --- what has no row

    async def _has_unstored(self, changes: Sequence[Change]) -> bool:
        if _some_unstored(changes):
            return True
        for change in changes:
            if change.app in self._unstored and change.expect is not None:
                held = await self._cache.get(change.app, change.id)
                if held is not None and is_unstored(held):
                    return True
        return False

    async def _commit_unstored(self, batch: Batch) -> Committed:
        """One of the changes makes, changes or removes an object without a row."""
        outcomes: list[Changed | Refused | None] = []
        sent: list[Change] = []
        places: list[int] = []  # of each outcome, its last change among those sent
        seen: set[tuple[str, str]] = set()
        for change in batch.changes:
            held = await self._cache.get(change.app, change.id)
            rev = held.rev if held is not None and is_unstored(held) else 0
            name = (change.app, change.id)
            if (rev and change.expect is not None and change.expect != rev) or (rev and name in seen):
                outcomes.append(_STALE)
                places.append(-1)
                continue
            seen.add(name)
            outcomes.append(None)
            expect = 0 if rev and change.expect is not None else change.expect
            if isinstance(change, Remove):
                sent.append(msgspec.structs.replace(change, expect=expect, line=change.line or bool(rev)))
            elif change.stored:
                sent.append(msgspec.structs.replace(change, expect=expect))
            else:
                sent.append(Remove(change.app, change.id, expect))
                sent.append(msgspec.structs.replace(change, expect=0, keys=None))
            places.append(len(sent) - 1)
        if batch.together and _STALE in outcomes:
            refused = [each or Refused("batch") for each in outcomes]
            return Committed(refused, [Refused("batch")] * len(batch.shadows), refused=True)
        apps = {change.app for change in sent if isinstance(change, Put) and not change.stored} - self._unstored
        items = [*batch.items, *(Item(SPACE, app, b"1") for app in apps)]
        self._unstored |= apps
        inner = msgspec.structs.replace(batch, changes=sent, items=items)
        noted = False
        try:
            committed = await self._store.commit(inner)
            noted = not committed.refused
        except BaseException:
            await self._forget(batch.changes)
            raise
        finally:
            if not noted:
                self._unstored -= apps
        results: list[Changed | Refused] = []
        for change, outcome, place in zip(batch.changes, outcomes, places, strict=True):
            result = outcome or committed.changes[place]
            if isinstance(result, Changed) and isinstance(change, Put) and not change.stored:
                held = await self._cache.get(change.app, change.id)
                row = committed.changes[place - 1]  # the removal of the row before it
                known = row.docid if isinstance(row, Changed) and row.docid else 0 if held is None else held.docid
                result = Changed(result.seq, result.seq, known or result.docid, not known)
            results.append(result)
        await self._remember(batch.changes, results)
        return msgspec.structs.replace(committed, changes=results)


class TimedCache:
    """Implements ports.cache.Cache over one, and times its calls (objects.md 18)."""

    def __init__(self, cache: Cache, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics

    async def get(self, app: str, id: str) -> StoredObject | None:
        """See the port."""
        start = self._metrics.now()
        found = await self._cache.get(app, id)
        self._metrics.record(app, CACHE.get, start)
        return found

    async def get_many(self, app: str, ids: Sequence[str]) -> Mapping[str, StoredObject]:
        """See the port."""
        start = self._metrics.now()
        found = await self._cache.get_many(app, ids)
        self._metrics.record(app, CACHE.get_all, start)
        return found

    async def put(self, objects: Sequence[StoredObject]) -> None:
        """See the port."""
        start = self._metrics.now()
        await self._cache.put(objects)
        if objects:
            self._metrics.record(objects[0].app, CACHE.put if len(objects) == 1 else CACHE.put_all, start)

    async def remove(self, app: str, revs: Mapping[str, int]) -> None:
        """See the port."""
        start = self._metrics.now()
        await self._cache.remove(app, revs)
        self._metrics.record(app, CACHE.remove if len(revs) == 1 else CACHE.remove_all, start)

    async def clear(self, app: str) -> None:
        """See the port."""
        await self._cache.clear(app)

    async def probe(self) -> bool:
        """See the port."""
        return await self._cache.probe()

    async def close(self) -> None:
        """See the port."""
        await self._cache.close()


class _Objects:
    """Implements ports.store.ObjectReads: single objects from the cache, those without a row from nowhere else."""

    def __init__(self, rows: ObjectReads, cache: Cache, enabled: bool, unstored: set[str], metrics: Metrics) -> None:
        self._rows = rows
        self._cache = cache
        self._enabled = enabled
        self._unstored = unstored
        self._metrics = metrics
        self.writes = 0  # moves with every write: what was read before it is not kept

    async def get(self, app: str, id: str) -> StoredObject | None:
        """See the port."""
        start = self._metrics.now()
        found = await (self._through(app, id) if self._enabled else self._rows.get(app, id))
        if found is None and self._unstored and app in self._unstored:
            found = await self._cache.get(app, id)
        self._metrics.record(app, DAO.read, start)
        return found

    async def _through(self, app: str, id: str) -> StoredObject | None:
        found = await self._cache.get(app, id)
        if found is not None:
            return found
        writes = self.writes
        row = await self._rows.get(app, id)
        if row is not None and writes == self.writes and _UNCACHED not in row.public:
            await self._cache.put([row])
        return row

    async def get_many(self, app: str, ids: Sequence[str]) -> list[StoredObject]:
        """See the port. Rows come from the store: one read of many costs less than many of the cache."""
        start = self._metrics.now()
        rows = await self._rows.get_many(app, ids)
        if self._unstored and app in self._unstored:
            found = {row.id: row for row in rows}
            held = await self._cache.get_many(app, [id for id in ids if id not in found])
            if held:
                found.update((id, row) for id, row in held.items() if is_unstored(row))
                rows = [found[id] for id in dict.fromkeys(ids) if id in found]
        self._metrics.record(app, DAO.read_all, start)
        return rows

    async def publics(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """See the port. A page of a search is read through the cache: half of what 100 hits cost was reading rows."""
        if self._enabled and len(ids) <= _PAGE:
            return await self._page(app, ids)
        found = await self._rows.publics(app, ids)
        if self._unstored and app in self._unstored and len(found) < len(ids):
            held = await self._cache.get_many(app, [id for id in ids if id not in found])
            found = {**found, **{id: row.public for id, row in held.items() if is_unstored(row)}}
        return found

    async def _page(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        held = await self._cache.get_many(app, ids)
        found = {id: row.public for id, row in held.items()}
        missing = [id for id in ids if id not in found] if len(found) < len(ids) else None
        if missing:
            writes = self.writes
            rows = await self._rows.get_many(app, missing)
            if rows and writes == self.writes:
                await self._cache.put([row for row in rows if _UNCACHED not in row.public])
            found.update((row.id, row.public) for row in rows)
        return found

    async def find(self, key: Key) -> StoredObject | None:
        """See the port. What is not stored has no keys."""
        return await self._rows.find(key)

    async def find_many(self, keys: Sequence[Key]) -> Mapping[Key, StoredObject]:
        """See the port."""
        return await self._rows.find_many(keys)

    async def scan(
        self, app: str, *, type: str | None = None, parent: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[StoredObject]:
        """See the port: rows only."""
        start = self._metrics.now()
        rows = await self._rows.scan(app, type=type, parent=parent, after=after, limit=limit)
        self._metrics.record(app, DAO.read_page, start)
        return rows

    async def count(self, app: str, *, type: str | None = None, parent: str | None = None) -> int:
        """See the port: rows only."""
        return await self._rows.count(app, type=type, parent=parent)


def _some_unstored(changes: Sequence[Change]) -> bool:
    return any(isinstance(change, Put) and not change.stored for change in changes)


def is_unstored(row: StoredObject) -> bool:
    """True for an object that has no row in the store."""
    return _UNSTORED in row.public and not object_of(row).stored


def _timer_of(changes: Sequence[Change], results: Sequence[Changed | Refused]) -> str:
    """The name under which a commit is timed (objects.md 18): by its first change."""
    many = len(changes) > 1
    if isinstance(changes[0], Remove):
        return DAO.delete_all if many else DAO.delete
    result = results[0]
    if isinstance(result, Changed) and result.created:
        return DAO.create_all if many else DAO.create
    return DAO.update_all if many else DAO.update
