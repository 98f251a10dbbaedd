"""What matches, by the rules of objects.md 6.5 and 6.6: keyword and text fields, tokens, numbers, lists, patterns."""

import re
import time
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thingstead.model.query import ast
from thingstead.model.query.fields import MAX_VALUES, flatten, sortable, tokens, unsortable
from thingstead.model.query.parser import parse_query
from thingstead.model.query.pattern import lucene_regex, wildcard
from thingstead.model.query.predicate import great_circle, matches, point, within
from thingstead.model.query.sort import SortBy, in_order, parse_sort, sort_keys

ANN: dict[str, Any] = {
    "id": "tag:test",
    "type": "person",
    "name": "Ann Smith",
    "tags": ["four", "five"],
    "timestamp": 1700000000000,
    "country": "US",
    "settings": {"x": "hidden"},
    "deviceState": {"temp": 5},
    "properties": {
        "text": "This is a little test sentence. Testing, one, two, three.",
        "owner": {"name": "Bob", "age": 34, "tall": True},
        "pets": [{"name": "Tom Cat", "age": 3}, {"name": "rex"}],
        "sizes": [3, 11.5],
        "size": 5,
        "ratio": 4.5,
        "code": "5",
        "day": "2024-01-05",
        "void": None,
        "empty": "",
    },
    "nstd": [{"id": "1", "name": "gordon", "n": 1}, {"id": "2", "name": "kitty", "n": 2}],
}


