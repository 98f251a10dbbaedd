"""The resources of the hypermedia door: what each gives, and what a post to its forms does (hypermedia.md 3-11).

A handler gets a `Call` that has passed routing and access, makes at most a few calls of core, and gives a document. It
raises errors of `model.errors`; what they look like stands in `errors`.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from thingstead.core.backend import Backend
from thingstead.doors.hypermedia import readings
from thingstead.doors.hypermedia.read import Reader, site_view
from thingstead.doors.hypermedia.write import Writer, kind_name
from thingstead.model.bodies import bounded
from thingstead.model.errors import InvalidInput, NotFound
from thingstead.model.hypermedia import documents, filters, forms, pages, times
from thingstead.model.hypermedia.filters import Attribute, Pairs
from thingstead.model.hypermedia.links import Base, Collection
from thingstead.model.values import Json, JsonObject, is_array

SUMMARY_AGE: Final = 60  # seconds (D17)
FORMS: Final = {
    "sites": forms.SITE,
    "devices": forms.DEVICE,
    "sensors": forms.SENSOR,
    "sensordata": forms.DATA,
    "metadata": forms.METADATA,
}


class Call(msgspec.Struct):
    """One request past routing and access."""

    backend: Backend
    reader: Reader
    writer: Writer
    bodies: forms.Reader
    base: Base
    id: str
    query: Pairs
    collection: str
    body: bytes = b""

    def json(self) -> Json:
        """The body, whatever its content type says; a list of data points may be long. Raises InvalidInput."""
        return bounded(self.body, members=sys.maxsize)

    def created(self, form: forms.Form) -> tuple[list[forms.Fields], bool]:
        """The items of a create body, and whether it was a list."""
        body = self.json()
        return self.bodies.create(form, body, forms.presets(form, self.query)), is_array(body)


class Answer(msgspec.Struct, frozen=True):
    """What a handler gives back; rendered as the client wants it."""

    document: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call], Awaitable[Answer]]


def _one(documents_made: Sequence[JsonObject], many: bool) -> Answer:
    """The answer to a create: a list for a list, else the resource with its Location."""
    if many:
        return Answer(list(documents_made), 201)
    document: Any = documents_made[0]
    return Answer(document, 201, (("location", document["_links"]["self"]["href"]),))


# --- reads


async def entry_point(call: Call) -> Answer:
    """`/`."""
    return Answer(documents.entry_point(call.base))


def _listing(
    call: Call, name: Collection, items: Sequence[tuple[str, str, Mapping[str, Attribute]]], default: int
) -> Answer:
    """A page of (id, title, attributes) items that pass the filters."""
    conditions = filters.read(name, call.query)
    found = [item for item in items if all(condition.holds(item[2]) for condition in conditions)]
    page = pages.page(filters.first(call.query, "limit"), filters.first(call.query, "offset"), default=default)
    shown = [(id, title) for id, title, _ in found[page.offset : page.offset + page.limit]]
    pairs = filters.without(call.query, filters.PAGING)
    return Answer(documents.collection(call.base, name, pairs, page, len(found), shown))


async def sites(call: Call) -> Answer:
    """All sites, in creation order."""
    views = [site_view(obj) for obj in await call.reader.sites()]
    items = [(v.id, v.name, {"id": v.id, "name": v.name, "rawZMQStream": v.raw_zmq_stream}) for v in views]
    return _listing(call, "sites", items, pages.PAGE)


async def site(call: Call) -> Answer:
    """One site."""
    return Answer(documents.site(call.base, site_view(await call.reader.one("site", call.id))))


async def summary(call: Call) -> Answer:
    """A site with all devices and sensors."""
    things = await call.reader.things(call.id)
    sensors: dict[str, list[documents.Sensor]] = {}
    for sensor in await call.reader.sensors(None, things=things):
        sensors.setdefault(sensor.device, []).append(sensor)
    pairs = [(device, sensors.get(device.id, [])) for device in await call.reader.devices(things)]
    age = ("cache-control", f"max-age={SUMMARY_AGE}")
    return Answer(documents.summary(call.base, call.id, pairs), headers=(age,))


async def devices(call: Call) -> Answer:
    """The devices of a site, or of the whole app, by name."""
    parent = filters.first(call.query, *filters.PARENTS["devices"])
    conditions = filters.read("devices", call.query)
    try:
        things = await call.reader.things(parent)
    except NotFound:
        things = []
    if not conditions:  # the names are enough
        return _listing(call, "devices", [(thing.id, thing.name, {}) for thing in things], pages.PAGE)
    items: list[tuple[str, str, Mapping[str, Attribute]]] = []
    for view in await call.reader.devices(things):
        names = ("id", "name", "description", "building", "floor", "room", "active")
        attributes = {**{name: getattr(view, name) for name in names}, "site__name": view.site_name}
        items.append((view.id, view.name, attributes))
    return _listing(call, "devices", items, pages.PAGE)


async def device(call: Call) -> Answer:
    """One device."""
    return Answer(documents.device(call.base, await call.reader.device(call.id)))


async def sensors(call: Call) -> Answer:
    """The sensors of a device, or of the whole app, in creation order."""
    parent = filters.first(call.query, *filters.PARENTS["sensors"])
    views = await call.reader.sensors(parent)
    sites_of: dict[str, str] = {}
    if any(name.startswith("device__site") for name, _ in call.query):
        things = await call.reader.things(None)
        sites_of = {thing: site.id for thing, site in (await call.reader.sites_of(things)).items()}
    items: list[tuple[str, str, Mapping[str, Attribute]]] = []
    for view in views:
        attributes: dict[str, Attribute] = {name: getattr(view, name) for name in ("id", "metric", "unit", "active")}
        attributes["device__name"] = view.device_name
        attributes["device__site_id"] = sites_of.get(view.device)
        items.append((view.id, view.metric, attributes))
    return _listing(call, "sensors", items, pages.SENSORS)


async def sensor(call: Call) -> Answer:
    """One sensor."""
    return Answer(documents.sensor(call.base, (await call.reader.sensor(call.id))[0]))


async def history(call: Call) -> Answer:
    """Readings."""
    return Answer(await readings.history(call.backend, call.reader, call.base, call.query))


async def aggregates(call: Call) -> Answer:
    """Buckets of readings."""
    return Answer(await readings.aggregates(call.backend, call.reader, call.base, call.query))


def _target_of(query: Pairs) -> tuple[str, str]:
    """(kind number, object id) of a metadata query. Raises InvalidInput."""
    found: list[str] = []
    for name in ("content_type_id", "object_id"):
        value = filters.first(query, name)
        if not value:
            raise InvalidInput(f"{name} is missing", field=name)
        found.append(value)
    return found[0], found[1]


async def metadata(call: Call) -> Answer:
    """The metadata of an object, as of now or of `timestamp__lte`."""
    kind, id = _target_of(call.query)
    limit = filters.first(call.query, "timestamp__lte")
    latest = None if limit is None else times.read_text(limit, call.bodies.zone, field="timestamp__lte")
    entries = await call.reader.entries(id, kind_name(kind)) if kind_name(kind) else []
    shown = documents.shadowed(entry for entry in entries if latest is None or entry.time <= latest)
    page = pages.page(filters.first(call.query, "limit"), filters.first(call.query, "offset"))
    pairs = filters.without(call.query, filters.PAGING)
    creating = [("content_type_id", kind), ("object_id", id)]
    part = shown[page.offset : page.offset + page.limit]
    return Answer(documents.metadata(call.base, pairs, creating, page, len(shown), part))


async def entry(call: Call) -> Answer:
    """One metadata entry."""
    return Answer(documents.entry(call.base, await call.reader.entry(call.id)))


# --- forms


async def create_form(call: Call) -> Answer:
    """The create form of a collection."""
    form = forms.METADATA if _is_metadata(call) else FORMS[call.collection]
    return Answer(forms.create_form(form, forms.presets(form, call.query)))


async def edit_form(call: Call) -> Answer:
    """The edit form of a resource, with present values."""
    form, current = await _current(call)
    return Answer(forms.edit_form(form, current))


async def _current(call: Call) -> tuple[forms.Form, forms.Fields]:
    view: documents.Site | documents.Device | documents.Sensor
    if call.collection == "sites":
        view = site_view(await call.reader.one("site", call.id))
    elif call.collection == "devices":
        view = await call.reader.device(call.id)
    else:
        view = (await call.reader.sensor(call.id))[0]
    form = FORMS[call.collection]
    names = {"geoLocation": "place", "rawZMQStream": "raw_zmq_stream"}
    return form, {name: getattr(view, names.get(name, name), None) for name in form.properties}


async def immutable(call: Call) -> Answer:
    """There is no editing of metadata."""
    raise InvalidInput("metadata are immutable", field="metadata")


# --- writes


def _is_metadata(call: Call) -> bool:
    """True also for the path that the Seed's example prints by a slip (D20)."""
    names = {name for name, _ in call.query}
    slip = call.collection == "sensordata" and {"content_type_id", "object_id"} <= names
    return slip or call.collection == "metadata"


