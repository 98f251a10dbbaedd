"""Constraints on the fields of objects: those of an app, and the built-in ones of core types (objects.md 2.6, 11).

Promises: all that fails is told, in the order in which the constraints stand; a stored constraint never raises; null
and absent pass everything but `required`; no pattern and no value takes long (model/java_pattern). Pure: whoever checks
says what time it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from thingstead.model import java_pattern, types
from thingstead.model.coercion import text_of
from thingstead.model.errors import InvalidInput
from thingstead.model.java_pattern import UnusablePattern
from thingstead.model.values import Json, JsonObject, is_object

Fields: TypeAlias = Mapping[str, Mapping[str, JsonObject]]
"""field -> name of a constraint -> payload, `message` included."""

Types: TypeAlias = Mapping[str, Fields]
"""type, singular and in lower case -> its fields."""

SIMPLE: Final = ("required", "false", "true", "future", "past", "url", "email")  # without a payload
NAMES: Final = (*SIMPLE, "min", "max", "size", "digits", "pattern")

_LOW, _HIGH = 0, 10_000  # stand for payload numbers that are not whole (Para's `Config.DEFAULT_LIMIT`)
_LONG: Final = 1 << 63
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DIGITS = re.compile(r"\d+")
_EMAIL = re.compile(r"[A-Za-z0-9.%'+_\-]+@[A-Za-z0-9.\-]+\.[^ \t\n\x0B\f\r]{2,20}")
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f]")
_WITH_HOST: Final = frozenset({"http", "https", "ftp"})
_SCHEMES: Final = _WITH_HOST | {"file", "jar", "mailto"}


class Broken(NamedTuple):
    """A constraint that a field breaks."""

    field: str
    message: str


# --- payloads


def payload(name: str, given: Mapping[str, Json]) -> JsonObject | None:
    """What is kept of a payload; None for an unknown name and for one whose payload lacks something.

    Raises InvalidInput for a pattern that cannot be used.
    """
    nested = given.get("message")
    if is_object(nested):  # where Para's Python client puts its payloads
        given = {**nested, **given}
    kept: JsonObject
    if name in SIMPLE:
        kept = {}
    elif name in ("min", "max") and given.get("value") is not None:
        kept = {"value": _whole(given["value"], _LOW if name == "min" else _HIGH)}
    elif name == "size" and given.get("min") is not None and given.get("max") is not None:
        kept = {"min": _whole(given["min"], _LOW), "max": _whole(given["max"], _HIGH)}
    elif name == "digits" and given.get("integer") is not None and given.get("fraction") is not None:
        kept = {"integer": _whole(given["integer"], 0), "fraction": _whole(given["fraction"], 0)}
    elif name == "pattern" and (pattern := text_of(given.get("value"))) is not None:
        try:
            java_pattern.check(pattern)
        except UnusablePattern as error:
            raise InvalidInput(f"the pattern cannot be used: {error}", field="value") from None
        kept = {"value": pattern}
    else:
        return None
    return {**kept, "message": f"messages.{name}"}


def _whole(value: Json, otherwise: int) -> int:
    """A whole number, also as text; else `otherwise`."""
    number = value
    if isinstance(value, str):
        number = int(value) if len(value) <= 20 and _WHOLE.fullmatch(value) else None
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    if isinstance(number, int) and not isinstance(number, bool) and -_LONG <= number < _LONG:
        return number
    return otherwise


# --- an app's constraints as a whole


def key_of(type_name: str) -> str:
    """A type as it stands in the map of constraints."""
    return type_name.lower()


def normalised(given: Json) -> dict[str, dict[str, dict[str, JsonObject]]]:
    """A client's whole map with only what is a constraint, payloads as kept.

    Raises InvalidInput, naming the field, for a pattern that cannot be used.
    """
    kept: dict[str, dict[str, dict[str, JsonObject]]] = {}
    for type_name, fields in given.items() if is_object(given) else ():
        for field, named in fields.items() if is_object(fields) else ():
            for name, stated in named.items() if is_object(named) else ():
                try:
                    found = payload(name, stated if is_object(stated) else {})
                except InvalidInput as error:
                    raise _named(error, field) from None
                if found is not None and type_name.strip() and field.strip():
                    kept.setdefault(key_of(type_name), {}).setdefault(field, {})[name] = found
    return kept


def stored(given: Json) -> Types:
    """The map of a stored app object, which `normalised` or `added` made; what is not of that form is left out."""
    kept: dict[str, Fields] = {}
    for type_name, fields in given.items() if is_object(given) else ():
        if is_object(fields):
            kept[type_name] = {
                field: {name: stated for name, stated in named.items() if is_object(stated) and name in NAMES}
                for field, named in fields.items()
                if is_object(named)
            }
    return kept


def added(present: Types, type_name: str, field: str, name: str, given: Mapping[str, Json]) -> Types | None:
    """The map with one constraint more, or with another payload; None if the name or the payload is none.

    Raises InvalidInput, naming the field, for a pattern that cannot be used.
    """
    try:
        found = payload(name, given)
    except InvalidInput as error:
        raise _named(error, field) from None
    if found is None or not field.strip() or not type_name.strip():
        return None
    fields = present.get(type_name, {})
    return {**present, type_name: {**fields, field: {**fields.get(field, {}), name: found}}}


def removed(present: Types, type_name: str, field: str, name: str) -> Types | None:
    """The map without one constraint, and without fields and types that have none then; None if it was not there."""
    fields = present.get(type_name, {})
    if name not in fields.get(field, {}):
        return None
    named = {key: value for key, value in fields[field].items() if key != name}
    fields = {**fields, field: named} if named else {key: value for key, value in fields.items() if key != field}
    return {**present, type_name: fields} if fields else {k: v for k, v in present.items() if k != type_name}


def as_json(own: Types) -> JsonObject:
    """The map as JSON."""
    return {
        type_name: {field: dict[str, Json](named) for field, named in fields.items()}
        for type_name, fields in own.items()
    }


def _named(error: InvalidInput, field: str) -> InvalidInput:
    return InvalidInput(f"'{field}': {error.message}", field=field)


def shown(present: Types, type_name: str | None = None) -> JsonObject:
    """The built-in constraints and the app's, of one type or of all; an app's field replaces the built-in one."""
    names = [type_name] if type_name is not None else [*BUILT_IN, *(key for key in present if key not in BUILT_IN)]
    found: JsonObject = {}
    for name in names:
        fields = {**BUILT_IN.get(name, {}), **present.get(name, {})}
        if fields:
            found[name] = {field: dict[str, Json](named) for field, named in fields.items()}
    return found


# --- checking


def broken(fields: Fields, values: Mapping[str, Json], now_ms: int) -> list[Broken]:
    """What the fields of an object break of an app's constraints; empty when it is valid."""
    found: list[Broken] = []
    for field, named in fields.items():
        value = values.get(field)
        for name, stated in named.items():
            if not _CHECKS[name](value, stated, now_ms):
                found.append(Broken(field, _message(name, field, stated)))
    return found


