"""Forms and the bodies posted to them (hypermedia.md 11): JSON Schema documents, coercion, checks. Pure.

A body is read by the same declaration that its form is made from. Unknown members are ignored; wrong JSON types are
coerced where that is harmless (1.2); what cannot be is a ConstraintViolation whose `details` name the code and, in a
list, the index.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, Literal

import msgspec

from thingstead.model.errors import ConstraintViolation, MalformedBody
from thingstead.model.hypermedia import times
from thingstead.model.hypermedia.documents import Place
from thingstead.model.hypermedia.filters import truth
from thingstead.model.readings import coerce_number
from thingstead.model.values import Json, JsonObject, dump, is_array, is_object

Kind = Literal["text", "json_text", "number", "boolean", "time", "place", "scalar"]
Fields = Mapping[str, Any]
"""Members of a body after coercion: text, float, bool, microseconds, Place; None: given as null to remove a place."""


class Property(msgspec.Struct, frozen=True):
    """One property of a form."""

    kind: Kind
    required: bool = False
    format: str | None = None


class Form(msgspec.Struct, frozen=True):
    """One declaration: its title in create and edit forms, and its properties in order."""

    title: str
    properties: Mapping[str, Property]
    edit_title: str = ""


_PLACE = Property("place")
_NAME = Property("text", required=True)
_TEXT = Property("text")

SITE: Final = Form(
    "Create Site",
    {"name": _NAME, "geoLocation": _PLACE, "rawZMQStream": Property("text", format="uri")},
    "Edit Site",
)
DEVICE: Final = Form(
    "Create Device",
    {
        "name": _NAME,
        "description": _TEXT,
        "building": _TEXT,
        "floor": _TEXT,
        "room": _TEXT,
        "active": Property("boolean"),
        "geoLocation": _PLACE,
    },
    "Edit Device",
)
SENSOR: Final = Form(
    "Create Sensor",
    {
        "sensor-type": Property("scalar", required=True),
        "metric": _NAME,
        "unit": _NAME,
        "active": Property("boolean"),
        "geoLocation": _PLACE,
    },
    "Edit Sensor",
)
DATA: Final = Form(
    "Add Data", {"value": Property("number", required=True), "timestamp": Property("time", format="date-time")}
)
METADATA: Final = Form(
    "Create Metadata",
    {
        "key": _NAME,
        "value": Property("json_text", required=True),
        "timestamp": Property("time", format="date-time"),
    },
)


# --- the documents


def _schema(name: str, spec: Property) -> JsonObject:
    if spec.kind == "place":
        members = {n: Property("number") for n in ("latitude", "longitude", "elevation")}
        return {
            "type": "object",
            "title": name,
            "required": ["latitude", "longitude"],
            "properties": {n: _schema(n, member) for n, member in members.items()},
        }
    types = {"number": "number", "boolean": "boolean"}
    out: JsonObject = {"type": types.get(spec.kind, "string"), "title": name}
    if spec.format:
        out["format"] = spec.format
    if spec.kind == "scalar":
        out["enum"] = ["scalar"]
    elif spec.required and spec.kind in ("text", "json_text"):
        out["minLength"] = 1
    return out


def create_form(form: Form, preset: Mapping[str, str]) -> JsonObject:
    """The create form; properties that the query string fixes are left out."""
    left = {name: spec for name, spec in form.properties.items() if name not in preset}
    return {
        "type": "object",
        "title": form.title,
        "required": [name for name, spec in left.items() if spec.required],
        "properties": {name: _schema(name, spec) for name, spec in left.items()},
    }


def edit_form(form: Form, current: Fields) -> JsonObject:
    """The edit form: the same schema with present values as defaults; an unknown place or elevation has none."""
    out = create_form(form, {})
    out["title"] = form.edit_title
    properties: JsonObject = {}
    for name, spec in form.properties.items():
        schema = _schema(name, spec)
        value = current.get(name)
        if spec.kind == "scalar":
            schema["default"] = "scalar"
        elif not isinstance(value, Place):
            if spec.kind != "place":
                schema["default"] = value
        else:
            members = schema["properties"]
            assert is_object(members)
            for part, number in value.wire().items():
                member = members[part]
                if number is not None and is_object(member):
                    member["default"] = number
        properties[name] = schema
    out["properties"] = properties
    return out


# --- the bodies


class Reader(msgspec.Struct, frozen=True):
    """Reads bodies; `zone` is where times without offset are."""

    zone: tzinfo

    def create(self, form: Form, body: Json, preset: Mapping[str, str]) -> list[Fields]:
        """Every item of a create body, which is one object or a list of them; presets win over members."""
        if not is_array(body):
            return [self._item(form, body, preset)]
        found: list[Fields] = []
        for index, item in enumerate(body):
            try:
                found.append(self._item(form, item, preset))
            except ConstraintViolation as error:
                details = {**error.details, "index": str(index)}
                raise ConstraintViolation(
                    f"item {index}: {error.message}", field=error.field, details=details
                ) from None
        return found

    def edit(self, form: Form, body: Json, current: Fields) -> dict[str, Any]:
        """The members that a body changes; places are merged with the current ones.

        A member equal to what is stored is no change, and so never refused: whole resources are posted back.
        """
        if not is_object(body):
            raise MalformedBody("a JSON object is expected")
        found: dict[str, Any] = {}
        for name, spec in form.properties.items():
            if name in body and (body[name] is None or body[name] != current.get(name)):
                found[name] = self._value(name, spec, body[name], current.get(name))
        return found

    def _item(self, form: Form, body: Json, preset: Mapping[str, str]) -> Fields:
        if not is_object(body):
            raise ConstraintViolation("a JSON object is expected", details={"code": "type"})
        given: JsonObject = {**body, **{name: value for name, value in preset.items() if name in form.properties}}
        found: dict[str, Any] = {}
        for name, spec in form.properties.items():
            value = given.get(name)
            if value is None:
                if spec.required and spec.kind != "scalar":  # old clients leave out `sensor-type`
                    raise _wrong(form, name, "is missing", "required")
                continue
            found[name] = self._value(name, spec, value, None)
        return found

    def _value(self, name: str, spec: Property, value: Json, current: Any) -> Any:
        if spec.kind == "place":
            return None if value is None else _place(name, value, current if isinstance(current, Place) else None)
        if spec.kind == "time":
            if not isinstance(value, str):
                raise _wrong(None, name, "is no date-time", "type")
            return times.read_text(value, self.zone, field=name)
        read = _READERS[spec.kind](value)
        if read is None:
            raise _wrong(None, name, f"must be {_WORDS[spec.kind]}", "type")
        if spec.required and not (read.strip() if spec.kind == "text" else read != ""):
            raise _wrong(None, name, "must not be blank", "required")
        return read


def presets(form: Form, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The properties that a query string fixes; places cannot be."""
    return {n: v for n, v in pairs if n in form.properties and form.properties[n].kind != "place"}


