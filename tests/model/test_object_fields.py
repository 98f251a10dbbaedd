"""Promise: every field of every type takes, keeps and shows what objects.md 2.1-2.6 says, whatever it is given."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thingstead.model import objects, types
from thingstead.model.objects import Object
from thingstead.model.values import dump, parse_object

NOW = 1_700_000_000_000


def drafted(type_name: str, body: Any, id: str = "x1") -> Object:
    return objects.draft("myapp", type_name, id, body, now_ms=NOW, docid=1)


def shown(obj: Object) -> dict[str, Any]:
    return parse_object(obj.public())


ALWAYS = {
    "id": "x1",
    "timestamp": NOW,
    "type": "sensor_x",
    "appid": "myapp",
    "name": "ParaObject x1",
    "votes": 0,
    "version": 0,
    "stored": True,
    "indexed": True,
    "cached": True,
    "objectURI": "/sensor_xs/x1",
    "plural": "sensor_xs",
}


def test_what_is_always_shown_and_nothing_else() -> None:
    assert shown(drafted("sensor_x", {})) == ALWAYS
    nulls = dict.fromkeys([*ALWAYS, "parentid", "creatorid", "updated", "tags", "class", "colour", "properties"])
    assert shown(drafted("sensor_x", nulls)) == ALWAYS


# 2.1: field, given at creation, shown then, given by PATCH to a fresh object, shown then (... means: as without it)
ENVELOPE = [
    ("id", "other", "x1", "other", "x1"),
    ("type", "other", "sensor_x", "other", "sensor_x"),
    ("appid", "other", "myapp", "other", "myapp"),
    ("timestamp", 5, 5, 6, NOW),
    ("timestamp", "5", 5, "6", NOW),
    ("timestamp", 0, NOW, 0, NOW),
    ("timestamp", "x", NOW, "x", NOW),
    ("parentid", "p", "p", "q", ...),
    ("parentid", 7, "7", None, ...),
    ("creatorid", "c", "c", "d", ...),
    ("updated", 5, 5, 6, 6),
    ("updated", 5.9, 5, "6.9", 6),
    ("name", "N", "N", "M", "M"),
    ("name", "", "ParaObject x1", "", "ParaObject x1"),
    ("name", 5, "5", True, "true"),
    ("name", {}, "ParaObject x1", [], "ParaObject x1"),
    ("tags", ["a", 1, None, {}], ["a", "1"], ["b"], ["b"]),
    ("tags", [], [], [], []),
    ("tags", "a", ..., 5, ...),
    ("votes", 3, 3, "-4", -4),
    ("votes", "x", 0, {}, 0),
    ("votes", 1e30, 0, "1e30", 0),
    ("votes", 2**53 + 1, 2**53 + 1, str(2**53 + 1), 2**53 + 1),
    ("version", "2", 2, 3.7, 3),
    ("stored", False, False, "false", False),
    ("stored", "yes", True, 0, False),
    ("indexed", 1, True, "no", False),
    ("cached", "TRUE", True, [], False),
    ("objectURI", "x", "/sensor_xs/x1", "y", "/sensor_xs/x1"),
    ("plural", "x", "sensor_xs", "y", "sensor_xs"),
    ("class", "x", ..., "y", ...),
]


@pytest.mark.parametrize(("field", "made", "then", "patched", "after"), ENVELOPE)
def test_core_fields(field: str, made: Any, then: Any, patched: Any, after: Any) -> None:
    def expected(value: Any) -> dict[str, Any]:
        return ALWAYS if value is ... else {**ALWAYS, field: value}

    assert shown(drafted("sensor_x", {field: made})) == expected(then)
    fresh = drafted("sensor_x", {})
    objects.merge(fresh, {field: patched})
    assert shown(fresh) == expected(after)


PLURALS = [
    ("address", "addresses"),
    ("day", "daies"),
    ("wolf", "wolfs"),
    ("es", "es"),
    ("boxes", "boxes"),
    ("glass", "glasses"),
    ("città", "città"),
    (" ", " "),
    ("y", "ies"),
]


@pytest.mark.parametrize(("singular", "plural"), PLURALS)
def test_plurals(singular: str, plural: str) -> None:
    assert types.plural(singular) == plural


CLEANED = [
    ("cat", "cat"),
    ("_cat", "cat"),
    ("__c/a#t", "cat"),
    ("my_type", "my_type"),
    ("", "sysprop"),
    ("  ", "sysprop"),
    ("_", "sysprop"),
    ("#/", "sysprop"),
    *((word, "sysprop") for word in ("search", "Searches", "UTIL", "utils", "para", "_search")),
]


@pytest.mark.parametrize(("given", "kept"), CLEANED)
def test_types_are_cleaned(given: str, kept: str) -> None:
    assert types.clean(given) == kept


def test_types_as_they_are_registered_and_resolved() -> None:
    assert [types.registered(name) for name in ("my_type", "My Type!", "a--b", "Ünder")] == [
        "my-type",
        "my-type",
        "a-b",
        "ünder",
    ]
    known = {"cats": "cat"}
    assert [types.resolve(name, known) for name in ("cats", "cat", "users", "user", "dogs")] == [
        "cat",
        "cat",
        "user",
        "user",
        "dogs",
    ]
    assert sorted(types.LISTED.values()) == sorted(
        ["address", "app", "linker", "sysprop", "tag", "thing", "translation", "user", "vote", "webhook"]
    )


def test_custom_fields() -> None:
    obj = drafted("cat", {"colour": "red", "n": 1.5, "deep": {"a": [1, None]}, "no": None, "class": 1, "plural": "x"})
    assert obj.custom == {"colour": "red", "n": 1.5, "deep": {"a": [1, None]}}
    objects.merge(obj, {"colour": None, "n": True})
    assert obj.custom == {"n": True, "deep": {"a": [1, None]}}
    objects.merge(obj, {"properties": {"only": 1, "name": "lost", "gone": None}, "top": 2})
    assert obj.custom == {"only": 1, "top": 2}
    assert obj.name == "ParaObject x1"
    objects.merge(obj, {"properties": "text"})
    assert obj.custom == {"only": 1, "top": 2, "properties": "text"}
    assert drafted("cat", {"properties": {"a": 1}, "a": 2}).custom == {"a": 2}
    for core in ("address", "app", "linker", "tag", "translation", "user", "vote", "webhook"):
        made = drafted(core, {"colour": "red", "properties": {"a": 1}})
        objects.merge(made, {"colour": "red", "properties": {"a": 1}})
        assert made.custom == {}, core


# 2.6: type, field, default, given, kept, locked
TEXT, LONG, FLAG = ("a", "a"), ("7", 7), ("true", True)
OWN = [
    *(("address", field, None, *TEXT, False) for field in ("address", "country", "city", "latlng", "phone")),
    *(("app", field, False, *FLAG, True) for field in ("sharingIndex", "sharingTable", "readOnly")),
    ("app", "validationConstraints", None, {"a": {}}, {"a": {}}, False),
    ("app", "resourcePermissions", None, {"a": {}}, {"a": {}}, False),
    ("app", "active", True, False, False, False),
    ("app", "deleteOn", None, *LONG, False),
    ("app", "tokenValiditySec", 0, *LONG, False),
    ("app", "objectCount", None, *LONG, False),
    *(("linker", field, None, *TEXT, True) for field in ("id1", "id2", "type1", "type2")),
    ("linker", "metadata", None, *TEXT, False),
    ("linker", "nstd", None, [{"a": 1}], [{"a": 1}], False),
    ("tag", "tag", None, *TEXT, True),
    ("tag", "count", 0, *LONG, False),
    ("tag", "description", None, *TEXT, False),
    ("translation", "authorName", "unknown", *TEXT, True),
    ("translation", "locale", None, *TEXT, True),
    ("translation", "thekey", None, *TEXT, True),
    ("translation", "value", None, *TEXT, False),
    ("translation", "approved", False, *FLAG, False),
    ("user", "identifier", None, *TEXT, False),
    ("user", "groups", "users", *TEXT, True),
    ("user", "email", None, *TEXT, False),
    ("user", "active", False, *FLAG, False),
    ("user", "currency", None, *TEXT, False),
    ("user", "picture", None, *TEXT, False),
    ("vote", "value", None, *TEXT, True),
    ("vote", "expiresAfter", None, *LONG, True),
    ("vote", "lockedAfter", None, *LONG, True),
    *(("webhook", field, None, *TEXT, False) for field in ("targetUrl", "secret", "typeFilter", "propertyFilter")),
    ("webhook", "urlEncoded", True, False, False, False),
    *(("webhook", field, False, *FLAG, False) for field in ("active", "tooManyFailures")),
    *(("webhook", field, False, *FLAG, False) for field in ("create", "update", "delete")),
    *(("webhook", field, False, *FLAG, False) for field in ("createAll", "updateAll", "deleteAll")),
    ("webhook", "customEvents", [], ["a", 1], ["a", "1"], False),
    ("webhook", "repeatedDeliveryAttempts", 1, *LONG, False),
]


@pytest.mark.parametrize(("type_name", "field", "default", "given", "kept", "locked"), OWN)
def test_own_fields(type_name: str, field: str, default: Any, given: Any, kept: Any, locked: bool) -> None:
    assert drafted(type_name, {}).own.get(field) == default
    assert drafted(type_name, {field: None}).own.get(field) == default
    assert drafted(type_name, {field: given}).own.get(field) == kept
    fresh = drafted(type_name, {})
    objects.merge(fresh, {field: given})
    assert fresh.own.get(field) == (default if locked else kept)
    objects.merge(fresh, {field: None})
    assert fresh.own.get(field) == (default if locked else kept)


HIDDEN = [("app", "secret"), ("app", "settings"), ("user", "password"), ("user", "tokenSecret")]


@pytest.mark.parametrize(("type_name", "field"), HIDDEN)
def test_hidden_fields_are_neither_shown_nor_indexed(type_name: str, field: str) -> None:
    obj = drafted(type_name, {field: "mine"})
    obj.hidden[field] = "secret text"
    assert b"secret text" not in obj.public()
    assert b"secret text" not in dump(obj.searchable())
    assert objects.select(shown(obj), frozenset({field})) == {}
    again = objects.decode("myapp", obj.public(), obj.private())
    assert again.hidden[field] == "secret text"


def test_what_only_the_server_says_is_ignored_in_bodies() -> None:
    for type_name, field in (*HIDDEN[:1], *HIDDEN[2:], ("app", "datatypes"), ("app", "appIdentifier")):
        given: Any = {"a": "b"} if field == "datatypes" else "mine"
        obj = drafted(type_name, {field: given})
        objects.merge(obj, {field: given})
        assert field not in obj.own, field
        assert field not in obj.hidden, field


def test_votes_have_neither_tags_nor_votes() -> None:
    obj = drafted("vote", {"tags": ["a"], "votes": 5})
    objects.merge(obj, {"tags": ["a"], "votes": 5})
    assert (obj.tags, obj.votes) == (None, 0)


def test_constraints_see_custom_fields_before_declared_and_hidden_ones() -> None:
    user = drafted("user", {"email": "a@b.cd"})
    user.hidden |= {"password": "hash", "somethingElse": "x"}
    values = user.values()
    assert (values["email"], values["password"], values["type"]) == ("a@b.cd", "hash", "user")
    assert "somethingElse" not in values
    cat = drafted("cat", {"paws": 4})
    cat.custom["name"] = "custom"
    assert (cat.values()["paws"], cat.values()["name"]) == (4, "custom")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["1e400", "-1e30", "nan", "inf", "9" * 5000, "１２"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name"]), inner),
    max_leaves=4,
)
NAMES = sorted({*objects.NOT_CUSTOM, "properties", *(name for spec in types.BUILT_IN.values() for name in spec.fields)})


@settings(max_examples=200)
@given(
    st.sampled_from([*types.BUILT_IN, "cat"]),
    st.dictionaries(st.sampled_from(NAMES), JSON),
    st.dictionaries(st.sampled_from(NAMES), JSON),
)
def test_any_body_makes_an_object_that_reads_back_the_same(type_name: str, made: Any, patched: Any) -> None:
    obj = drafted(type_name, made)
    objects.merge(obj, patched)
    again = objects.decode("myapp", obj.public(), obj.private(), docid=1)
    assert shown(again) == shown(obj)
    assert not [name for name, value in shown(obj).items() if value is None]
