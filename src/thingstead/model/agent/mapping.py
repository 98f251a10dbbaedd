"""From a measure to the attributes of an entity (agent.md 5.3, 6.2, 7). Pure.

A `Mapping` is what a device and its group say together, prepared for use; `apply` turns one measure into an `Update`.
What is declared but not supported yet is left out, never sent unevaluated: attributes with an `expression` or with an
`entity_name` of their own. An `explicitAttrs` text that is no plain list counts as true: only what is declared is sent.
"""

import re
from collections.abc import Mapping as MappingType
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from thingstead.model import ngsi
from thingstead.model.errors import InvalidInput, MalformedBody, NotSupported
from thingstead.model.ngsi import TIME_INSTANT
from thingstead.model.shadow import Attribute
from thingstead.model.values import Json, JsonObject, is_array, is_object, parse

DEFAULT_TYPE: Final = "Thing"
_TEXT: Final = Attribute("Text")
_TIME: Final = Attribute("DateTime")
_RENAMED: Final = {"id": "measure_id", "type": "measure_type"}
_KEPT_OUT: Final = frozenset({"id", "type"})
_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_SINGLE_QUOTED = re.compile(r"'([^'\"\\]*)'")
_BARE_KEY = re.compile(r"\{\s*object_id\s*:")
_ENTITY_PAYLOADS: Final = frozenset({"ngsiv2", "ngsild"})


class Item(msgspec.Struct, frozen=True, gc=False):
    """One active or lazy attribute, prepared."""

    name: str
    attribute: Attribute
    skip: Json
    sent: bool  # False: declared, but not supported yet
    order: int


class Static(msgspec.Struct, frozen=True):
    """One static attribute."""

    value: Json
    attribute: Attribute


class Mapping(msgspec.Struct, frozen=True):
    """What becomes of a device's measures."""

    items: dict[str, tuple[Item, ...]]  # by the name that the device uses
    types: dict[str, str]  # declared names in the entity -> type
    statics: dict[str, Static]
    timestamp: bool
    zone: str | None
    explicit: bool | frozenset[str]
    refuses: str | None  # why measures of this device cannot be understood yet


class Update(msgspec.Struct, frozen=True):
    """What one measure says of the device's entity."""

    values: JsonObject
    attributes: dict[str, Attribute]
    time: int | None  # the device's time, microseconds UTC; None: none that can be read


# --- a device and its group together


def merged(device: JsonObject, group: JsonObject | None, name: str) -> list[JsonObject]:
    """The items of a list: the device's, then those of the group whose key is not there (5.3)."""
    own = _objects(device.get(name))
    if group is None:
        return own
    keys = {_key(item) for item in own}
    return own + [item for item in _objects(group.get(name)) if _key(item) not in keys]


def setting(device: JsonObject, group: JsonObject | None, name: str) -> Json:
    """A setting: the device's, else the group's, else None."""
    value = device.get(name)
    return group.get(name) if value is None and group is not None else value


def entity_name(device: JsonObject, group: JsonObject | None, device_id: str, type_name: str) -> str:
    """The name of a device's entity (7.4 rules 2 and 3)."""
    name = device.get("entity_name")
    if isinstance(name, str) and name:
        return name
    joint = group.get("defaultEntityNameConjunction") if group is not None else None
    return f"{type_name}{joint if isinstance(joint, str) else ':'}{device_id}"


def entity_type(device: JsonObject, group: JsonObject | None) -> str:
    """The type of a device's entity."""
    value = device.get("entity_type") or (group or {}).get("entity_type")
    return value if isinstance(value, str) else DEFAULT_TYPE


