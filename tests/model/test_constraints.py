"""Promise: constraints accept and refuse as Para does, with its messages, and whatever was stored never raises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thingstead.model import constraints
from thingstead.model.errors import InvalidInput
from thingstead.model.types import BUILT_IN, LISTED

NOW = 1_700_000_000_000

# name, given payload, kept payload (None: nothing changes)
PAYLOADS = [
    *((name, {}, {}) for name in constraints.SIMPLE),
    ("required", {"value": 3, "x": 1}, {}),
    ("min", {"value": 4}, {"value": 4}),
    ("min", {"value": "4"}, {"value": 4}),
    ("min", {"value": "+4"}, {"value": 4}),
    ("min", {"value": -4.0, "message": "mine", "x": 1}, {"value": -4}),
    ("min", {"value": 4.5}, {"value": 0}),
    ("min", {"value": "many"}, {"value": 0}),
    ("min", {"value": True}, {"value": 0}),
    ("min", {"value": 1e30}, {"value": 0}),
    ("min", {"value": "9" * 5000}, {"value": 0}),
    ("max", {"value": 4.5}, {"value": 10_000}),
    ("max", {"value": []}, {"value": 10_000}),
    ("max", {"value": 5}, {"value": 5}),
    ("size", {"min": 1, "max": 2}, {"min": 1, "max": 2}),
    ("size", {"min": "x", "max": 2.5}, {"min": 0, "max": 10_000}),
    ("digits", {"integer": 3, "fraction": "2"}, {"integer": 3, "fraction": 2}),
    ("pattern", {"value": "a+"}, {"value": "a+"}),
    ("pattern", {"value": 5}, {"value": "5"}),
    ("min", {"message": {"value": 3, "message": "messages.min"}}, {"value": 3}),
    ("max", {"value": 2, "message": {"value": 3}}, {"value": 2}),
    ("min", {"message": "messages.min"}, None),
    ("min", {}, None),
    ("min", {"value": None}, None),
    ("max", {"max": 3}, None),
    ("size", {"min": 1}, None),
    ("size", {"max": 1}, None),
    ("digits", {"integer": 3}, None),
    ("pattern", {}, None),
    ("pattern", {"value": {}}, None),
    ("present", {}, None),
    ("Required", {}, None),
    ("", {}, None),
]


@pytest.mark.parametrize(("name", "given", "kept"), PAYLOADS)
def test_payloads_are_kept_in_one_form(name: str, given: Any, kept: Any) -> None:
    expected = None if kept is None else {**kept, "message": f"messages.{name}"}
    assert constraints.payload(name, given) == expected


# name, payload, values that are valid, values that are not
SEMANTICS = [
    ("required", {}, ["x", 0, False, [], {}, "0"], [None, "", "  ", "\t\n"]),
    ("min", {"value": 4}, [None, 4, 4.0, 4.9, 5, 1e18], [3, 3.99, -5, "5", True, [], {}]),
    ("min", {"value": 0}, [-0.5, 0], [-1]),
    ("max", {"value": 4}, [None, 4, 4.9, -5], [5, 5.0, "3", False, []]),
    ("size", {"min": 2, "max": 3}, [None, "ab", "abc", [1, 2], {"a": 1, "b": 2}], ["a", "abcd", [1], {}, 12, True]),
    ("email", {}, [None, "a@b.cd", "A.b%c'd+e_f-1@x-y.z.museum", "a@b.c1"], ["", "a@b", "a b@c.de", "@b.cd", "a@b.c"]),
    ("email", {}, ["a@b.co,m"], [5, True, ["a@b.cd"], "a@b@c.de", "ä@b.cd", "a@b." + "c" * 21, "a@ü.de", "a@b.c d"]),
    ("digits", {"integer": 3, "fraction": 2}, [None, 1, 123, 1.25, "123.45", "1,5", "007"], [1234, 1.123, "x", -1]),
    ("digits", {"integer": 3, "fraction": 2}, ["5."], ["", ".", ".5", " 1", True, [1], "1234.1", 1e20, "+1"]),
    ("pattern", {"value": "[a-c]+"}, [None, "abc"], ["abcd", "", 5, True, ["a"]]),
    ("pattern", {"value": "(unusable"}, [None], ["x", "(unusable"]),
    ("false", {}, [None, False, "false", "no", "", 1, []], [True, "true", "TRUE"]),
    ("true", {}, [None, True, "true", "True", 0, []], [False, "false", "yes", ""]),
    ("future", {}, [None, NOW + 1, "x", True, []], [NOW, NOW - 1, 0, -1.5]),
    ("past", {}, [None, NOW - 1, 0, "x", False], [NOW, NOW + 1, 1e18]),
    ("url", {}, [None, "http://a.b", "https://a:1/x?y#z", "ftp://h", "file:///x", "HTTP://a"], ["", "www.x.y", "a:b"]),
    ("url", {}, ["http://127.0.0.1:8080", "http://[::1]/"], ["http://", "http:///x", "//a", "http://a b", 5, True, []]),
    ("url", {}, ["mailto:a@b.c"], ["javascript:alert(1)", "http://a:b", "http://[x", "http://a:99999", "file:", {}]),
]


@pytest.mark.parametrize(("name", "payload", "valid", "invalid"), SEMANTICS)
def test_what_is_valid(name: str, payload: Any, valid: list[Any], invalid: list[Any]) -> None:
    def broken(value: Any) -> bool:
        return bool(constraints.broken({"f": {name: payload}}, {"f": value}, NOW))

    assert [value for value in valid if broken(value)] == []
    assert [value for value in invalid if not broken(value)] == []


MESSAGES = [
    ("required", {}, None, "f is required."),
    ("min", {"value": 1000}, 1, "f must be a number larger than 1,000."),
    ("max", {"value": 1234567}, 10**9, "f must be a number smaller than 1,234,567."),
    ("min", {"value": -1000}, -(10**9), "f must be a number larger than -1,000."),
    ("size", {"min": 1000, "max": 20000}, "", "f must be between 1,000 and 20,000."),
    ("email", {}, "x", "f is not a valid email."),
    ("digits", {"integer": 1, "fraction": 1}, "x", "f is not a valid number or within range."),
    ("pattern", {"value": "a{1000}"}, "x", "f doesn't match the pattern a{1000}."),
    ("pattern", {"value": "1000"}, "x", "f doesn't match the pattern 1000."),
    ("false", {}, True, "f must be false."),
    ("true", {}, False, "f must be true."),
    ("future", {}, 1, "f must be in the future."),
    ("past", {}, NOW + 9, "f must be in the past."),
    ("url", {}, "x", "f is not a valid URL."),
]


@pytest.mark.parametrize(("name", "payload", "value", "message"), MESSAGES)
def test_messages(name: str, payload: Any, value: Any, message: str) -> None:
    assert constraints.broken({"f": {name: payload}}, {"f": value}, NOW) == [("f", message)]


def test_every_constraint_has_a_message_and_a_meaning() -> None:
    assert {row[0] for row in MESSAGES} == set(constraints.NAMES) == {row[0] for row in SEMANTICS}


def test_all_that_fails_is_told_in_the_order_of_the_constraints() -> None:
    fields: Any = {
        "b": {"size": {"min": 2, "max": 3}, "required": {}},
        "a": {"required": {}},
        "c": {"max": {"value": 1}, "min": {"value": 5}},
    }
    found = constraints.broken(fields, {"b": "", "c": 3}, NOW)
    assert [message for _, message in found] == [
        "b must be between 2 and 3.",
        "b is required.",
        "a is required.",
        "c must be a number smaller than 1.",
        "c must be a number larger than 5.",
    ]


def test_adding_and_removing() -> None:
    one = constraints.added({}, "kitten", "paws", "min", {"value": 4})
    assert one == {"kitten": {"paws": {"min": {"value": 4, "message": "messages.min"}}}}
    two = constraints.added(one, "kitten", "paws", "required", {})
    assert two is not None
    assert list(two["kitten"]["paws"]) == ["min", "required"]
    assert one["kitten"]["paws"].keys() == {"min"}  # nothing is changed in place
    three = constraints.added(two, "kitten", "name", "required", {})
    assert three is not None
    assert constraints.added(three, "kitten", "paws", "min", {"value": 5}) == {
        "kitten": {
            **three["kitten"],
            "paws": {**three["kitten"]["paws"], "min": {"value": 5, "message": "messages.min"}},
        }
    }
    for wrong in (("kitten", "paws", "present"), ("kitten", " ", "required"), (" ", "paws", "required")):
        assert constraints.added(three, *wrong, {}) is None
    assert constraints.added(three, "kitten", "paws", "size", {"min": 1}) is None
    assert constraints.removed(three, "kitten", "paws", "max") is None
    assert constraints.removed(three, "kitten", "ears", "min") is None
    assert constraints.removed(three, "dog", "paws", "min") is None
    left = constraints.removed(three, "kitten", "name", "required")
    assert left == two
    assert constraints.removed(one, "kitten", "paws", "min") == {}


def test_a_pattern_that_cannot_be_used_names_its_field() -> None:
    with pytest.raises(InvalidInput, match="'paws': the pattern cannot be used") as refused:
        constraints.added({}, "kitten", "paws", "pattern", {"value": "(?=x)"})
    assert refused.value.field == "paws"
    with pytest.raises(InvalidInput, match="'paws'") as refused:
        constraints.normalised({"kitten": {"paws": {"pattern": {"value": "a++"}}}})
    assert refused.value.field == "paws"


def test_a_whole_map_is_reduced_to_what_is_a_constraint() -> None:
    given: Any = {
        "Kitten": {"paws": {"min": {"value": "4", "x": 1}, "present": {}, "max": {}}, "ears": {"min": 3}, " ": 1},
        "dog": {"name": {"required": None, "true": "x"}},
        "cat": [],
        " ": {"a": {"required": {}}},
    }
    assert constraints.normalised(given) == {
        "kitten": {"paws": {"min": {"value": 4, "message": "messages.min"}}},
        "dog": {"name": {"required": {"message": "messages.required"}, "true": {"message": "messages.true"}}},
    }
    for nothing in (None, [], "x", 5, {}):
        assert constraints.normalised(nothing) == {} == constraints.stored(nothing)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PAYLOAD = st.dictionaries(st.sampled_from(["value", "min", "max", "integer", "fraction"]), JSON) | JSON
MAPS = st.dictionaries(
    st.sampled_from(["a", "B"]),
    st.dictionaries(st.sampled_from(["f", "g"]), st.dictionaries(st.sampled_from([*constraints.NAMES, "x"]), PAYLOAD)),
)


@settings(max_examples=40)
@given(MAPS, JSON, JSON)
def test_whatever_was_stored_and_whatever_is_checked_nothing_raises(stored: Any, f: Any, g: Any) -> None:
    for fields in constraints.stored(stored).values():
        assert isinstance(constraints.broken(fields, {"f": f, "g": g}, NOW), list)


@settings(max_examples=40)
@given(MAPS)
def test_what_is_kept_is_kept_as_it_is(given: Any) -> None:
    try:
        kept = constraints.normalised(given)
    except InvalidInput:
        return
    assert constraints.normalised(constraints.as_json(kept)) == kept
    assert constraints.stored(constraints.as_json(kept)) == kept


def test_the_app_replaces_a_field_of_the_built_in_ones_where_they_are_shown() -> None:
    own = constraints.added({}, "user", "email", "required", {})
    assert own is not None
    own = constraints.added(own, "kitten", "paws", "required", {})
    assert own is not None
    everything: Any = constraints.shown(own)
    assert everything["user"]["email"] == {"required": {"message": "messages.required"}}
    assert everything["user"]["groups"] == {"required": {"message": "messages.required"}}
    assert everything["address"]["country"] == {
        "required": {"message": "messages.required"},
        "size": {"min": 2, "max": 255, "message": "messages.size"},
    }
    assert constraints.shown(own, "kitten") == {"kitten": {"paws": {"required": {"message": "messages.required"}}}}
    assert constraints.shown(own, "sysprop") == {} == constraints.shown({}, "kitten")
    assert constraints.shown({}, "app") == {"app": {"id": {"required": {"message": "messages.required"}}}}
    assert all(name in LISTED.values() and name in BUILT_IN for name in constraints.BUILT_IN)


ADDRESS = {"address": "abc", "country": "US", "latlng": "1,2"}
USER = {"identifier": "x", "groups": "users", "email": "a@b.cd"}
TRANSLATION = {"authorName": "x", "locale": "de", "thekey": "k", "value": "v"}
BUILT_IN_CASES = [
    ("address", ADDRESS, []),
    ("address", {}, [f"'{f}' must not be blank" for f in ("address", "country", "latlng")]),
    ("address", {**ADDRESS, "address": "ab"}, ["'address' size must be between 3 and 255"]),
    ("address", {**ADDRESS, "address": "a" * 256}, ["'address' size must be between 3 and 255"]),
    ("address", {**ADDRESS, "country": "X"}, ["'country' size must be between 2 and 255"]),
    ("address", {**ADDRESS, "city": "c" * 256}, ["'city' size must be between 0 and 255"]),
    ("address", {**ADDRESS, "city": "", "latlng": " "}, ["'latlng' must not be blank"]),
    ("app", {"id": "app:x"}, []),
    ("app", {"id": ""}, ["'id' must not be blank"]),
    ("linker", {}, [f"'{f}' must not be blank" for f in ("id1", "id2", "type1", "type2")]),
    ("tag", {"tag": ""}, ["'tag' must not be blank"]),
    ("translation", TRANSLATION, []),
    ("translation", {}, [f"'{f}' must not be blank" for f in ("authorName", "locale", "thekey", "value")]),
    ("user", USER, []),
    ("user", {}, [f"'{f}' must not be blank" for f in ("identifier", "groups", "email")]),
    ("user", {**USER, "email": "x"}, ["'email' Please provide a valid email address"]),
    ("user", {**USER, "password": "x" * 5001}, ["'password' size must be between 0 and 5000"]),
    ("vote", {"value": "up", "expiresAfter": 0, "lockedAfter": 0}, []),
    ("vote", {"value": "up"}, ["'expiresAfter' must not be null", "'lockedAfter' must not be null"]),
    ("webhook", {"targetUrl": "https://x.y"}, []),
    ("webhook", {}, ["'targetUrl' must not be blank"]),
    ("webhook", {"targetUrl": "x"}, ["'targetUrl' must be a valid URL"]),
    ("sysprop", {}, []),
    ("kitten", {}, []),
]


@pytest.mark.parametrize(("type_name", "values", "messages"), BUILT_IN_CASES)
def test_built_in_constraints(type_name: str, values: Any, messages: list[str]) -> None:
    assert [message for _, message in constraints.built_in_broken(type_name, values)] == messages
