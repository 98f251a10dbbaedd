"""Promise: a protected path is protected in every spelling that the main port routes alike, roles are ranked, and what
cannot be understood is refused when it is read (identity.md 9, 17).
"""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import ant, protected
from thingstead.model.errors import InvalidInput
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.protected import Rule

USER = Principal("user", "a", "1", groups="users")
MOD = Principal("user", "a", "2", groups="mods")
ADMIN = Principal("user", "a", "3", groups="admins")
ODD = Principal("user", "a", "4", groups="gardeners")
APP = Principal("app", "a", "app:a")
THING = Principal("thing", "a", "kit")


def rule(*entries: object) -> Rule:
    return protected.rules({"x": list(entries)})[0]


def test_the_examples_of_the_module_hold() -> None:
    assert doctest.testmod(protected) == (0, 1)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/p", ["/p", "/p/"], ["/p/a", "/P", "/pp", "/", "/a/p"]),
        ("/p/*", ["/p/a", "/p/.a", "/p/", "/p/a/", "/p/*"], ["/p", "/p/a/b", "/q/a"]),
        ("/p/**", ["/p", "/p/", "/p/a", "/p/a/b/c.d", "/p/.x/y"], ["/px", "/q/p"]),
        ("/**", ["/", "/a", "/a/b/"], []),
        ("/*", ["/", "/a"], ["/a/b"]),
        ("/p?", ["/pq", "/p1"], ["/p", "/p/", "/pqr"]),
        ("/p/*.do", ["/p/a.do"], ["/p/a.dx", "/p/a/b.do"]),
        ("/**/edit", ["/edit", "/sites/5/edit", "/a/b/c/edit"], ["/edits", "/edit/x"]),
        ("/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], ["/a", "/az"]),
        ("/[ab]", ["/[ab]"], ["/a", "/b"]),
        ("/{a,b}", ["/{a,b}"], ["/a", "/b"]),
        ("/!(a)", ["/!(a)"], ["/b"]),
    ],
)
def test_ant_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    for path in matching:
        assert ant.matches([pattern], path), path
    for path in others:
        assert not ant.matches([pattern], path), path


@pytest.mark.parametrize(
    "raw", [b"/sites/7", b"//sites/7", b"/sites//7", b"/s%69tes/7", b"/%73%69%74%65%73/%37", b"///sites///7/"]
)
def test_every_spelling_of_a_path_is_the_same_path(raw: bytes) -> None:
    assert rule("/sites/*").covers("GET", protected.plain_path(raw))


@pytest.mark.parametrize(
    "raw",
    [b"/a/../p", b"/./p", b"/%2e%2e/p", b"/p/%2E", b"/p%00", b"/p\\x", b"/p%5Cx", b"/%ff", b"/p%0a", b"/\xc3\xbc"],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        protected.plain_path(raw)


@given(
    st.lists(st.text(st.characters(exclude_characters="/\\", exclude_categories=("Cc", "Cs")), max_size=8), max_size=5)
)
def test_a_path_below_a_protected_one_is_protected(segments: list[str]) -> None:
    from urllib.parse import quote

    if {".", ".."}.isdisjoint(segments):
        raw = "/p/" + "/".join(quote(segment, safe="") for segment in segments)
        assert rule("/p/**").covers("GET", protected.plain_path(raw.encode()))


@given(st.binary(max_size=40))
def test_any_path_is_read_or_refused(raw: bytes) -> None:
    try:
        path = protected.plain_path(b"/" + raw)
    except InvalidInput:
        return
    assert path.startswith("/")
    assert "//" not in path.rstrip("/")


@pytest.mark.parametrize(
    ("words", "admitted", "refused"),
    [
        ([], [USER, MOD, ADMIN, ODD, APP, THING], []),
        (["user"], [USER, MOD, ADMIN, ODD], [APP, THING]),
        (["mod"], [MOD, ADMIN], [USER, ODD, APP, THING]),
        (["admin"], [ADMIN], [USER, MOD, ODD, APP, THING]),
        (["admin", "user"], [USER, MOD, ADMIN], [APP]),
        (["app"], [APP], [USER, MOD, ADMIN, THING]),
        (["app", "mod"], [APP, MOD, ADMIN], [USER, THING]),
        (["GET", "Admin"], [ADMIN], [USER]),
    ],
)
def test_roles_are_ranked(words: list[str], admitted: list[Principal], refused: list[Principal]) -> None:
    found = rule("/p", words)
    assert [found.admits(each) for each in admitted] == [True] * len(admitted)
    assert [found.admits(each) for each in refused] == [False] * len(refused)
    assert found.rest == ("app" in words)
    assert not words or not found.admits(NOBODY)


def test_methods_narrow_a_rule_and_head_is_a_get() -> None:
    found = rule("/p", ["GET", "post", "user"])
    assert [found.covers(method, "/p") for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert rule("/p", ["HEAD"]).covers("HEAD", "/p")


@pytest.mark.parametrize(
    "given",
    [
        {"x": "/p"},
        {"x": []},
        {"x": [["user"]]},
        {"x": ["/p", ["owner"]]},
        {"x": ["/p", [7]]},
        {"x": ["/p", 7]},
        {"x": ["p"]},
        {"x": ["/p\\x"]},
        {"x": {"path": "/p"}},
        {"x": None},
    ],
)
def test_what_cannot_be_understood_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"para\.security\.protected: "):
        protected.rules(given)