def prepare(device: JsonObject, group: JsonObject | None, *, timestamp: bool) -> Mapping:
    """The mapping of a device; `timestamp` is the setting behind device and group."""
    items: dict[str, tuple[Item, ...]] = {}
    types: dict[str, str] = {}
    declared: dict[str, str] = {}
    for order, item in enumerate((*merged(device, group, "lazy"), *merged(device, group, "attributes"))):
        source, name, type_name = _key(item), _name(item), str(item.get("type"))
        declared[source] = name
        if name in _KEPT_OUT:
            continue
        sent = not item.get("expression") and not item.get("entity_name")
        attribute = Attribute(type_name, _metadata(item))
        made = Item(name, attribute, item.get("skipValue"), sent, order)
        items[source] = (*items.get(source, ()), made)
        if sent:
            types[name] = type_name
    statics = {
        _name(item): Static(item.get("value"), Attribute(str(item.get("type")), _metadata(item)))
        for item in merged(device, group, "static_attributes")
        if _name(item) not in _KEPT_OUT
    }
    flag = setting(device, group, "timestamp")
    zone = setting(device, group, "timezone")
    payload = setting(device, group, "payloadType")
    return Mapping(
        items=items,
        types=types,
        statics=statics,
        timestamp=flag if isinstance(flag, bool) else timestamp,
        zone=zone if isinstance(zone, str) and zone else None,
        explicit=_explicit(setting(device, group, "explicitAttrs"), declared),
        refuses=f"payloadType {payload} is not supported"
        if isinstance(payload, str) and payload.lower() in _ENTITY_PAYLOADS
        else None,
    )


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if is_object(item)] if is_array(value) else []


def _key(item: JsonObject) -> str:
    return str(item.get("object_id") or item.get("name"))


def _name(item: JsonObject) -> str:
    return str(item.get("name") or item.get("object_id"))


def _metadata(item: JsonObject) -> dict[str, Json]:
    metadata = item.get("metadata")
    if not is_object(metadata):
        return {}
    return {key: value for key, value in metadata.items() if is_object(value) and "expression" not in value}


def _explicit(value: Json, declared: MappingType[str, str]) -> bool | frozenset[str]:
    """`explicitAttrs` (7.6) as what is sent: everything (False), what is declared (True), or these names."""
    if isinstance(value, str):
        value = _plain_expression(value)
    if isinstance(value, bool) or value is None:
        return bool(value)
    if not is_array(value):
        return True
    names: set[str] = set()
    for item in value:
        if isinstance(item, str):
            names.add(item)
        elif is_object(item):
            name = declared.get(str(item.get("object_id")))
            if name is not None:
                names.add(name)
    return frozenset(names)


def _plain_expression(text: str) -> Json:
    """A text that is only a literal; anything else stays text.

    >>> _plain_expression("['a',{object_id:'b'}]"), _plain_expression(" [ ] "), _plain_expression("a?true:false")
    (['a', {'object_id': 'b'}], [], 'a?true:false')
    """
    word = text.strip()
    if word in ("true", "false", ""):
        return word == "true"
    if not _LIST.fullmatch(text):
        return text
    try:
        found = parse(_BARE_KEY.sub('{"object_id":', _SINGLE_QUOTED.sub(r'"\1"', text)))
    except MalformedBody:
        return text
    plain = is_array(found) and all(isinstance(i, str) or (is_object(i) and set(i) == {"object_id"}) for i in found)
    return found if plain else text


# --- one measure


