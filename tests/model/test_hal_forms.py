"""Forms are exactly those of hypermedia.md 11.1, and bodies are coerced, refused or merged as 1.2 and 11.2 say."""

import contextlib
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import ConstraintViolation, MalformedBody
from thingstead.model.hypermedia import forms
from thingstead.model.hypermedia.documents import Place
from thingstead.model.values import Json, dump, parse

READER = forms.Reader(UTC)
NAME = {"type": "string", "title": "name", "minLength": 1}
PLACE = {
    "type": "object",
    "title": "geoLocation",
    "required": ["latitude", "longitude"],
    "properties": {
        "latitude": {"type": "number", "title": "latitude"},
        "longitude": {"type": "number", "title": "longitude"},
        "elevation": {"type": "number", "title": "elevation"},
    },
}
DEVICE = {
    "name": NAME,
    "description": {"type": "string", "title": "description"},
    "building": {"type": "string", "title": "building"},
    "floor": {"type": "string", "title": "floor"},
    "room": {"type": "string", "title": "room"},
    "active": {"type": "boolean", "title": "active"},
    "geoLocation": PLACE,
}
TIME = {"type": "string", "title": "timestamp", "format": "date-time"}


@pytest.mark.parametrize(
    ("form", "title", "required", "properties"),
    [
        (
            forms.SITE,
            "Create Site",
            ["name"],
            {
                "name": NAME,
                "geoLocation": PLACE,
                "rawZMQStream": {"type": "string", "format": "uri", "title": "rawZMQStream"},
            },
        ),
        (forms.DEVICE, "Create Device", ["name"], DEVICE),
        (
            forms.SENSOR,
            "Create Sensor",
            ["sensor-type", "metric", "unit"],
            {
                "sensor-type": {"type": "string", "title": "sensor-type", "enum": ["scalar"]},
                "metric": {"type": "string", "title": "metric", "minLength": 1},
                "unit": {"type": "string", "title": "unit", "minLength": 1},
                "active": {"type": "boolean", "title": "active"},
                "geoLocation": PLACE,
            },
        ),
        (forms.DATA, "Add Data", ["value"], {"value": {"type": "number", "title": "value"}, "timestamp": TIME}),
        (
            forms.METADATA,
            "Create Metadata",
            ["key", "value"],
            {
                "key": {"type": "string", "title": "key", "minLength": 1},
                "value": {"type": "string", "title": "value", "minLength": 1},
                "timestamp": TIME,
            },
        ),
    ],
)
def test_create_forms(form: forms.Form, title: str, required: list[str], properties: dict[str, Any]) -> None:
    made = forms.create_form(form, {})
    assert made == {"type": "object", "title": title, "required": required, "properties": properties}


def test_what_the_query_fixes_is_left_out() -> None:
    preset = forms.presets(forms.DEVICE, [("site_id", "5"), ("room", "Cafe"), ("geoLocation", "x"), ("name", "a")])
    assert preset == {"room": "Cafe", "name": "a"}
    made = forms.create_form(forms.DEVICE, preset)
    assert made["required"] == []
    assert made["properties"] == {k: v for k, v in DEVICE.items() if k not in ("room", "name")}


def test_edit_form_has_defaults() -> None:
    current = {"name": "Marsh", "rawZMQStream": "", "geoLocation": Place(1.5, 2.0)}
    made = forms.edit_form(forms.SITE, current)
    assert made["title"] == "Edit Site"
    properties: Any = made["properties"]
    assert properties["name"] == {**NAME, "default": "Marsh"}
    assert properties["rawZMQStream"]["default"] == ""
    assert properties["geoLocation"]["properties"] == {
        "latitude": {"type": "number", "title": "latitude", "default": 1.5},
        "longitude": {"type": "number", "title": "longitude", "default": 2.0},
        "elevation": {"type": "number", "title": "elevation"},
    }
    without: Any = forms.edit_form(forms.SITE, {**current, "geoLocation": None})["properties"]
    assert without["geoLocation"] == PLACE


