"""The steps of a write, which core/objects puts together: draft or merge, ask the kind, check, commit, tell.

Promises: what `commit` returns as written is durable, search has it, and listeners were told; what is refused has left
nothing behind, neither in the store nor at a service broker. Whoever gets `Stale` computes the change again. Decides
nothing about which objects are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.outbox import Item, Outbox
from thingstead.core.shapes import document_of, document_of_put, object_of
from thingstead.model import constraints, types
from thingstead.model import objects as model
from thingstead.model.constraints import Broken
from thingstead.model.errors import (
    Conflict,
    ConstraintViolation,
    KeyTaken,
    NotFound,
    ThingsteadError,
    VersionMismatch,
)
from thingstead.model.events import ORPHAN, ObjectChanged, everything, subject
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.hub import Hub
from thingstead.ports.index import Document, Removal
from thingstead.ports.queue import Message
from thingstead.ports.store import (
    Batch,
    Change,
    Changed,
    Committed,
    Key,
    Put,
    Refused,
    Remove,
    Store,
    StoredObject,
)


class Written(msgspec.Struct, frozen=True, gc=False):
    """A write that is durable."""

    object: Object
    public: bytes  # as shown
    created: bool
    once: JsonObject = {}  # members that only this answer may show


class Feed(Protocol):
    """Who is told of durable changes before the writer is answered: search."""

    def written(self, changes: Sequence[Document | Removal]) -> None:
        """Take over changes, in the order of the journal."""
        ...

    async def room(self) -> None:
        """Returns once it can take more: writers wait here, before their commit, when it lags."""
        ...

    async def unstored(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Public bytes of those objects among `ids` that only it keeps (objects.md 4)."""
        ...


class Ruled(Protocol):
    """What a write must know of its app."""

    @property
    def constraints(self) -> constraints.Types:
        """The app's own constraints; empty for most apps."""
        ...

    def scope(self, principal: Principal) -> Scope | None:
        """What a caller is confined to; None for apps and things."""
        ...


class Register(Protocol):
    """Who keeps an app's types and constraints (objects.md 2.4, 11): tenants."""

    def cached(self, identifier: str) -> Ruled | None:
        """An app, if it is known without waiting."""
        ...

    async def get(self, identifier: str) -> Ruled:
        """An app. Raises AppNotFound."""
        ...

    async def register_types(self, app: str, names: Iterable[str]) -> None:
        """Make these types known, up to the app's limit."""
        ...


class Work(msgspec.Struct, gc=False):
    """One object on its way into the store."""

    object: Object
    put: Put
    fields: JsonObject  # its searchable form
    prepared: Prepared
    op: Op


