"""Whatever a search is asked for, it is a plan or an InvalidQuery, and soon: query strings damaged byte by byte, terms,
sorts, selections, wildcards and regular expressions, and texts that are made to take long."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hostile import HOSTILE, damaged, pairs, searches, texts
from thingstead.doors.objects.read import selected
from thingstead.model.errors import InvalidQuery
from thingstead.model.query import ast
from thingstead.model.query.build import ById, Find, Nearby, Similar, pattern, plan, prefix, similar_tiers, terms
from thingstead.model.query.parser import parse_query
from thingstead.model.query.pattern import lucene_regex, wildcard
from thingstead.model.query.predicate import matches
from thingstead.model.query.sort import parse_sort
from thingstead.model.values import JsonObject

SECONDS = 2.0
ANN: JsonObject = {
    "id": "1",
    "type": "cat",
    "name": "Ann Smith " + "a" * 3_000,
    "tags": ["one", "two"],
    "votes": 5,
    "properties": {"a": "a hot roof " * 200, "list": [1, "x", True]},
    "nstd": [{"name": "a"}],
}


@settings(max_examples=400, deadline=None)
@given(damaged(), st.none() | st.sampled_from(("name", "votes", "nstd.a")))
def test_a_damaged_query_is_read_or_refused(text: str, field: str | None) -> None:
    try:
        query = parse_query(text, field)
    except InvalidQuery:
        return
    assert matches(query, ANN) in (True, False)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:12]!r}+{len(text)}")
def test_a_text_that_is_made_to_take_long_does_not(text: str) -> None:
    start = time.process_time()
    with suppress(InvalidQuery):
        matches(parse_query(text), ANN)
    for query in (lambda: pattern("name", text), lambda: prefix("name", text), lambda: terms([f"name:{text}"], True)):
        with suppress(InvalidQuery):
            matches(query(), ANN)
    for query in similar_tiers(("name",), text):
        matches(query, ANN)
    assert time.process_time() - start < SECONDS


@settings(max_examples=200, deadline=None)
@given(st.sampled_from((lucene_regex, wildcard)), texts(), st.text(max_size=20))
def test_any_pattern_is_used_or_refused(made: Any, text: str, value: str) -> None:
    start = time.process_time()
    with suppress(InvalidQuery):
        found = made(text)
        assert found.matches(value) in (True, False)
        assert isinstance(found.rust(), str)
    assert time.process_time() - start < SECONDS


@settings(max_examples=200, deadline=None)
@given(st.lists(pairs(), max_size=5), st.booleans(), texts(), st.lists(texts(), max_size=3))
def test_terms_sorts_and_selections_are_always_read(
    given_pairs: list[str], match_all: bool, sort: str, names: list[str]
) -> None:
    assert isinstance(terms(given_pairs, match_all), ast.Query)
    found = parse_sort(sort, match_all)
    assert 1 <= len(found) <= 8
    assert all(by.field for by in found)
    assert "" not in selected({"select": names})


@settings(max_examples=200, deadline=None)
@given(searches())
def test_any_search_is_planned_or_refused(search: tuple[str, dict[str, list[str]]]) -> None:
    kind, params = search
    try:
        found = plan(kind, "cat", params)
    except InvalidQuery:
        return
    assert isinstance(found, (Find, ById, Nearby, Similar))
    if isinstance(found, Find):
        assert 0 <= found.pager.limit <= 256
        assert 0 <= found.pager.offset <= 256_000