@pytest.mark.parametrize(
    ("form", "body", "fields"),
    [
        (forms.SITE, {"name": "x", "_links": {}, "unknown": 1}, {"name": "x"}),
        (forms.SITE, {"name": 5, "rawZMQStream": None}, {"name": "5"}),
        (forms.SITE, {"name": True}, {"name": "true"}),
        (
            forms.SITE,
            {"name": "x", "geoLocation": {"latitude": 1, "longitude": "2.5", "elevation": None}},
            {"name": "x", "geoLocation": Place(1.0, 2.5)},
        ),
        (forms.DEVICE, {"name": "x", "floor": 5}, {"name": "x", "floor": "5"}),
        (forms.DEVICE, {"name": "x", "active": "False"}, {"name": "x", "active": False}),
        (forms.DEVICE, {"name": "x", "active": 0}, {"name": "x", "active": False}),
        (forms.SENSOR, {"metric": "wind speed", "unit": "°C"}, {"metric": "wind speed", "unit": "°C"}),
        (
            forms.SENSOR,
            {"metric": "m", "unit": "Smoots", "sensor-type": "scalar"},
            {"metric": "m", "unit": "Smoots", "sensor-type": "scalar"},
        ),
        (forms.DATA, {"value": "23"}, {"value": 23.0}),
        (forms.DATA, {"value": 23, "unit": "celsius"}, {"value": 23.0}),
        (forms.DATA, {"value": True, "timestamp": "1970-01-01T00:00:01Z"}, {"value": 1.0, "timestamp": 1_000_000}),
        (forms.METADATA, {"key": "k", "value": 123}, {"key": "k", "value": "123"}),
        (forms.METADATA, {"key": "k", "value": {"a": [1]}}, {"key": "k", "value": '{"a":[1]}'}),
    ],
)
def test_bodies(form: forms.Form, body: Json, fields: dict[str, Any]) -> None:
    assert READER.create(form, body, {}) == [fields]
    assert READER.create(form, [body, body], {}) == [fields, fields]


def test_the_query_wins_over_the_body() -> None:
    assert READER.create(forms.DEVICE, {"name": "x", "room": "here"}, {"room": "there"}) == [
        {"name": "x", "room": "there"}
    ]


REFUSED: list[tuple[forms.Form, Json, str | None]] = [
    (forms.SITE, {}, "name"),
    (forms.SITE, {"name": ""}, "name"),
    (forms.SITE, {"name": None}, "name"),
    (forms.SITE, {"name": ["x"]}, "name"),
    (forms.SITE, {"name": "x", "geoLocation": {}}, "geoLocation.latitude"),
    (forms.SITE, {"name": "x", "geoLocation": {"latitude": 1}}, "geoLocation.longitude"),
    (forms.SITE, {"name": "x", "geoLocation": {"latitude": "north", "longitude": 1}}, "geoLocation.latitude"),
    (forms.SITE, {"name": "x", "geoLocation": [1, 2]}, "geoLocation"),
    (forms.SITE, 5, None),
    (forms.SITE, "x", None),
    (forms.SITE, None, None),
    (forms.DEVICE, {"name": "x", "room": {"a": 1}}, "room"),
    (forms.DEVICE, {"name": "x", "active": "perhaps"}, "active"),
    (forms.DEVICE, {"name": "x", "active": 2}, "active"),
    (forms.SENSOR, {"unit": "x"}, "metric"),
    (forms.SENSOR, {"metric": "x"}, "unit"),
    (forms.SENSOR, {"metric": "x", "unit": ""}, "unit"),
    (forms.SENSOR, {"metric": "x", "unit": "y", "sensor-type": "presence"}, "sensor-type"),
    (forms.DATA, {}, "value"),
    (forms.DATA, {"value": None}, "value"),
    (forms.DATA, {"value": "high"}, "value"),
    (forms.DATA, {"value": "NaN"}, "value"),
    (forms.DATA, {"value": "inf"}, "value"),
    (forms.DATA, {"value": [1]}, "value"),
    (forms.DATA, {"value": 1, "timestamp": "noon"}, "timestamp"),
    (forms.DATA, {"value": 1, "timestamp": 1700000000}, "timestamp"),
    (forms.METADATA, {"key": "", "value": "x"}, "key"),
    (forms.METADATA, {"key": "k", "value": None}, "value"),
    (forms.METADATA, {"value": "x"}, "key"),
]


