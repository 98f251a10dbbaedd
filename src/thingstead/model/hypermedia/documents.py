"""Documents of the hypermedia door (hypermedia.md 3-10, 12.3), from plain views of what they show. Pure.

Every number that is not a count is a float, so that it is written with a fraction (1.2). Nothing is embedded (2).
"""

from collections.abc import Iterable, Sequence

import msgspec

from thingstead.model.hypermedia.buckets import Bucket
from thingstead.model.hypermedia.links import (
    KIND_NUMBERS,
    Base,
    Collection,
    Query,
    creating,
    curies,
    link,
    listing,
    single,
    stream,
)
from thingstead.model.hypermedia.pages import Page, Window, bounds, count_links, window_links
from thingstead.model.hypermedia.times import show
from thingstead.model.values import Json, JsonObject


class Place(msgspec.Struct, frozen=True):
    """Where something is: degrees, metres."""

    latitude: float
    longitude: float
    elevation: float | None = None

    def wire(self) -> JsonObject:
        """Its three members; an unknown elevation is null."""
        return {"latitude": self.latitude, "longitude": self.longitude, "elevation": self.elevation}


class Site(msgspec.Struct, frozen=True):
    """What is shown of a site."""

    id: str
    name: str
    raw_zmq_stream: str = ""
    place: Place | None = None


class Device(msgspec.Struct, frozen=True):
    """What is shown of a device; `site` and `site_name` are those it appears under."""

    id: str
    name: str
    site: str
    site_name: str
    description: str = ""
    building: str = ""
    floor: str = ""
    room: str = ""
    active: bool = True
    place: Place | None = None


class Sensor(msgspec.Struct, frozen=True):
    """What is shown of a sensor; `value` and `updated` (microseconds) are its newest reading by time."""

    id: str
    metric: str
    unit: str
    device: str
    device_name: str
    active: bool = True
    place: Place | None = None
    value: float | None = None
    updated: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """One metadata entry; `time` in microseconds, `order` grows with creation."""

    id: str
    key: str
    value: str
    time: int
    order: int


def _place(place: Place | None) -> JsonObject:
    return {} if place is None else {"geoLocation": place.wire()}


def _metadata_pairs(kind: str, id: str) -> list[tuple[str, str]]:
    return [("content_type_id", KIND_NUMBERS[kind]), ("object_id", id)]


def _common(base: Base, collection: Collection, kind: str, id: str, form_title: str) -> JsonObject:
    return {
        "ch:metadata": link(listing(base, "metadata", _metadata_pairs(kind, id)), "Metadata"),
        "ch:websocketStream": link(stream(base, kind, id), "Websocket Stream"),
        "editForm": link(single(base, collection, id, "edit"), form_title),
        "curies": curies(base),
    }


def entry_point(base: Base) -> JsonObject:
    """`/`."""
    return {
        "_links": {
            "self": link(f"{base.http}/"),
            "curies": curies(base),
            "ch:sites": link(f"{base.http}/sites/", "Sites"),
        }
    }


def site(base: Base, view: Site) -> JsonObject:
    """A site."""
    links: JsonObject = {
        "self": link(single(base, "sites", view.id), view.name),
        "ch:devices": link(listing(base, "devices", [("site_id", view.id)]), "Devices"),
        "ch:siteSummary": link(single(base, "sites", view.id, "summary"), "Summary"),
        **_common(base, "sites", "site", view.id, "Edit Site"),
    }
    if view.raw_zmq_stream:
        links["rawZMQStream"] = link(view.raw_zmq_stream, "Raw ZMQ Stream")
    return {"name": view.name, **_place(view.place), "_links": links}


def _device_members(view: Device) -> JsonObject:
    return {
        "name": view.name,
        "description": view.description,
        "building": view.building,
        "floor": view.floor,
        "room": view.room,
        "active": view.active,
        **_place(view.place),
    }


def device(base: Base, view: Device) -> JsonObject:
    """A device."""
    return {
        **_device_members(view),
        "_links": {
            "self": link(single(base, "devices", view.id), view.name),
            "ch:site": link(single(base, "sites", view.site), view.site_name),
            "ch:sensors": link(listing(base, "sensors", [("device_id", view.id)]), "Sensors"),
            **_common(base, "devices", "device", view.id, "Edit Device"),
        },
    }


def _sensor_members(view: Sensor) -> JsonObject:
    out: JsonObject = {
        "metric": view.metric,
        "unit": view.unit,
        "dataType": "float",
        "sensor-type": "scalar",
        "active": view.active,
        **_place(view.place),
    }
    if view.value is not None and view.updated is not None:
        out["value"] = view.value
        out["updated"] = show(view.updated)
    return out


def sensor(base: Base, view: Sensor) -> JsonObject:
    """A sensor. The href of its aggregates is a template that ends in exactly `{&aggtime}` (9)."""
    data = [("sensor_id", view.id)]
    return {
        **_sensor_members(view),
        "_links": {
            "self": link(single(base, "sensors", view.id), view.metric),
            "ch:device": link(single(base, "devices", view.device), view.device_name),
            "ch:dataHistory": link(listing(base, "sensordata", data), "Data"),
            "ch:aggregateData": link(
                listing(base, "aggregate_data", data) + "{&aggtime}", "Aggregate Data", templated=True
            ),
            **_common(base, "sensors", "sensor", view.id, "Edit Sensor"),
        },
    }


