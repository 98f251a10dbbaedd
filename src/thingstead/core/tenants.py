"""Tenants: the apps, their secrets, and the root app that holds them (identity.md 3; doors.md 27, 33).

App objects are ordinary objects of type `app` in the root app's tenant; the secret lies sealed in their private bytes.
Promises: an app is made once, whoever else makes it at the same moment; a changed app is seen by the next request,
provided that whoever writes app objects elsewhere calls `forget`. Does not decide who may do what.
"""

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from cachebox import LRUCache

from thingstead.core.listeners import tell
from thingstead.core.objects import Feed
from thingstead.core.outbox import Item as Told
from thingstead.core.outbox import Outbox
from thingstead.core.sealing import Sealer
from thingstead.core.shapes import document_of, object_of
from thingstead.model import constraints, ids, permissions, types
from thingstead.model import objects as model
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import AppNotFound, Conflict, InvalidInput, TooLarge, Unavailable
from thingstead.model.events import ORPHAN, ObjectChanged, everything, subject
from thingstead.model.keys import keys
from thingstead.model.keys import value as value_of
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope, scope_of
from thingstead.model.permissions import Permissions
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.values import Json, JsonObject, is_object
from thingstead.ports.environment import Clock, Entropy, Ids
from thingstead.ports.hub import Hub
from thingstead.ports.store import Batch, Changed, Item, Put, Store

_log = logging.getLogger(__name__)
SECRET_BYTES: Final = 40
CACHED_APPS: Final = 10_000
_SPACE = "tenants"
_SETUP = "setup"  # item: present while root's keys may still be shown by `_setup`
_ATTEMPTS = 50
_MET = 1_000  # type names remembered for one app
_SCOPES = 1_000  # callers of one app whose scope is remembered
_MOST_BYTES: Final = 1 << 20  # of an app's object, when settings or constraints are added


class App(msgspec.Struct, frozen=True):
    """A tenant as it is now."""

    identifier: str
    object: Object
    secret: str
    active: bool
    read_only: bool
    datatypes: Mapping[str, str]  # plural -> singular of its own types
    settings: Mapping[str, Json]
    constraints: constraints.Types  # its own; the built-in ones stand in model/constraints
    permissions: Permissions
    autocreated: bool  # made by a measure or an entity, not by `_setup` (doors.md 27)
    is_root: bool
    met: set[str] = msgspec.field(default_factory=set[str])  # type names with nothing to register, as they were written
    scopes: dict[Principal, Scope | None] = msgspec.field(default_factory=dict[Principal, Scope | None])

    def scope(self, principal: Principal) -> Scope | None:
        """What of its rights a caller is confined to (identity.md 10.5, 11); None for apps and things."""
        if principal.kind not in ("user", "guest"):
            return None
        try:
            return self.scopes[principal]
        except KeyError:
            if len(self.scopes) >= _SCOPES:
                self.scopes.clear()
            found = self.scopes[principal] = scope_of(principal, self.permissions)
            return found


class Keys(msgspec.Struct, frozen=True):
    """An app's credentials, to be shown once."""

    access_key: str  # the app's full id
    secret_key: str


@lru_cache(maxsize=4096)
def identifier_of(access_key: str) -> str:
    """The bare identifier that an access key names, also in its Base64 form; "" if it names none (identity.md 3.1)."""
    if not access_key.startswith(ids.APP_PREFIX):
        try:
            decoded = base64.b64decode(access_key, validate=True).decode()
        except (binascii.Error, ValueError):
            decoded = ""
        if decoded.startswith(ids.APP_PREFIX):
            access_key = decoded
    return ids.app_identifier(access_key)