@pytest.mark.parametrize(
    ("q", "found"),
    [
        # keyword fields: raw and whole
        ('name:"Ann Smith"', True),
        ("name:Ann", False),
        ('name:"ann smith"', False),
        ("Ann*", True),
        ("name:An*", True),
        ("name:an*", False),
        ("tags:four", True),
        ("tags:FOUR", False),
        ("id:tag\\:test", True),
        ("timestamp:1700000000000", True),
        # text fields: tokens, lowercased
        ("country:US", True),
        ("country:us", True),
        ("us", True),
        ("properties.text:TESTING", True),
        ("properties.text:test*", True),
        ("properties.text:TEST*", True),
        ("properties.text:litt?e", True),
        ("properties.text:lit", False),
        ("properties.text:/test(ing)?/", True),
        ("properties.text:/Test.*/", False),
        ('properties.text:"test sentence testing"', True),
        ('properties.text:"sentence test"', False),
        ('properties.text:"little sentence"~1', True),
        ('properties.text:"little testing"~1', False),
        ('properties.text:"sentence test"~2', True),
        ('properties.text:"test test"~5', False),
        ("properties.text:sentense~1", True),
        ("properties.text:setnence~1", True),
        ("properties.text:sntnce~1", False),
        ("properties.text:sntnce~2", True),
        ("name:Ann\\ Smiht~1", True),
        # numbers and booleans by text and by value
        ("properties.size:5", True),
        ("properties.ratio:4.5", True),
        ("properties.owner.tall:true", True),
        ("properties.owner.age:[* TO 34]", True),
        ("properties.owner.age:[* TO 34}", False),
        ("properties.owner.age:[9 TO 100]", True),
        ("properties.ratio:>4.49", True),
        ("properties.size:[4.5 TO 5.5]", True),
        ("timestamp:{12345 TO *}", True),
        ("properties.code:[10 TO 40]", False),  # a numeric string is a text
        ("properties.code:[10 TO 9]", True),
        ("properties.owner.name:[alice TO chris}", True),
        ("properties.owner.name:[Alice TO BOA]", False),
        ("name:[Alice TO Bob]", True),
        ("name:[alice TO bob]", False),
        ("properties.day:[2024-01-01 TO 2024-02-01]", True),
        ("properties.sizes:[10 TO 12]", True),
        ("properties.sizes:[4 TO 10]", False),
        # nesting and lists
        ("properties.pets.name:rex", True),
        ("properties.pets[1].name:rex", True),
        ("properties.pets[0].name:rex", False),
        ('properties.pets.name:"cat rex"', False),  # a phrase stays in one value
        ("tags[1]:five", True),
        ("tags[0]:five", False),
        ("properties.sizes[1]:>11", True),
        ("owner.name:Bob", False),
        # existence, absence, hidden
        ("properties.void:*", False),
        ("properties.empty:*", True),
        ("properties.owner:*", False),
        ("properties.owner.name:*", True),
        ("NOT properties.none:*", True),
        ("-properties.owner.age:[* TO 33]", True),
        ("hidden", False),
        ("deviceState.temp:5", False),
        ("settings.x:*", False),
        # booleans
        ("+us -mars", True),
        ("us AND mars", False),
        ("us OR mars", True),
        ("mars OR NOT moon", True),
        ("+us mars", True),
        ("mars moon", False),
    ],
)
def test_a_query_finds_ann(q: str, found: bool) -> None:
    assert matches(parse_query(q), ANN) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ast.Equals("country", ("US",)), True),
        (ast.Equals("country", ("us",)), True),
        (ast.Equals("country", ("Us",)), False),
        (ast.Equals("properties.pets.name", ("Tom Cat",)), True),
        (ast.Equals("properties.pets.name", ("cat",)), True),
        (ast.Equals("properties.pets.name", ("tom cat",)), False),
        (ast.Equals("name", ("nobody", "Ann Smith")), True),
        (ast.Equals("properties.size", ("5",)), True),
        (ast.Like("properties.pets.name", wildcard("Tom*")), True),
        (ast.Like("properties.pets.name", wildcard("T?m")), False),
        (ast.Like("properties.pets.name", wildcard("c?t")), True),
        (ast.Like("name", wildcard("*Smith")), True),
        (ast.Nested("nstd", parse_query("nstd.name:gord* AND nstd.n:1")), True),
        (ast.Nested("nstd", parse_query("nstd.name:gord* AND nstd.n:2")), False),
        (ast.Nested("nstd", parse_query("nstd.name:gord*"), without="2"), True),
        (ast.Nested("nstd", parse_query("nstd.name:gord*"), without="1"), False),
        (ast.Nested("nstd", parse_query("NOT nstd.name:gord*"), without="1"), True),
        (ast.Nested("nstd", parse_query("nstd.name:gord*"), without="nobody"), True),
        (ast.Near(0, 0, 20100), False),
        (ast.Bool(should=(ast.Exists("id"), ast.Exists("no"), ast.Exists("name")), minimum=2), True),
        (ast.Bool(should=(ast.Exists("id"), ast.Exists("no")), minimum=2), False),
        (ast.Bool(should=(ast.Exists("no"),)), True),
    ],
)
def test_a_node_finds_ann(query: ast.Query, found: bool) -> None:
    assert matches(query, ANN) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("node.js v4.5 1,000 a.1", ["node.js", "v4.5", "1,000", "a", "1"]),
        ("can't O’Neil x_y", ["can't", "o’neil", "x_y"]),
        ("don' 'quoted'.", ["don", "quoted"]),
        ("東京タワー 7", ["東", "京", "タワー", "7"]),
        ("Éte\u0301 ÜBER हिन्दी", ["éte\u0301", "über", "हिन्दी"]),
        ("-5.5 e-mail", ["5.5", "e", "mail"]),
        ("  \n?!", []),
    ],
)
def test_text_is_split_at_word_boundaries(text: str, found: list[str]) -> None:
    assert tokens(text) == found


def test_a_huge_object_is_indexed_up_to_the_limit() -> None:
    flat = flatten({"id": "x", "properties": {"list": list(range(MAX_VALUES * 3)), "k" * 5000: 1}})
    assert sum(map(len, flat.values())) <= MAX_VALUES + 2
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert len(flatten({"a": deep})) <= 201


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_sortable_numbers_keep_their_order(a: float, b: float) -> None:
    assert (sortable(a) < sortable(b)) is (a < b)
    assert unsortable(sortable(a)) == a
    assert -(2**63) <= sortable(a) < 2**63