def apply(mapping: Mapping, measure: JsonObject, now: int, instant: str | None = None) -> Update | None:
    """What `measure` says, None if it says nothing. `instant`: the `t` of the request; `now`: microseconds UTC.

    Raises InvalidInput (field `TimeInstant`, 2.2 BAD_TIMESTAMP), NotSupported.
    """
    if mapping.refuses is not None:
        raise NotSupported(mapping.refuses, field="payloadType")
    if not measure:
        return None
    if instant:
        measure = {**measure, TIME_INSTANT: instant}
    values: JsonObject = {}
    attributes: dict[str, Attribute] = {}
    hits: list[tuple[int, Item, Json]] = []
    others: list[tuple[str, Json]] = []
    statics = mapping.statics
    for key, value in measure.items():
        found = mapping.items.get(_RENAMED.get(key, key))
        if found is None:
            others.append((_RENAMED.get(key, key), value))
        else:
            hits.extend((item.order, item, value) for item in found)
    if len(hits) > 1:
        hits.sort(key=_order)
    for _, item, value in hits:
        if item.sent and item.name not in statics and not _identical(value, item.skip):
            values[item.name] = value
            attributes[item.name] = item.attribute
    raw = measure.get(TIME_INSTANT)
    mapped = values.get(TIME_INSTANT)
    explicit = mapping.explicit
    if explicit is False:
        for name, value in others:
            if name in values or name in statics:
                continue
            if name == TIME_INSTANT:
                if value is None or value == "":
                    continue
                attributes[name] = _TIME
            else:
                type_name = mapping.types.get(name)
                attributes[name] = _TEXT if type_name is None else Attribute(type_name)
            values[name] = value
    elif explicit is not True:
        values = {name: value for name, value in values.items() if name in explicit}
        attributes = {name: attribute for name, attribute in attributes.items() if name in explicit}
        if not explicit:
            return None
    if mapping.timestamp:
        return _timed(mapping, values, attributes, raw if mapped is None or mapped == "" else mapped, now)
    if not values:
        return None
    return Update(values, attributes, ngsi.instant(mapped if mapped is not None else raw))


def _order(hit: tuple[int, Item, Json]) -> int:
    return hit[0]


def _identical(value: Json, skip: Json) -> bool:
    """JavaScript's `===`: numbers by value, everything else also by type; objects and arrays are never identical."""
    if isinstance(value, bool) or isinstance(skip, bool) or not isinstance(value, (int, float)):
        return type(value) is type(skip) and not isinstance(value, (dict, list)) and value == skip
    return isinstance(skip, (int, float)) and value == skip


def _timed(
    mapping: Mapping, values: JsonObject, attributes: dict[str, Attribute], stated: Json, now: int
) -> Update | None:
    """Add TimeInstant and its metadata (7.5)."""
    time: int | None = None
    if stated is None or stated == "":
        stated = local_time(now, mapping.zone)
    else:
        time = ngsi.instant(stated)
        if time is None:
            raise InvalidInput(f"The timestamp {str(stated)[:64]!r} is not ISO 8601", field=TIME_INSTANT)
    if not values and not statics(mapping, None):
        return None
    mark: JsonObject = {"type": "DateTime", "value": stated}
    marked = {
        name: Attribute(attribute.type, {**attribute.metadata, TIME_INSTANT: mark})
        for name, attribute in attributes.items()
        if name != TIME_INSTANT
    }
    own = attributes.get(TIME_INSTANT)
    values[TIME_INSTANT] = stated
    marked[TIME_INSTANT] = _TIME if own is None else Attribute("DateTime", own.metadata)
    return Update(values, marked, time)


def local_time(now: int, zone: str | None) -> str:
    """An instant as text: UTC with `Z`, or in a zone with its offset; an unknown zone is UTC."""
    if zone is None:
        return ngsi.iso(now)
    try:
        moment = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now)).astimezone(ZoneInfo(zone))
    except (ValueError, OSError, KeyError):
        return ngsi.iso(now)
    return moment.isoformat(timespec="milliseconds")


def statics(mapping: Mapping, instant: Json) -> dict[str, Static]:
    """The static attributes as the entity shows them; `instant` is its TimeInstant, None while it has none."""
    explicit = mapping.explicit
    shown = {n: s for n, s in mapping.statics.items() if isinstance(explicit, bool) or n in explicit}
    if not mapping.timestamp or instant is None:
        return shown
    mark: JsonObject = {"type": "DateTime", "value": instant}
    return {
        name: Static(s.value, Attribute(s.attribute.type, {**s.attribute.metadata, TIME_INSTANT: mark}))
        for name, s in shown.items()
    }


def in_order(updates: list[Update]) -> list[Update]:
    """The order in which the updates of one message count: by TimeInstant if all have one, else as sent (7.7)."""
    if len(updates) > 1 and all(u.time is not None and TIME_INSTANT in u.values for u in updates):
        return sorted(updates, key=lambda u: u.time or 0)
    return updates
