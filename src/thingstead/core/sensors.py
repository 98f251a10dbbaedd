"""Sensors: the objects of reported leaves (doors.md 6-8; things.md 9). Made by ingest on first sight, or by a form."""

import msgspec

from thingstead.model import objects as model
from thingstead.model.paths import unescape
from thingstead.model.readings import data_type
from thingstead.model.shadow import Attribute
from thingstead.model.values import Json, JsonObject, is_object, parse_object
from thingstead.ports.store import Key, Put

SCOPE = "sensor"


class Found(msgspec.Struct, frozen=True):
    """A leaf reported for the first time."""

    app: str
    thing: str
    path: str
    number: int  # its series, and its sensor's id
    value: Json
    attribute: Attribute | None


def sensor_key(app: str, thing: str, path: str) -> Key:
    """The unique name of a sensor: (thing, path)."""
    return Key(SCOPE, f"{thing}\x1f{path}", app)


def sensor_body(thing: str, path: str, metric: str, unit: str, type_name: str) -> JsonObject:
    """The body of a new sensor object."""
    return {
        "parentid": thing,
        "name": metric,
        "metric": metric,
        "unit": unit,
        "dataType": type_name,
        "active": True,
        "path": path,
    }


def sensor_put(found: Found, thing: bytes | None, now_ms: int) -> Put:
    """The write that makes a found sensor; `thing` are the thing's public bytes, for its `sensorUnits`."""
    body = sensor_body(found.thing, found.path, unescape(found.path), _unit(found, thing), data_type(found.value))
    obj = model.draft(found.app, "sensor", str(found.number), body, now_ms=now_ms, docid=found.number)
    obj.hidden["series"] = found.number
    return Put(
        found.app,
        obj.id,
        obj.type,
        obj.docid,
        obj.public(),
        obj.private(),
        parent=found.thing,
        expect=0,
        keys=(sensor_key(found.app, found.thing, found.path),),
    )


def _unit(found: Found, thing: bytes | None) -> str:
    if thing is not None:
        units = parse_object(thing).get("sensorUnits")
        if is_object(units) and isinstance(units.get(found.path), str):
            return str(units[found.path])
    if found.attribute is not None:
        code = found.attribute.metadata.get("unitCode")
        if isinstance(code, dict) and isinstance(code.get("value"), str):  # pyright: ignore[reportUnknownMemberType]
            return str(code["value"])  # pyright: ignore[reportUnknownArgumentType]
    return ""
