"""What may be posted to `/iot/services` and `/iot/devices` (agent.md 3.1, 4.1, 6.1). Pure.

A body is checked whole before anything of it is stored. Members outside the tables are kept and given back, as are
those whose effect is not supported yet (expressions, commands, lazy attributes): see `mapping`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from thingstead.model import ngsi
from thingstead.model.errors import ConstraintViolation, InvalidInput
from thingstead.model.grants import RESERVED_KEYS
from thingstead.model.values import Json, JsonObject, dump, is_array, is_object

LISTS: Final = ("attributes", "lazy", "commands", "static_attributes")
MAX_KEY: Final = 256

_FORBIDDEN = re.compile(r"""[<>();'="]""")
_FORBIDDEN_TYPE = re.compile(r"""[<>;'="]""")

Check = Callable[[Json], bool]


def _text(value: Json) -> bool:
    return isinstance(value, str)


def _flag(value: Json) -> bool:
    return isinstance(value, bool)


def _name(value: Json) -> bool:
    return (
        isinstance(value, str) and len(value) <= ngsi.MAX_NAME and bool(value.strip()) and not _FORBIDDEN.search(value)
    )


def _type(value: Json) -> bool:
    return isinstance(value, str) and len(value) <= ngsi.MAX_NAME and not _FORBIDDEN_TYPE.search(value)


def _any(value: Json) -> bool:
    return True


def _metadata(value: Json) -> bool:
    return is_object(value) and all(key and is_object(item) for key, item in value.items())


def _explicit(value: Json) -> bool:
    if not is_array(value):
        return isinstance(value, (bool, str))
    return all(isinstance(i, str) or (is_object(i) and isinstance(i.get("object_id"), str)) for i in value)


_ITEM: Final[Mapping[str, Check]] = {"object_id": _name, "name": _name, "type": _name, "metadata": _metadata}
_MEMBERS: Final[Mapping[str, Mapping[str, Check]]] = {
    "attributes": {
        **_ITEM,
        "expression": _text,
        "entity_name": _text,
        "entity_type": _type,
        "skipValue": _any,
        "reverse": is_array,
    },
    "lazy": _ITEM,
    "commands": {
        **_ITEM,
        "value": _any,
        "expression": _text,
        "payloadType": _text,
        "contentType": _text,
        "headers": is_object,
        "mqtt": is_object,
    },
    "static_attributes": {"name": _name, "type": _name, "metadata": _metadata, "value": _any, "link": is_object},
}
_COMMON: Final[Mapping[str, Check]] = {
    "apikey": lambda v: isinstance(v, str) and len(v) <= MAX_KEY,
    "entity_type": _type,
    "timezone": _text,
    "endpoint": _text,
    "transport": _text,
    "protocol": _text,
    "ngsiVersion": _text,
    "payloadType": _text,
    "cmdMode": _text,
    "timestamp": _flag,
    "useCBflowControl": _flag,
    "storeLastMeasure": _flag,
    "explicitAttrs": _explicit,
}
_GROUP: Final[Mapping[str, Check]] = {
    **_COMMON,
    "resource": lambda v: isinstance(v, str) and len(v) <= MAX_KEY,
    "type": _type,
    "trust": _text,
    "token": _text,
    "cbHost": _text,
    "cbroker": _text,
    "entityNameExp": _text,
    "defaultEntityNameConjunction": _text,
    "description": _text,
    "autoprovision": _flag,
}
_DEVICE: Final[Mapping[str, Check]] = {
    **_COMMON,
    "device_id": lambda v: isinstance(v, str) and len(v) <= MAX_KEY,
    "entity_name": _name,
    "polling": _flag,
}
_ALIASES: Final = (("type", "entity_type"), ("token", "trust"), ("cbroker", "cbHost"))


def groups(body: Json, envelope: str) -> list[JsonObject]:
    """The groups of a POST under `services` or `groups`, in present spelling. Raises InvalidInput, ConstraintViolation.

    ConstraintViolation: a group without entity type (2.2 MISSING_CONFIG_PARAMS).
    """
    out: list[JsonObject] = []
    for n, item in enumerate(_items(body, envelope)):
        where = f"{envelope}[{n}]"
        for name in ("apikey", "resource"):
            if name not in item:
                raise InvalidInput(f"{where}.{name} is missing", field=f"{where}.{name}")
        _check(item, _GROUP, where)
        group = {k: v for k, v in item.items() if k not in ("service", "subservice", "_id", "creationDate")}
        for old, new in _ALIASES:
            if old in group:
                value = group.pop(old)
                group.setdefault(new, value)
        if not str(group.get("entity_type", "")).strip():
            message = 'The following mandatory configuration parameters were missing: ["type"]'
            raise ConstraintViolation(message, field="entity_type")
        out.append(group)
    return out


def devices(body: Json) -> list[JsonObject]:
    """The devices of a POST. Raises InvalidInput, ConstraintViolation (a device without id: 2.2 MISSING_ATTRIBUTES)."""
    out: list[JsonObject] = []
    for n, item in enumerate(_items(body, "devices")):
        if item.get("device_id", "") == "":
            given = dump(item).decode()
            raise ConstraintViolation(
                f'The request was not well formed:Missing attributes: ["device_id"] with: {given[:500]}',
                field="device_id",
            )
        _check(item, _DEVICE, f"devices[{n}]")
        out.append({k: v for k, v in item.items() if k not in ("service", "service_path", "subservice")})
    return out


def _items(body: Json, envelope: str) -> list[JsonObject]:
    if not is_object(body) or set(body) != {envelope}:
        raise InvalidInput(f"the body must have the one member {envelope}", field=envelope)
    if ngsi.deeper_than(body, ngsi.MAX_DEPTH):
        raise InvalidInput(f"more than {ngsi.MAX_DEPTH} levels of nesting", field=envelope)
    items = body[envelope]
    if not is_array(items):
        raise InvalidInput(f"{envelope} must be an array", field=envelope)
    out: list[JsonObject] = []
    for n, item in enumerate(items):
        if not is_object(item):
            raise InvalidInput(f"{envelope}[{n}] must be an object", field=f"{envelope}[{n}]")
        out.append(item)
    return out


def _check(item: JsonObject, table: Mapping[str, Check], where: str) -> None:
    for name, value in item.items():
        check = table.get(name)
        if check is not None and not check(value):
            raise InvalidInput(f"{where}.{name} has a wrong type or characters", field=f"{where}.{name}")
    if item.get("apikey") in RESERVED_KEYS:
        raise InvalidInput(f"{where}.apikey: {item['apikey']} is reserved", field=f"{where}.apikey")
    for name in LISTS:
        if name in item:
            _check_list(item[name], name, f"{where}.{name}")


def _check_list(value: Json, name: str, where: str) -> None:
    if not is_array(value):
        raise InvalidInput(f"{where} must be an array", field=where)
    members = _MEMBERS[name]
    for n, item in enumerate(value):
        here = f"{where}[{n}]"
        if not is_object(item):
            raise InvalidInput(f"{here} must be an object", field=here)
        for member, given in item.items():
            check = members.get(member)
            if check is None:
                raise InvalidInput(f"{here}.{member} is not known", field=f"{here}.{member}")
            if not check(given):
                raise InvalidInput(f"{here}.{member} has a wrong type or characters", field=f"{here}.{member}")
        if "name" not in item and ("object_id" not in item or name == "static_attributes"):
            raise InvalidInput(f"{here}.name is missing", field=f"{here}.name")
        for member in ("type", "value") if name == "static_attributes" else ("type",):
            if member not in item:
                raise InvalidInput(f"{here}.{member} is missing", field=f"{here}.{member}")