def _wrong(form: Form | None, name: str, what: str, code: str) -> ConstraintViolation:
    where = "" if form is None else " (required fields missing or matching object already exists)"
    return ConstraintViolation(f"{name} {what}{where}", field=name, details={"code": code})


def _text(value: Json) -> str | None:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return None if isinstance(value, (dict, list)) else dump(value).decode()


def _json_text(value: Json) -> str | None:
    return None if value is None else value if isinstance(value, str) else dump(value).decode()


def _number(value: Json) -> float | None:
    number = coerce_number(value)
    return float(number) if isinstance(number, (int, float)) and math.isfinite(number) else None


def _boolean(value: Json) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return bool(value) if value in (0, 1) else None
    return truth(value) if isinstance(value, str) else None


def _scalar(value: Json) -> str | None:
    return "scalar" if value == "scalar" else None


_READERS: Final[Mapping[str, Callable[[Json], Any]]] = {
    "text": _text,
    "json_text": _json_text,
    "number": _number,
    "boolean": _boolean,
    "scalar": _scalar,
}
_WORDS: Final = {
    "text": "text",
    "json_text": "text",
    "number": "a finite number",
    "boolean": "true or false",
    "scalar": "'scalar'",
}


def _place(name: str, value: Json, current: Place | None) -> Place:
    if not is_object(value):
        raise _wrong(None, name, "must be an object", "type")
    numbers: dict[str, float | None] = {}
    for part in ("latitude", "longitude", "elevation"):
        held = None if current is None else getattr(current, part)
        if part not in value or (value[part] is None and part != "elevation"):
            numbers[part] = held
            continue
        numbers[part] = None if value[part] is None else _number(value[part])
        if numbers[part] is None and value[part] is not None:
            raise _wrong(None, f"{name}.{part}", "must be a finite number", "type")
    latitude, longitude = numbers["latitude"], numbers["longitude"]
    if latitude is None or longitude is None:
        missing = "latitude" if latitude is None else "longitude"
        raise _wrong(None, f"{name}.{missing}", "is missing", "required")
    return Place(latitude, longitude, numbers["elevation"])


def place_of(value: Json) -> Place | None:
    """A stored place, whichever door stored it; None unless latitude and longitude are finite numbers."""
    if not is_object(value):
        return None
    try:
        return _place("geoLocation", {k: v for k, v in value.items() if not isinstance(v, (str, bool))}, None)
    except ConstraintViolation:
        return None


def text_of(value: Json) -> str:
    """A stored member as text, whichever door stored it."""
    return _json_text(value) or ""


def flag_of(value: Json, default: bool = True) -> bool:
    """A stored flag, whichever door stored it."""
    found = _boolean(value)
    return default if found is None else found
