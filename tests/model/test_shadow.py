"""The shadow's rules by example: updates, delta, what `deviceState` shows, limits (things.md 7, 8.0; doors.md 4, 5)."""

from typing import Any

import pytest

from thingstead.model import shadow as rules
from thingstead.model.errors import InvalidInput, TooLarge
from thingstead.model.shadow import Leaf, Shadow
from thingstead.model.values import Json, JsonObject

SECOND = 1_000_000


def update(shadow: Shadow, request: dict[str, Any], at: int) -> list[tuple[str, Json]]:
    """What ingest does with one accepted shadow update: sections, leaves, version."""
    pairs: list[tuple[str, Json]] = []
    if "reported" in request:
        reported = request["reported"]
        pairs = rules.drop_reported(shadow, at) if reported is None else rules.merge_reported(shadow, reported, at)
        for path, value in pairs:
            if value is not None and path not in shadow.leaves:
                shadow.leaves[path] = Leaf(len(shadow.leaves) + 1, path, at)
    if "desired" in request:
        if request["desired"] is None:
            shadow.desired.clear()
            shadow.desired_at.clear()
        else:
            rules.merge_desired(shadow, request["desired"], at)
    shadow.version += 1
    return pairs


def fresh() -> Shadow:
    return Shadow(desired={}, reported={}, desired_at={}, leaves={}, attributes={})


WORKED = [
    # (request, version, desired, reported, delta) of things.md 7.5; row 3 is refused for its version
    (
        {"desired": {"temp": 26, "fan": {"on": True, "rpm": 900}}},
        1,
        {"temp": 26, "fan": {"on": True, "rpm": 900}},
        {},
        {"temp": 26, "fan": {"on": True, "rpm": 900}},
    ),
    (
        {"reported": {"temp": 24, "fan": {"on": True}}},
        2,
        {"temp": 26, "fan": {"on": True, "rpm": 900}},
        {"temp": 24, "fan": {"on": True}},
        {"temp": 26, "fan": {"rpm": 900}},
    ),
    (
        {"reported": {"temp": 26, "fan": {"rpm": 900}}, "desired": None},
        3,
        {},
        {"temp": 26, "fan": {"on": True, "rpm": 900}},
        {},
    ),
    ({"reported": {"fan": None}}, 4, {}, {"temp": 26}, {}),
]


def test_the_worked_sequence() -> None:
    shadow = fresh()
    for i, (request, version, desired, reported, delta) in enumerate(WORKED):
        update(shadow, request, (i + 1) * SECOND)
        assert (shadow.version, shadow.desired, shadow.reported) == (version, desired, reported)
        assert rules.delta(shadow) == delta
    assert shadow.desired_at == {}


MERGES: list[tuple[JsonObject, JsonObject, JsonObject, list[tuple[str, Json]]]] = [
    # stored, patch, stored then, readings
    ({}, {"a": 1}, {"a": 1}, [("a", 1)]),
    ({"a": 1}, {"a": 1}, {"a": 1}, [("a", 1)]),
    ({"a": 1}, {"a": None}, {}, [("a", None)]),
    ({"a": 1}, {"b": None}, {"a": 1}, []),
    ({"a": 1}, {}, {"a": 1}, []),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, [("a", [3])]),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}, [("a.c", 3)]),
    ({"a": {"b": 1}}, {"a": {"b": None}}, {}, [("a.b", None)]),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": None}}}, {}, [("a.b.c", None)]),
    ({"a": {"b": 1}}, {"a": 5}, {"a": 5}, [("a.b", None), ("a", 5)]),
    ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}, [("a", None), ("a.b", 1)]),
    ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}, []),
    ({}, {"a": {}}, {}, []),
    ({}, {"a": {"b": {}}}, {}, []),
    ({"a": {"b": 1, "c": 2}}, {"a": None}, {}, [("a.b", None), ("a.c", None)]),
    ({}, {"x.y": 1}, {"x.y": 1}, [("x\\.y", 1)]),
    ({"x": {"y": 1}}, {"x.y": 2}, {"x": {"y": 1}, "x.y": 2}, [("x\\.y", 2)]),
    ({}, {"a": False, "b": "t", "c": 1.5}, {"a": False, "b": "t", "c": 1.5}, [("a", False), ("b", "t"), ("c", 1.5)]),
]


