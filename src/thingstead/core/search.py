"""Search over what was written (objects.md 6): the index, and the writes that it has not committed yet.

Promises: a search sees every write that was answered before it began (`written` comes first), items, order and totals
included; a follower of the journal, so that a lost or old index is caught up at start. An answer is taken from one
snapshot of the index and from the pending writes that this snapshot does not include, hence no write is seen twice or
not at all. An object that is not stored is shown from its searchable form, which is all that is kept of it (objects.md
4). Does not decide who may see what: callers narrow with `only`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import structs

from thingstead.core.listeners import tell
from thingstead.core.metrics import SEARCH, Metrics
from thingstead.model import objects as model
from thingstead.model.errors import MalformedBody, Unavailable
from thingstead.model.query import ast
from thingstead.model.query.build import ById, Find, Nearby, Plan, Similar, similar_tiers
from thingstead.model.query.fields import DOCID, clean, flatten, text_of
from thingstead.model.query.predicate import Subject, compile_query
from thingstead.model.query.sort import SortBy, in_order, sort_keys
from thingstead.model.values import JsonObject, parse_object
from thingstead.ports.environment import Clock
from thingstead.ports.index import Change, Document, Hit, Hits, Index, Removal, SearchRequest
from thingstead.ports.store import JournalReads

ReadMany: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Mapping[str, bytes]]]
"""(app, ids) -> id -> public bytes, of those that exist."""
Current: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Sequence[Document]]]
"""(app, ids) -> the index's form of those that exist and are to be found; their `seq` does not matter."""
Unstored: TypeAlias = Callable[[str, bytes], Document | None]
"""(app, public bytes) -> the index's form of an object that only its journal line holds; None: not to be found."""
Everything: TypeAlias = Callable[[], AsyncIterator[Sequence[Document]]]
"""All objects of all apps that are to be found, in batches."""
Passed: TypeAlias = Callable[[int], Awaitable[None]]
"""Told the journal seq up to which the index is durable."""

Join: TypeAlias = Callable[[str, ast.Query], Awaitable[ast.Query]]
"""(app, query) -> the query with what the index does not hold answered from elsewhere."""

_REPLAYED_AT_ONCE = 1_000
_MANY = (SEARCH.index_all, SEARCH.unindex_all)
_NOT_STORED = ast.Equals("stored", ("false",))
_MOST_PARENTS = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """When pending writes are committed; seconds and numbers of pending objects (stack.md: budget time, about 10 us
    each).
    """

    searched: float = 0.25  # after a write, if somebody searched in the last second
    idle: float = 1.0  # after a write otherwise
    bulk: int = 5_000  # at once when so many are pending
    hurry: int = 400  # at once when a search had to look through so many
    wait: int = 1_200  # a search waits for the commit rather than look through more


@dataclass(frozen=True, slots=True)
class Page:
    """A page of hits: stored public bytes and ids, in order; `total` of all; `last_key` the cursor after the last
    hit.
    """

    items: list[bytes]
    ids: list[str]
    total: int
    page: int = 0
    last_key: str | None = None


class _Overlay:
    """The pending writes of one app, newest per id."""

    def __init__(self) -> None:
        self.by_id: dict[str, Change] = {}
        self.shadowing: set[str] = set()
        """Ids of which the index may hold an earlier version."""
        self._by_type: dict[str, dict[str, Document]] = {}
        self._subjects: dict[str, Subject] = {}  # of those that a search looked at

    def add(self, change: Change) -> None:
        id = change.id
        if id in self.by_id:
            self.remove(id)
            self.shadowing.add(id)
        elif not (isinstance(change, Document) and change.new):
            self.shadowing.add(id)
        self.by_id[id] = change
        if isinstance(change, Document):
            of_type = self._by_type.get(change.type)
            if of_type is None:
                of_type = self._by_type[change.type] = {}
            of_type[id] = change

    def remove(self, id: str) -> None:
        change = self.by_id.pop(id)
        if self.shadowing:
            self.shadowing.discard(id)
        if self._subjects:
            self._subjects.pop(id, None)
        if isinstance(change, Document):
            of_type = self._by_type[change.type]
            del of_type[id]
            if not of_type:
                del self._by_type[change.type]

    def documents(self, type: str | None) -> list[Document]:
        """A list of its own."""
        if type is not None:
            return list(self._by_type.get(type, {}).values())
        return [change for change in self.by_id.values() if isinstance(change, Document)]

    def subject(self, document: Document) -> Subject:
        found = self._subjects.get(document.id)
        if found is None:
            found = self._subjects[document.id] = Subject(document.fields)
        return found

    def size(self, type: str | None) -> int:
        return len(self.by_id) if type is None else len(self._by_type.get(type, ()))


