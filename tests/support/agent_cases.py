"""Functional cases of agent.md 19 that need no expressions, as data: group, what comes in, what the entity says.

`NOW` stands for any ISO 8601 date. Every case runs twice: through the pure mapping, and through the servers.
"""

from typing import Any, NamedTuple

NOW = "<ISO>"
M = {"a": False, "b": 10, "c": "text", "d": 10.5, "e": [1, 2], "f": {"a": 1, "b": 2}}
BASE: dict[str, Any] = {
    "resource": "/iot/json",
    "apikey": "123456",
    "entity_type": "TestType",
    "commands": [],
    "lazy": [],
    "attributes": [],
    "static_attributes": [],
}
ID, TYPE = "TestType:TestDevice", "TestType"


class Case(NamedTuple):
    """`entities`: one per measure that says something, in the order in which they count."""

    name: str
    group: dict[str, Any]
    measure: Any
    entities: list[dict[str, Any]]
    last: dict[str, Any] | None = None  # the entity at the end, if not the last of `entities`


def text(**values: Any) -> dict[str, Any]:
    """Attributes of type Text."""
    return {name: {"type": "Text", "value": value} for name, value in values.items()}


def of(type: str, value: Any, time: str | None = None, **metadata: Any) -> dict[str, Any]:
    """One attribute; `time` adds the metadata TimeInstant."""
    if time is not None:
        metadata["TimeInstant"] = {"type": "DateTime", "value": time}
    return {"type": type, "value": value, **({"metadata": metadata} if metadata else {})}


def named(prefix: str, **types: str) -> list[dict[str, Any]]:
    """Active attributes: object id -> type."""
    return [{"object_id": key, "name": prefix + key, "type": kind} for key, kind in types.items()]


def at(minutes: int) -> str:
    """10:MM on the day of the cases."""
    return f"2024-04-10T10:{minutes:02d}:00Z"


def ti(value: str) -> dict[str, Any]:
    """The attribute TimeInstant."""
    return {"TimeInstant": of("DateTime", value)}


NUMBER = {"attributes": named("attr_", a="Number")}
MOMENT: dict[str, Any] = {
    "timestamp": True,
    "attributes": [{"object_id": "mydatetime", "name": "TimeInstant", "type": "DateTime"}],
}
STATICS = [
    {"name": "static_a", "type": "Number", "value": 3},
    {"name": "static_b", "type": "Number", "value": 4},
]
TWO = {"attributes": named("attr_", a="Number", b="Number"), "static_attributes": STATICS}
T2022, T2033 = "2022-02-02T02:22:22.222Z", "2033-03-03T03:33:33.333Z"
SIX = {"a": "Boolean", "b": "Integer", "c": "Text", "d": "Float", "e": "Array", "f": "Object"}
MINUTES = [15, 5, 20, 0, 10, 30, 25]

