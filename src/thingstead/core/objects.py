"""Objects: every write of an object goes through here, and every read that is not a search (design.md 4.1).

Validate, ask the kind, commit, then tell search and listeners, then return: what a caller was told is durable and
found. A change is computed from a revision; if the row moved on meanwhile it is computed again, so concurrent PATCHes
lose nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.listeners import IoListener, heard
from thingstead.core.outbox import Item, Outbox
from thingstead.core.shapes import document_of, document_of_put, object_of
from thingstead.model import constraints, types
from thingstead.model import objects as model
from thingstead.model.constraints import Broken
from thingstead.model.errors import (
    Conflict,
    ConstraintViolation,
    InvalidInput,
    KeyTaken,
    NotFound,
    NotSupported,
    ThingsteadError,
    Unavailable,
    VersionMismatch,
)
from thingstead.model.events import ORPHAN, ObjectChanged, everything, subject
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject, parse_object
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
    ShadowPut,
    Store,
    StoredObject,
)

__all__ = ["Draft", "Feed", "Objects", "Pair", "Register", "Written"]

_TYPE = b'"type":"'  # near the beginning of all public bytes, and inside no text: there quotes are escaped
_ATTEMPTS = 50  # recomputations of a change whose row keeps moving on


class Written(msgspec.Struct, frozen=True, gc=False):
    """A write that is durable."""

    object: Object
    public: bytes  # as shown
    created: bool
    once: JsonObject = {}  # members that only this answer may show


class Pair(msgspec.Struct, frozen=True):
    """A change of two objects at once: `body` is merged into the first; `draft` is the second, None deletes it."""

    body: JsonObject
    draft: Draft | None


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


class _Work(msgspec.Struct, gc=False):
    """One object on its way into the store."""

    object: Object
    put: Put
    prepared: Prepared
    op: Op


class Objects:
    """See the module's docstring. Every method raises StoreFailed if the store cannot make a write durable."""

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
        self._kinds = dict(kinds)
        self._plain = Kind()
        self.io: list[IoListener] = []  # who hears of every call that is not core's own

    def declare(self, type_name: str, kind: Kind) -> None:
        """From now on objects of an ordinary type are of this kind. Raises InvalidInput for a type that is built in."""
        if type_name in types.BUILT_IN or types.clean(type_name) != type_name:
            raise InvalidInput(f"'{type_name}' cannot be the type of a class", field="type")
        self._kinds[type_name] = kind

    # --- writes

    @heard("create")
    async def create(self, app: str, draft: Draft, actor: Principal) -> Written:
        """Create an object; one with the same id is overwritten (objects.md 3). Raises InvalidInput, KeyTaken, ..."""
        return await self._write(app, draft, actor, "create")

    @heard("create")
    async def overwrite(self, app: str, draft: Draft, actor: Principal) -> Written:
        """PUT: the object at `draft.id` becomes what the body says, whether it was there or not."""
        return await self._write(app, draft, actor, "overwrite")

    async def _write(self, app: str, draft: Draft, actor: Principal, op: Op, event: str = "create") -> Written:
        for _ in range(_ATTEMPTS):
            work = await self._draft(app, draft, actor, op)
            together = bool(work.prepared.changes or work.prepared.shadows)
            written = (await self._commit(app, [work], event, together=together))[0]
            if isinstance(written, Written):
                return written
            if not isinstance(written, _Stale):
                raise written
        raise Unavailable("the object is being changed too often; try again")

    @heard("create_all")
    async def create_with(
        self, app: str, drafts: Sequence[Draft], actor: Principal, shadows: Sequence[ShadowPut]
    ) -> list[Written] | None:
        """Create objects together with writes of shadows; None: one of these had moved on and nothing was stored."""
        works = await self._drafts(app, drafts, actor)
        works[0].prepared.shadows.extend(shadows)
        made: list[Written] = []
        for outcome in await self._commit(app, works, _of_many("create", works), together=True):
            if isinstance(outcome, _Stale):
                return None
            if isinstance(outcome, ThingsteadError):
                raise outcome
            made.append(outcome)
        return made

    @heard("create_all")
    async def create_many(
        self, app: str, drafts: Sequence[Draft], actor: Principal, *, together: bool = False
    ) -> list[Written | ThingsteadError]:
        """Create several; each has its own outcome. `together`: in one transaction, and one failure fails all.

        They share a transaction, but for kinds that are stored alone, with what they add.
        """
        if together:
            all_works = await self._drafts(app, drafts, actor)
            made = await self._commit(app, all_works, _of_many("create", all_works), together=True)
            for outcome in made:
                if isinstance(outcome, ThingsteadError):
                    raise outcome
            return list(made)
        outcomes: list[Written | ThingsteadError | None] = [None] * len(drafts)
        works: list[_Work] = []
        places: list[int] = []
        single: list[int] = []
        for n, draft in enumerate(drafts):
            kind = self._kinds.get(types.clean(draft.type))
            if kind is not None and kind.alone:
                single.append(n)
                continue
            try:
                works.append(await self._draft(app, draft, actor, "create"))
                places.append(n)
            except (InvalidInput, Conflict) as error:
                outcomes[n] = error
        for place, outcome in zip(places, await self._commit(app, works, "createAll"), strict=True):
            if isinstance(outcome, _Stale):  # with its neighbours: nobody else may keep it from being made
                single.append(place)
            else:
                outcomes[place] = outcome
        for n in single:
            try:
                outcomes[n] = await self._write(app, drafts[n], actor, "create", "createAll")
            except (InvalidInput, Conflict, NotSupported) as error:
                outcomes[n] = error
        return [o for o in outcomes if o is not None]

    @heard("update")
    async def patch(
        self, app: str, id: str, body: JsonObject, actor: Principal, *, keys: tuple[Key, ...] = ()
    ) -> Written:
        """Merge a body into an object (objects.md 3, 4). Raises NotFound, VersionMismatch, ConstraintViolation.

        `keys` replace a thing's keys of the same scopes; then also KeyTaken.
        """
        outcome = (await self._patch(app, [(id, body)], actor, "update", keys))[0]
        if isinstance(outcome, ThingsteadError):
            raise outcome
        return outcome

    @heard("update_all")
    async def patch_many(
        self, app: str, items: Sequence[tuple[str, JsonObject]], actor: Principal, *, validate: bool = True
    ) -> list[Written | ThingsteadError]:
        """Merge several bodies; each has its own outcome, in order. `validate`: check constraints (objects.md D3)."""
        return await self._patch(app, items, actor, "updateAll", (), validate=validate)

    async def _patch(
        self,
        app: str,
        items: Sequence[tuple[str, JsonObject]],
        actor: Principal,
        event: str,
        keys: tuple[Key, ...],
        *,
        validate: bool = True,
    ) -> list[Written | ThingsteadError]:
        outcomes: list[Written | ThingsteadError | None] = [None] * len(items)
        left = list(range(len(items)))
        for _ in range(_ATTEMPTS):
            rows = {row.id: row for row in await self._store.objects.get_many(app, [items[n][0] for n in left])}
            works: list[_Work] = []
            places: list[int] = []
            retry: list[int] = []
            seen: set[str] = set()
            for n in left:
                id, body = items[n]
                if id in seen:  # a second change of one object is computed from the first one's result
                    retry.append(n)
                    continue
                seen.add(id)
                try:
                    work = await self._merged(app, id, rows.get(id), body, actor, keys, validate)
                    if work.prepared.skip:
                        outcomes[n] = await self._untouched(work)
                        continue
                    works.append(work)
                    places.append(n)
                except ThingsteadError as error:
                    outcomes[n] = error
            for place, outcome in zip(places, await self._commit(app, works, event), strict=True):
                if isinstance(outcome, _Stale):
                    retry.append(place)
                else:
                    outcomes[place] = outcome
            if not retry:
                return [o for o in outcomes if o is not None]
            left = sorted(retry)
        raise Unavailable("the object is being changed too often; try again")

    @heard("update")
    async def patch_pair(
        self, app: str, id: str, other: str, decide: Callable[[Object, Object | None], Pair | None], actor: Principal
    ) -> bool:
        """Change the object `id` and the object `other` together, or not at all, as `decide` says from what both are.

        `decide` is asked again if one of them moved on; False if it says None. Raises NotFound, and what it raises. The
        second object is the server's: it does not become the actor's own.
        """
        for _ in range(_ATTEMPTS):
            rows = {row.id: row for row in await self._store.objects.get_many(app, [id, other])}
            row, second = rows.get(id), rows.get(other)
            if row is None:
                raise NotFound("Not Found")
            pair = decide(object_of(row), None if second is None else object_of(second))
            if pair is None:
                return False
            expect = 0 if second is None else second.rev
            works = [await self._merged(app, id, row, pair.body, actor, (), True)]
            if pair.draft is None:
                works[0].prepared.changes.append(Remove(app, other, expect=expect))
            else:
                works.append(await self._draft(app, pair.draft, Principal("app", app), "create"))
                works[1].put = msgspec.structs.replace(works[1].put, expect=expect)
            events = ("update", "create")[: len(works)]
            outcome = (await self._commit(app, works, events, together=True))[0]
            if isinstance(outcome, Written):
                return True
            if not isinstance(outcome, _Stale):
                raise outcome
        raise Unavailable("the object is being changed too often; try again")

    @heard("delete")
    async def delete(self, app: str, id: str, actor: Principal) -> bool:
        """Delete an object and what goes with it. True if it was there."""
        return await self._delete(app, id, "delete")

    async def _delete(self, app: str, id: str, event: str) -> bool:
        for _ in range(_ATTEMPTS):
            row = await self._store.objects.get(app, id) or await self._evicted(app, id)
            if row is None:
                return False
            obj = object_of(row)
            kind = self._kinds.get(obj.type, self._plain)
            prepared = await kind.removing(obj)
            changes = [Remove(app, id, expect=row.rev, line=not obj.stored), *prepared.changes]
            subjects = await self._subjects(obj)
            messages = await self._outbox.changed(app, event, [Item(row.type, row.public)])
            messages += await self._gone(app, prepared.changes, "deleteAll")
            committed = await self._store.commit(
                Batch(changes=changes, shadows=prepared.shadows, messages=messages, together=True)
            )
            if not committed.refused:
                break
        else:
            raise Unavailable("the object is being changed too often; try again")
        removals = _beside(changes, committed.changes)
        self._feed.written(removals)
        if subjects:
            self._hub.publish(subjects, ObjectChanged(app, id, obj.type, "delete", obj.parentid or "", row.public))
        if prepared.after is not None:
            await prepared.after()
        return bool(removals)

    async def _evicted(self, app: str, id: str) -> StoredObject | None:
        """An object that is not stored nor cached any more: search still finds it, so it can still be deleted."""
        public = (await self._feed.unstored(app, [id])).get(id)
        return None if public is None else StoredObject(app, id, str(parse_object(public)["type"]), 0, 0, public, None)

    @heard("delete_all")
    async def delete_many(self, app: str, ids: Sequence[str], actor: Principal) -> None:
        """Delete several; unknown ids are ignored. Those with which nothing else goes do so in one transaction."""
        left = list(dict.fromkeys(ids))
        for _ in range(_ATTEMPTS):
            rows = await self._store.objects.get_many(app, left)
            plain = [row for row in rows if self._goes_alone(row)]
            if not plain or await self._delete_plain(app, plain):
                break
        else:
            raise Unavailable("the objects are being changed too often; try again")
        gone = {row.id for row in plain}
        for id in left:
            if id not in gone:
                await self._delete(app, id, "deleteAll")

    def _goes_alone(self, row: StoredObject) -> bool:
        """True if nothing goes with this object when it is deleted, and it has a row."""
        removing = type(self._kinds.get(row.type, self._plain)).removing
        return removing is Kind.removing and b'"stored":false' not in row.public

    async def _delete_plain(self, app: str, rows: Sequence[StoredObject]) -> bool:
        """Delete objects with which nothing else goes, all or, if one of them has moved on, none."""
        changes = [Remove(app, row.id, expect=row.rev) for row in rows]
        subjects = [await self._subjects(object_of(row)) for row in rows] if not self._hub.quiet else []
        messages = await self._outbox.changed(app, "deleteAll", [Item(row.type, row.public) for row in rows])
        committed = await self._store.commit(Batch(changes=changes, messages=messages, together=True))
        if committed.refused:
            return False
        self._feed.written(_beside(changes, committed.changes))
        for row, names in zip(rows, subjects, strict=False):
            parent = object_of(row).parentid or ""
            self._hub.publish(names, ObjectChanged(app, row.id, row.type, "delete", parent, row.public))
        return True

    async def reindex(self, app: str, ids: Sequence[str]) -> list[str]:
        """Have the index take objects once more, as they stand: each gets a journal line. The ids of those found."""
        found: list[str] = []
        left = list(dict.fromkeys(ids))
        for _ in range(_ATTEMPTS):
            await self._feed.room()
            puts = [_again(row) for row in await self._store.objects.get_many(app, left)]
            committed = await self._store.commit(Batch(changes=puts)) if puts else Committed()
            self._feed.written(_beside(puts, committed.changes))
            stale = [put.id for put, result in zip(puts, committed.changes, strict=True) if isinstance(result, Refused)]
            found += [put.id for put in puts if put.id not in stale]
            if not stale:
                return found
            left = stale
        raise Unavailable("the objects are being changed too often; try again")

    # --- reads

    @heard("read")
    async def public(self, app: str, id: str) -> bytes:
        """The bytes of one object as shown. Raises NotFound."""
        return await self._public(app, id)

    async def _public(self, app: str, id: str) -> bytes:
        row = await self._store.objects.get(app, id)
        if row is None:
            raise NotFound("Not Found")
        kind = self._kinds.get(row.type)
        return row.public if kind is None else (await kind.present(app, [row.public]))[0]

    @heard("read_all")
    async def public_many(self, app: str, ids: Sequence[str]) -> list[bytes]:
        """The bytes of those that exist, in the order of `ids`, duplicates once."""
        return await self.present_many(app, [row.public for row in await self._store.objects.get_many(app, ids)])

    async def present_many(self, app: str, publics: list[bytes]) -> list[bytes]:
        """Stored public bytes as they are shown: things come merged with their shadows."""
        marked = [
            n for n, public in enumerate(publics) if public.startswith(b'thing"', public.find(_TYPE) + len(_TYPE))
        ]
        if marked:
            shown = await self._kinds["thing"].present(app, [publics[n] for n in marked])
            publics = list(publics)
            for n, public in zip(marked, shown, strict=True):
                publics[n] = public
        return publics

    @heard("read")
    async def get(self, app: str, id: str) -> Object:
        """One object. Raises NotFound."""
        row = await self._store.objects.get(app, id)
        if row is None:
            raise NotFound("Not Found")
        return object_of(row)

    @heard("read_all")
    async def get_many(self, app: str, ids: Sequence[str]) -> list[Object]:
        """Those that exist, in the order of `ids`."""
        return [object_of(row) for row in await self._store.objects.get_many(app, ids)]

    async def find(self, key: Key) -> Object | None:
        """The object that holds a key."""
        row = await self._store.objects.find(key)
        return None if row is None else object_of(row)

    async def validate_object(self, app: str, obj: Object) -> list[str]:
        """Messages of the constraints that an object breaks, as a write would tell them; empty when it is valid.

        Raises AppNotFound.
        """
        tenant = self._register.cached(app) or await self._register.get(app)
        return [found.message for found in self._broken(obj, tenant.constraints)]

    # --- the steps of a write

    async def _drafts(self, app: str, drafts: Sequence[Draft], actor: Principal) -> list[_Work]:
        """Drafts of objects that stand or fall together."""
        works: list[_Work] = []
        try:
            for draft in drafts:
                works.append(await self._draft(app, draft, actor, "create"))
        except BaseException:
            await _undo(works)
            raise
        return works

    async def _draft(self, app: str, draft: Draft, actor: Principal, op: Op) -> _Work:
        type_name = types.clean(draft.type)
        kind = self._kinds.get(type_name, self._plain)
        number = self._ids.next()
        given = draft.id if draft.id is not None else draft.body.get("id")
        if op == "create" and kind.generated_ids and draft.id is None:
            given = None
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            given = str(given)
        if given is not None and not isinstance(given, str):
            raise ConstraintViolation("'id' must be text", field="id")
        id = kind.path_id(given) if given and given.strip() else kind.new_id(draft.body) or str(number)
        now_ms = self._clock.now() // 1000
        obj = model.draft(app, type_name, id, draft.body, now_ms=now_ms, docid=number)
        if actor.kind == "user":
            obj.creatorid = actor.id
        for name, value in draft.server.items():
            obj.own[name] = value
        obj.hidden.update(draft.hidden)
        old: Object | None = None
        expect: int | None = None
        if kind.reads_old and given is not None:
            row = await self._store.objects.get(app, id)
            expect = 0 if row is None else row.rev
            old = None if row is None else object_of(row)
        if op == "overwrite" and obj.updated is None:
            obj.updated = now_ms
        tenant = self._register.cached(app) or await self._register.get(app)
        prepared = await kind.prepare(op, obj, draft, old, draft.body, actor)
        if not obj.stored:
            await _check_unstored(obj, kind, prepared)
        own: constraints.Types = tenant.constraints if draft.archived is None else {}  # imports keep all (11.3)
        if broken := self._broken(obj, own):
            raise await _violation(prepared, broken)
        return _Work(obj, self._put(obj, prepared, expect), prepared, op)

    async def _merged(
        self,
        app: str,
        id: str,
        row: StoredObject | None,
        body: JsonObject,
        actor: Principal,
        keys: tuple[Key, ...],
        validate: bool,
    ) -> _Work:
        if row is None:
            raise NotFound("Not Found")
        obj = object_of(row)
        stored_version = obj.version
        model.merge(obj, body)
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
        tenant = self._register.cached(app) or await self._register.get(app)
        prepared = await kind.prepare("patch", obj, draft, old, body, actor)
        if not obj.stored:
            await _check_unstored(obj, kind, prepared)
        if validate and (broken := self._broken(obj, tenant.constraints)):
            raise await _violation(prepared, broken)
        return _Work(obj, self._put(obj, prepared, row.rev), prepared, "patch")

    def _broken(self, obj: Object, own: constraints.Types) -> list[Broken]:
        """What an object breaks of its app's constraints; if nothing, then of the built-in ones (objects.md 11.3)."""
        if own and (fields := own.get(constraints.key_of(obj.type))):
            found = constraints.broken(fields, obj.values(), self._clock.now() // 1000)
            if found:
                return found
        return constraints.built_in_broken(obj.type, obj.values()) if obj.type in constraints.BUILT_IN else []

    def _put(self, obj: Object, prepared: Prepared, expect: int | None) -> Put:
        return Put(
            obj.app,
            obj.id,
            obj.type,
            obj.docid,
            obj.public(),
            obj.private(),
            parent=obj.parentid,
            expect=expect,
            keys=prepared.keys,
            stored=obj.stored,
        )

    async def _commit(
        self,
        app: str,
        works: Sequence[_Work],
        event: str | Sequence[str],
        *,
        together: bool = False,
    ) -> list[Written | ThingsteadError]:
        """Store and tell. Where webhooks hear of it, the works are stored together: an event tells what was stored.

        `event` is that of all works together, or one for each.
        """
        if not works:
            return []
        names = {work.object.type for work in works if work.object.type not in types.BUILT_IN}
        if names:
            await self._register.register_types(app, names)
        subjects = [] if self._hub.quiet else [await self._subjects(work.object) for work in works]
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
                    else [(e, [i]) for e, i in zip(event, items, strict=True)]
                )
                batch.messages = [m for name, part in told for m in await self._outbox.changed(app, name, part)]
                batch.messages += await self._gone(app, batch.changes[len(works) :], "delete")
                batch.together = together or bool(batch.messages)
            committed = await self._store.commit(batch)
        except BaseException:
            await _undo(works)
            raise
        documents: list[Document | Removal] = []
        outcomes: list[Written | ThingsteadError] = []
        failed: list[_Work] = []
        for work, result in zip(works, committed.changes, strict=False):
            if isinstance(result, Refused):
                outcomes.append(_refusal(result, committed))
                failed.append(work)
                continue
            work.object.rev, work.object.docid = result.rev, result.docid
            documents.append(document_of(work.object, result.seq, new=result.created))
            outcomes.append(Written(work.object, work.put.public, result.created, work.prepared.once))
        documents += _beside(batch.changes[len(works) :], committed.changes[len(works) :])
        self._feed.written(documents)
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

    async def _gone(self, app: str, changes: Sequence[Change], event: str) -> list[Message]:
        """What webhooks hear of objects that go with another: one event for each type, because a list is judged by its
        first object."""
        ids = [change.id for change in changes if isinstance(change, Remove)]
        if not ids or not await self._outbox.wanted(app, event):
            return []
        of_type: dict[str, list[Item]] = {}
        for row in await self._store.objects.get_many(app, ids):
            of_type.setdefault(row.type, []).append(Item(row.type, row.public))
        return [message for items in of_type.values() for message in await self._outbox.changed(app, event, items)]

    async def _untouched(self, work: _Work) -> Written:
        """A write that leaves the object as it is, but has an effect beside it."""
        if work.prepared.after is not None:
            await work.prepared.after()
        public = await self._public(work.object.app, work.object.id)
        return Written(work.object, public, False, work.prepared.once)

    async def _subjects(self, obj: Object) -> tuple[str, ...]:
        """Who hears of a change of `obj`: itself, its parent, a sensor's site as well; empty if nobody listens."""
        if self._hub.quiet:
            return ()
        names = [everything(obj.app), subject(obj.app, obj.id), subject(obj.app, obj.parentid or ORPHAN)]
        if obj.type == "sensor" and obj.parentid:
            thing = await self._store.objects.get(obj.app, obj.parentid)
            if thing is not None:
                names.append(subject(obj.app, object_of(thing).parentid or ORPHAN))
        return tuple(names)

    # --- last, because `list` hides the built-in name inside the class

    @heard("read_page")
    async def list(
        self, app: str, *, type: str | None = None, parent: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Object]:
        """Objects in creation order, strictly after docid `after`."""
        rows = await self._store.objects.scan(app, type=type, parent=parent, after=after, limit=limit)
        return [object_of(row) for row in rows]

    async def count(self, app: str, *, type: str | None = None, parent: str | None = None) -> int:
        """How many `list` would give in all."""
        return await self._store.objects.count(app, type=type, parent=parent)


