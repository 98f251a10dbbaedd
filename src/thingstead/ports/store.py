"""Store: the one write port, and the facets that read what it committed (design.md 3, 4, 6).

Promises every engine keeps, tested by the conformance suite in `conformance/store.py`:

* **Durable**: `commit` returns only after the whole batch would survive SIGKILL and loss of power. If it raises
  `StoreFailed`, nothing of the batch is stored, and no later read shows any of it.
* **Atomic**: one batch is one transaction. Several callers may share one fsync; each still gets its own outcome.
* **Refusals are single**: a change whose `expect` is stale, or whose key is taken, is refused alone and the rest of the
  batch is stored, unless the batch is `together`: then one refusal refuses all, and nothing is stored.
* **Journal**: every stored change to an object has a line, in the same transaction; sequences are never reused.
* **Reads** show committed rows only, and every row committed before the read began. They never wait for the writer.
* Tenants never meet: every row belongs to one app, and only keys with `app == ""` are unique across apps.

Times are integer microseconds UTC unless a name says `_ms`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from thingstead.ports.queue import Message, Queue


class Key(NamedTuple):
    """A unique name of an object beside its id: (thing, path), (resource, apikey), kit id, fingerprint, ..."""

    scope: str  # which kind of name: "sensor", "device", "group", "kit", "cloud", "certificate", "identifier"
    text: str  # the name; several parts are joined with "\x1f"
    app: str = ""  # "": unique across all apps


class StoredObject(msgspec.Struct, frozen=True, gc=False):
    """One row of objects."""

    app: str
    id: str
    type: str
    docid: int  # creation order within the app, unique there, kept by updates; the search-after cursor (objects.md 6.7)
    rev: int  # internal revision: the `seq` of its creation, +1 at each write; an id made again never repeats one
    public: bytes  # the canonical JSON that answers are spliced from
    private: bytes | None  # secrets and what must never be serialised


class Put(msgspec.Struct, frozen=True, gc=False):
    """Create or replace one object."""

    app: str
    id: str
    type: str
    docid: int  # positive; used when the row is new; an existing row keeps its own
    public: bytes
    private: bytes | None = None
    parent: str | None = None  # parentid, for `scan(parent=...)`
    expect: int | None = None  # None: whatever is there; 0: must not exist; n: must have rev n
    keys: tuple[Key, ...] | None = None  # the whole set of keys from now on; None keeps the present set
    stored: bool = True  # False: only a journal line that carries the bytes (objects.md 4); a row stays as it is
    fresh: bool = False  # a hint: the id was made for it, so no row can be expected to be there


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Delete one object and its keys. Deleting what is not there is stored as nothing and reported as rev 0."""

    app: str
    id: str
    expect: int | None = None  # as in Put
    line: bool = False  # True: also what is not there has a journal line: an object that was not stored


Change = Put | Remove


class Changed(NamedTuple):
    """A change that was stored."""

    rev: int  # the row's new rev, counted once more by a delete; 0 when there is and was no row
    seq: int  # its journal line; 0 when nothing was written, and for shadows
    docid: int  # of a shadow: its position
    created: bool


class Refused(NamedTuple):
    """A change that was not stored."""

    reason: Literal["stale", "key_taken", "batch"]  # "batch": another change of a `together` batch was refused
    key: Key | None = None  # the key that is taken
    holder: str | None = None  # the id of the object that has the key


class ShadowPut(msgspec.Struct, frozen=True, gc=False):
    """Replace (or with `document=None` delete) the shadow row of one thing or entity object."""

    app: str
    thing: str
    document: bytes | None  # encoded model.shadow.Shadow
    expect: int | None = None  # as in Put, over the shadow's own rev
    entity_id: str | None = None  # entity identity, for `shadows.entities`; None: not shown in the context broker
    entity_type: str | None = None
    entity_path: str = "/"
    updated: int = 0  # last report or desired change


class StoredShadow(msgspec.Struct, frozen=True, gc=False):
    """One shadow row."""

    app: str
    thing: str
    rev: int
    document: bytes
    updated: int
    position: int  # creation order among the shadows of the app; unique, never changes


