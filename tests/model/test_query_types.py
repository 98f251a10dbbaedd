"""The query types and pager parameters of objects.md 6.2, 6.4, 6.7, with what Para's clients assert (22, A7-A17)."""

from typing import Any

import pytest

from thingstead.model.errors import InvalidQuery
from thingstead.model.query import ast
from thingstead.model.query.build import ById, Find, Limits, Nearby, Pager, Similar, pager, plan, similar_tiers
from thingstead.model.query.predicate import matches
from thingstead.model.query.sort import SortBy

TEXT = "This is a little test sentence. Testing, one, two, three."
OBJECTS: dict[str, dict[str, Any]] = {
    found["id"]: found
    for found in (
        {"id": "111", "type": "sysprop", "name": "John Doe", "tags": ["one", "two", "three"], "timestamp": 1},
        {"id": "222", "type": "sysprop", "name": "Joe Black", "tags": ["two", "four", "three"], "timestamp": 2},
        {"id": "333", "type": "sysprop", "name": "Ann Smith", "tags": ["four", "five", "three"], "timestamp": 3},
        {"id": "tag:test", "type": "tag", "tag": "test", "count": 3, "timestamp": 4},
        {"id": "adr1", "type": "address", "country": "US", "latlng": "40.67,-73.94", "parentid": "111", "timestamp": 5},
        {
            "id": "adr2",
            "type": "address",
            "country": "US",
            "latlng": "40.69,-73.95",
            "parentid": "tag:test",
            "timestamp": 6,
        },
        {"id": "s1", "type": "sysprop", "properties": {"text": TEXT, "max": 31, "room": "attic"}, "timestamp": 7},
        {
            "id": "s2",
            "type": "sysprop",
            "properties": {"text": "We are testing this thing. This sentence is a test. One, two.", "max": 30},
            "nstd": [{"name": "gordon", "n": 1}],
            "timestamp": 8,
        },
    )
}


def found(query_type: str, type: str | None = None, **params: str | list[str]) -> set[str]:
    """The ids that a plain search finds."""
    lists = {name: [value] if isinstance(value, str) else value for name, value in params.items()}
    made = plan(query_type, type, lists)
    assert isinstance(made, Find)
    return {id for id, fields in OBJECTS.items() if made.type in (None, fields["type"]) and matches(made.query, fields)}


@pytest.mark.parametrize(
    ("query_type", "type", "params", "ids"),
    [
        ("", None, {}, set(OBJECTS)),
        ("default", "", {"q": "*"}, set(OBJECTS)),
        ("whatever", "address", {"q": "country:US"}, {"adr1", "adr2"}),
        ("", None, {"q": "Ann*"}, {"333"}),
        ("", None, {"q": "  "}, set()),
        ("", "unknown", {}, set()),
        ("prefix", None, {"field": "name", "prefix": "Ann"}, {"333"}),
        ("prefix", "", {"field": "null", "prefix": "xx"}, set()),
        ("prefix", None, {"field": "name"}, set()),
        ("prefix", None, {"prefix": "A"}, set()),
        ("tagged", None, {}, set()),
        ("tagged", None, {"tags": ["two"]}, {"111", "222"}),
        ("tagged", None, {"tags": ["one", "two"]}, {"111"}),
        ("tagged", None, {"tags": ["four", "three"]}, {"222", "333"}),
        ("tagged", "tag", {"tags": ["four", "three"]}, set()),
        ("in", None, {"field": "id", "terms": ["111", "222", "333", "x", "y"]}, {"111", "222", "333"}),
        ("in", None, {"field": "id"}, set()),
        ("in", None, {"terms": ["111"]}, set()),
        ("wildcard", "tag", {"field": "tag", "q": "*"}, {"tag:test"}),
        ("wildcard", "tag", {"field": "tag", "q": "test*"}, {"tag:test"}),
        ("wildcard", "tag", {"field": "tag", "q": "unknown*"}, set()),
        ("wildcard", None, {"field": "name", "q": "An*"}, {"333"}),
        ("wildcard", None, {"q": "An*"}, set()),
        ("wildcard", None, {"field": "name"}, set()),
        ("terms", None, {"terms": ["id:111"]}, {"111"}),
        ("terms", None, {"terms": ["id: "]}, set()),
        ("terms", None, {"terms": [" :bad"]}, set()),
        ("terms", None, {"terms": ["bad"]}, set()),
        ("terms", None, {}, set()),
        ("terms", None, {"terms": ["term:"]}, set()),
        ("terms", None, {"terms": ["id:tag:test"]}, {"tag:test"}),
        ("terms", None, {"terms": ["type:sysprop"]}, {"111", "222", "333", "s1", "s2"}),
        ("terms", None, {"terms": ["name:ann smith"]}, set()),
        ("terms", None, {"terms": ["name:Ann Smith"]}, {"333"}),
        ("terms", None, {"terms": ["id:111", "id:222"]}, {"222"}),
        ("terms", None, {"terms": ["id:111", "name:x"]}, set()),
        ("terms", None, {"terms": ["id:111", "name:x"], "matchall": "false"}, {"111"}),
        ("terms", None, {"terms": ["id:111", "name:x"], "matchall": "false", "count": ""}, set()),
        ("terms", None, {"terms": ["properties.room:attic", "properties.max >=:30"]}, {"s1"}),
        ("terms", None, {"terms": ["properties.max>:30"]}, {"s1"}),
        ("terms", None, {"terms": ["timestamp>:1", "timestamp <=:3"]}, {"222", "333"}),
        ("terms", None, {"terms": ["timestamp<:2"]}, {"111"}),
        ("nested", None, {"field": "name", "q": "gord*"}, {"s2"}),
        ("nested", None, {"field": "name"}, set()),
        ("nested", None, {"q": "gord*"}, set()),
        ("nearby", "address", {"latlng": "40.60,-73.90", "radius": "10"}, {"adr1"}),
        ("nearby", "address", {"latlng": "40.60,-73.90", "radius": "12"}, {"adr1", "adr2"}),
        ("nearby", "address", {"latlng": "nowhere"}, set()),
        ("nearby", None, {"latlng": "40.60,-73.90"}, set()),
        ("similar", None, {"like": " "}, set()),
    ],
)
def test_a_query_type_finds(query_type: str, type: str | None, params: Any, ids: set[str]) -> None:
    assert found(query_type, type, **params) == ids


