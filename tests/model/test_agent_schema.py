"""Promise: a body of `/iot/services` or `/iot/devices` is checked whole, kept as given, or refused naming the field."""

from typing import Any

import pytest

from thingstead.model.agent import schema
from thingstead.model.errors import ConstraintViolation, InvalidInput

GROUP: dict[str, Any] = {"resource": "/iot/json", "apikey": "k1", "entity_type": "T"}
DEVICE: dict[str, Any] = {"device_id": "d1"}


def test_groups_are_kept_with_present_names() -> None:
    given = {**GROUP, "service": "x", "subservice": "/x", "token": "t", "cbroker": "b", "mine": {"x": [1]}}
    del given["entity_type"]
    given["type"] = "Light"
    assert schema.groups({"groups": [given]}, "groups") == [
        {
            "resource": "/iot/json",
            "apikey": "k1",
            "entity_type": "Light",
            "trust": "t",
            "cbHost": "b",
            "mine": {"x": [1]},
        }
    ]
    both = schema.groups({"services": [{**GROUP, "type": "old"}]}, "services")[0]
    assert both["entity_type"] == "T"
    assert schema.groups({"services": []}, "services") == []


def test_what_is_not_supported_yet_is_kept() -> None:
    given = {
        **GROUP,
        "attributes": [
            {
                "object_id": "a.b c/d",
                "name": "n",
                "type": "Number",
                "expression": "${@x}",
                "entity_name": "type+':'+(t*2)",
                "entity_type": "X",
                "skipValue": 0,
                "reverse": [],
                "metadata": {"m": {"type": "T", "expression": "x"}},
            },
            {"object_id": "only", "type": "Number"},
        ],
        "lazy": [{"name": "l", "type": "T", "metadata": {}}],
        "commands": [
            {
                "name": "c",
                "type": "command",
                "value": 1,
                "expression": "x",
                "payloadType": "text",
                "contentType": "x/y",
                "headers": {"a": "b"},
                "mqtt": {"qos": 2},
            }
        ],
        "static_attributes": [{"name": "s", "type": "T", "value": None, "link": {}}],
        "internal_attributes": {"any": "thing"},
        "explicitAttrs": ["a", {"object_id": "b"}],
    }
    assert schema.groups({"services": [given]}, "services") == [given]
    device = {**given, "device_id": "d", "polling": True, "entity_name": "E"}
    del device["resource"]
    assert schema.devices({"devices": [device]}) == [device]


ITEM = {"name": "n", "type": "Number"}
BAD_MEMBERS: list[dict[str, Any]] = [
    {"apikey": 5},
    {"apikey": "things"},
    {"apikey": "k" * 257},
    {"entity_type": "a<b"},
    {"entity_type": 1},
    {"timestamp": "true"},
    {"explicitAttrs": 5},
    {"explicitAttrs": [5]},
    {"timezone": 1},
    {"transport": None},
    {"attributes": {}},
    {"attributes": [5]},
    {"attributes": [{"name": "n"}]},
    {"attributes": [{"type": "T"}]},
    {"attributes": [{**ITEM, "unknown": 1}]},
    {"attributes": [{**ITEM, "name": "a=b"}]},
    {"attributes": [{**ITEM, "name": " "}]},
    {"attributes": [{**ITEM, "object_id": "a(b"}]},
    {"attributes": [{**ITEM, "metadata": [1]}]},
    {"attributes": [{**ITEM, "metadata": {"m": 1}}]},
    {"attributes": [{**ITEM, "expression": 1}]},
    {"lazy": [{**ITEM, "expression": "x"}]},
    {"commands": [{**ITEM, "headers": []}]},
    {"static_attributes": [ITEM]},
    {"static_attributes": [{"object_id": "n", "type": "T", "value": 1}]},
]


@pytest.mark.parametrize("bad", BAD_MEMBERS, ids=str)
def test_a_wrong_member_is_refused_in_groups_and_devices(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as group:
        schema.groups({"services": [{**GROUP, **bad}]}, "services")
    with pytest.raises(InvalidInput) as device:
        schema.devices({"devices": [DEVICE, {**DEVICE, **bad}]})
    for caught in (group, device):
        assert not isinstance(caught.value, ConstraintViolation)
        assert next(iter(bad)) in (caught.value.field or "")


@pytest.mark.parametrize(
    "body", [None, [], 5, {}, {"services": 5}, {"services": [5]}, {"services": [], "x": 1}, {"groups": []}]
)
def test_a_wrong_envelope_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        schema.groups(body, "services")
    with pytest.raises(InvalidInput):
        schema.devices(body)


def test_what_must_be_there() -> None:
    for name in ("resource", "apikey"):
        with pytest.raises(InvalidInput, match=name):
            schema.groups({"services": [{k: v for k, v in GROUP.items() if k != name}]}, "services")
    for item in ({**GROUP, "entity_type": ""}, {"resource": "", "apikey": "k"}):
        with pytest.raises(ConstraintViolation) as group:
            schema.groups({"services": [item]}, "services")
        assert group.value.field == "entity_type"
    for device in ({}, {"device_id": ""}, {"entity_name": "x"}):
        with pytest.raises(ConstraintViolation) as caught:
            schema.devices({"devices": [device]})
        assert caught.value.field == "device_id"
    with pytest.raises(InvalidInput):
        schema.devices({"devices": [{"device_id": 5}]})


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    with pytest.raises(InvalidInput):
        schema.groups({"services": [{**GROUP, "mine": value}]}, "services")
