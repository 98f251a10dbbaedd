"""Promise: a link has one name from either end, and what is asked of one object finds that object's links only
(objects.md 7, D7), whatever the ids look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import links
from thingstead.model.errors import InvalidQuery
from thingstead.model.links import End, Link
from thingstead.model.query.build import Find, Limits
from thingstead.model.query.predicate import matches
from thingstead.model.query.sort import SortBy
from thingstead.model.values import Json, JsonObject

LIMITS = Limits()


@pytest.mark.parametrize(
    ("a", "b", "id"),
    [
        (End("sysprop", "111"), End("tag", "tag:test"), "sysprop:111:tag:tag:test"),
        (End("tag", "tag:test"), End("sysprop", "111"), "sysprop:111:tag:tag:test"),
        (End("post", "10"), End("Tag", "t"), "post:10:Tag:t"),
        (End("Tag", "t"), End("post", "10"), "post:10:Tag:t"),
        (End("cat", "2"), End("cat", "1"), "cat:2:cat:1"),
        (End("cat", "1"), End("cat", "2"), "cat:1:cat:2"),
        (End("Cat", "2"), End("cat", "1"), "Cat:2:cat:1"),
    ],
)
def test_types_stand_in_order_and_equal_ones_stay(a: End, b: End, id: str) -> None:
    assert links.linker_id(links.ordered(a, b)) == id


ENDS = st.builds(
    End, st.sampled_from(["a", "A", "b", "a:b", "1"]), st.sampled_from(["1", "2", "x 1", "a:1", "b:1", "A", "a", ":"])
)


@given(ENDS, ENDS)
def test_from_either_end_it_is_one_link(a: End, b: End) -> None:
    one, two = links.ordered(a, b), links.ordered(b, a)
    assert {one, links.mirror(one) or one} == {two, links.mirror(two) or two}
    assert links.link_of(links.fields(one)) == one


@given(ENDS, ENDS, st.sampled_from(["a", "A", "b", "a:b", "1"]), st.sampled_from(["1", "a:1", "x 1", "a", ":"]))
def test_a_query_finds_the_links_of_its_object_only(a: End, b: End, type2: str, id: str) -> None:
    own = links.fields(links.ordered(a, b))
    indexed: JsonObject = {**own, links.MARKS: links.marks(own)}
    assert matches(links.links_of(id), indexed) is (id in (a.id, b.id))
    joined = (a.id == id and b.type == type2) or (b.id == id and a.type == type2)
    assert matches(links.links_of(id, type2), indexed) is joined


@given(ENDS, ENDS)
def test_the_other_end_is_the_other_object(a: End, b: End) -> None:
    if a.id != b.id:
        assert links.other_end(links.ordered(a, b), a.id) == b
    assert links.other_end(Link(a, a), a.id) == a


def test_a_link_without_all_its_ends_is_none() -> None:
    for name in ("type1", "id1", "type2", "id2"):
        own = links.fields(links.ordered(End("a", "1"), End("b", "2")))
        own[name] = ""
        assert links.link_of(own) is None
        assert links.marks(own) == []


def linker(**other: Json) -> JsonObject:
    """The searchable form of a link between object 1 and another, whose snapshot is given."""
    own = links.fields(links.ordered(End("cat", "1"), End("cat", "1a")))
    me: JsonObject = {"id": "1", "type": "cat", "name": "me", "properties": {"text": "secret"}}
    return {**own, "nstd": [{"id": "1a", "type": "cat", **other}, me], links.MARKS: links.marks(own)}


@pytest.mark.parametrize(
    ("field", "q", "found"),
    [
        ("name", "gord*", True),
        ("name", "Gordon", True),
        ("name", "*", True),
        ("nothing", "*", True),
        ("name", "me", False),
        ("name", "NOT me", True),
        ("name", "NOT gordon", False),
        ("", "gordon", True),
        ("", "secret", False),
        ("", "hello", True),
        ("properties.text", "hell*", True),
        ("properties.text", "secret", False),
        ("text", "hello", False),
        ("properties.n", "[4 TO 6]", True),
        ("", "name:gordon", True),
        ("", "nstd.name:gordon", True),
        ("", "name:me", False),
        ("name", "properties.n:>4 AND gordon", True),
        ("", "properties.text:(NOT hello)", False),
    ],
)
def test_a_search_looks_at_the_other_object_only(field: str, q: str, found: bool) -> None:
    find = links.linked("1", "cat", {"field": [field], "q": [q]}, LIMITS)
    text: JsonObject = {"text": "Hello world", "n": 5}
    assert matches(find.query, linker(name="Gordon Cat", properties=text)) is found


def test_a_link_of_an_object_with_itself_is_searched_too() -> None:
    own = links.fields(Link(End("cat", "1"), End("cat", "1")))
    me: JsonObject = {"id": "1", "type": "cat", "name": "me"}
    stored: JsonObject = {**own, "nstd": [me, me], links.MARKS: links.marks(own)}
    assert matches(links.linked("1", "cat", {"q": ["me"]}, LIMITS).query, stored)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, True),
        ({"q": [""]}, True),
        ({"q": ["*"]}, True),
        ({"q": ["gord*"]}, True),
        ({"q": ["kitt*"]}, False),
        ({"q": ["kitt*"], "count": [""]}, True),
        ({"field": ["name"], "term": ["gordon"]}, True),
        ({"field": ["name"], "term": ["kitty"]}, False),
        ({"field": ["name"], "term": [" "], "q": ["gordon"]}, True),
        ({"field": [" "], "term": ["kitty"]}, True),
        ({"field": ["name"], "term": ["gordon"], "q": ["kitty"]}, True),
        ({"field": ["properties.n"], "term": ["5"]}, True),
    ],
)
def test_children(params: dict[str, list[str]], found: bool) -> None:
    child: JsonObject = {"id": "c", "type": "cat", "name": "gordon", "parentid": "p 1", "properties": {"n": 5}}
    find = links.children("p 1", "cat", params, LIMITS)
    assert find.type == "cat"
    assert find.count is ("count" in params)
    assert matches(find.query, child) is found
    assert not matches(links.children("1", "cat", params, LIMITS).query, child)


def test_the_pager_is_of_linkers_and_of_children() -> None:
    params = {"limit": ["2"], "page": ["3"], "sort": ["name"], "desc": ["false"]}
    for find in (links.linked("1", "cat", params, LIMITS), links.children("1", "cat", params, LIMITS)):
        assert (find.pager.limit, find.pager.page, find.pager.sort) == (2, 3, (SortBy("name", False),))
    after: Find = links.linked("1", "cat", {"lastKey": ["17"]}, LIMITS)
    assert (after.type, after.pager.after) == ("linker", 17)


@pytest.mark.parametrize("q", ['"', "(", "name:[", "*oof"])
def test_a_wrong_query_is_refused(q: str) -> None:
    for params in ({"q": [q]}, {"q": [q], "field": ["name"]}, {"q": [q], "count": [""]}):
        with pytest.raises(InvalidQuery):
            links.linked("1", "cat", params, LIMITS)
        with pytest.raises(InvalidQuery):
            links.children("1", "cat", params, LIMITS)


def test_links_of_links_do_not_grow() -> None:
    assert links.snapshot({"id": "l", "nstd": [{"id": "1"}], links.MARKS: [":1"], "name": "x"}) == {
        "id": "l",
        "name": "x",
    }