@pytest.mark.parametrize(("form", "body", "field"), REFUSED)
def test_refused_bodies_name_the_field(form: forms.Form, body: Json, field: str | None) -> None:
    with pytest.raises(ConstraintViolation) as refused:
        READER.create(form, body, {})
    assert refused.value.field == field
    with pytest.raises(ConstraintViolation) as refused:
        READER.create(form, [{"name": "x", "metric": "x", "unit": "x", "value": 1, "key": "k"}, body], {})
    assert refused.value.field == field
    assert refused.value.details["index"] == "1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["name", "geoLocation", "active", "metric", "unit", "value", "timestamp", "key", "sensor-type"])


@given(
    st.sampled_from([forms.SITE, forms.DEVICE, forms.SENSOR, forms.DATA, forms.METADATA]),
    st.dictionaries(names, json_values) | json_values,
)
def test_any_body_is_read_or_refused(form: forms.Form, body: Any) -> None:
    body = parse(dump(body))  # what can arrive: no NaN
    found: list[forms.Fields] = []
    with contextlib.suppress(ConstraintViolation):
        found = READER.create(form, body, {})
    assert all(set(item) <= set(form.properties) for item in found)


SITE = {"name": "Marsh", "rawZMQStream": "", "geoLocation": Place(1.0, 2.0, 3.0)}


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({}, {}),
        ({"name": "Moor"}, {"name": "Moor"}),
        ({"name": "Marsh", "rawZMQStream": "", "_links": {"self": {"href": "x"}}}, {}),
        ({"geoLocation": {"latitude": 5}}, {"geoLocation": Place(5.0, 2.0, 3.0)}),
        ({"geoLocation": {"elevation": None}}, {"geoLocation": Place(1.0, 2.0)}),
        ({"geoLocation": None}, {"geoLocation": None}),
    ],
)
def test_edits_merge(body: Json, changes: dict[str, Any]) -> None:
    assert READER.edit(forms.SITE, body, SITE) == changes


def test_a_first_place_needs_latitude_and_longitude() -> None:
    current = {**SITE, "geoLocation": None}
    assert READER.edit(forms.SITE, {"geoLocation": {"latitude": 1, "longitude": 2}}, current) == {
        "geoLocation": Place(1.0, 2.0)
    }
    with pytest.raises(ConstraintViolation):
        READER.edit(forms.SITE, {"geoLocation": {"latitude": 1}}, current)


@pytest.mark.parametrize("body", [[], [{"name": "x"}], "x", 5, None])
def test_an_edit_is_one_object(body: Json) -> None:
    with pytest.raises(MalformedBody):
        READER.edit(forms.SITE, body, SITE)


@pytest.mark.parametrize("body", [{"name": ""}, {"name": None}, {"name": {}}, {"geoLocation": 5}])
def test_refused_edits(body: Json) -> None:
    with pytest.raises(ConstraintViolation):
        READER.edit(forms.SITE, body, SITE)


def test_an_empty_unit_that_is_stored_may_be_posted_back() -> None:
    current = {"metric": "temp", "unit": "", "active": True}
    assert READER.edit(forms.SENSOR, {"metric": "temp", "unit": "", "active": False}, current) == {"active": False}


@pytest.mark.parametrize(
    ("stored", "place"),
    [
        (None, None),
        ("here", None),
        ({"latitude": 1}, None),
        ({"latitude": "1", "longitude": "2"}, None),
        ({"latitude": 1, "longitude": 2}, Place(1.0, 2.0)),
        ({"latitude": 1, "longitude": 2, "elevation": "high"}, Place(1.0, 2.0)),
    ],
)
def test_places_that_other_doors_stored(stored: Json, place: Place | None) -> None:
    assert forms.place_of(stored) == place
