"""The Index port: a search engine that follows the journal (design.md 5; objects.md 6).

Promises wanted of every engine: exactly the answers of `model.query` (predicate, sort keys, order) over the newest
version of each object that its snapshot includes; changes become visible together and in order of `seq`; what
`commit` has returned survives a `kill -9`; what was enqueued and not committed may be lost and is enqueued again from
the journal. Engines do not read the store and do not know about changes they were not handed: that is `core.search`.
The conformance suite is `conformance/index.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from thingstead.model.query.ast import Query
from thingstead.model.query.sort import SortBy, SortKey
from thingstead.model.values import JsonObject


class Document(msgspec.Struct, frozen=True, gc=False):  # JSON has no cycles
    """A version of an object, to be indexed in place of any earlier one of the same (app, id).

    `fields` is the searchable form: core and type fields at top level, custom fields under `properties`, nothing
    hidden. `docid` is unique among all objects and kept over updates; `seq` is the journal line's. `new`: the store
    held no object of this (app, id) before this change; a hint that saves searches work, engines may ignore it.
    """

    app: str
    id: str
    type: str
    docid: int
    seq: int
    fields: JsonObject
    new: bool = False


class Removal(msgspec.Struct, frozen=True, gc=False):
    """An object that is gone, or no longer indexed."""

    app: str
    id: str
    seq: int


Change: TypeAlias = Document | Removal


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to find in one app, and which part of the ordered hits to hand out.

    `type` None: any type. Order: `sort`, in which `_docid` stands last if at all, then docid ascending (see
    `model.query.sort`). `offset` hits are skipped, at
    most `limit` (0 is allowed: only the total) returned. `after`: only hits whose docid is strictly beyond it, in the
    direction of `sort[0]`, which is then `_docid`; the total still counts all. `exclude`: ids to leave out, of hits
    and total.
    """

    app: str
    query: Query
    type: str | None = None
    sort: tuple[SortBy, ...] = ()
    offset: int = 0
    limit: int = 30
    after: int | None = None
    exclude: Collection[str] = ()


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A matching object: `keys` holds one sort key for each field of the request's `sort`."""

    id: str
    docid: int
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Hits:
    """`total` counts all matches; `hits` is the asked part, in order."""

    total: int
    hits: Sequence[Hit]


class Snapshot(Protocol):
    """One committed generation of the index; does not change while held."""

    @property
    def seq(self) -> int:
        """Every enqueued change up to this journal seq is included, and none after it."""
        ...

    async def search(self, request: SearchRequest) -> Hits:
        """Raises InvalidQuery for a query too large for the engine, Unavailable if the engine fails. Changes
        nothing.
        """
        ...

    async def kept(self, app: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """The `fields` of those objects that it includes, by id. Raises Unavailable."""
        ...


class Index(Protocol):
    """The engine. All calls come from one event loop."""

    async def position(self) -> int:
        """The journal seq up to which everything is committed, as found on disk and by every commit since.

        0 for an index that is new, unreadable, of another store or of another format; such an index is emptied.
        """
        ...

    def enqueue(self, changes: Sequence[Change]) -> None:
        """Hand changes over to the indexer; returns at once, before they are visible or durable.

        In ascending order of `seq` between calls and inside one. The same change may come again after a restart
        (replay); per (app, id) the last one counts. Never refuses: await `room` before making more work.
        """
        ...

    async def room(self) -> None:
        """Returns once the backlog of enqueued, unapplied changes is below the engine's bound: push back on writers
        here.
        """
        ...

    async def commit(self, seq: int = 0) -> int:
        """Make all that was enqueued before this call visible and durable; the new position.

        `seq`: journal lines up to it were seen and need no change, so the position moves there at least. Cheap when
        there is nothing to do. Raises Unavailable if it did not become durable: the position stays, and the engine
        keeps the changes for the next commit.
        """
        ...

    def snapshot(self) -> Snapshot:
        """The newest committed generation."""
        ...

    async def clear(self) -> None:
        """Remove everything; position 0, durable when this returns. What is enqueued afterwards may start at any
        seq.
        """
        ...

    async def drop_app(self, app: str) -> None:
        """Remove all objects of an app; visible and durable when this returns."""
        ...

    async def close(self) -> None:
        """Commit what is enqueued, if possible, and let go of files and threads. Calls after it raise Unavailable."""
        ...
