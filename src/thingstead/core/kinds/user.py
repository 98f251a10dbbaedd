"""Kind `user`: what a user must be to be stored, and the identifier objects that belong to it (identity.md 7).

Promises: CRUD, batches, imports and sign-ins share these rules; a user and its identifier object are stored in one
transaction, and no two users have one identifier. Passwords come from core/users only, as hashes: what a body says of
them is ignored.
"""

from collections.abc import Awaitable, Callable

from thingstead.core.delegated import FIELD as DELEGATED
from thingstead.core.delegated import SHOWN
from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.search import Search
from thingstead.core.shapes import object_of
from thingstead.core.token_secrets import FIELD as TOKEN_SECRET
from thingstead.core.token_secrets import TokenSecrets
from thingstead.model import ids as names
from thingstead.model import objects as model
from thingstead.model import types, users
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object
from thingstead.model.ownership import is_identifier
from thingstead.model.passwords import HASH
from thingstead.model.principals import Principal
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Pager
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.store import Change, Put, Remove, Store, StoredObject

_AT_ONCE = 200
_KEPT = (TOKEN_SECRET, DELEGATED, users.UNVERIFIED)


class UserKind(Kind):
    """See the module's docstring."""

    lasting = True
    reads_old = True
    patches_old = True

    def __init__(
        self, store: Store, search: Search, clock: Clock, ids: Ids, secrets: TokenSecrets, admin_ident: str
    ) -> None:
        self._store = store
        self._search = search
        self._clock = clock
        self._ids = ids
        self._secrets = secrets
        self._admin_ident = users.normal_identifier(admin_ident)

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Complete a user; claim its identifier. Raises ConstraintViolation, naming the field."""
        if old is not None and old.type != users.TYPE:
            old = None
        own = obj.own
        before = _text(old.own.get("identifier")) if old is not None else ""
        identifier = users.normal_identifier(_text(own.get("identifier"))) or (before if op == "patch" else "")
        if not identifier:
            raise ConstraintViolation("'identifier' is required", field="identifier")
        own["identifier"] = identifier
        own["identityProvider"] = users.provider_of(identifier)
        own["email"] = _text(own.get("email")).strip().lower()
        obj.name = users.clean_name(obj.name) or f"ParaObject {obj.id}"
        if not _text(own.get("groups")).strip():
            own["groups"] = users.USERS
        if not _text(own.get("picture")).strip():
            own["picture"] = users.default_picture(_text(own["email"]))
        if "currency" in own:
            own["currency"] = users.currency(own["currency"])
        hash = obj.hidden.pop(HASH, None)
        if draft is None or draft.archived is not None:
            hash = None
        if old is not None:
            obj.hidden = {**obj.hidden, **{n: old.hidden[n] for n in _KEPT if n in old.hidden}}
        else:
            self._secrets.replace(obj)
            if self._admin_ident and identifier == self._admin_ident:
                own["groups"] = users.ADMINS
        if DELEGATED in obj.hidden:
            for name in SHOWN:  # an app that sends a whole user back does not store them a second time, readable
                own.pop(name, None)
        _vouch(obj, old, actor)
        changes = await self._claim(obj, identifier, before, hash if isinstance(hash, str) else None)
        ends = old is not None and old.own.get("active") is True and own.get("active") is not True
        moves = old is not None and old.own.get("groups") != own.get("groups")
        return Prepared(changes=changes, after=self._ended(obj) if ends else self._changed(obj) if moves else None)

    async def _claim(self, obj: Object, identifier: str, before: str, hash: str | None) -> list[Change]:
        """The writes that make an identifier this user's; of one that it had before, its object becomes the new one."""
        names.check_id(identifier, "identifier")
        if names.is_app_id(identifier) or identifier == obj.id:
            raise ConstraintViolation("'identifier' cannot be the id of an object", field="identifier")
        held = await self._store.objects.get(obj.app, identifier)
        if held is not None:
            if owner_of(held) == obj.id:
                return []
            if not await self._abandoned(held):
                raise ConstraintViolation("'identifier' is already taken", field="identifier")
        properties: JsonObject = {} if hash is None else {HASH: hash}
        changes: list[Change] = []
        if before and before != identifier:
            left = await self._store.objects.get(obj.app, before)
            if left is not None and owner_of(left) == obj.id:
                properties = {**object_of(left).custom, **properties}
                changes.append(Remove(obj.app, before, expect=left.rev))
        made = identifier_object(
            obj.app, identifier, obj.id, properties, now_ms=self._clock.now() // 1000, docid=self._ids.next()
        )
        expect = 0 if held is None else held.rev
        changes.append(Put(made.app, made.id, made.type, made.docid, made.public(), made.private(), expect=expect))
        return changes

    async def _abandoned(self, held: StoredObject) -> bool:
        """True for the identifier object of a user that is gone."""
        owner = owner_of(held)
        if owner is None:
            return False
        row = await self._store.objects.get(held.app, owner)
        return row is None or row.type != users.TYPE

    def reveal(self, obj: Object) -> JsonObject:
        """Without the token secret: an archive lets nobody sign tokens (identity.md 17)."""
        return {}

    async def removing(self, obj: Object) -> Prepared:
        """Its identifier objects go with it, and nothing else that it made."""
        query = ast.every(ast.Equals("creatorid", (obj.id,)), ast.Equals("name", (users.IDENTIFIER,)))
        found = await self._search.find(obj.app, Find(query, types.GENERIC, Pager(limit=_AT_ONCE)))
        wanted = {*found.ids, _text(obj.own.get("identifier"))}
        rows = await self._store.objects.get_many(obj.app, sorted(wanted))
        changes: list[Change] = [Remove(row.app, row.id, expect=row.rev) for row in rows if owner_of(row) == obj.id]
        return Prepared(changes=changes, after=self._ended(obj))

    def _ended(self, obj: Object) -> Callable[[], Awaitable[None]]:
        async def after() -> None:
            self._secrets.ended(obj.app, obj.id)

        return after

    def _changed(self, obj: Object) -> Callable[[], Awaitable[None]]:
        async def after() -> None:
            self._secrets.changed(obj.app, obj.id)

        return after


def _vouch(obj: Object, old: Object | None, actor: Principal) -> None:
    """An app that activates a user, or gives it an address, answers for the address; nobody else does."""
    moved = old is None or obj.own["email"] != old.own.get("email")
    if actor.kind != "app":
        if moved:
            obj.hidden[users.UNVERIFIED] = obj.own["email"]
    elif old is not None and (moved or (obj.own.get("active") is True and old.own.get("active") is not True)):
        obj.hidden.pop(users.UNVERIFIED, None)


def identifier_object(
    app: str, identifier: str, user: str, properties: JsonObject, *, now_ms: int, docid: int
) -> Object:
    """The object that an identifier of a user is stored as (identity.md 7.2)."""
    body: JsonObject = {"name": users.IDENTIFIER, "creatorid": user}
    obj = model.draft(app, types.GENERIC, identifier, body, now_ms=now_ms, docid=docid)
    obj.custom = dict(properties)
    return obj


def owner_of(row: StoredObject) -> str | None:
    """The user whose identifier object that is; None for any other object."""
    if row.type != types.GENERIC:
        return None
    obj = object_of(row)
    return obj.creatorid if is_identifier(obj) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