@pytest.mark.parametrize(("stored", "patch", "then", "readings"), MERGES)
def test_merging(stored: JsonObject, patch: JsonObject, then: JsonObject, readings: list[tuple[str, Json]]) -> None:
    shadow = fresh()
    update(shadow, {"reported": stored}, SECOND)
    assert update(shadow, {"reported": patch}, 2 * SECOND) == readings
    assert shadow.reported == then


def test_a_leaf_that_was_a_scalar_becomes_an_object_and_a_scalar_again() -> None:
    """Each change removes what stood there: the history shows when a leaf ended."""
    shadow = fresh()
    update(shadow, {"reported": {"a": 1}}, SECOND)
    update(shadow, {"reported": {"a": {"b": 2}}}, 2 * SECOND)
    assert update(shadow, {"reported": {"a": 3}}, 3 * SECOND) == [("a.b", None), ("a", 3)]
    assert shadow.reported == {"a": 3}


OLDER: list[tuple[JsonObject, JsonObject, JsonObject]] = [
    # stored at 10 s, patch of 5 s: state stays, readings are made all the same (doors.md 5)
    ({"a": 1}, {"a": 2}, {"a": 1}),
    ({"a": 1}, {"a": None}, {"a": 1}),
    ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ({"a": {"b": 1}}, {"a": 2}, {"a": {"b": 1}}),
    ({"a": 1}, {"a": {"b": 2}}, {"a": 1}),
    ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {"a": {"b": 1, "c": 3}}),
]


@pytest.mark.parametrize(("stored", "patch", "then"), OLDER)
def test_an_older_report_does_not_change_newer_state(stored: JsonObject, patch: JsonObject, then: JsonObject) -> None:
    shadow = fresh()
    update(shadow, {"reported": stored}, 10 * SECOND)
    pairs = update(shadow, {"reported": patch}, 5 * SECOND)
    assert shadow.reported == then
    assert [pair for pair in pairs if pair[1] is not None] == list(rules.walk(patch))


def test_an_older_report_does_not_bring_back_what_was_removed() -> None:
    shadow = fresh()
    update(shadow, {"reported": {"a": 1}}, SECOND)
    update(shadow, {"reported": {"a": None}}, 10 * SECOND)
    update(shadow, {"reported": {"a": 2}}, 5 * SECOND)
    assert shadow.reported == {}
    update(shadow, {"reported": {"a": 3}}, 10 * SECOND)
    assert shadow.reported == {"a": 3}


DELTAS: list[tuple[JsonObject, JsonObject, JsonObject]] = [
    # desired, reported, delta (things.md 7.3, step 6)
    ({}, {"a": 1}, {}),
    ({"a": 1}, {}, {"a": 1}),
    ({"a": 1}, {"a": 1}, {}),
    ({"a": 1}, {"a": 1.0}, {}),
    ({"a": 1}, {"a": True}, {"a": 1}),
    ({"a": 1}, {"a": "1"}, {"a": 1}),
    ({"a": [1, 2]}, {"a": [1, 2]}, {}),
    ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 2]}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": 2}}),
    ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {}),
    ({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}),
    ({"a": 5}, {"a": {"b": 1}}, {"a": 5}),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, {"a": {"b": {"c": 1}}}),
]


@pytest.mark.parametrize(("desired", "reported", "delta"), DELTAS)
def test_delta(desired: JsonObject, reported: JsonObject, delta: JsonObject) -> None:
    shadow = fresh()
    update(shadow, {"desired": desired, "reported": reported}, SECOND)
    assert rules.delta(shadow) == delta


def test_device_state_shows_the_newer_leaf() -> None:
    """things.md 8.0: the device sets 24, somebody wants 26, the device later says 25; a tie goes to desired."""
    shadow = fresh()
    update(shadow, {"reported": {"temp": 24, "label": "x"}}, SECOND)
    assert rules.device_state(shadow) == {"temp": 24, "label": "x"}
    update(shadow, {"desired": {"temp": 26}}, 2 * SECOND)
    assert rules.device_state(shadow) == {"temp": 26, "label": "x"}
    update(shadow, {"reported": {"temp": 25}}, 3 * SECOND)
    assert rules.device_state(shadow) == {"temp": 25, "label": "x"}
    update(shadow, {"desired": {"temp": 27}, "reported": {"temp": 25}}, 4 * SECOND)
    assert rules.device_state(shadow) == {"temp": 27, "label": "x"}
    update(shadow, {"desired": {"fan": {"on": True}}}, 5 * SECOND)
    assert rules.device_state(shadow) == {"temp": 27, "label": "x", "fan": {"on": True}}
    assert shadow.reported == {"temp": 25, "label": "x"}