def _of_many(event: str, works: Sequence[_Work]) -> str:
    """The event of a write of one object or of several."""
    return event if len(works) == 1 else f"{event}All"


class _Stale(Conflict):
    """The row moved on; compute the change again."""


def _again(row: StoredObject) -> Put:
    """A write that changes nothing."""
    parent = object_of(row).parentid
    return Put(row.app, row.id, row.type, row.docid, row.public, row.private, parent=parent, expect=row.rev)


def _beside(changes: Sequence[Change], results: Sequence[Changed | Refused]) -> list[Document | Removal]:
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
    return _Stale("the object was changed meanwhile")


async def _violation(prepared: Prepared, broken: Sequence[Broken]) -> ConstraintViolation:
    """The error of an object that will not be stored, whose kind has done its part already."""
    if prepared.undo is not None:
        await prepared.undo()
    return ConstraintViolation(". ".join(found.message for found in broken), field=broken[0].field)


async def _undo(works: Sequence[_Work]) -> None:
    for work in works:
        if work.prepared.undo is not None:
            await work.prepared.undo()


async def _check_unstored(obj: Object, kind: Kind, prepared: Prepared) -> None:
    if kind.lasting or prepared.keys or prepared.changes or prepared.shadows:
        if prepared.undo is not None:
            await prepared.undo()
        raise ConstraintViolation(f"'stored' cannot be false for a {obj.type}", field="stored")