@pytest.mark.parametrize("query_type", ["", "wildcard", "terms", "count", "id"])
def test_an_invalid_q_is_refused_whatever_the_query_type(query_type: str) -> None:
    with pytest.raises(InvalidQuery):
        plan(query_type, None, {"q": ["name:["], "field": ["name"]})


def test_plans_that_need_stored_objects() -> None:
    assert plan("id", "x", {"id": ["111"], "limit": ["1"]}) == ById(("111",))
    assert plan("id", None, {"id": [" "]}) == plan("id", None, {}) == ById(())
    assert plan("ids", None, {"ids": ["a", "b", "a", ""]}) == ById(("a", "b"))
    near = plan("nearby", "sysprop", {"latlng": ["40.6,-73.9"], "radius": ["ten"], "q": ["roof"]})
    assert isinstance(near, Nearby)
    assert near.addresses == ast.Near(40.6, -73.9, 10)
    assert near.find.type == "sysprop"
    like = plan("similar", "t", {"like": ["id:s1"], "filterid": ["s1"], "fields": ["properties.text", " "]})
    assert isinstance(like, Similar)
    assert (like.fields, like.like_id) == (("properties.text",), "s1")
    assert {id for id, fields in OBJECTS.items() if not matches(like.find.query, fields)} == {"s1"}
    named = plan("similar", None, {"like": ["x"]})
    assert isinstance(named, Similar)
    assert named.fields == ("name",)


def test_count_ignores_q_and_keeps_the_type() -> None:
    made = plan("count", "sysprop", {"q": ["nothing"]})
    assert isinstance(made, Find)
    assert (made.count, made.query, made.type) == (True, ast.ALL, "sysprop")


def test_similar_is_seventy_percent_of_the_terms_best_first() -> None:
    tiers = similar_tiers(["properties.text"], TEXT)
    ranks = {id: [rank for rank, tier in enumerate(tiers) if matches(tier, fields)] for id, fields in OBJECTS.items()}
    assert ranks["s1"] == [0]
    assert len(ranks["s2"]) == 1
    assert ranks["s2"] > ranks["s1"]
    assert ranks["111"] == []
    assert similar_tiers(["name"], "?!") == []
    assert len(similar_tiers(["a"], " ".join(f"w{n}" for n in range(60)))) == 25 - 17 + 1


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({}, Pager()),
        ({"page": "0", "limit": "5"}, Pager(0, 5)),
        ({"page": "-3", "limit": "-5"}, Pager(3, 5)),
        ({"page": "5000", "limit": "5000"}, Pager(1000, 256)),
        ({"page": "9" * 30, "limit": "-" + "9" * 30}, Pager(1000, 256)),
        ({"page": "x", "limit": "1.5"}, Pager()),
        ({"limit": "0"}, Pager(0, 0)),
        ({"desc": "1"}, Pager(sort=(SortBy("timestamp", False),))),
        ({"desc": "TRUE", "sort": "name"}, Pager(sort=(SortBy("name", True),), sorted=True)),
        ({"lastKey": "77", "sort": "name"}, Pager(sort=(SortBy("_docid", True),), after=77, sorted=True)),
        ({"lastKey": "77", "page": "1", "desc": "false"}, Pager(1, 30, (SortBy("_docid", False),), 77, True)),
        ({"lastKey": "77", "page": "2"}, Pager(2)),
        ({"lastKey": " "}, Pager()),
        ({"lastKey": "abc"}, Pager()),
    ],
)
def test_pager_parameters(params: dict[str, str], wanted: Pager) -> None:
    assert pager({name: [value] for name, value in params.items()}) == wanted


def test_pages_0_and_1_are_the_same() -> None:
    assert [Pager(page, 10).offset for page in (0, 1, 2, 3)] == [0, 0, 10, 20]
    assert pager({}, Limits(7, 9, 3)) == Pager(0, 7)