class Tenants:
    """See the module's docstring. Methods raise StoreFailed if a write cannot be made durable."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        numbers: Ids,
        entropy: Entropy,
        sealer: Sealer,
        hub: Hub,
        feed: Feed,
        outbox: Outbox,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._numbers = numbers
        self._entropy = entropy
        self._sealer = sealer
        self._hub = hub
        self._feed = feed
        self._outbox = outbox
        self._apps: LRUCache[str, App | None] = LRUCache(CACHED_APPS)
        self._watching: list[Callable[[str], None]] = []
        self._epoch = 0  # moves with every `forget`: what was read before it is not kept
        self._shown = False
        self.on_app_created: list[Callable[[App], Awaitable[None] | None]] = []  # each new app but root
        self.on_app_deleted: list[Callable[[str], Awaitable[None] | None]] = []  # the identifier of each that is gone
        # each (app, key, value) that was set, and (app, key) that is gone
        self.on_setting_added: list[Callable[[App, str, Json], Awaitable[None] | None]] = []
        self.on_setting_removed: list[Callable[[App, str], Awaitable[None] | None]] = []
        self.root: Final = ids.app_identifier(settings.app_name)
        if not self.root:
            raise InvalidInput("para.app_name gives no identifier for the root app", field="para.app_name")
        self.default: Final = ids.app_identifier(settings.default_app) or self.root

    # --- reading

    def cached(self, identifier: str) -> App | None:
        """An app that was read lately, without waiting; None says nothing about whether it exists."""
        return self._apps.get(identifier)

    async def get(self, identifier: str) -> App:
        """An app by its bare identifier. Raises AppNotFound."""
        app = self._apps.get(identifier)
        if app is None:
            epoch = self._epoch
            row = await self._store.objects.get(self.root, ids.APP_PREFIX + identifier) if identifier else None
            if row is None or row.type != "app":
                raise AppNotFound("App not found.", details={"app": identifier})
            app = self._read(object_of(row))
            if epoch == self._epoch:
                self._apps[identifier] = app
        return app

    def option(self, app: App, key: str) -> Json:
        """What a key of model/app_options is for an app (identity.md 3.5), as the type of its default.

        A value that an app has set and that does not fit counts as not set. Raises KeyError for another key.
        """
        default = APP_OPTIONS[key][0]
        own = app.settings.get(key)
        if own is not None:
            try:
                return value_of(keys()[f"para.{key}"], own, f"settings of {app.object.id}")
            except InvalidInput as error:
                _log.warning("%s", error.message)
        return self._settings.per_app.get(key, default) if app.is_root else default

    def pair(self, app: App, first: str, second: str) -> tuple[str, str] | None:
        """Two options that belong together, an id and its secret: the app's own if it has set both, else, for the root
        app, the configuration's; None if there are not two (identity.md 3.5).
        """
        sources: list[Mapping[str, Json]] = [app.settings]
        if app.is_root:
            sources.append(self._settings.per_app)
        for held in sources:
            one, other = held.get(first), held.get(second)
            if isinstance(one, str) and isinstance(other, str) and one and other:
                return one, other
        return None

    def from_app(self, app: App, key: str) -> bool:
        """Whether an option's value is the app's own, not the operator's: addresses in it are then not trusted."""
        return not app.is_root or app.settings.get(key) is not None

    def watch(self, changed: Callable[[str], None]) -> None:
        """Have `changed` called with the identifier of each app that is made, changed or deleted; it must be quick."""
        self._watching.append(changed)

    def forget(self, identifier: str) -> None:
        """The app's object was written or deleted elsewhere: read it again next time."""
        for changed in self._watching:
            changed(identifier)
        self._epoch += 1
        self._apps.pop(identifier, None)

    def _read(self, obj: Object) -> App:
        identifier = obj.id.removeprefix(ids.APP_PREFIX)
        is_root = identifier == self.root
        sealed = obj.hidden.get("secret")
        stored = obj.own.get("datatypes")
        datatypes = {k: str(v) for k, v in stored.items()} if is_object(stored) else {}
        settings = obj.hidden.get("settings")
        return App(
            identifier=identifier,
            object=obj,
            secret=self._sealer.open(sealed, obj.id) if isinstance(sealed, str) else "",
            active=obj.own.get("active") is not False,
            read_only=obj.own.get("readOnly") is True,
            datatypes=datatypes,
            settings=settings if is_object(settings) else {},
            constraints=constraints.stored(obj.own.get("validationConstraints")),
            permissions=Permissions(obj.own.get("resourcePermissions"), datatypes, root=is_root),
            autocreated=obj.hidden.get("autocreated") is True,
            is_root=is_root,
        )

    # --- making

    def new_secret(self) -> str:
        """A secret for an app."""
        return base64.b64encode(self._entropy.token(SECRET_BYTES)).decode()

    async def create(
        self,
        identifier: str,
        *,
        name: str | None = None,
        creatorid: str | None = None,
        shared: JsonObject | None = None,
    ) -> tuple[App, str]:
        """A new app and its secret. `shared` may hold `sharingTable` and `sharingIndex`.

        Raises Conflict if the app exists, InvalidInput if the identifier is not a normal one.
        """
        body: JsonObject = {"name": name or identifier, "creatorid": creatorid, **(shared or {})}
        app = await self._make(identifier, body, self.new_secret())
        return app, app.secret

    async def ensure(self, identifier: str) -> App:
        """The app, made now if need be (doors.md 27): it belongs to root, and its keys are for root to ask for."""
        try:
            return await self.get(identifier)
        except AppNotFound:
            pass
        body: JsonObject = {"name": identifier, "creatorid": ids.APP_PREFIX + self.root}
        try:
            return await self._make(identifier, body, self.new_secret(), autocreated=True)
        except Conflict:
            return await self.get(identifier)

    async def ensure_root(self) -> Keys | None:
        """Make the root app at boot (doors.md 33). Returns keys that were generated now, for their one showing.

        With `para.root_secret_override` root gets that secret, whatever it had, and no keys are ever shown.
        """
        override = self._settings.root_secret_override
        try:
            root = await self.get(self.root)
        except AppNotFound:
            secret = override or self.new_secret()
            items = () if override else (Item(_SPACE, _SETUP, b"open"),)
            await self._make(self.root, {"name": self._settings.app_name}, secret, items=items)
            return None if override else Keys(ids.APP_PREFIX + self.root, secret)
        if override and root.secret != override:
            await self._change(self.root, self._with_secret(override), items=(Item(_SPACE, _SETUP, None),))
        elif override and await self._store.items.get(_SPACE, _SETUP) is not None:
            await self._store.commit(Batch(items=(Item(_SPACE, _SETUP, None),)))
        return None

    async def show_root_keys(self) -> Keys | None:
        """Root's keys, for the one caller that asks first after they were generated; None ever after."""
        if self._shown or await self._store.items.get(_SPACE, _SETUP) is None or self._shown:
            return None
        self._shown = True  # before waiting for the disk: of two callers only one may pass
        try:
            await self._store.commit(Batch(items=(Item(_SPACE, _SETUP, None),)))
        except BaseException:
            self._shown = False
            raise
        root = await self.get(self.root)
        return Keys(root.object.id, root.secret)

    async def new_keys(self, identifier: str) -> Keys:
        """Replace an app's secret; everything signed with the old one is refused from now on. Raises AppNotFound."""
        secret = self.new_secret()
        items = (Item(_SPACE, _SETUP, None),) if identifier == self.root else ()
        await self._change(identifier, self._with_secret(secret), items=items)
        return Keys(ids.APP_PREFIX + identifier, secret)

    async def register_types(self, app: str, names: Iterable[str]) -> None:
        """Make types known to an app (objects.md 2.4); what is known, built in or over the limit changes nothing."""
        present = self.cached(app) or await self.get(app)
        if present.met.issuperset(names):
            return
        wanted = list(names)
        if not self._unknown(present.datatypes, wanted):
            if len(present.met) < _MET:
                present.met.update(wanted)
            return

        def add(obj: Object) -> bool:
            known = self._read(obj).datatypes
            new = self._unknown(known, wanted)
            obj.own["datatypes"] = {**known, **new}
            return bool(new)

        await self._change(app, add)

    def _unknown(self, known: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
        new: dict[str, str] = {}
        for name in names:
            singular = types.registered(name)
            plural = types.plural(singular)
            if (
                singular
                and singular not in types.BUILT_IN
                and plural not in known
                and plural not in new
                and singular not in known.values()
                and len(known) + len(new) < self._settings.max_datatypes_per_app
            ):
                new[plural] = singular
        return new

    # --- constraints

    async def add_constraint(
        self, identifier: str, type_name: str, field: str, name: str, payload: Mapping[str, Json]
    ) -> App:
        """Constrain a field, and register its type (objects.md 11.1); an unknown name changes nothing. The app after.

        Raises InvalidInput, naming the field, for a pattern that cannot be used; TooLarge, AppNotFound.
        """

        def change(obj: Object) -> bool:
            present = self._read(obj)
            added = constraints.added(present.constraints, constraints.key_of(type_name), field, name, payload)
            if added is None:
                return False
            obj.own["validationConstraints"] = constraints.as_json(added)
            obj.own["datatypes"] = {**present.datatypes, **self._unknown(present.datatypes, [type_name])}
            _check_size(obj)
            return True

        await self._change(identifier, change, event="update")
        return await self.get(identifier)

    async def remove_constraint(self, identifier: str, type_name: str, field: str, name: str) -> App:
        """Free a field of a constraint of the app's own; the app after. Raises AppNotFound."""

        def change(obj: Object) -> bool:
            present = self._read(obj).constraints
            left = constraints.removed(present, constraints.key_of(type_name), field, name)
            if left is not None:
                obj.own["validationConstraints"] = constraints.as_json(left)
            return left is not None

        await self._change(identifier, change, event="update")
        return await self.get(identifier)

    # --- permissions

    async def grant(self, identifier: str, subject: str, resource: str, methods: list[str]) -> App:
        """Put methods (of model/permissions.methods_of) in place of what a subject had on a resource; the app after.

        The first segment of the resource becomes a type. Raises TooLarge, AppNotFound.
        """

        def change(obj: Object) -> bool:
            present = self._read(obj)
            granted = permissions.granted(present.permissions.stored, subject, resource, methods)
            first = types.resolve(resource.partition("/")[0], present.datatypes)
            names = [] if first == permissions.ALL or first[:1] in ("", "_") or first in types.RESERVED else [first]
            known = {**present.datatypes, **self._unknown(present.datatypes, names)}
            changed = granted != present.permissions.stored or known != present.datatypes
            obj.own["resourcePermissions"], obj.own["datatypes"] = granted, dict[str, Json](known)
            _check_size(obj)
            return changed

        await self._change(identifier, change, event="update")
        return await self.get(identifier)

    async def revoke(self, identifier: str, subject: str, resource: str | None = None) -> App:
        """Take from a subject what it had on a resource, or on all of them; the app after. Raises AppNotFound."""

        def change(obj: Object) -> bool:
            present = self._read(obj).permissions.stored
            left = permissions.revoked(present, subject, resource)
            obj.own["resourcePermissions"] = left
            return left != present

        await self._change(identifier, change, event="update")
        return await self.get(identifier)

    # --- settings

    async def put_setting(self, identifier: str, key: str, value: Json) -> None:
        """Set one of an app's settings; null changes nothing (objects.md 9). Raises InvalidInput, TooLarge."""
        _check_keys([key])
        if value is not None:
            await self._set(identifier, lambda present: {**present, key: value}, {key: value})

    async def put_settings(self, identifier: str, settings: Mapping[str, Json]) -> None:
        """Replace all of an app's settings; members that are null are left out. Raises InvalidInput, TooLarge."""
        _check_keys(settings)
        given: JsonObject = {key: value for key, value in settings.items() if value is not None}
        await self._set(identifier, lambda present: given, given)

    async def delete_setting(self, identifier: str, key: str) -> None:
        """Remove one of an app's settings, if it is there."""
        await self._set(identifier, lambda present: {k: v for k, v in present.items() if k != key}, {})

    async def _set(
        self, identifier: str, after: Callable[[Mapping[str, Json]], JsonObject], given: Mapping[str, Json]
    ) -> None:
        gone: list[str] = []

        def change(obj: Object) -> bool:
            before = self._read(obj).settings
            settings = after(before)
            gone[:] = [key for key in before if key not in settings]
            obj.hidden["settings"] = settings
            if given:
                _check_size(obj)
            return settings != before

        await self._change(identifier, change, event="update")
        await self.settings_changed(identifier, gone, given)

    async def settings_changed(self, identifier: str, gone: Iterable[str], given: Mapping[str, Json]) -> None:
        """Tell listeners, one key at a time, which settings are gone, then which were given; they are stored already.

        What a listener raises is logged.
        """
        if not (self.on_setting_added or self.on_setting_removed):
            return
        app = await self.get(identifier)
        for key in gone:
            await tell(self.on_setting_removed, app, key)
        for key, value in given.items():
            await tell(self.on_setting_added, app, key, value)

    async def deleted(self, identifier: str) -> None:
        """Tell listeners that an app is gone; it is already."""
        await tell(self.on_app_deleted, identifier)

    # --- writing app objects

    def _with_secret(self, secret: str) -> Callable[[Object], bool]:
        def change(obj: Object) -> bool:
            obj.hidden["secret"] = self._sealer.seal(secret, obj.id)
            return True

        return change

    async def _make(
        self,
        identifier: str,
        body: JsonObject,
        secret: str,
        *,
        autocreated: bool = False,
        items: Sequence[Item] = (),
    ) -> App:
        if not identifier or ids.app_identifier(identifier) != identifier:
            raise InvalidInput(f"'{identifier}' cannot be an app's identifier", field="app")
        docid = self._numbers.next()
        id = ids.APP_PREFIX + identifier
        obj = model.draft(self.root, "app", id, body, now_ms=self._clock.now() // 1000, docid=docid)
        obj.own["appIdentifier"] = identifier
        obj.own["datatypes"] = {}
        obj.hidden["secret"] = self._sealer.seal(secret, id)
        if autocreated:
            obj.hidden["autocreated"] = True
        if not await self._write(obj, 0, items):
            raise Conflict(f"the app '{identifier}' exists", field="app")
        app = await self.get(identifier)
        if not app.is_root:
            await tell(self.on_app_created, app)
        return app

    async def _change(
        self, identifier: str, change: Callable[[Object], bool], *, items: Sequence[Item] = (), event: str = "create"
    ) -> None:
        """Apply `change` until no one else came between; it returns False if there is nothing to write.

        `event` is what webhooks of the root app hear: new types and a new secret overwrite the app (objects.md 15).
        """
        for _ in range(_ATTEMPTS):
            row = await self._store.objects.get(self.root, ids.APP_PREFIX + identifier)
            if row is None:
                raise AppNotFound("App not found.", details={"app": identifier})
            obj = object_of(row)
            if not change(obj) or await self._write(obj, row.rev, items, event):
                return
        raise Unavailable("the app is being changed too often; try again")

    async def _write(self, obj: Object, expect: int, items: Sequence[Item], event: str = "create") -> bool:
        public = obj.public()
        put = Put(obj.app, obj.id, obj.type, obj.docid, public, obj.private(), expect=expect)
        messages = await self._outbox.changed(self.root, event, [Told(obj.type, public)])
        committed = await self._store.commit(Batch(changes=(put,), items=items, messages=messages, together=True))
        result = committed.changes[0]
        if not isinstance(result, Changed):
            return False
        obj.rev, obj.docid = result.rev, result.docid
        self.forget(obj.id.removeprefix(ids.APP_PREFIX))
        self._feed.written([document_of(obj, result.seq)])
        subjects = (everything(obj.app), subject(obj.app, obj.id), subject(obj.app, ORPHAN))
        if self._hub.wanted(subjects):
            op = "create" if result.created else "update"
            self._hub.publish(subjects, ObjectChanged(obj.app, obj.id, "app", op, "", public))
        return True


def _check_size(obj: Object) -> None:
    """Keep what every request of an app holds in memory small."""
    if len(obj.public()) + len(obj.private() or b"") > _MOST_BYTES:
        raise TooLarge(f"settings, constraints and permissions of an app are over {_MOST_BYTES >> 10} KB", field="app")


def _check_keys(keys: Iterable[str]) -> None:
    if any(not key.strip() for key in keys):
        raise InvalidInput("a setting needs a key that is not blank", field="key")
