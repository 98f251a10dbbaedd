"""Small kinds: tags and apps name their own ids, entities have a shadow, a deleted sensor leaves its thing's shadow."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.sealing import Sealer
from thingstead.core.sensors import sensor_key
from thingstead.core.shapes import shadow_put
from thingstead.model import constraints, ids, permissions
from thingstead.model import shadow as rules
from thingstead.model.errors import ConstraintViolation, InvalidInput
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.shadow import Shadow
from thingstead.model.shadow_archive import SHADOW, restored
from thingstead.model.values import Json, JsonObject, is_object
from thingstead.ports.environment import Clock
from thingstead.ports.store import Key, ShadowPut, Store


class TagKind(Kind):
    """Kind `tag`: id `tag:<name>`, name and id follow from each other (objects.md 2.2)."""

    alone = False

    def new_id(self, body: JsonObject) -> str | None:
        """`tag:` and the normalised tag."""
        tag = body.get("tag")
        name = ids.tag_name(tag) if isinstance(tag, str) else ""
        return ids.TAG_PREFIX + name if name else None

    def path_id(self, id: str) -> str:
        """An id with the prefix, normalised."""
        return ids.tag_id(id)

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """A tag without `tag` gets it from its id, but for a generated id: what has neither is no tag."""
        tag = obj.own.get("tag")
        if op != "patch" and isinstance(tag, str) and tag.strip():
            obj.own["tag"] = ids.tag_name(tag)
        elif op != "patch" and obj.id.startswith(ids.TAG_PREFIX):
            obj.own["tag"] = ids.tag_name(obj.id)
        return Prepared()


class AuditKind(Kind):
    """Kind `audit`: what only `core/audit` writes, so nobody can forge an entry."""

    alone = False

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Refuse. Raises InvalidInput."""
        raise unwritable()


def unwritable() -> InvalidInput:
    """The refusal of a write to the audit trail."""
    return InvalidInput("The audit trail is written by the server only.", field="type")


class Apps(Protocol):
    """What keeps something of each app: tenants."""

    def forget(self, identifier: str) -> None:
        """The app's object was written or deleted."""
        ...

    async def settings_changed(self, identifier: str, gone: Iterable[str], given: Mapping[str, Json]) -> None:
        """Its settings were written with it."""
        ...

    def new_secret(self) -> str:
        """A secret for an app."""
        ...

    async def deleted(self, identifier: str) -> None:
        """The app was deleted."""
        ...