class Writes:
    """See the module's docstring; `kinds` may grow. Methods raise StoreFailed if a write cannot be made durable."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        hub: Hub,
        feed: Feed,
        register: Register,
        outbox: Outbox,
        kinds: Mapping[str, Kind],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._hub = hub
        self._feed = feed
        self._register = register
        self._outbox = outbox
        self._kinds = kinds
        self._plain = Kind()

    async def drafts(self, app: str, drafts: Sequence[Draft], actor: Principal) -> list[Work]:
        """Drafts of objects that stand or fall together."""
        works: list[Work] = []
        try:
            for draft in drafts:
                works.append(await self.draft(app, draft, actor, "create"))
        except BaseException:
            await _undo(works)
            raise
        return works

    async def draft(self, app: str, draft: Draft, actor: Principal, op: Op) -> Work:
        """An object to be created or overwritten. Raises InvalidInput, Conflict, and what its kind raises."""
        type_name = types.clean(draft.type)
        kind = self._kinds.get(type_name, self._plain)
        tenant = self._register.cached(app) or await self._register.get(app)
        scope = None if actor.kind == "app" or draft.archived is not None else tenant.scope(actor)
        if scope is not None:
            draft = msgspec.structs.replace(draft, body=scope.writable(type_name, draft.body, new=True))
        number = self._ids.next()
        given = draft.id if draft.id is not None else draft.body.get("id")
        if op == "create" and kind.generated_ids and draft.id is None:
            given = None
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            given = str(given)
        if given is not None and not isinstance(given, str):
            raise ConstraintViolation("'id' must be text", field="id")
        id = kind.path_id(given) if given and given.strip() else kind.new_id(draft.body) or str(number)
        replaced: Object | None = None
        if scope is not None and id != str(number):
            chosen = op == "overwrite" or (draft.id is None and bool(given))
            id, replaced = await self._placed(app, scope, kind, type_name, id, op, chosen)
        now_ms = self._clock.now() // 1000
        obj = model.draft(app, type_name, id, draft.body, now_ms=now_ms, docid=number)
        if scope is not None:
            if replaced is not None:
                scope.keep(obj, replaced)
            scope.check_named(obj, op)
        for name, value in draft.server.items():
            obj.own[name] = value
        obj.hidden.update(draft.hidden)
        old: Object | None = None
        expect: int | None = None
        if kind.reads_old and given is not None:
            row = await self._store.objects.get(app, id)
            expect = 0 if row is None else row.rev
            old = None if row is None else object_of(row)
        if scope is not None and id != str(number):  # what was looked at before it was replaced is what is replaced
            expect = 0 if replaced is None else replaced.rev
        if op == "overwrite" and obj.updated is None:
            obj.updated = now_ms
        prepared = await kind.prepare(op, obj, draft, old, draft.body, actor)
        if not obj.stored:
            await _check_unstored(obj, kind, prepared)
        own: constraints.Types = tenant.constraints if draft.archived is None else {}  # imports keep all (11.3)
        if broken := self.broken(obj, own):
            raise await _violation(prepared, broken)
        return _work(obj, prepared, expect, op, fresh=id == str(number))

    async def _placed(
        self, app: str, scope: Scope, kind: Kind, type_name: str, id: str, op: Op, chosen: bool
    ) -> tuple[str, Object | None]:
        """Where an object of a user goes, and what is there (identity.md 10.5); `chosen`: the user named the id.

        Raises InvalidInput.
        """
        row = await self._store.objects.get(app, id) if op == "overwrite" else None
        if row is None and chosen:
            id = kind.path_id(scope.placed(type_name, id))
        row = row or await self._store.objects.get(app, id)
        if row is None:
            return id, None
        replaced = object_of(row)
        scope.check(replaced, "create" if op == "create" else "overwrite")
        return id, replaced

    async def merged(
        self,
        app: str,
        id: str,
        row: StoredObject | None,
        body: JsonObject,
        actor: Principal,
        keys: tuple[Key, ...],
        validate: bool,
    ) -> Work:
        """A body merged into the object of a row. Raises NotFound, VersionMismatch, ConstraintViolation, ..."""
        if row is None:
            raise NotFound("Not Found")
        obj = object_of(row)
        tenant = self._register.cached(app) or await self._register.get(app)
        scope = None if actor.kind == "app" else tenant.scope(actor)
        if scope is not None:
            scope.check(obj, "update")
            body = scope.writable(obj.type, body, new=False)
        stored_version = obj.version
        model.merge(obj, body)
        if scope is not None:
            scope.check_named(obj, "patch")
        if body.get("version") is None:
            obj.version = stored_version
        if obj.version > 0:
            if obj.version != stored_version:
                raise VersionMismatch("Update failed due to 'version' mismatch.", field="version")
            obj.version += 1
        else:
            obj.version = 0
        obj.updated = max(self._clock.now() // 1000, obj.updated or 0)
        kind = self._kinds.get(obj.type, self._plain)
        old = object_of(row) if kind.reads_old or kind.patches_old else None
        draft = Draft(type=obj.type, body=body, keys=keys) if keys else None
        prepared = await kind.prepare("patch", obj, draft, old, body, actor)
        if not obj.stored:
            await _check_unstored(obj, kind, prepared)
        if validate and (broken := self.broken(obj, tenant.constraints)):
            raise await _violation(prepared, broken)
        return _work(obj, prepared, row.rev, "patch")

    def restated(self, obj: Object, row: StoredObject | None) -> Work:
        """An object as core itself states it, made of the one of a row or new; a change that shows counts as one."""
        if row is not None and obj.public() != row.public:
            obj.updated = max(self._clock.now() // 1000, obj.updated or 0)
            obj.version += obj.version > 0
        prepared = Prepared()
        return _work(obj, prepared, 0 if row is None else row.rev, "patch")

    def broken(self, obj: Object, own: constraints.Types) -> list[Broken]:
        """What an object breaks of its app's constraints; if nothing, then of the built-in ones (objects.md 11.3)."""
        if own and (fields := own.get(constraints.key_of(obj.type))):
            found = constraints.broken(fields, obj.values(), self._clock.now() // 1000)
            if found:
                return found
        return constraints.built_in_broken(obj.type, obj.values()) if obj.type in constraints.BUILT_IN else []

    async def commit(
        self,
        app: str,
        works: Sequence[Work],
        event: str | Sequence[str],
        *,
        together: bool = False,
    ) -> list[Written | ThingsteadError]:
        """Store and tell. Where webhooks hear of it, the works are stored together: an event tells what was stored.

        `event` is that of all works together, or one for each; they hear nothing of a work whose event is blank.
        """
        if not works:
            return []
        names = {work.object.type for work in works if work.object.type not in types.BUILT_IN}
        if names:
            await self._register.register_types(app, names)
        subjects = [] if self._hub.quiet else [await self.subjects(work.object) for work in works]
        await self._feed.room()
        batch = Batch(
            changes=[work.put for work in works] + [c for work in works for c in work.prepared.changes],
            shadows=[s for work in works for s in work.prepared.shadows],
            together=together,
        )
        try:
            if not self._outbox.quiet(app):
                items = [Item(work.object.type, work.put.public) for work in works]
                told = (
                    [(event, items)]
                    if isinstance(event, str)
                    else [(e, [i]) for e, i in zip(event, items, strict=True) if e]
                )
                batch.messages = [m for name, part in told for m in await self._outbox.changed(app, name, part)]
                batch.messages += await self.gone(app, batch.changes[len(works) :], "delete")
                batch.together = together or bool(batch.messages)
            committed = await self._store.commit(batch)
        except BaseException:
            await _undo(works)
            raise
        documents: list[Document | Removal] = []
        outcomes: list[Written | ThingsteadError] = []
        failed: list[Work] = []
        for work, result in zip(works, committed.changes, strict=False):
            if isinstance(result, Refused):
                outcomes.append(_refusal(result, committed))
                failed.append(work)
                continue
            work.object.rev, work.object.docid = result.rev, result.docid
            documents.append(document_of(work.object, result.seq, new=result.created, fields=work.fields))
            outcomes.append(Written(work.object, work.put.public, result.created, work.prepared.once))
        if len(batch.changes) > len(works):
            documents += beside(batch.changes[len(works) :], committed.changes[len(works) :])
        self._feed.written(documents)
        if failed:
            await _undo(failed)
        for n, (work, outcome) in enumerate(zip(works, outcomes, strict=True)):
            if not isinstance(outcome, Written):
                continue
            if subjects and subjects[n]:
                op = "create" if outcome.created else "update"
                parent = work.object.parentid or ""
                change = ObjectChanged(app, work.object.id, work.object.type, op, parent, outcome.public)
                self._hub.publish(subjects[n], change)
            if work.prepared.after is not None:
                await work.prepared.after()
            if work.object.type == "thing":
                shown = await self._kinds["thing"].present(app, [outcome.public])
                outcomes[n] = Written(work.object, shown[0], outcome.created, outcome.once)
        return outcomes

    async def gone(self, app: str, changes: Sequence[Change], event: str) -> list[Message]:
        """What webhooks hear of objects that go with another: one event for each type, because a list is judged by its
        first object."""
        ids = [change.id for change in changes if isinstance(change, Remove)]
        if not ids or not await self._outbox.wanted(app, event):
            return []
        of_type: dict[str, list[Item]] = {}
        for row in await self._store.objects.get_many(app, ids):
            of_type.setdefault(row.type, []).append(Item(row.type, row.public))
        return [message for items in of_type.values() for message in await self._outbox.changed(app, event, items)]

    async def subjects(self, obj: Object) -> tuple[str, ...]:
        """Who hears of a change of `obj`: itself, its parent, a sensor's site as well; empty if nobody listens."""
        if self._hub.quiet:
            return ()
        names = [everything(obj.app), subject(obj.app, obj.id), subject(obj.app, obj.parentid or ORPHAN)]
        if obj.type == "sensor" and obj.parentid:
            thing = await self._store.objects.get(obj.app, obj.parentid)
            if thing is not None:
                names.append(subject(obj.app, object_of(thing).parentid or ORPHAN))
        return tuple(names)


def _work(obj: Object, prepared: Prepared, expect: int | None, op: Op, *, fresh: bool = False) -> Work:
    public, fields = obj.forms()
    put = Put(
        obj.app,
        obj.id,
        obj.type,
        obj.docid,
        public,
        obj.private(),
        obj.parentid,
        expect,
        prepared.keys,
        obj.stored,
        fresh,
    )
    return Work(obj, put, fields, prepared, op)


class Stale(Conflict):
    """The row moved on; compute the change again."""


def beside(changes: Sequence[Change], results: Sequence[Changed | Refused]) -> list[Document | Removal]:
    """What the index hears of changes that come with an object."""
    found: list[Document | Removal] = []
    for change, result in zip(changes, results, strict=True):
        if isinstance(result, Changed) and result.seq:
            if isinstance(change, Put):
                found.append(document_of_put(change, result.seq, new=result.created))
            else:
                found.append(Removal(change.app, change.id, result.seq))
    return found


def _refusal(result: Refused, committed: Committed) -> ThingsteadError:
    if result.reason == "key_taken" and result.key is not None:
        return KeyTaken(f"'{result.key.scope}' is already taken", field=result.key.scope)
    if result.reason == "batch":
        for other in (*committed.changes, *committed.shadows):
            if isinstance(other, Refused) and other.reason == "key_taken":
                return _refusal(other, committed)
    return Stale("the object was changed meanwhile")


async def _violation(prepared: Prepared, broken: Sequence[Broken]) -> ConstraintViolation:
    """The error of an object that will not be stored, whose kind has done its part already."""
    if prepared.undo is not None:
        await prepared.undo()
    return ConstraintViolation(". ".join(found.message for found in broken), field=broken[0].field)


async def _undo(works: Sequence[Work]) -> None:
    for work in works:
        if work.prepared.undo is not None:
            await work.prepared.undo()


async def _check_unstored(obj: Object, kind: Kind, prepared: Prepared) -> None:
    if kind.lasting or prepared.keys or prepared.changes or prepared.shadows:
        if prepared.undo is not None:
            await prepared.undo()
        raise ConstraintViolation(f"'stored' cannot be false for a {obj.type}", field="stored")