class Reading(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One value of one series. Key is (series, time); the later write replaces the earlier (doors.md 12).

    Numbers fill `value`; booleans fill both (`1.0`, "true"); everything else fills `text` with its JSON (doors.md 10).
    Both empty: the leaf was removed at that moment; a log row that replaces nothing and that no history read shows.
    """

    series: int  # 63-bit number that core gave to the sensor
    time: int
    value: float | None
    text: str | None


class LogRow(NamedTuple):
    """One row of the readings' own log: head sequence and reading."""

    seq: int
    reading: Reading


class Item(msgspec.Struct, frozen=True, gc=False):
    """A small named document beside the objects (sessions, retained messages, ...). `data=None` deletes it."""

    space: str
    key: str
    data: bytes | None


class Batch(msgspec.Struct):
    """What one caller wants written in one transaction.

    Readings, items, desired lines and messages are never refused by themselves, only with the whole of a `together`
    batch.
    """

    changes: Sequence[Change] = ()
    shadows: Sequence[ShadowPut] = ()
    readings: Sequence[Reading] = ()
    items: Sequence[Item] = ()
    desired: Sequence[
        tuple[str, str]
    ] = ()  # (app, thing) whose desired state changed: one journal line each, op "desired"
    messages: Sequence[Message] = ()  # pushed to the store's own queue with the rest, or not at all
    together: bool = False  # all or nothing; shadows and readings then also depend on the changes


class Committed(msgspec.Struct, frozen=True):
    """The outcome of a batch: one result per change and per shadow, in order."""

    changes: Sequence[Changed | Refused] = ()
    shadows: Sequence[Changed | Refused] = ()
    refused: bool = False  # True: a `together` batch was refused whole
    head: int = 0  # sequence of the last reading of this batch; 0 without readings


class JournalLine(msgspec.Struct, frozen=True, gc=False):
    """One accepted change. Current bytes are read by (app, id); `public` is kept only for objects not stored."""

    seq: int
    app: str
    id: str
    op: Literal["put", "delete", "desired"]
    type: str
    public: bytes | None = None


class ObjectReads(Protocol):
    """Reads of objects."""

    async def get(self, app: str, id: str) -> StoredObject | None:
        """One object, or None."""
        ...

    async def get_many(self, app: str, ids: Sequence[str]) -> list[StoredObject]:
        """Those that exist, in the order of `ids`, duplicates once."""
        ...

    async def publics(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """The public bytes of those that exist, by id: all that a page of hits needs."""
        ...

    async def find(self, key: Key) -> StoredObject | None:
        """The object that holds `key`."""
        ...

    async def find_many(self, keys: Sequence[Key]) -> Mapping[Key, StoredObject]:
        """The holders of those keys that are held."""
        ...

    async def scan(
        self, app: str, *, type: str | None = None, parent: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[StoredObject]:
        """In creation order (docid), starting strictly after docid `after`; `type` and `parent` narrow it."""
        ...

    async def count(self, app: str, *, type: str | None = None, parent: str | None = None) -> int:
        """How many `scan` would give in all."""
        ...


class ShadowReads(Protocol):
    """Reads of shadows."""

    async def get_many(self, app: str, things: Sequence[str]) -> Mapping[str, StoredShadow]:
        """The shadows that exist among `things`, by thing."""
        ...

    async def entities(
        self, app: str, *, id: str | None = None, type: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[StoredShadow]:
        """Shadows shown in the context broker (entity_id is set), in creation order, strictly after `position`."""
        ...


class ReadingReads(Protocol):
    """Reads of readings: merged history overlaid by the heads; never a removed leaf, never a replaced value.

    `numeric`: as if only readings with a number (`value` is not None) were there: limits and offsets count only those.
    """

    async def window(
        self,
        series: int,
        start: int | None,
        end: int | None,
        *,
        limit: int | None = None,
        newest: bool = False,
        numeric: bool = False,
    ) -> list[Reading]:
        """start <= time < end, ascending by time (descending if `newest`), at most `limit`; None bounds are open."""
        ...

    async def page(self, series: int, offset: int, limit: int, *, numeric: bool = False) -> list[Reading]:
        """`limit` readings from the `offset`-th oldest on, ascending."""
        ...

    async def count(
        self, series: int, start: int | None = None, end: int | None = None, *, numeric: bool = False
    ) -> int:
        """How many readings `window` would give."""
        ...

    async def latest(self, series: Sequence[int]) -> Mapping[int, Reading]:
        """The newest by time of each series that has any."""
        ...

    async def log(self, after: int, limit: int) -> list[LogRow]:
        """Head rows with seq > after, in order, removed leaves included: what followers of reports read.

        Sequences have no holes: a first row above `after + 1`, or none while `head()` is above `after`, is a gap: rows
        that went over the cap.
        """
        ...

    async def head(self) -> int:
        """The last sequence given to a head row."""
        ...


class JournalReads(Protocol):
    """Reads of the journal."""

    async def read(self, after: int, limit: int) -> list[JournalLine]:
        """Lines with seq > after, in order."""
        ...

    async def last(self) -> int:
        """The highest sequence given so far; 0 for a new store."""
        ...

    async def first(self) -> int:
        """The lowest sequence still kept; `last() + 1` when none is. A follower before it must rebuild."""
        ...


class ItemReads(Protocol):
    """Reads of items."""

    async def get(self, space: str, key: str) -> bytes | None:
        """One item, or None."""
        ...

    async def scan(self, space: str) -> Mapping[str, bytes]:
        """All items of a space."""
        ...


class Store(Protocol):
    """See the module's docstring for what every engine promises."""

    @property
    def uuid(self) -> str:
        """Identity of this data, made once; followers tag what they derive from it."""
        ...

    @property
    def objects(self) -> ObjectReads: ...

    @property
    def shadows(self) -> ShadowReads: ...

    @property
    def readings(self) -> ReadingReads: ...

    @property
    def journal(self) -> JournalReads: ...

    @property
    def items(self) -> ItemReads: ...

    @property
    def queue(self) -> Queue:
        """The queue that `Batch.messages` are pushed to."""
        ...

    async def commit(self, batch: Batch) -> Committed:
        """Write a batch; returns once it is durable. A caller that is cancelled meanwhile may still have written.

        Raises StoreFailed if the disk or the commit failed, or the store is closed; InvalidInput if a value cannot be
        stored (a number over 63 bits, text that is not Unicode, a key of another app). Nothing is stored then.
        """
        ...

    async def passed(self, follower: str, seq: int, *, log: Literal["journal", "head"] = "journal") -> None:
        """A follower has durably dealt with all lines up to `seq`; lines that all have passed may be trimmed.

        The first call registers it (with 0, or where it starts), and a lower `seq` than before takes it back: what is
        still there then waits for it, up to the engine's cap. A journal that nobody follows is kept up to the cap; head
        rows that nobody follows go when they are merged. Raises StoreFailed.
        """
        ...

    async def merge(self, limit: int | None = None) -> int:
        """Move head rows, oldest first, into history: at most `limit`, or all that were there at the call.

        Returns how many rows it dealt with, removed leaves included. Also runs by itself. Raises StoreFailed.
        """
        ...

    async def close(self) -> None:
        """Finish what is pending and release everything; a later commit raises StoreFailed. May be called again."""
        ...
