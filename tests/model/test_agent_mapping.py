"""Promise: device and group together say what 5.3 says, and TimeInstant follows every row of 7.5."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.environment import NOON
from thingstead.model.agent import mapping
from thingstead.model.errors import InvalidInput, NotSupported
from thingstead.model.ngsi import instant
from thingstead.model.values import JsonObject

T = "2024-05-01T10:00:00Z"
ON: JsonObject = {"timestamp": True}


def item(name: str, **more: Any) -> JsonObject:
    return {"name": name, "type": "Number", **more}


@pytest.mark.parametrize(
    ("device", "group", "names"),
    [
        ([item("t", object_id="a")], [item("u", object_id="a"), item("v", object_id="b")], ["t", "v"]),
        ([item("a")], [item("u", object_id="a")], ["a"]),
        ([], [item("x"), item("y")], ["x", "y"]),
        ([item("x", object_id="1")], [item("x", object_id="2")], ["x", "x"]),
    ],
)
def test_a_device_item_hides_the_group_item_of_its_key(
    device: list[JsonObject], group: list[JsonObject], names: list[str]
) -> None:
    merged = mapping.merged({"attributes": [*device]}, {"attributes": [*group]}, "attributes")
    assert [found["name"] for found in merged] == names


def test_settings_and_names_of_device_and_group() -> None:
    group: JsonObject = {"timestamp": True, "entity_type": "G", "defaultEntityNameConjunction": "_"}
    assert mapping.setting({"timestamp": False}, group, "timestamp") is False
    assert mapping.setting({}, group, "timestamp") is True
    assert mapping.entity_type({}, group) == "G"
    assert mapping.entity_type({"entity_type": "D"}, group) == "D"
    assert mapping.entity_type({}, None) == "Thing"
    assert mapping.entity_name({}, group, "d1", "G") == "G_d1"
    assert mapping.entity_name({}, None, "d1", "G") == "G:d1"
    assert mapping.entity_name({"entity_name": "E"}, group, "d1", "G") == "E"


@pytest.mark.parametrize(
    ("config", "measure", "t", "value", "time"),
    [
        (ON, {"a": 1}, None, "2026-01-15T12:00:00.000Z", None),
        (ON, {"a": 1, "TimeInstant": T}, None, T, instant(T)),
        (ON, {"a": 1, "TimeInstant": None}, None, "2026-01-15T12:00:00.000Z", None),
        (ON, {"a": 1, "TimeInstant": ""}, None, "2026-01-15T12:00:00.000Z", None),
        (ON, {"a": 1, "TimeInstant": "soon"}, T, T, instant(T)),
        (ON | {"timezone": "America/Santiago"}, {"a": 1}, None, "2026-01-15T09:00:00.000-03:00", None),
        (ON | {"timezone": "No/Where"}, {"a": 1}, None, "2026-01-15T12:00:00.000Z", None),
        (ON | {"timezone": "../../etc/passwd"}, {"a": 1}, None, "2026-01-15T12:00:00.000Z", None),
        (ON | {"explicitAttrs": True, "attributes": [item("a")]}, {"a": 1, "TimeInstant": T}, None, T, instant(T)),
        ({}, {"a": 1, "TimeInstant": T}, None, T, instant(T)),
        ({}, {"a": 1, "TimeInstant": "soon"}, None, "soon", None),
        ({}, {"a": 1}, T, T, instant(T)),
        ({}, {"a": 1}, None, None, None),
        ({}, {"a": 1, "TimeInstant": None}, None, None, None),
    ],
)
def test_time_instant(
    config: JsonObject, measure: JsonObject, t: str | None, value: str | None, time: int | None
) -> None:
    update = mapping.apply(mapping.prepare(config, None, timestamp=False), measure, NOON, t)
    assert update is not None
    assert update.values.get("TimeInstant") == value
    assert update.time == time
    if value is not None:
        assert update.attributes["TimeInstant"].type == "DateTime"
    marked = update.attributes["a"].metadata.get("TimeInstant")
    assert marked == ({"type": "DateTime", "value": value} if config.get("timestamp") else None)


@pytest.mark.parametrize("stated", ["soon", "2024-13-01T10:00:00Z", 5, True, ["2024"], "2024-05-01T25:00:00Z", 0.5])
def test_what_is_no_time_is_refused_only_where_timestamps_are_on(stated: Any) -> None:
    measure = {"a": 1, "TimeInstant": stated}
    with pytest.raises(InvalidInput) as caught:
        mapping.apply(mapping.prepare(ON, None, timestamp=False), measure, NOON)
    assert caught.value.field == "TimeInstant"
    update = mapping.apply(mapping.prepare({}, None, timestamp=False), measure, NOON)
    assert update is not None
    assert update.values["TimeInstant"] == stated
    assert update.time is None


def test_an_explicit_expression_sends_only_what_is_declared() -> None:
    config: JsonObject = {"explicitAttrs": "c?true:false", "attributes": [item("a")]}
    update = mapping.apply(mapping.prepare(config, None, timestamp=False), {"a": 1, "b": 2}, NOON)
    assert update is not None
    assert update.values == {"a": 1}


def test_entities_as_payload_are_refused_not_misread() -> None:
    prepared = mapping.prepare({"payloadType": "ngsiv2"}, None, timestamp=False)
    with pytest.raises(NotSupported):
        mapping.apply(prepared, {"id": "x", "type": "T"}, NOON)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(measure=st.dictionaries(st.text(min_size=1, max_size=6), json_values, max_size=6))
def test_undeclared_values_pass_unchanged_as_text(measure: JsonObject) -> None:
    measure.pop("TimeInstant", None)
    update = mapping.apply(mapping.prepare({}, None, timestamp=False), measure, NOON)
    renamed = {{"id": "measure_id", "type": "measure_type"}.get(k, k): v for k, v in measure.items()}
    if not measure:
        assert update is None
    else:
        assert update is not None
        assert update.values == renamed
        assert {a.type for a in update.attributes.values()} == {"Text"}
