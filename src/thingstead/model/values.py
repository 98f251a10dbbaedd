"""JSON values as types, and the two conversions every floor uses. Pure; no schema knowledge."""

from typing import TypeAlias, TypeGuard

import orjson

from thingstead.model.errors import MalformedBody

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


def is_object(value: object) -> TypeGuard[JsonObject]:
    """True if a parsed JSON value is an object (its keys are then text)."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Json]]:
    """True if a parsed JSON value is an array."""
    return isinstance(value, list)


def dump(value: Json) -> bytes:
    """Compact UTF-8 JSON (objects.md 1.1)."""
    return orjson.dumps(value)


def parse(data: bytes | str) -> Json:
    """Parse JSON text; NaN, Infinity and non-UTF-8 are refused. Raises MalformedBody with the parser's text."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(str(error)) from None


def parse_object(data: bytes | str) -> JsonObject:
    """Parse JSON text that must be an object. Raises MalformedBody."""
    value = parse(data)
    if not is_object(value):
        raise MalformedBody("a JSON object is expected")
    return value
