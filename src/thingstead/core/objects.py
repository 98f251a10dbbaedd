"""Objects: every write of an object goes through here, and every read that is not a search (design.md 4.1).

Validate, ask the kind, commit, then tell search and listeners, then return: what a caller was told is durable and
found. A change is computed from a revision; if the row moved on meanwhile it is computed again, so concurrent PATCHes
lose nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from thingstead.core.kinds.base import Draft, Kind, Op
from thingstead.core.listeners import IoListener, heard
from thingstead.core.outbox import Item, Outbox
from thingstead.core.shapes import object_of
from thingstead.core.writes import Feed, Register, Stale, Work, Writes, Written, beside
from thingstead.model import types
from thingstead.model.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotSupported,
    ThingsteadError,
    Unavailable,
)
from thingstead.model.events import ObjectChanged
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject, parse_object
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.hub import Hub
from thingstead.ports.store import (
    Batch,
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


class Pair(msgspec.Struct, frozen=True):
    """A change of two objects at once: `body` is merged into the first; `draft` is the second, None deletes it."""

    body: JsonObject
    draft: Draft | None


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
        self._hub = hub
        self._feed = feed
        self._register = register
        self._outbox = outbox
        self._kinds = dict(kinds)
        self._plain = Kind()
        self._writes = Writes(store, clock, ids, hub, feed, register, outbox, self._kinds)
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
            work = await self._writes.draft(app, draft, actor, op)
            together = bool(work.prepared.changes or work.prepared.shadows)
            written = (await self._writes.commit(app, [work], event, together=together))[0]
            if isinstance(written, Written):
                return written
            if not isinstance(written, Stale):
                raise written
        raise Unavailable("the object is being changed too often; try again")

    @heard("create_all")
    async def create_with(
        self, app: str, drafts: Sequence[Draft], actor: Principal, shadows: Sequence[ShadowPut]
    ) -> list[Written] | None:
        """Create objects together with writes of shadows; None: one of these had moved on and nothing was stored."""
        works = await self._writes.drafts(app, drafts, actor)
        works[0].prepared.shadows.extend(shadows)
        made: list[Written] = []
        for outcome in await self._writes.commit(app, works, _of_many("create", works), together=True):
            if isinstance(outcome, Stale):
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
            all_works = await self._writes.drafts(app, drafts, actor)
            made = await self._writes.commit(app, all_works, _of_many("create", all_works), together=True)
            for outcome in made:
                if isinstance(outcome, ThingsteadError):
                    raise outcome
            return list(made)
        outcomes: list[Written | ThingsteadError | None] = [None] * len(drafts)
        works: list[Work] = []
        places: list[int] = []
        single: list[int] = []
        for n, draft in enumerate(drafts):
            kind = self._kinds.get(types.clean(draft.type))
            if kind is not None and kind.alone:
                single.append(n)
                continue
            try:
                works.append(await self._writes.draft(app, draft, actor, "create"))
                places.append(n)
            except (InvalidInput, Conflict) as error:
                outcomes[n] = error
        for place, outcome in zip(places, await self._writes.commit(app, works, "createAll"), strict=True):
            if isinstance(outcome, Stale):  # with its neighbours: nobody else may keep it from being made
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
            works: list[Work] = []
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
                    work = await self._writes.merged(app, id, rows.get(id), body, actor, keys, validate)
                    if work.prepared.skip:
                        outcomes[n] = await self._untouched(work)
                        continue
                    works.append(work)
                    places.append(n)
                except ThingsteadError as error:
                    outcomes[n] = error
            for place, outcome in zip(places, await self._commit(app, works, event), strict=True):
                if isinstance(outcome, Stale):
                    retry.append(place)
                else:
                    outcomes[place] = outcome
            if not retry:
                return [o for o in outcomes if o is not None]
            left = sorted(retry)
        raise Unavailable("the object is being changed too often; try again")

    async def _commit(self, app: str, works: list[Work], event: str) -> list[Written | ThingsteadError]:
        """Store works, each with what its kind adds, or not at all."""
        if not any(work.prepared.changes for work in works):
            return await self._writes.commit(app, works, event)
        outcomes: list[Written | ThingsteadError] = []
        for work in works:
            outcomes += await self._writes.commit(app, [work], event, together=bool(work.prepared.changes))
        return outcomes

    async def rewrite(
        self, app: str, ids: Sequence[str], edit: Callable[[Mapping[str, Object]], Sequence[Object]]
    ) -> list[Object]:
        """Change objects together or not at all, as core itself states them: hidden fields as well, kinds not asked.

        `edit` is given those of `ids` that exist, changes some of them or makes others with these ids, and returns what
        is to be written; it is asked again if one of them moved on, and returns nothing if there is nothing to change.
        Webhooks hear of those that look different now. Raises what `edit` raises.
        """
        for _ in range(_ATTEMPTS):
            rows = {row.id: row for row in await self._store.objects.get_many(app, ids)}
            changed = edit({id: object_of(row) for id, row in rows.items()})
            if not changed:
                return []
            works: list[Work] = []
            events: list[str] = []
            for obj in changed:
                row = rows.get(obj.id)
                works.append(self._writes.restated(obj, row))
                looks = row is None or works[-1].put.public != row.public
                events.append(("create" if row is None else "update") if looks else "")
            outcome = (await self._writes.commit(app, works, events, together=True))[0]
            if isinstance(outcome, Written):
                return [work.object for work in works]
            if not isinstance(outcome, Stale):
                raise outcome
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
            works = [await self._writes.merged(app, id, row, pair.body, actor, (), True)]
            if pair.draft is None:
                works[0].prepared.changes.append(Remove(app, other, expect=expect))
            else:
                works.append(await self._writes.draft(app, pair.draft, Principal("app", app), "create"))
                works[1].put = msgspec.structs.replace(works[1].put, expect=expect)
            events = ("update", "create")[: len(works)]
            outcome = (await self._writes.commit(app, works, events, together=True))[0]
            if isinstance(outcome, Written):
                return True
            if not isinstance(outcome, Stale):
                raise outcome
        raise Unavailable("the object is being changed too often; try again")

    @heard("delete")
    async def delete(self, app: str, id: str, actor: Principal) -> bool:
        """Delete an object and what goes with it. True if it was there. Raises InvalidInput if it is not the actor's to
        delete."""
        return await self._delete(app, id, "delete", await self._scope(app, actor))

    async def _scope(self, app: str, actor: Principal) -> Scope | None:
        if actor.kind == "app":
            return None
        return (self._register.cached(app) or await self._register.get(app)).scope(actor)

    async def _delete(self, app: str, id: str, event: str, scope: Scope | None) -> bool:
        for _ in range(_ATTEMPTS):
            row = await self._store.objects.get(app, id) or await self._evicted(app, id)
            if row is None:
                return False
            obj = object_of(row)
            if scope is not None:
                scope.check(obj, "delete")
            kind = self._kinds.get(obj.type, self._plain)
            prepared = await kind.removing(obj)
            changes = [Remove(app, id, expect=row.rev, line=not obj.stored), *prepared.changes]
            subjects = await self._writes.subjects(obj)
            messages = await self._outbox.changed(app, event, [Item(row.type, row.public)])
            messages += await self._writes.gone(app, prepared.changes, "deleteAll")
            committed = await self._store.commit(
                Batch(changes=changes, shadows=prepared.shadows, messages=messages, together=True)
            )
            if not committed.refused:
                break
        else:
            raise Unavailable("the object is being changed too often; try again")
        removals = beside(changes, committed.changes)
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
    async def delete_many(self, app: str, ids: Sequence[str], actor: Principal) -> list[str]:
        """Delete several; unknown ids are ignored. Those with which nothing else goes do so in one transaction.

        The ids of those that stay, because they are not the actor's to delete.
        """
        left = list(dict.fromkeys(ids))
        scope = await self._scope(app, actor)
        skipped: list[str] = []
        for _ in range(_ATTEMPTS):
            rows = await self._store.objects.get_many(app, left)
            if scope is not None:
                rows = [row for row in rows if scope.changes(object_of(row))]
            plain = [row for row in rows if self._goes_alone(row)]
            if not plain or await self._delete_plain(app, plain):
                break
        else:
            raise Unavailable("the objects are being changed too often; try again")
        gone = {row.id for row in plain}
        for id in left:
            if id in gone:
                continue
            try:
                await self._delete(app, id, "deleteAll", scope)
            except InvalidInput:
                if scope is None:
                    raise
                skipped.append(id)
        return skipped

    def _goes_alone(self, row: StoredObject) -> bool:
        """True if nothing goes with this object when it is deleted, and it has a row."""
        removing = type(self._kinds.get(row.type, self._plain)).removing
        return removing is Kind.removing and b'"stored":false' not in row.public

    async def _delete_plain(self, app: str, rows: Sequence[StoredObject]) -> bool:
        """Delete objects with which nothing else goes, all or, if one of them has moved on, none."""
        changes = [Remove(app, row.id, expect=row.rev) for row in rows]
        subjects = [await self._writes.subjects(object_of(row)) for row in rows] if not self._hub.quiet else []
        messages = await self._outbox.changed(app, "deleteAll", [Item(row.type, row.public) for row in rows])
        committed = await self._store.commit(Batch(changes=changes, messages=messages, together=True))
        if committed.refused:
            return False
        self._feed.written(beside(changes, committed.changes))
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
            self._feed.written(beside(puts, committed.changes))
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
        return [found.message for found in self._writes.broken(obj, tenant.constraints)]

    async def _untouched(self, work: Work) -> Written:
        """A write that leaves the object as it is, but has an effect beside it."""
        if work.prepared.after is not None:
            await work.prepared.after()
        public = await self._public(work.object.app, work.object.id)
        return Written(work.object, public, False, work.prepared.once)

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


def _of_many(event: str, works: Sequence[Work]) -> str:
    """The event of a write of one object or of several."""
    return event if len(works) == 1 else f"{event}All"


def _again(row: StoredObject) -> Put:
    """A write that changes nothing."""
    parent = object_of(row).parentid
    return Put(row.app, row.id, row.type, row.docid, row.public, row.private, parent=parent, expect=row.rev)