class Search:
    """See the module's docstring. All calls come from one event loop. Searches raise Unavailable if the index fails."""

    def __init__(
        self,
        index: Index,
        read_many: ReadMany,
        clock: Clock,
        *,
        join: Join | None = None,
        passed: Passed | None = None,
        policy: Policy | None = None,
        unstored: Collection[str] = (),
        from_index: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        """`unstored`: the apps that ever had an object that is not stored; may grow. `from_index`: what is found is
        shown as the index keeps it (`para.read_from_index`), whatever the store says.
        """
        self._from_index = from_index
        self._unstored = unstored
        self._metrics = metrics or Metrics.off()
        self._index = index
        self._read_many = read_many
        self._clock = clock
        self._join = join
        self._passed = passed
        self._policy = policy or Policy()
        self._overlays: dict[str, _Overlay] = {}
        self._order: deque[Change] = deque()
        self._searched = 0
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None
        self._committing: asyncio.Task[None] | None = None
        self._closed = False
        self._refeeding: list[set[tuple[str, str]]] = []  # what was written since a page of a re-index was read
        self.on_search: list[Callable[[str, Plan], Awaitable[None] | None]] = []
        """Who hears of (app, plan) before it is carried out."""
        self.recovered = 0
        """Journal lines replayed at start."""
        self.flushes = 0
        """Commits so far."""

    # --- writes

    def written(self, changes: Sequence[Change]) -> None:
        """Take over durable changes, in the order of the journal, before their writers are answered. Never refuses."""
        if not changes:
            return
        start = self._metrics.now()
        for touched in self._refeeding:
            touched.update([(change.app, change.id) for change in changes])
        if self._unstored:  # no row was there, but the index may hold an unstored object of the same id
            changes = [
                structs.replace(each, new=False) if isinstance(each, Document) and each.app in self._unstored else each
                for each in changes
            ]
        for change in changes:
            overlay = self._overlays.get(change.app)
            if overlay is None:
                overlay = self._overlays[change.app] = _Overlay()
            overlay.add(change)
        self._order.extend(changes)
        self._index.enqueue(changes)
        self._seen = max(self._seen, changes[-1].seq)
        self._schedule()
        gone = isinstance(changes[0], Removal)
        name = (SEARCH.unindex if gone else SEARCH.index) if len(changes) == 1 else _MANY[gone]
        self._metrics.record(changes[0].app, name, start)

    async def room(self) -> None:
        """Await before making more work than a few objects: pushes back on writers that are faster than the index."""
        await self._index.room()

    async def flush(self) -> int:
        """Make all that was written visible in the index and durable; its position. Raises Unavailable."""
        position = await self._index.commit(self._seen)
        self.flushes += 1
        self._prune(self._index.snapshot().seq)
        if self._passed is not None:
            await self._passed(position)
        return position

    async def refeed(self, read: Callable[[], Awaitable[Sequence[Change]]]) -> Sequence[Change]:
        """Index again what `read` finds in the store, but what was written since it began: that is newer. Returns it.

        Searches see it with the next commit, and until then what the index held before.
        """
        await self._index.room()
        touched: set[tuple[str, str]] = set()
        self._refeeding.append(touched)
        try:
            found = await read()
            seq = max(self._seen, self._index.snapshot().seq)
            # From the end of `read` to here nothing may await: a write in between would be undone.
            fresh: list[Change] = []
            for change in found:
                if (change.app, change.id) in touched:
                    continue
                again = structs.replace(change, new=False) if isinstance(change, Document) else change
                fresh.append(structs.replace(again, seq=seq))
            self._index.enqueue(fresh)
        finally:
            self._refeeding = [other for other in self._refeeding if other is not touched]
        return found

    async def indexed(self, app: str, after: int, limit: int) -> Sequence[Hit]:
        """What the index itself holds of an app, whatever the store says, by docid; committed changes only."""
        request = SearchRequest(app, ast.ALL, None, (SortBy(DOCID, False),), 0, limit, after)
        return (await self._index.snapshot().search(request)).hits

    async def drop_app(self, app: str) -> None:
        """Forget all objects of an app."""
        overlay = self._overlays.pop(app, None)
        if overlay is not None:
            self._order = deque(change for change in self._order if change.app != app)
        await self._index.drop_app(app)

    async def recover(
        self,
        journal: JournalReads,
        current: Current,
        everything: Everything,
        unstored: Unstored = lambda app, public: None,
    ) -> int:
        """Catch up with the journal, before anything is written: replays its lines from the index's position, or
        indexes `everything` if they are gone; objects that are not stored are then gone as well. Returns the number of
        lines replayed. Raises Unavailable.
        """
        position = await self._index.position()
        last = await journal.last()
        if position > last or (position < last and await journal.first() > position + 1):
            await self._index.clear()
            async for documents in everything():
                await self._replay([structs.replace(document, seq=last) for document in documents])
            self._seen = last
            await self.flush()
            return 0
        while lines := await journal.read(position, _REPLAYED_AT_ONCE):
            newest = {(line.app, line.id): line for line in lines}
            changes: list[Change] = []
            for app in {line.app for line in lines}:
                ids = [id for of, id in newest if of == app]
                found = {document.id: document for document in await current(app, ids)}
                for id in ids:
                    line = newest[app, id]
                    # Bytes in the newest line: an object without a row. In an older one they have had their day.
                    document = found.get(id) if line.public is None else unstored(app, line.public)
                    seq = line.seq
                    newer = None if document is None else structs.replace(document, seq=seq, new=False)
                    changes.append(newer or Removal(app, id, seq))
            await self._replay(sorted(changes, key=lambda change: change.seq))
            position = lines[-1].seq
            self.recovered += len(lines)
            self._seen = max(self._seen, position)
        if self.recovered:
            await self.flush()
        return self.recovered

    async def _replay(self, changes: Sequence[Change]) -> None:
        await self._index.room()
        self._index.enqueue(changes)

    async def close(self) -> None:
        """Commit what is pending, if possible, and close the index."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._committing is not None:
            await asyncio.wait([self._committing])
        try:
            await self.flush()
        except Unavailable:
            pass  # replayed at the next start
        await self._index.close()

    # --- commits

    def _schedule(self) -> None:
        if self._closed or self._committing is not None:
            return
        if len(self._order) >= self._policy.bulk:
            self._commit_now()
        elif self._timer is None:
            recent = self._clock.now() - self._searched < 1_000_000
            delay = self._policy.searched if recent else self._policy.idle
            self._timer = asyncio.get_running_loop().call_later(delay, self._commit_now)

    def _commit_now(self) -> asyncio.Task[None]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit())
        return self._committing

    async def _commit(self) -> None:
        failed = False
        try:
            await self.flush()
        except Unavailable:
            failed = True
        finally:
            self._committing = None
        if self._order and not self._closed:
            if failed:  # again after a while; the overlay answers meanwhile
                loop = asyncio.get_running_loop()
                self._timer = self._timer or loop.call_later(self._policy.idle, self._commit_now)
            else:
                self._schedule()

    def _prune(self, visible: int) -> None:
        while self._order and self._order[0].seq <= visible:
            change = self._order.popleft()
            overlay = self._overlays.get(change.app)
            if overlay is not None and overlay.by_id.get(change.id) is change:  # else a newer one is pending
                overlay.remove(change.id)
                if not overlay.by_id:
                    del self._overlays[change.app]

    # --- searches

    async def find(self, app: str, plan: Plan, only: ast.Query = ast.ALL, *, name: str = "findQuery") -> Page:
        """Carry out a search; `only` narrows it further; `name` is what it is timed as. Raises InvalidQuery,
        Unavailable.
        """
        if self.on_search:
            await tell(self.on_search, app, plan)
        start = self._metrics.now()
        page = await self._find(app, plan, only)
        self._metrics.record(app, f"Search.{name}", start)
        return page

    async def _find(self, app: str, plan: Plan, only: ast.Query) -> Page:
        if self._join is not None:
            match plan:
                case Find(query=query):
                    plan = replace(plan, query=await self._join(app, query))
                case Nearby(find=find) | Similar(find=find):
                    plan = replace(plan, find=replace(find, query=await self._join(app, find.query)))
                case ById():
                    pass
        match plan:
            case Find():
                return await self._page(app, plan, only)
            case ById():
                return await self._by_id(app, plan, only)
            case Nearby():
                return await self._nearby(app, plan, only)
            case Similar():
                return await self._similar(app, plan, only)

    async def _page(self, app: str, find: Find, only: ast.Query) -> Page:
        pager = find.pager
        query = ast.every(find.query, only)
        if find.count:
            hits = await self.hits(SearchRequest(app, query, find.type, (), 0, 0))
            return Page([], [], hits.total, pager.page)
        offset = 0 if pager.after is not None else pager.offset
        request = SearchRequest(app, query, find.type, pager.sort, offset, pager.limit, pager.after)
        hits = await self.hits(request)
        return await self._read(app, hits, pager.page)

    async def _read(self, app: str, hits: Hits, page: int) -> Page:
        ids = [hit.id for hit in hits.hits]
        found = await self._shown(app, ids)
        kept = [id for id in ids if id in found]
        last = str(hits.hits[-1].docid) if hits.hits else None
        return Page([found[id] for id in kept], kept, hits.total, page, last)

    async def _shown(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Public bytes of those that exist, stored or not."""
        if not ids:
            return {}
        if self._from_index:
            return {id: model.of_searchable(app, each).public() for id, each in (await self._kept(app, ids)).items()}
        found = await self._read_many(app, ids)
        if self._unstored and app in self._unstored and len(found) < len(ids):
            found = {**found, **await self.unstored(app, [id for id in ids if id not in found])}
        return found

    async def unstored(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Public bytes of those objects among `ids` that only the index keeps."""
        if app not in self._unstored:
            return {}
        kept = await self._kept(app, ids)
        return {id: model.of_searchable(app, each).public() for id, each in kept.items() if each.get("stored") is False}

    async def _kept(self, app: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """The searchable forms of those that are indexed."""
        overlay = self._overlays.get(app)
        fields: dict[str, JsonObject] = {}
        below: list[str] = []
        for id in ids:
            change = overlay.by_id.get(id) if overlay is not None else None
            if change is None:
                below.append(id)
            elif isinstance(change, Document):
                fields[id] = change.fields
        if below:
            fields.update(await self._index.snapshot().kept(app, below))
        return fields

    async def all_unstored(self, app: str, limit: int) -> list[str]:
        """Ids of objects that only the index keeps."""
        if app not in self._unstored:
            return []
        return [hit.id for hit in (await self.hits(SearchRequest(app, _NOT_STORED, limit=limit))).hits]

    async def hits(self, request: SearchRequest) -> Hits:
        """Hits of the index and the pending writes together. `request.exclude` is for this method alone to set."""
        self._searched = self._clock.now()
        if isinstance(request.query, ast.Nothing):
            return Hits(0, ())
        overlay = self._overlays.get(request.app)
        if overlay is not None and overlay.size(request.type) * _weight(request.query) > self._policy.wait:
            await asyncio.wait([self._commit_now()])
        # From here to the request nothing may await: the snapshot and the pending writes belong together.
        snapshot = self._index.snapshot()
        self._prune(snapshot.seq)
        overlay = self._overlays.get(request.app)
        if overlay is None:
            return await snapshot.search(request)
        if overlay.size(request.type) > self._policy.hurry:
            self._commit_now()
        pending = _matching(overlay, request)
        total, beyond = len(pending), pending
        if request.after is not None:
            beyond = [hit for hit in pending if _beyond(hit.docid, request.after, request.sort)]
        # Of the hits before the page at most len(beyond) are pending, so the page starts at most so much earlier below.
        start = max(0, request.offset - len(beyond))
        below = replace(
            request,
            offset=start,
            limit=request.offset + request.limit - start if request.limit else 0,
            exclude=frozenset(overlay.shadowing),
        )
        found = await snapshot.search(below)
        merged = in_order([*found.hits, *beyond], request.sort, lambda hit: hit.docid, lambda hit: hit.keys)
        skip = request.offset - start
        return Hits(found.total + total, merged[skip : skip + request.limit])

    async def _by_id(self, app: str, plan: ById, only: ast.Query) -> Page:
        if not plan.ids:
            return Page([], [], 0)
        found = await self._allowed(app, plan.ids, only)
        shown = {id: fields for id in found if (fields := _fields(found[id])).get("indexed") is not False}
        newest = sorted(shown, key=lambda id: _timestamp(shown[id]), reverse=True)
        return Page([found[id] for id in newest], newest, len(newest))

    async def _allowed(
        self, app: str, ids: Sequence[str], only: ast.Query, type: str | None = None
    ) -> Mapping[str, bytes]:
        """Public bytes of those that exist and that `only` (then also `type`) lets be seen."""
        if not isinstance(only, ast.All):
            query = ast.every(ast.Equals("id", tuple(map(clean, ids))), only)
            ids = [hit.id for hit in (await self.hits(SearchRequest(app, query, type, limit=len(ids)))).hits]
        return await self._shown(app, ids)

    async def _nearby(self, app: str, plan: Nearby, only: ast.Query) -> Page:
        by_docid = (SortBy(DOCID, False),)
        addresses = await self.hits(SearchRequest(app, plan.addresses, "address", by_docid, 0, _MOST_PARENTS))
        found = await self._shown(app, [hit.id for hit in addresses.hits])
        parents = dict.fromkeys(
            parent for public in found.values() if isinstance(parent := _fields(public).get("parentid"), str)
        )
        query = ast.every(plan.find.query, ast.Equals("id", tuple(parents))) if parents else ast.NOTHING
        return await self._page(app, replace(plan.find, query=query), only)

    async def _similar(self, app: str, plan: Similar, only: ast.Query) -> Page:
        like = plan.like
        if plan.like_id is not None and (found := await self._allowed(app, [plan.like_id], only, plan.find.type)):
            like = _text(_fields(found[plan.like_id]), plan.fields)
        tiers = similar_tiers(plan.fields, like)
        pager = plan.find.pager
        if pager.sorted or len(tiers) < 2:
            query = ast.every(plan.find.query, ast.some(*tiers))
            return await self._page(app, replace(plan.find, query=query), only)
        hits: list[Hit] = []
        total = 0
        for tier in tiers:  # best first: each tier by itself, in the default order
            request = SearchRequest(app, ast.every(plan.find.query, tier, only), plan.find.type, pager.sort)
            offset = max(0, pager.offset - total)
            part = await self.hits(replace(request, offset=offset, limit=pager.limit - len(hits)))
            hits.extend(part.hits)
            total += part.total
        return await self._read(app, Hits(total, hits), pager.page)


def _weight(query: ast.Query) -> int:
    """1 for queries as people write them; what has a thousand clauses is looked for in few pending writes only."""
    return 1 + sum(1 for _ in ast.walk(query)) // 16


def _matching(overlay: _Overlay, request: SearchRequest) -> list[Hit]:
    test = compile_query(request.query)
    return [
        Hit(document.id, document.docid, sort_keys(subject.flat, document.docid, request.sort))
        for document in overlay.documents(request.type)
        if test(subject := overlay.subject(document))
    ]


def _beyond(docid: int, after: int, sort: tuple[SortBy, ...]) -> bool:
    return docid < after if sort and sort[0].desc else docid > after


def _fields(public: bytes) -> JsonObject:
    try:
        return parse_object(public)
    except MalformedBody:
        return {}


def _timestamp(fields: JsonObject) -> float:
    value = fields.get("timestamp")
    return value if isinstance(value, (int, float)) else 0


def _text(wire: JsonObject, fields: Sequence[str]) -> str:
    """The texts of the named fields of an object as shown, where custom fields stand at the top."""
    flat = flatten(wire)
    names = [name.removeprefix("properties.") for name in fields]
    return " ".join(text_of(value) for name in names for value in flat.get(name, ()))