def test_desired_times() -> None:
    shadow = fresh()
    update(shadow, {"desired": {"a": 1, "b": {"c": 2, "d": 3}}}, SECOND)
    update(shadow, {"desired": {"b": {"c": 4}}}, 2 * SECOND)
    assert shadow.desired_at == {"a": SECOND, "b.c": 2 * SECOND, "b.d": SECOND}
    update(shadow, {"desired": {"b": None}}, 3 * SECOND)
    assert shadow.desired_at == {"a": SECOND}


def test_metadata() -> None:
    document: JsonObject = {"a": 1, "b": {"c": [1, 2]}, "x.y": True}
    times = {"a": SECOND, "b.c": 2 * SECOND, "x\\.y": 3 * SECOND}
    assert rules.timestamps(document, times) == {
        "a": {"timestamp": 1},
        "b": {"c": [{"timestamp": 2}, {"timestamp": 2}]},
        "x.y": {"timestamp": 3},
    }


SET: list[tuple[JsonObject, JsonObject, JsonObject, list[tuple[str, Json]]]] = [
    # stored, values, stored then, readings: replaced whole, null and {} kept (doors.md 4)
    ({}, {"a": 1}, {"a": 1}, [("a", 1)]),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"c": 3}}, [("a.b", None), ("a.c", 3)]),
    ({"a": 1}, {"a": None}, {"a": None}, [("a", None)]),
    ({}, {"a": {}}, {"a": {}}, []),
    ({"a": {"b": 1}}, {"a": 2}, {"a": 2}, [("a.b", None), ("a", 2)]),
    ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, [("b", 2)]),
    ({}, {"x.y": 1}, {"x.y": 1}, [("x\\.y", 1)]),
]


@pytest.mark.parametrize(("stored", "values", "then", "readings"), SET)
def test_setting(stored: JsonObject, values: JsonObject, then: JsonObject, readings: list[tuple[str, Json]]) -> None:
    shadow = fresh()
    update(shadow, {"reported": stored}, SECOND)
    assert rules.set_reported(shadow, values, 2 * SECOND) == readings
    assert shadow.reported == then


def nested(levels: int) -> JsonObject:
    """A document of so many levels of objects."""
    value: Json = 1
    for _ in range(levels):
        value = {"k": value}
    assert isinstance(value, dict)
    return value


REFUSED: list[tuple[str, Json, str]] = [
    ("desired", 1, "Desired node must be an object"),
    ("reported", [], "Reported node must be an object"),
    ("reported", "x", "Reported node must be an object"),
    ("reported", nested(7), "JSON contains too many levels of nesting; maximum is 6"),
    ("reported", nested(900), "JSON contains too many levels of nesting; maximum is 6"),
    ("desired", {"a": [[[[[[1]]]]]]}, "JSON contains too many levels of nesting; maximum is 6"),
    ("reported", {"": 1}, "State contains an invalid node"),
    ("reported", {"a": {"": 1}}, "State contains an invalid node"),
    ("reported", {"a": [{"": 1}]}, "State contains an invalid node"),
    ("reported", {"a\x00b": 1}, "State contains an invalid node"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_sections_that_are_refused(name: str, value: Json, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rules.check_section(name, value)
    assert caught.value.message == message
    assert caught.value.field == f"state.{name}"


@pytest.mark.parametrize("value", [None, {}, nested(6), {"a": [[[[1]]]]}, {"a.b": 1, " ": 2}])
def test_sections_that_are_fine(value: Json) -> None:
    rules.check_section("reported", value)


def test_values_that_no_rule_could_walk_through_are_refused() -> None:
    rules.check_values(nested(64))
    with pytest.raises(InvalidInput):
        rules.check_values(nested(900))


def test_size_is_judged_on_both_sections() -> None:
    shadow = fresh()
    update(shadow, {"reported": {"a": "x" * 4000}, "desired": {"b": "y" * 4000}}, SECOND)
    rules.check_size(shadow)
    update(shadow, {"reported": {"c": "z" * 200}}, SECOND)
    with pytest.raises(TooLarge):
        rules.check_size(shadow)
