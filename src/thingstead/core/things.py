"""Things: what doors ask about devices beyond their objects: shadows, entities, sensors, credentials, default site."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import UNSET

from thingstead.core.ingest import Ingest, Report
from thingstead.core.kinds.base import Draft
from thingstead.core.kinds.thing import ThingKind, all_keys, remember_keys, stated_keys
from thingstead.core.objects import Objects, Written
from thingstead.core.sensors import sensor_body, sensor_key
from thingstead.core.shapes import object_of, shadow_put
from thingstead.model import shadow as rules
from thingstead.model.errors import ConstraintViolation, KeyTaken, LimitReached, NotFound, Unavailable
from thingstead.model.objects import Object
from thingstead.model.paths import escape
from thingstead.model.principals import Principal
from thingstead.model.shadow import Leaf, Shadow
from thingstead.model.values import Json, JsonObject, is_object
from thingstead.ports.environment import Ids
from thingstead.ports.store import Batch, Key, Put, Refused, Store

_ATTEMPTS: Final = 20
DEFAULT_SITE: Final = "default"


class Things:
    """See the module's docstring."""

    def __init__(self, store: Store, ids: Ids, objects: Objects, ingest: Ingest, kind: ThingKind) -> None:
        self._store = store
        self._ids = ids
        self._objects = objects
        self._ingest = ingest
        self._kind = kind
        kind.desired = self._desire
        kind.forget = ingest.forget
        kind.revoked = self._credentials_ended
        kind.moved = self._moved
        self.revocations = 0
        """Grows whenever credentials end, or creator or parent change: look again at who was let in while it grew."""
        self._told_revoked: list[Callable[[str, str], None]] = []
        self._told_moved: list[Callable[[str, str], None]] = []

    def on_revoked(self, told: Callable[[str, str], None]) -> None:
        """Have `told(app, thing)` called when credentials of a thing end: whoever holds live sessions closes them; it
        must be quick."""
        self._told_revoked.append(told)

    def on_moved(self, told: Callable[[str, str], None]) -> None:
        """Have `told(app, thing)` called when who may reach a thing may have changed: its creator, its parent, or that
        it is gone; it must be quick."""
        self._told_moved.append(told)

    async def shadows(self, app: str, things: Sequence[str]) -> Mapping[str, Shadow]:
        """Committed shadows by thing; those that do not exist are absent."""
        rows = await self._store.shadows.get_many(app, things)
        return {thing: rules.decode(row.document) for thing, row in rows.items()}

    async def shadow(self, app: str, thing: str) -> Shadow:
        """One committed shadow. Raises NotFound."""
        shadow = (await self.shadows(app, [thing])).get(thing)
        if shadow is None:
            raise NotFound("Thing not found", field="thing")
        return shadow

    async def entities(
        self,
        app: str,
        *,
        id: str | None = None,
        type: str | None = None,
        path: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[tuple[int, str, Shadow]]:
        """(position, thing, shadow) of what the context broker shows, in creation order, strictly after `after`."""
        found: list[tuple[int, str, Shadow]] = []
        while len(found) < limit:
            rows = await self._store.shadows.entities(app, id=id, type=type, after=after, limit=limit)
            for row in rows:
                shadow = rules.decode(row.document)
                if path is None or shadow.entity_path == path:
                    found.append((row.position, row.thing, shadow))
            if len(rows) < limit:
                break
            after = rows[-1].position
        return found[:limit]

    async def default_site(self, app: str) -> Object:
        """The site of things whose parent is no site, made on first need (doors.md 9)."""
        key = Key("site", DEFAULT_SITE, app)
        site = await self._objects.find(key)
        if site is not None:
            return site
        draft = Draft(type="site", body={"name": "Default site", "key": DEFAULT_SITE}, keys=(key,))
        try:
            return (await self._objects.create(app, draft, Principal("app", app))).object
        except KeyTaken:
            site = await self._objects.find(key)
            if site is None:
                raise Unavailable("the default site could not be made") from None
            return site

    async def add_sensors(self, app: str, thing: str, bodies: Sequence[JsonObject], actor: Principal) -> list[Written]:
        """Sensors made by a form, all or none; a metric is one literal key (doors.md 7).

        Raises KeyTaken, ConstraintViolation, LimitReached, NotFound.
        """
        if not bodies:
            return []
        for _ in range(_ATTEMPTS):
            row = (await self._store.shadows.get_many(app, [thing])).get(thing)
            if row is None:
                raise NotFound("Thing not found", field="device")
            shadow = rules.decode(row.document)
            drafts = [self._sensor_draft(app, thing, shadow, body) for body in bodies]
            if sum(1 for leaf in shadow.leaves.values() if leaf.series) > rules.MAX_SENSORS:
                raise LimitReached(f"a device has at most {rules.MAX_SENSORS} sensors", field="metric")
            made = await self._objects.create_with(app, drafts, actor, [shadow_put(app, thing, shadow, row.rev)])
            if made is not None:
                self._ingest.forget(app, thing)
                return made
        raise Unavailable("the device is being changed too often; try again")

    def _sensor_draft(self, app: str, thing: str, shadow: Shadow, body: JsonObject) -> Draft:
        """The draft of a sensor, whose leaf is added to `shadow`."""
        metric = body.get("metric")
        if not isinstance(metric, str) or not metric:
            raise ConstraintViolation("'metric' must not be blank", field="metric")
        path = escape(metric)
        leaf = shadow.leaves.get(path)
        if leaf is not None and leaf.series:
            raise KeyTaken("'sensor' is already taken", field="metric")
        number = self._ids.next()
        shadow.leaves[path] = Leaf(number, str(number), leaf.state_at if leaf is not None else 0)
        unit = body.get("unit")
        return Draft(
            type="sensor",
            id=str(number),
            body={
                **sensor_body(thing, path, metric, str(unit or ""), "float"),
                **body,
                "parentid": thing,
                "path": path,
            },
            hidden={"series": number},
            keys=(sensor_key(app, thing, path),),
        )

    async def credentials(self, app: str, thing: str, actor: Principal, *, csr: str | None = None) -> JsonObject:
        """Rotate: fresh `deviceDetails`, shown once; the old credentials and their sessions end (things.md 1.2)."""
        for _ in range(_ATTEMPTS):
            row = await self._store.objects.get(app, thing)
            if row is None or row.type != "thing":
                raise NotFound("Thing not found", field="thing")
            obj = object_of(row)
            broker = self._kind.broker(str(obj.own.get("serviceBroker")))
            made = await broker.provision(app, thing, obj.name, csr=csr)
            old = obj.hidden.get("deviceMetadata")
            obj.hidden["deviceMetadata"] = made.metadata
            fresh = {key.scope for key in made.keys}
            remember_keys(obj, [*made.keys, *(key for key in stated_keys(obj) if key.scope not in fresh)])
            put = Put(
                app,
                thing,
                "thing",
                obj.docid,
                row.public,
                obj.private(),
                parent=obj.parentid,
                expect=row.rev,
                keys=all_keys(obj),
            )
            result = (await self._store.commit(Batch(changes=[put]))).changes[0]
            if isinstance(result, Refused):
                await broker.deprovision(made.metadata)
                continue
            if is_object(old):
                await broker.deprovision(old)
            self._credentials_ended(app, thing)
            return made.details
        raise Unavailable("the thing is being changed too often; try again")

    async def connection(self, app: str, thing: str) -> JsonObject:
        """The non-secret half of `deviceDetails`. Raises NotFound."""
        obj = await self._objects.get(app, thing)
        metadata = obj.hidden.get("deviceMetadata")
        if obj.type != "thing" or not is_object(metadata):
            raise NotFound("Thing not found", field="thing")
        return await self._kind.broker(str(obj.own.get("serviceBroker"))).connection(metadata)

    def _credentials_ended(self, app: str, thing: str) -> None:
        self._moved(app, thing)
        for told in self._told_revoked:
            told(app, thing)

    def _moved(self, app: str, thing: str) -> None:
        self.revocations += 1
        for told in self._told_moved:
            told(app, thing)

    async def _desire(self, app: str, thing: str, patch: JsonObject) -> None:
        """Send changed leaves as desired; removed ones also leave the reported section (things.md 8.2)."""
        gone = _removed(patch)
        await self._ingest.report(Report(app=app, thing=thing, desired=patch, reported=gone if gone else UNSET))


def _removed(patch: Mapping[str, Json]) -> JsonObject:
    out: JsonObject = {}
    for key, value in patch.items():
        if value is None:
            out[key] = None
        elif is_object(value):
            below = _removed(value)
            if below:
                out[key] = below
    return out
