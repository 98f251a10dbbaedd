"""What each relation means: the text of `/rels/{rel}` (hypermedia.md 13.2). Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec


class Relation(msgspec.Struct, frozen=True):
    """One relation of the curie `ch`, as its document says it."""

    rel: str
    title: str
    description: str
    target: str
    methods: tuple[str, ...] = ("GET",)


_COLLECTION = "a collection: totalCount, items, page links, createForm"
_ALL = (
    Relation("sites", "Sites", "All sites of this installation.", _COLLECTION, ("GET", "POST")),
    Relation("site", "Site", "The place that a device stands at.", "a site: name, geoLocation"),
    Relation("devices", "Devices", "The devices of a site.", _COLLECTION, ("GET", "POST")),
    Relation(
        "device",
        "Device",
        "What carries sensors. `active` is only a label.",
        "a device: name, description, building, floor, room, active, geoLocation",
    ),
    Relation("sensors", "Sensors", "The sensors of a device.", _COLLECTION, ("GET", "POST")),
    Relation(
        "sensor",
        "Sensor",
        "One channel of a device. `value` and `updated` are its newest reading by time.",
        "a sensor: metric, unit, dataType, active, geoLocation, value, updated",
    ),
    Relation(
        "dataHistory",
        "Data",
        "Readings of a sensor: the newest, or `timestamp__gte` <= time < `timestamp__lt` (Unix seconds).",
        "data: a list of timestamp and value, ascending; totalCount",
        ("GET", "POST"),
    ),
    Relation(
        "aggregateData",
        "Aggregate Data",
        "A template: `aggtime` is 1h, 1d or 1w. Buckets are aligned to the Unix epoch in UTC.",
        "data: a list of timestamp, min, max, mean and count, ascending",
    ),
    Relation(
        "metadata",
        "Metadata",
        "Keys and values of a site, a device or a sensor. Entries never change; a newer one shadows an older one.",
        "data: a list of key and value",
        ("GET", "POST"),
    ),
    Relation(
        "siteSummary", "Summary", "All devices and sensors of a site with their newest values.", "devices with sensors"
    ),
    Relation(
        "websocketStream",
        "Websocket Stream",
        "A WebSocket that sends one JSON document for each reading and for each resource created or edited.",
        "readings link to `ch:sensor`; all else is the resource itself",
    ),
)

RELATIONS: Final[Mapping[str, Relation]] = {relation.rel: relation for relation in _ALL}
