"""Fields that a user-defined class declares (objects.md 21): their types, locks and validators. Pure.

An object of such a class is a generic object: its declared fields are custom fields, flat on the wire and under
`properties` in the index. Promises: a value is kept in the JSON form of its declared type; numbers, texts and flags
that do not fit are coerced as the fields of core types are (objects.md 2.1), and everything else that does not fit is
refused by name. Values load in their own form and as JSON text.
"""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import msgspec

from thingstead.model import constraints
from thingstead.model.coercion import flag_of, integer_of, text_of
from thingstead.model.constraints import Broken
from thingstead.model.errors import ConstraintViolation, InvalidInput, MalformedBody
from thingstead.model.values import Json, JsonObject, dump, parse

Check: TypeAlias = Callable[[Any], None]
"""Takes a value of the field's type, never None; raises ValueError, whose text says what is wrong."""

_ZEROS: Final[Mapping[type, Callable[[Json], Json]]] = {
    int: integer_of,
    bool: flag_of,
    str: lambda value: text_of(value) or "",
}


class Field(msgspec.Struct, frozen=True):
    """One stored field. `type` is what stands at its annotation."""

    name: str
    type: Any
    locked: bool = False  # settable on create, ignored by PATCH
    constraints: Mapping[str, JsonObject] = {}  # as model.constraints keeps them
    checks: Sequence[Check] = ()


class Declared(msgspec.Struct, frozen=True):
    """The type of object that a class stands for, and its stored fields by name."""

    type: str
    fields: Mapping[str, Field]


def payloads(given: Mapping[str, Any]) -> dict[str, JsonObject]:
    """Constraints as they are written at a field: `min=4, size=(3, 20), required=True, pattern="..."`.

    Raises InvalidInput for an unknown name and for a payload that is none.
    """
    found: dict[str, JsonObject] = {}
    for name, value in given.items():
        stated: JsonObject | None
        match name, value:
            case ("size", (low, high)):
                stated = {"min": low, "max": high}
            case ("digits", (integer, fraction)):
                stated = {"integer": integer, "fraction": fraction}
            case _ if name in constraints.SIMPLE:
                if value is False:
                    continue
                stated = {}
            case _:
                stated = {"value": value}
        kept = constraints.payload(name, stated)
        if kept is None:
            raise InvalidInput(f"'{name}' is no constraint, or its payload is none", field=name)
        found[name] = kept
    return found


def loaded(field: Field, value: Json) -> Any:
    """A JSON value, or JSON text of one, as a value of the field's type. Raises ConstraintViolation by name."""
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        zero = _ZEROS.get(_plain(field.type))
        if zero is not None:
            return zero(value)
        if _plain(field.type) is float:
            return 0.0
        if isinstance(value, str):
            try:
                return msgspec.convert(parse(value), field.type, strict=False)
            except (MalformedBody, msgspec.ValidationError):
                pass
        raise ConstraintViolation(f"'{field.name}': {error}", field=field.name) from None


def dumped(field: Field, value: Any, *, flatten: bool = False) -> Json:
    """A value as JSON; `flatten`: lists and objects as JSON text. Raises ConstraintViolation."""
    try:
        json: Json = msgspec.to_builtins(value, str_keys=True)
    except (TypeError, msgspec.ValidationError) as error:
        raise ConstraintViolation(f"'{field.name}': {error}", field=field.name) from None
    return dump(json).decode() if flatten and isinstance(json, (list, dict)) else json


def coerced(declared: Declared, custom: JsonObject) -> JsonObject:
    """Custom fields of an object with the declared ones in the JSON form of their type. Raises ConstraintViolation."""
    found = dict(custom)
    for name, field in declared.fields.items():
        if found.get(name) is not None:
            found[name] = dumped(field, loaded(field, found[name]))
    return found


def kept(declared: Declared, custom: JsonObject, old: JsonObject) -> JsonObject:
    """Custom fields after a PATCH: locked ones are what they were."""
    found = dict(custom)
    for name, field in declared.fields.items():
        if field.locked:
            found.pop(name, None)
            if name in old:
                found[name] = old[name]
    return found


def broken(declared: Declared, values: Mapping[str, Json], now_ms: int) -> list[Broken]:
    """What an object breaks of its class's validators, field by field; empty when it is valid."""
    stated = {name: field.constraints for name, field in declared.fields.items() if field.constraints}
    found = constraints.broken(stated, values, now_ms)
    for name, field in declared.fields.items():
        value = values.get(name)
        for check in field.checks if value is not None else ():
            try:
                check(loaded(field, value))
            except ValueError as error:
                found.append(Broken(name, f"{name}: {error}"))
    return found


def _plain(type: Any) -> Any:
    """The type without `| None`."""
    if get_origin(type) in (Union, UnionType):
        left = [part for part in get_args(type) if part is not NoneType]
        return left[0] if len(left) == 1 else type
    return type