_PATTERNS = st.recursive(
    st.sampled_from(("a", "b", ".", "[ab]", "[^a]", "\\.", "é", "\\d")),
    lambda inner: st.one_of(
        st.builds("({}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, st.sampled_from(("*", "+", "?", "{2}", "{0,2}", "{1,}"))),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=6,
)


@given(_PATTERNS, st.text(st.sampled_from("abé.1\n"), max_size=8))
def test_a_regex_matches_as_pythons_does(pattern: str, text: str) -> None:
    assert lucene_regex(pattern).matches(text) is bool(re.fullmatch(pattern, text, re.DOTALL | re.ASCII))


@pytest.mark.parametrize("pattern", [lucene_regex("(a+)+b"), lucene_regex("(a|a)*b"), wildcard("*a" * 20 + "b")])
def test_no_pattern_runs_away(pattern: Any) -> None:
    start = time.process_time()
    assert not pattern.matches("a" * 5_000)
    assert time.process_time() - start < 2


@given(st.text("abc", max_size=7), st.text("abc", max_size=7), st.integers(0, 2))
def test_edits_are_counted(a: str, b: str, distance: int) -> None:
    @lru_cache(None)
    def edits(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        least = min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (a[i - 1] != b[j - 1]))
        if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
            least = min(least, edits(i - 2, j - 2) + 1)
        return least

    assert within(a, b, distance) is (edits(len(a), len(b)) <= distance)


def test_places_and_distances() -> None:
    assert point("40.67, -73.94") == (40.67, -73.94)
    assert [point(text) for text in ("", "1", "x,y", "91,0", "0,181", "1e999,0")] == [None] * 6
    assert great_circle((40.6, -73.9), (40.67, -73.94)) == pytest.approx(8.48, abs=0.02)
    assert great_circle((0, 179.5), (0, -179.5)) == pytest.approx(111.195, abs=0.01)
    assert matches(ast.Near(40.6, -73.9, 10), {"latlng": "40.67,-73.94"})
    assert not matches(ast.Near(40.6, -73.9, 8), {"latlng": "40.67,-73.94"})


@given(st.permutations([{"n": 2}, {"n": 10}, {"n": "a"}, {"n": "B"}, {}, {"n": [1, 2]}, {"n": True}]), st.booleans())
def test_order_is_missing_numbers_texts_then_docid(objects: list[Any], desc: bool) -> None:
    sort = (SortBy("n", desc),)
    rows = [(docid, sort_keys(flatten(found), docid, sort)) for docid, found in enumerate([*objects, *objects])]
    ordered = in_order(rows, sort, lambda row: row[0], lambda row: row[1])
    values = [objects[docid % len(objects)].get("n") for docid, _ in ordered][::2]
    expected = [None, True, 2, 10, [1, 2], "B", "a"]
    assert values == (expected[::-1] if desc else expected)
    assert all(a[0] < b[0] for a, b in zip(ordered[::2], ordered[1::2], strict=True))


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("", [("timestamp", True)]),
        ("name", [("name", True)]),
        ("name:asc", [("name", False)]),
        ("a:desc, b:ASC,c", [("a", True), ("b", False), ("c", True)]),
        ("properties.x:y:asc", [("properties.x:y", False)]),
        (",,", [("timestamp", True)]),
    ],
)
def test_sort_fields(text: str, sort: list[tuple[str, bool]]) -> None:
    assert parse_sort(text, True) == tuple(SortBy(*by) for by in sort)


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=6))
def test_a_wildcard_matches_as_a_glob_does(text: str, value: str) -> None:
    assume("**" not in text)
    expected = re.fullmatch(text.replace("*", ".*").replace("?", "."), value) is not None
    assert wildcard(text).matches(value) is expected
    assert value.startswith(wildcard(text).prefix) or not expected
