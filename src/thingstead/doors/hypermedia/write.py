"""What posts to forms do: sites, devices, sensors, metadata (hypermedia.md 5-7, 10, 11; doors.md 6-9, 23).

A list is created whole or not at all. Devices made or edited here have a natural key, (site, name, building, floor,
room), which binds this door only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from thingstead.core.backend import Backend
from thingstead.core.kinds.base import Draft
from thingstead.core.objects import Written
from thingstead.doors.hypermedia.read import Reader, device_view, entry_view, site_view
from thingstead.model.errors import ConstraintViolation, KeyTaken, NotFound, ThingsteadError
from thingstead.model.hypermedia.documents import Device, Entry, Place, Sensor, Site
from thingstead.model.hypermedia.forms import Fields
from thingstead.model.hypermedia.links import KIND_NUMBERS
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import Json, JsonObject
from thingstead.ports.store import Key

NATURAL: Final = "form_device"
_KINDS: Final = {number: kind for kind, number in KIND_NUMBERS.items()}
TYPES: Final = {"site": "site", "device": "thing", "sensor": "sensor"}


def _body(fields: Fields) -> JsonObject:
    """Fields as members of an object; a place also as the core's searchable `latlng`, a removed one as null."""
    out: JsonObject = {}
    for name, value in fields.items():
        if name == "geoLocation":
            place: Place | None = value
            out["geoLocation"] = None if place is None else place.wire()
            out["latlng"] = None if place is None else f"{place.latitude},{place.longitude}"
        elif name != "sensor-type":
            out[name] = value
    return out


async def _parent(reader: Reader, type: str, id: str | None, field: str) -> Object:
    """The object that a new one hangs under. Raises ConstraintViolation, not NotFound (D13)."""
    if not id:
        raise ConstraintViolation(f"{field} is missing", field=field, details={"code": "required"})
    try:
        return await reader.one(type, id)
    except NotFound:
        raise ConstraintViolation(f"{field} names nothing: {id[:60]!r}", field=field) from None


class Writer:
    """Writes of one caller in one app. Every method raises InvalidInput, Conflict or StoreFailed."""

    def __init__(self, backend: Backend, reader: Reader, actor: Principal) -> None:
        self._backend = backend
        self._objects = backend.objects
        self._reader = reader
        self._app = reader.app
        self._actor = actor

    async def _create(self, drafts: Sequence[Draft]) -> list[Written]:
        made = await self._objects.create_many(self._app, drafts, self._actor, together=True)
        for outcome in made:
            if isinstance(outcome, ThingsteadError):
                raise outcome
        return [outcome for outcome in made if isinstance(outcome, Written)]

    # --- sites

    async def sites(self, items: Sequence[Fields]) -> list[Site]:
        """New sites."""
        made = await self._create([Draft(type="site", body=_body(item)) for item in items])
        return [site_view(written.object) for written in made]

    async def edit_site(self, id: str, fields: Fields) -> Site:
        """A changed site."""
        return site_view((await self._objects.patch(self._app, id, _body(fields), self._actor)).object)

    # --- devices

    async def devices(self, site: str | None, items: Sequence[Fields]) -> list[Device]:
        """New devices of a site: things without credentials."""
        parent = await _parent(self._reader, "site", site, "site_id")
        drafts: list[Draft] = []
        seen: set[Key] = set()
        for index, item in enumerate(items):
            key = self._natural(parent.id, item)
            if key in seen:
                raise _exists("name", index)
            seen.add(key)
            await self._free(key, index if len(items) > 1 else None)
            body: JsonObject = {**_body(item), "parentid": parent.id, "serviceBroker": "Local"}
            drafts.append(Draft(type="thing", body=body, keys=(key,)))
        return [device_view(written.object, parent) for written in await self._create(drafts)]

    async def edit_device(self, current: Device, fields: Fields) -> Device:
        """A changed device; its natural key changes with it."""
        names = ("name", "building", "floor", "room")
        key = self._natural(current.site, {**{name: getattr(current, name) for name in names}, **fields})
        await self._free(key, None, but=current.id)
        await self._objects.patch(self._app, current.id, _body(fields), self._actor, keys=(key,))
        return await self._reader.device(current.id)

    def _natural(self, site: str, item: Mapping[str, Any]) -> Key:
        parts = [site, *(str(item.get(name, "")) for name in ("name", "building", "floor", "room"))]
        return Key(NATURAL, "\x1f".join(parts), self._app)

    async def _free(self, key: Key, index: int | None, but: str = "") -> None:
        """Refuse a natural key that is taken; one whose holder was renamed by another door is let go."""
        holder = await self._objects.find(key)
        if holder is None or holder.id == but:
            return
        try:
            view = await self._reader.device(holder.id)
        except NotFound:  # another's, which the actor does not see
            raise _exists("name", index) from None
        names = ("name", "building", "floor", "room")
        if self._natural(view.site, {name: getattr(view, name) for name in names}) == key:
            raise _exists("name", index)
        own = Key(NATURAL, f"\x1f{holder.id}", self._app)
        await self._objects.patch(self._app, holder.id, {}, self._actor, keys=(own,))

    # --- sensors

    async def sensors(self, device: str | None, items: Sequence[Fields]) -> list[Sensor]:
        """New sensors of a device."""
        thing = await _parent(self._reader, "thing", device, "device_id")
        taken = {str(obj.custom.get("metric")) for obj in await self._reader.all("sensor", thing.id)}
        for index, item in enumerate(items):
            if item["metric"] in taken:
                raise _exists("metric", index if len(items) > 1 else None)
            taken.add(item["metric"])
        bodies = [_body(item) for item in items]
        made = await self._backend.things.add_sensors(self._app, thing.id, bodies, self._actor) if bodies else []
        return [(await self._reader.sensor(written.object.id))[0] for written in made]

    async def edit_sensor(self, current: Sensor, fields: Fields) -> Sensor:
        """A changed sensor; metric and unit are labels, the path stays (doors.md 7, 8)."""
        body = _body(fields)
        metric = fields.get("metric")
        if metric is not None:
            siblings = await self._reader.all("sensor", current.device)
            if any(obj.custom.get("metric") == metric for obj in siblings if obj.id != current.id):
                raise _exists("metric", None)
            body["name"] = metric
        await self._objects.patch(self._app, current.id, body, self._actor)
        return (await self._reader.sensor(current.id))[0]

    # --- metadata

    async def metadata(self, kind: str | None, target: str | None, items: Sequence[Fields]) -> list[Entry]:
        """New entries of an object; `kind` is its number (hypermedia.md 10)."""
        name = _KINDS.get(kind or "")
        if name is None:
            raise ConstraintViolation("content_type_id must be 10, 11 or 12", field="content_type_id")
        parent = await _parent(self._reader, TYPES[name], target, "object_id")
        now = self._backend.clock.now()
        drafts: list[Draft] = []
        for item in items:
            members: dict[str, Json] = {"key": item["key"], "value": item["value"], "time": item.get("timestamp", now)}
            drafts.append(Draft(type="metadata", body={"parentid": parent.id, "name": item["key"], **members}))
        views = [entry_view(written.object) for written in await self._create(drafts)]
        return [view for view in views if view is not None]


def kind_name(number: str | None) -> str:
    """The kind that a number means, "" for none."""
    return _KINDS.get(number or "", "")


def _exists(field: str, index: int | None) -> KeyTaken:
    details = {"code": "unique"} if index is None else {"code": "unique", "index": str(index)}
    return KeyTaken(f"the same {field} is there already", field=field, details=details)