def built_in_broken(type_name: str, values: Mapping[str, Json]) -> list[Broken]:
    """What the fields of an object of a core type break of the built-in constraints; empty when it is valid."""
    found: list[Broken] = []
    for field, named in BUILT_IN.get(type_name, {}).items():
        value = values.get(field)
        for name, stated in named.items():
            if not _CHECKS[name](value, stated, 0):
                found.append(Broken(field, f"'{field}' {_built_in_message(name, type_name, field, stated)}"))
    return found


def _message(name: str, field: str, stated: JsonObject) -> str:
    low, high, value = (_shown(stated.get(key)) for key in ("min", "max", "value"))
    return {
        "required": f"{field} is required.",
        "min": f"{field} must be a number larger than {value}.",
        "max": f"{field} must be a number smaller than {value}.",
        "size": f"{field} must be between {low} and {high}.",
        "email": f"{field} is not a valid email.",
        "digits": f"{field} is not a valid number or within range.",
        "pattern": f"{field} doesn't match the pattern {value}.",
        "false": f"{field} must be false.",
        "true": f"{field} must be true.",
        "future": f"{field} must be in the future.",
        "past": f"{field} must be in the past.",
        "url": f"{field} is not a valid URL.",
    }[name]


def _shown(value: Json) -> str:
    """Numbers with thousands separators."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _built_in_message(name: str, type_name: str, field: str, stated: JsonObject) -> str:
    if name == "required":
        spec = types.spec_of(type_name).fields.get(field)
        return "must not be blank" if spec is None or spec.coerce is text_of else "must not be null"
    if name == "size":
        return f"size must be between {stated['min']} and {stated['max']}"
    return "Please provide a valid email address" if name == "email" else "must be a valid URL"


# --- one by one; `stated` is a payload as `payload` keeps it


def _number(value: Json) -> int | None:
    """The whole part of a number."""
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _bound(stated: Mapping[str, Json], key: str) -> int:
    value = stated.get(key)
    return value if isinstance(value, int) else 0


def _required(value: Json) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _min(value: Json, stated: JsonObject, now_ms: int) -> bool:
    return value is None or ((number := _number(value)) is not None and number >= _bound(stated, "value"))


def _max(value: Json, stated: JsonObject, now_ms: int) -> bool:
    return value is None or ((number := _number(value)) is not None and number <= _bound(stated, "value"))


def _size(value: Json, stated: JsonObject, now_ms: int) -> bool:
    if value is None:
        return True
    length = len(value) if isinstance(value, (str, list, dict)) else -1
    return length >= 0 and _bound(stated, "min") <= length <= _bound(stated, "max")


def _digits(value: Json, stated: JsonObject, now_ms: int) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    whole, *rest = re.split("[.,]", str(value))
    if not _DIGITS.fullmatch(whole) or len(whole) > _bound(stated, "integer"):
        return False
    return not rest or len(rest[0]) <= _bound(stated, "fraction")


def _pattern(value: Json, stated: JsonObject, now_ms: int) -> bool:
    return value is None or (isinstance(value, str) and java_pattern.matches(str(stated.get("value")), value))


def _email(value: Json) -> bool:
    return value is None or (isinstance(value, str) and is_email(value))


def is_email(text: str) -> bool:
    """Whether a text is one plain e-mail address."""
    return _EMAIL.fullmatch(text) is not None


def _false(value: Json) -> bool:
    return not (value is True or (isinstance(value, str) and value.lower() == "true"))


def _true(value: Json) -> bool:
    return not (value is False or (isinstance(value, str) and value.lower() != "true"))


def _later(value: Json, now_ms: int) -> bool:
    return isinstance(value, bool) or not isinstance(value, (int, float)) or value > now_ms


def _earlier(value: Json, now_ms: int) -> bool:
    return isinstance(value, bool) or not isinstance(value, (int, float)) or value < now_ms


def _url(value: Json) -> bool:
    return value is None or is_url(text_of(value) or "")


def is_url(text: str) -> bool:
    """Whether a text is an absolute URL with a scheme that is known; http, https and ftp need a host."""
    if _NO_URL.search(text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is none
    except ValueError:
        return False
    if parts.scheme not in _SCHEMES:
        return False
    return bool(parts.hostname if parts.scheme in _WITH_HOST else text[len(parts.scheme) + 1 :])


_CHECKS: Final[Mapping[str, Callable[[Json, JsonObject, int], bool]]] = {
    "required": lambda value, stated, now: _required(value),
    "min": _min,
    "max": _max,
    "size": _size,
    "email": lambda value, stated, now: _email(value),
    "digits": _digits,
    "pattern": _pattern,
    "false": lambda value, stated, now: _false(value),
    "true": lambda value, stated, now: _true(value),
    "future": lambda value, stated, now: _later(value, now),
    "past": lambda value, stated, now: _earlier(value, now),
    "url": lambda value, stated, now: _url(value),
}


def _named_payload(name: str, **given: Json) -> dict[str, JsonObject]:
    return {name: {**given, "message": f"messages.{name}"}}


_REQUIRED = _named_payload("required")


def _sized(low: int, high: int) -> dict[str, JsonObject]:
    return _named_payload("size", min=low, max=high)


BUILT_IN: Final[Types] = {
    "address": {
        "address": _REQUIRED | _sized(3, 255),
        "country": _REQUIRED | _sized(2, 255),
        "city": _sized(0, 255),
        "latlng": _REQUIRED,
    },
    "app": {"id": _REQUIRED},
    "linker": dict.fromkeys(("id1", "id2", "type1", "type2"), _REQUIRED),
    "tag": {"tag": _REQUIRED},
    "translation": dict.fromkeys(("authorName", "locale", "thekey", "value"), _REQUIRED),
    "user": {
        "identifier": _REQUIRED,
        "groups": _REQUIRED,
        "email": _REQUIRED | _named_payload("email"),
        "password": _sized(0, 5000),
    },
    "vote": dict.fromkeys(("value", "expiresAfter", "lockedAfter"), _REQUIRED),
    "webhook": {"targetUrl": _REQUIRED | _named_payload("url")},
}
"""What core types demand, whatever an app says (objects.md 2.6)."""