class AppKind(Kind):
    """Kind `app`: made by `_setup`, or restored from an archive of the root app (objects.md 3, 13)."""

    lasting = True
    reads_old = True

    def __init__(self, root: str, apps: Apps, sealer: Sealer) -> None:
        self._root = root  # the root app's bare identifier
        self._apps = apps
        self._sealer = sealer
        self.disabled: Callable[[str], None] | None = None  # set by the server: closes an inactive app's sessions

    def path_id(self, id: str) -> str:
        """An app's id, normalised."""
        return ids.app_id(id)

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Refuse what did not come from tenants, which alone states the secret, or from an archive; keep of constraints
        what is one.
        """
        archived = draft is not None and draft.archived is not None
        if archived:
            self._restore(obj, old)
        elif op != "patch" and (draft is None or "secret" not in draft.hidden):
            raise InvalidInput("Failed to create object." if op == "create" else "Failed to overwrite object.")
        obj.own["appIdentifier"] = ids.app_identifier(obj.id)
        if is_object(body.get("validationConstraints")):
            own = constraints.normalised(obj.own.get("validationConstraints"))
            obj.own["validationConstraints"] = constraints.as_json(own)
        if "resourcePermissions" in body:
            grants = body["resourcePermissions"]
            obj.own["resourcePermissions"] = (permissions.restored if archived else permissions.normalised)(grants)
        given: JsonObject | None = None
        gone: list[str] = []
        settings = body.get("settings")
        if archived or (op == "patch" and is_object(settings)):
            given = {key: value for key, value in settings.items() if value is not None} if is_object(settings) else {}
            before = old.hidden.get("settings") if old is not None else None
            gone = [key for key in before if key not in given] if is_object(before) else []
            obj.hidden["settings"] = given
        active = obj.own.get("active") is not False
        return Prepared(after=self._changed(obj, active=active, given=given, gone=gone))

    def _restore(self, obj: Object, old: Object | None) -> None:
        """Keys come back as they were; the root app keeps those it has, so that nobody is shut out."""
        if not obj.id or obj.app != self._root:
            raise InvalidInput("only the root app takes apps", field="type")
        itself = obj.id == ids.APP_PREFIX + self._root
        secret = obj.hidden.get("secret")
        if old is not None and (itself or not isinstance(secret, str) or not secret):
            obj.hidden["secret"] = old.hidden.get("secret")
        else:
            plain = secret if isinstance(secret, str) and secret else self._apps.new_secret()
            obj.hidden["secret"] = self._sealer.seal(plain, obj.id)
        if itself:
            obj.own["active"], obj.own["readOnly"] = True, False
        if not is_object(obj.own.get("datatypes")):
            obj.own["datatypes"] = {}

    def reveal(self, obj: Object) -> JsonObject:
        """With the secret itself."""
        secret = obj.hidden.get("secret")
        opened: JsonObject = {"secret": self._sealer.open(secret, obj.id)} if isinstance(secret, str) else {}
        return {**obj.hidden, **opened}

    async def removing(self, obj: Object) -> Prepared:
        """Nobody gets in any more."""
        changed = self._changed(obj, active=False)

        async def after() -> None:
            await changed()
            await self._apps.deleted(ids.app_identifier(obj.id))

        return Prepared(after=after)

    def _changed(
        self, obj: Object, *, active: bool, given: JsonObject | None = None, gone: Iterable[str] = ()
    ) -> Callable[[], Awaitable[None]]:
        async def after() -> None:
            identifier = ids.app_identifier(obj.id)
            self._apps.forget(identifier)
            if given is not None:
                await self._apps.settings_changed(identifier, gone, given)
            if not active and self.disabled is not None:
                self.disabled(identifier)

        return after


class EntityKind(Kind):
    """Kind `entity`: an NGSI entity that is no thing; it has a shadow of its own (doors.md 16)."""

    lasting = True
    reads_old = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Begin its shadow row; the identity is stated by the context door."""
        named = obj.own.get("entity")
        if old is not None and "entity" in old.own:
            obj.own["entity"] = old.own["entity"]
        if op != "create" or old is not None or not is_object(named):
            return Prepared()
        if draft is None or not named.get("id"):
            raise ConstraintViolation("an entity needs an id", field="id")
        if draft.archived is not None:
            return self._restore(obj, draft.archived, named)
        shadow = Shadow(
            entity_id=str(named["id"]),
            entity_type=str(named.get("type") or "Thing"),
            entity_path=str(named.get("path") or "/"),
            shown=True,
            created=self._clock.now(),
        )
        return Prepared(shadows=[shadow_put(obj.app, obj.id, shadow, 0)], keys=draft.keys or None)

    def _restore(self, obj: Object, archived: JsonObject, named: JsonObject) -> Prepared:
        shadow = restored(archived.get(SHADOW), None, self._clock.now())
        shadow.entity_id, shadow.entity_type = str(named["id"]), str(named.get("type") or "Thing")
        shadow.entity_path, shadow.shown = str(named.get("path") or "/"), True
        key = Key("entity", "\x1f".join((shadow.entity_path, shadow.entity_type, shadow.entity_id)), obj.app)
        return Prepared(shadows=[shadow_put(obj.app, obj.id, shadow, 0)], keys=(key,))

    async def removing(self, obj: Object) -> Prepared:
        """The shadow goes with it."""
        return Prepared(shadows=[ShadowPut(obj.app, obj.id, None)])


class SensorKind(Kind):
    """Kind `sensor`: path and thing never change; a deleted one that reports again gets a new id (doors.md 6, 25)."""

    lasting = True
    alone = False
    reads_old = True

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Keep `path` as it was made."""
        if draft is not None and draft.archived is not None:
            return self._restore(obj, old)
        if op == "patch" and old is not None and "path" in old.custom and "series" in old.hidden:
            obj.custom["path"] = old.custom["path"]
        return Prepared(keys=draft.keys if draft is not None and draft.keys else None)

    def _restore(self, obj: Object, old: Object | None) -> Prepared:
        """A sensor that is there keeps its history; another begins one, whatever number the archive says."""
        path, was_sensor = obj.custom.get("path"), obj.hidden.pop("series", None) is not None
        if old is not None and "series" in old.hidden:
            obj.hidden["series"], obj.parentid = old.hidden["series"], old.parentid
            obj.custom["path"] = old.custom.get("path")
            return Prepared()
        if not was_sensor or not isinstance(path, str) or not obj.parentid:
            return Prepared()
        obj.hidden["series"] = obj.docid
        return Prepared(keys=(sensor_key(obj.app, obj.parentid, path),))

    async def removing(self, obj: Object) -> Prepared:
        """Its leaf forgets it."""
        path = obj.custom.get("path")
        if not obj.parentid or not isinstance(path, str):
            return Prepared()
        row = (await self._store.shadows.get_many(obj.app, [obj.parentid])).get(obj.parentid)
        if row is None:
            return Prepared()
        shadow = rules.decode(row.document)
        leaf = shadow.leaves.get(path)
        if leaf is None or leaf.sensor != obj.id:
            return Prepared()
        leaf.series, leaf.sensor, leaf.time, leaf.value = 0, "", 0, None
        return Prepared(shadows=[shadow_put(obj.app, obj.parentid, shadow, row.rev)])