CASES = [
    Case("0010 nothing declared", {}, M, [text(**M)]),
    Case(
        "0020 every type",
        {"attributes": named("attr_", **SIX)},
        M,
        [{f"attr_{key}": of(SIX[key], value) for key, value in M.items()}],
    ),
    Case(
        "0020 other keys",
        {"attributes": named("attr_", **SIX)},
        {"u": False, "v": 10, "w": "text", "y": 10.5, "x": [1, 2], "z": {"a": 1, "b": 2}},
        [text(u=False, v=10, w="text", y=10.5, x=[1, 2], z={"a": 1, "b": 2})],
    ),
    Case(
        "0021 metadata",
        {
            "attributes": [
                {
                    "object_id": "a",
                    "name": "attr_a",
                    "type": "Boolean",
                    "metadata": {"accuracy": {"type": "Float", "value": 0.8}},
                }
            ]
        },
        {"a": False},
        [{"attr_a": of("Boolean", False, accuracy={"type": "Float", "value": 0.8})}],
    ),
    Case("0022 seven", NUMBER, [{"a": n} for n in range(7)], [{"attr_a": of("Number", n)} for n in range(7)]),
    Case(
        "0022 seven timed",
        NUMBER,
        [{"a": n, "TimeInstant": at(5 * n)} for n in range(7)],
        [{"attr_a": of("Number", n), **ti(at(5 * n))} for n in range(7)],
    ),
    Case(
        "0022 seven unordered",
        NUMBER,
        [{"a": n, "TimeInstant": at(minute)} for n, minute in enumerate(MINUTES)],
        [{"attr_a": of("Number", n), **ti(at(MINUTES[n]))} for n in (3, 1, 4, 0, 2, 6, 5)],
    ),
    Case("0400 timestamp off", {**NUMBER, "timestamp": False}, {"a": 23}, [{"attr_a": of("Number", 23)}]),
    Case("0410 timestamp on", {**NUMBER, "timestamp": True}, {"a": 21}, [{"attr_a": of("Number", 21, NOW), **ti(NOW)}]),
    Case(
        "0420 raw TimeInstant",
        NUMBER,
        {"a": 23, "TimeInstant": "2015-12-14T08:06:01.468Z"},
        [{"attr_a": of("Number", 23), **ti("2015-12-14T08:06:01.468Z")}],
    ),
    Case("0430 mapped, absent", MOMENT, {"a": 23}, [{"a": of("Text", 23, NOW), **ti(NOW)}]),
    Case(
        "0430 mapped wins over raw",
        MOMENT,
        {"mydatetime": T2022, "TimeInstant": T2033, "a": 23},
        [{"a": of("Text", 23, T2022), **ti(T2022)}],
    ),
    Case(
        "0431 mapped and explicit",
        {
            **MOMENT,
            "explicitAttrs": True,
            "attributes": [*MOMENT["attributes"], {"object_id": "a", "name": "a", "type": "Text"}],
        },
        {"mydatetime": T2022, "a": 23},
        [{"a": of("Text", 23, T2022), **ti(T2022)}],
    ),
    Case("0520 explicit", {**NUMBER, "explicitAttrs": True}, {"a": 3, "b": 10}, [{"attr_a": of("Number", 3)}]),
    Case("0532 explicit nothing", {**TWO, "timestamp": True, "explicitAttrs": "[ ]"}, {"a": 3, "b": 10, "c": 1}, []),
    Case("0532 as an array", {**TWO, "timestamp": True, "explicitAttrs": []}, {"a": 3, "b": 10, "c": 1}, []),
    Case(
        "0534 explicit nothing, mapped times",
        {
            **TWO,
            "timestamp": False,
            "explicitAttrs": "[ ]",
            "attributes": [
                *TWO["attributes"],
                {"object_id": "TimeInstant", "name": "DateIssued", "type": "DateTime"},
                {"object_id": "t", "name": "TimeInstant", "type": "DateTime"},
            ],
        },
        {"a": 3, "b": 10, "c": 11, "t": T2022},
        [],
    ),
    Case(
        "explicit list of names and object ids",
        {**TWO, "explicitAttrs": "['attr_a', {object_id:'b'}, 'static_b']"},
        {"a": 1, "b": 2, "c": 3},
        [{"attr_a": of("Number", 1), "attr_b": of("Number", 2)}],
        {"attr_a": of("Number", 1), "attr_b": of("Number", 2), "static_b": of("Number", 4)},
    ),
    Case(
        "statics",
        TWO,
        {"a": 1},
        [{"attr_a": of("Number", 1)}],
        {"attr_a": of("Number", 1), "static_a": of("Number", 3), "static_b": of("Number", 4)},
    ),
    Case(
        "statics with a time",
        {**NUMBER, "timestamp": True, "static_attributes": STATICS[:1]},
        {"a": 1, "TimeInstant": T2022},
        [{"attr_a": of("Number", 1, T2022), **ti(T2022)}],
        {"attr_a": of("Number", 1, T2022), "static_a": of("Number", 3, T2022), **ti(T2022)},
    ),
    Case(
        "a static wins over a measure of its name",
        TWO,
        {"static_a": 99, "a": 1},
        [{"attr_a": of("Number", 1)}],
        {"attr_a": of("Number", 1), "static_a": of("Number", 3), "static_b": of("Number", 4)},
    ),
    Case("undeclared key of a declared name", NUMBER, {"attr_a": 5}, [{"attr_a": of("Number", 5)}]),
    Case("id and type are renamed", {}, {"id": 1, "type": "x"}, [text(measure_id=1, measure_type="x")]),
    Case("null is skipped where declared", NUMBER, {"a": None, "b": None}, [text(b=None)]),
    Case(
        "falsy skipValue, type-strict",
        {"attributes": [{"object_id": "a", "name": "attr_a", "type": "Number", "skipValue": 0}]},
        [{"a": 0}, {"a": False}, {"a": 1}],
        [{"attr_a": of("Number", False)}, {"attr_a": of("Number", 1)}],
    ),
    Case(
        "what is not supported yet is left out",
        {
            "attributes": [
                {"object_id": "a", "name": "attr_a", "type": "Number", "expression": "a*2"},
                {"object_id": "b", "name": "attr_b", "type": "Number", "entity_name": "Other"},
            ]
        },
        {"a": 1, "b": 2, "c": 3},
        [text(c=3)],
    ),
    Case(
        "a lazy attribute's key",
        {"lazy": [{"object_id": "l", "name": "level", "type": "Number"}]},
        {"l": 4},
        [{"level": of("Number", 4)}],
    ),
    Case("nothing", NUMBER, {}, []),
    Case("nothing at all", NUMBER, [], []),
]


def same(shown: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Compare as JSON values; absent metadata equals empty, NOW equals any date."""
    if set(shown) != set(expected):
        return False
    return all(_same(shown[name], expected[name]) for name in expected)


def _same(one: Any, other: Any) -> bool:
    if other == NOW:
        return isinstance(one, str) and one[:2] == "20" and one.endswith("Z")
    if isinstance(other, dict) and "type" in other and isinstance(one, dict):
        one, other = {"metadata": {}, **one}, {"metadata": {}, **other}
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_same(one[key], other[key]) for key in other)
    return one == other and type(one) is type(other)