def summary(base: Base, site: str, devices: Sequence[tuple[Device, Sequence[Sensor]]]) -> JsonObject:
    """A site's devices and sensors with their newest values; items have `href`, never `_links` (5.1)."""
    shown: list[Json] = []
    for item, sensors in devices:
        channels: list[Json] = [
            {"href": single(base, "sensors", view.id), **_sensor_members(view), "data": []} for view in sensors
        ]
        shown.append({"href": single(base, "devices", item.id), **_device_members(item), "sensors": channels})
    return {"_links": {"self": link(single(base, "sites", site, "summary"))}, "devices": shown}


def reading(base: Base, sensor: str, value: float, time: int) -> JsonObject:
    """The stream message of one reading; the href is textually the sensor's `self` (12.3)."""
    return {
        "value": value,
        "timestamp": show(time),
        "_links": {"ch:sensor": link(single(base, "sensors", sensor))},
    }


FORM_TITLES = {"sites": "Create Site", "devices": "Create Device", "sensors": "Create Sensor"}


def collection(
    base: Base, name: Collection, filters: Query, at: Page, total: int, items: Iterable[tuple[str, str]]
) -> JsonObject:
    """A page of sites, devices or sensors; `items` are (id, title)."""
    listed: list[Json] = [link(single(base, name, id), title) for id, title in items]
    return {
        "totalCount": total,
        "_links": {
            "self": link(listing(base, name, filters)),
            "curies": curies(base),
            "createForm": link(creating(base, name, filters), FORM_TITLES[name]),
            "items": listed,
            **count_links(base, name, filters, at, total),
        },
    }


class Point(msgspec.Struct, frozen=True, gc=False):
    """One reading on the wire."""

    timestamp: str
    value: float


def points(rows: Iterable[tuple[int, float]]) -> list[Point]:
    """(time, value) pairs as they are shown."""
    return [Point(show(time), value) for time, value in rows]


class DataDocument(msgspec.Struct, kw_only=True, rename={"type": "dataType", "total": "totalCount", "links": "_links"}):
    """A page of readings, or of aggregates (which have no total)."""

    type: str = "float"
    total: int | msgspec.UnsetType = msgspec.UNSET
    data: list[Point] | list[JsonObject]
    links: JsonObject


def data(
    base: Base,
    sensor: str,
    extra: Query,
    total: int,
    rows: Iterable[tuple[int, float]],
    *,
    at: Page | None,
    within: Window | None = None,
    newest: bool = False,
) -> DataDocument:
    """Readings of one sensor (8): paged by count (`at`), by window (`within`), or by count inside a window (both).

    `extra` are unknown parameters, carried along in the links; `newest` tells that the page is the tail of the series.
    """
    pairs = [("sensor_id", sensor), *extra]
    if within is None:
        links: JsonObject = {"self": link(listing(base, "sensordata", pairs))}
    else:
        links = window_links(base, "sensordata", pairs, within)
    if at is not None:
        if within is not None:
            links = {"self": links["self"]}
            pairs = [*pairs, *bounds(within)]
        links.update(count_links(base, "sensordata", pairs, at, total, newest=newest))
    links["curies"] = curies(base)
    links["createForm"] = link(creating(base, "sensordata", [("sensor_id", sensor)]), "Add Data")
    return DataDocument(total=total, data=points(rows), links=links)


def aggregates(
    base: Base, sensor: str, aggtime: str, extra: Query, within: Window, buckets: Iterable[Bucket]
) -> DataDocument:
    """Buckets of one sensor (9)."""
    rows: list[JsonObject] = [
        {
            "timestamp": show(bucket.start),
            "min": bucket.min,
            "max": bucket.max,
            "mean": bucket.mean,
            "count": bucket.count,
        }
        for bucket in buckets
    ]
    pairs = [("sensor_id", sensor), ("aggtime", aggtime), *extra]
    links = {**window_links(base, "aggregate_data", pairs, within), "curies": curies(base)}
    return DataDocument(data=rows, links=links)


def shadowed(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per key, the newest by time (ties: the later written), ordered by key (10)."""
    shown: dict[str, Entry] = {}
    for entry in entries:
        held = shown.get(entry.key)
        if held is None or (entry.time, entry.order) > (held.time, held.order):
            shown[entry.key] = entry
    return [shown[key] for key in sorted(shown)]


def metadata(base: Base, pairs: Query, target: Query, at: Page, total: int, page: Iterable[Entry]) -> JsonObject:
    """A page of metadata. `pairs` are all filters; `target` the two that a create form needs, in their order."""
    rows: list[Json] = [{"key": entry.key, "value": entry.value} for entry in page]
    return {
        "totalCount": total,
        "data": rows,
        "_links": {
            "self": link(listing(base, "metadata", pairs)),
            "curies": curies(base),
            "createForm": link(creating(base, "metadata", target), "Add Metadata"),
            **count_links(base, "metadata", pairs, at, total),
        },
    }


def entry(base: Base, view: Entry) -> JsonObject:
    """One metadata entry; it cannot be edited."""
    time = show(view.time)
    return {
        "key": view.key,
        "value": view.value,
        "timestamp": time,
        "_links": {
            "self": link(single(base, "metadata", view.id), time),
            "curies": curies(base),
            "ch:websocketStream": link(stream(base, "metadata", view.id), "Websocket Stream"),
        },
    }