async def create(call: Call) -> Answer:
    """A post to a create form or to the collection itself."""
    base, query = call.base, call.query
    if _is_metadata(call):
        items, many = call.created(forms.METADATA)
        kind, id = filters.first(query, "content_type_id"), filters.first(query, "object_id")
        return _one([documents.entry(base, view) for view in await call.writer.metadata(kind, id, items)], many)
    items, many = call.created(FORMS[call.collection])
    if call.collection == "sites":
        return _one([documents.site(base, view) for view in await call.writer.sites(items)], many)
    parent = filters.first(query, *filters.PARENTS.get(call.collection, ()))
    if call.collection == "devices":
        return _one([documents.device(base, view) for view in await call.writer.devices(parent, items)], many)
    if call.collection == "sensors":
        return _one([documents.sensor(base, view) for view in await call.writer.sensors(parent, items)], many)
    try:
        _, channel = await call.reader.sensor(readings.sensor_id(query))
    except NotFound:
        raise InvalidInput("sensor_id names nothing", field="sensor_id") from None
    points = await readings.post(call.backend, call.reader.app, channel, items)
    return Answer(points if many else points[0], 201)


async def edit(call: Call) -> Answer:
    """A post to an edit form."""
    form, current = await _current(call)
    changes = call.bodies.edit(form, call.json(), current)
    if call.collection == "sites":
        return Answer(documents.site(call.base, await call.writer.edit_site(call.id, changes)))
    if call.collection == "devices":
        device = await call.reader.device(call.id)
        return Answer(documents.device(call.base, await call.writer.edit_device(device, changes)))
    sensor, _ = await call.reader.sensor(call.id)
    return Answer(documents.sensor(call.base, await call.writer.edit_sensor(sensor, changes)))
