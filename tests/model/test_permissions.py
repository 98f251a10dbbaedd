"""What a grant says and what it suffices for (identity.md 10.1-10.4, 16): every example sentence of the
contract, and the compiled decision against a slow one that follows the contract's text word by word."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import permissions as rules
from thingstead.model.errors import InvalidInput
from thingstead.model.permissions import METHODS, Permissions, methods_of, with_parent

WRITES = ["POST", "PUT", "PATCH", "DELETE"]
Map = Mapping[str, Mapping[str, list[str]]]


def of(stored: Map, root: bool = False, **datatypes: str) -> Permissions:
    return Permissions({who: dict(what) for who, what in stored.items()}, datatypes, root=root)  # pyright: ignore[reportArgumentType]


# --- 10.1

VALUES: list[tuple[str, list[Any], list[str]]] = [
    ("u1", ["GET"], ["GET"]),
    ("u1", ["delete", "Post"], ["POST", "DELETE"]),
    ("u1", ["patch", "put", "get", "delete", "post"], ["*"]),
    ("u1", ["*"], ["*"]),
    ("u1", ["*", "GET"], ["*"]),
    ("u1", ["w"], WRITES),
    ("u1", ["w", "GET"], ["*"]),
    ("u1", ["READ_WRITE"], ["*"]),
    ("u1", ["READ_ONLY"], ["GET"]),
    ("u1", ["READ_ONLY", "PUT", "OWN"], ["OWN", "GET"]),
    ("u1", ["WRITE_ONLY"], WRITES),
    ("u1", ["GET", "OWN"], ["OWN", "GET"]),
    ("u1", ["own", "*"], ["OWN", "*"]),
    ("*", ["GET", "?"], ["?", "GET"]),
    ("*", ["?"], ["?"]),
    ("u1", ["GET", "?"], ["GET"]),
    ("u1", ["-"], ["-"]),
    ("u1", ["EMPTY"], ["-"]),
    ("u1", ["nonsense"], ["-"]),
    ("u1", ["nonsense", "PUT"], ["-", "PUT"]),
    ("u1", ["", None, " ", "GET"], ["GET"]),
    ("*", ["DELETE", "GET", "OWN", "-", "?", "PUT"], ["?", "-", "OWN", "GET", "PUT", "DELETE"]),
]


@pytest.mark.parametrize(("subject", "given", "stored"), VALUES)
def test_values_are_stored_in_one_form_and_order(subject: str, given: list[Any], stored: list[str]) -> None:
    assert methods_of(given, subject) == stored
    assert methods_of([*stored], subject) == stored


@pytest.mark.parametrize("given", [[], [""], [" ", None], ["?"], [1], [["GET"]], [{"a": 1}]])
def test_values_that_say_nothing_are_refused(given: list[Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        methods_of(given, "u1")
    assert refused.value.field == "methods"


def test_a_whole_map_is_read_by_the_same_rules() -> None:
    assert rules.normalised({"u1": {"/dog/": ["w", "GET"], "cat": ["put"]}, "*": {"*": ["?"]}, "x": {}, "y": None}) == {
        "u1": {"dog": ["*"], "cat": ["PUT"]},
        "*": {"*": ["?"]},
    }
    assert rules.normalised(None) == {}
    for wrong, field in (
        ([], "resourcePermissions"),
        ({"u1": []}, "resourcePermissions.u1"),
        ({" ": {"a": ["GET"]}}, "resourcePermissions. "),
        ({"u1": {"dog": "GET"}}, "resourcePermissions.u1.dog"),
        ({"u1": {"dog": []}}, "resourcePermissions.u1.dog"),
        ({"u1": {"/": ["GET"]}}, "resourcePermissions.u1./"),
        ({"u1": {"dog": [1]}}, "resourcePermissions.u1.dog"),
    ):
        with pytest.raises(InvalidInput) as refused:
            rules.normalised(wrong)  # pyright: ignore[reportArgumentType]
        assert refused.value.field == field
    assert rules.restored({"u1": {"dog": [], "cat": "x", "cow": ["get"]}, "u2": 7}) == {
        "u1": {"dog": ["-"], "cat": ["-"], "cow": ["GET"]}
    }


def test_grants_and_revocations_change_one_place() -> None:
    present = rules.granted({"u1": {"dog": ["GET"]}}, "u1", "cat", ["PUT"])
    assert present == {"u1": {"dog": ["GET"], "cat": ["PUT"]}}
    assert rules.granted(present, "u1", "dog", ["*"])["u1"] == {"dog": ["*"], "cat": ["PUT"]}
    assert rules.revoked(present, "u1", "dog") == {"u1": {"cat": ["PUT"]}}
    assert rules.revoked(rules.revoked(present, "u1", "dog"), "u1", "cat") == {}
    assert rules.revoked(present, "u2", "dog") == rules.revoked(present, "u1", "cow") == present
    assert rules.revoked(present, "u1") == {}
    assert rules.shown(present, "u2") == {"u2": {}}
    assert rules.shown({**present, "*": {"*": ["GET"]}}, "u1") == {**present, "*": {"*": ["GET"]}}


# --- 10.2

COVERS: list[tuple[Map, str, str, bool]] = [
    ({"s": {"posts": ["GET"]}}, "posts", "GET", True),
    ({"s": {"posts": ["GET"]}}, "posts/1", "GET", True),
    ({"s": {"posts": ["GET"]}}, "postscript", "GET", False),
    ({"s": {"posts": ["GET"]}}, "posts/1", "PUT", False),
    ({"s": {"posts/1": ["GET"]}}, "posts/12", "GET", False),
    ({"s": {"posts/1": ["GET"]}}, "posts/1/links", "GET", True),
    ({"s": {"posts/1": ["GET"]}}, "posts", "GET", False),
    ({"s": {"_users/admins": ["GET"]}}, "_users/admins/3", "GET", True),
    ({"s": {"wildcard/*": ["GET"]}}, "wildcard/x", "GET", True),
    ({"s": {"wildcard/*": ["GET"]}}, "wildcard/x/y/z", "GET", True),
    ({"s": {"wildcard/*": ["GET"]}}, "wildcard", "GET", False),
    ({"s": {"*": ["GET"]}}, "anything/at/all", "GET", True),
    ({"s": {"*": ["GET"], "dog": ["PUT"]}}, "dog", "GET", False),  # a direct key hides the key *
    ({"s": {"*": ["GET"], "dog/*": ["PUT"]}}, "dog/1", "GET", False),
    ({"s": {"*": ["GET"], "dog": ["PUT"]}}, "dog/1", "GET", True),  # an ancestor does not
    ({"s": {"dog": ["GET"], "dog/1": ["-"]}}, "dog/1", "GET", True),  # ancestors come first
    ({"s": {"dogs": ["GET"]}}, "dog/1", "GET", True),
    ({"s": {"dog": ["GET"]}}, "dogs/1", "GET", True),
    ({"s": {"users": ["GET"]}}, "user/1", "GET", True),
    ({"s": {"dog": ["*"]}}, "dog", "PURGE", True),
    ({"s": {"dog": ["*"]}}, "dog", "?", False),
    ({"s": {"dog": ["*"]}}, "dog", "OWN", False),
    ({"s": {"dog": ["*", "OWN"]}}, "dog", "OWN", True),
    ({"s": {"dog": ["-"]}}, "dog", "-", False),
    ({"s": {"tag/Two words": ["GET"]}}, "tags/tag:two-words", "GET", True),
    ({}, "dog", "GET", False),
]


@pytest.mark.parametrize(("stored", "resource", "method", "expected"), COVERS)
def test_what_covers_what(stored: Map, resource: str, method: str, expected: bool) -> None:
    assert of(stored, dogs="dog", posts="post").covers("s", resource, method) is expected


def test_lists_are_those_of_a_subject_in_the_singular() -> None:
    found = of({"u1": {"todos": ["*", "OWN"], "todo/*": ["*", "OWN"]}}, todos="todo")
    assert found.lists("u1") == {"todo": {"*", "OWN"}, "todo/*": {"*", "OWN"}}
    assert found.lists("u2") == {}
    assert of({"u1": {"todos": ["GET"], "todo": ["PUT"]}}, todos="todo").lists("u1") == {"todo": {"GET", "PUT"}}


# --- 10.3

FIRST = {"u1": {"dog": WRITES}, "*": {"*": ["GET"]}}
THIRD = {"u2": {"_batch": ["POST"]}, "*": {"_batch": ["GET"]}}
CAPPED = {"u3": {"*": ["GET"], "cat": ["PUT"]}, "*": {"*": ["*"], "cow": ["PUT"]}}
DENIED = {"u4": {"posts": ["-"], "posts/mine": ["PUT"]}, "*": {"*": ["*"], "posts": ["GET"]}}
NEAR = {"u5": {"posts": ["-"], "posts/*": ["GET"]}, "u6": {"posts/*": ["-"]}, "u7": {"*": ["-"]}, "*": {"*": ["GET"]}}
DECIDE: list[tuple[Map, str, str, str, bool, str]] = [
    (FIRST, "u1", "dog", "PUT", True, "granted to u1"),
    (FIRST, "u1", "dog", "GET", False, "u1's own list on dog caps it"),
    (FIRST, "u1", "cat", "GET", True, "granted to everybody on *"),
    (FIRST, "u1", "cat", "PUT", False, "no grant"),
    (FIRST, "u2", "dog", "GET", True, "granted to everybody on *"),
    (THIRD, "u2", "_batch", "POST", True, "granted to u2"),
    (THIRD, "u2", "_batch", "GET", True, "granted to everybody"),
    (THIRD, "u2", "_batch", "DELETE", False, "u2's own list on _batch caps it"),
    (CAPPED, "u3", "dog", "GET", True, "granted to u3 on *"),
    (CAPPED, "u3", "dog", "PUT", False, "u3's own list on * caps it"),
    (CAPPED, "u3", "cat", "PUT", True, "granted to u3"),
    (CAPPED, "u3", "cow", "PUT", True, "granted to everybody"),  # the very resource compounds
    (DENIED, "u4", "posts", "GET", False, "u4 is denied post"),
    (DENIED, "u4", "posts/1", "GET", False, "u4 is denied post"),  # a lone - is inherited downwards (D12)
    (DENIED, "u4", "posts/mine", "PUT", True, "granted to u4"),
    (DENIED, "u4", "posts/mine", "GET", False, "u4 is denied post"),
    (DENIED, "u4", "cats", "PUT", True, "granted to everybody on *"),
    (NEAR, "u5", "posts/1", "GET", True, "granted to u5"),
    (NEAR, "u5", "posts", "GET", False, "u5 is denied post"),
    (NEAR, "u6", "posts/1", "GET", False, "u6 is denied post/*"),
    (NEAR, "u6", "posts", "GET", True, "granted to everybody on *"),
    (NEAR, "u7", "cat", "GET", False, "u7 is denied *"),
    (NEAR, "u7", "user/u7", "GET", False, "u7 is denied *"),
    ({}, "u1", "user/u1", "GET", True, "own object"),
    ({}, "u1", "users/u1", "PATCH", True, "own object"),
    ({}, "u1", "_id/u1", "DELETE", True, "own object"),
    ({}, "u1", "/users/u1", "get", True, "own object"),
    ({}, "u1", "users/u1", "PUT", False, "no grant"),
    ({}, "u1", "users/u1x", "GET", False, "no grant"),
    ({}, "u1", "users/u1/links/dog", "GET", False, "no grant"),
    ({}, "u1", "dog/u1", "GET", False, "no grant"),
    ({}, "u1", "_permissions/u1", "DELETE", False, "no grant"),
    ({}, "*", "users/*", "GET", False, "no grant"),
    ({"u1": {"user": ["-"]}}, "u1", "users/u1", "GET", False, "u1 is denied user"),
    ({"u1": {"user": ["PUT"]}}, "u1", "users/u1", "GET", True, "own object"),
    (FIRST, "*", "cat", "GET", True, "granted to * on *"),
    (FIRST, "", "cat", "GET", False, "a subject, a resource and a method are needed"),
    (FIRST, "u1", "/ /", "GET", False, "a subject, a resource and a method are needed"),
    (FIRST, "u1", "cat", " ", False, "a subject, a resource and a method are needed"),
]


@pytest.mark.parametrize(("stored", "subject", "resource", "method", "allowed", "rule"), DECIDE)
def test_the_decision_for_a_user(
    stored: Map, subject: str, resource: str, method: str, allowed: bool, rule: str
) -> None:
    decision = of(stored, posts="post").decide(subject, resource, method)
    assert (decision.allowed, decision.rule) == (allowed, rule)
    assert bool(decision.missing) is not allowed
    assert with_parent(decision, "another").allowed is allowed


def test_the_matrix_of_the_clients() -> None:
    """Which of the two grants on `*` comes last changes nothing."""
    for everybody in ({"*": ["GET"], "cat": ["PUT"]}, {"cat": ["PUT"], "*": ["GET"]}):
        found = of({"222": {"dog": ["POST", "DELETE"]}, "*": everybody})
        table = {
            (resource, method): found.decide("222", resource, method).allowed
            for resource in ("dog", "cat")
            for method in METHODS
        }
        assert {pair for pair, allowed in table.items() if allowed} == {
            *(("dog", "POST"), ("dog", "DELETE")),
            *(("cat", "GET"), ("cat", "PUT")),
        }


def test_children_are_asked_for_only_where_that_can_matter() -> None:
    found = of({"u2": {"dog": ["-"]}, "u3": {"dog": ["GET"]}})
    asked = found.decide("u1", "dogs/rex", "PATCH")
    assert (asked.allowed, asked.ask) == (False, "rex")
    assert with_parent(asked, "u1").rule == "child object"
    assert with_parent(asked, "u1").allowed
    assert not with_parent(asked, None).allowed
    assert found.decide("u1", "_id/rex", "GET").ask == "rex"
    for subject, resource, method in (
        ("u1", "dog/rex", "PUT"),
        ("u1", "dog", "GET"),
        ("u1", "dog/rex/links/cat", "GET"),
        ("u1", "_batch/rex", "GET"),
        ("u1", "utils/newid", "GET"),
        ("u3", "dog/rex", "GET"),
        ("u2", "dog/rex", "GET"),
    ):
        assert found.decide(subject, resource, method).ask == ""
    assert found.decide("u1", "users/u1/links/dog", "GET", childrenonly=True).rule == "own object"
    assert not found.decide("u1", "users/u1/links/dog", "DELETE", childrenonly=True).allowed
    assert not found.decide("u1", "users/u2/links/dog", "GET", childrenonly=True).allowed


def test_the_root_app_grants_nothing() -> None:
    found = of({"u1": {"*": ["*"]}, "*": {"*": ["*", "?"]}}, root=True)
    assert not found.decide("u1", "dog", "GET").allowed
    assert not found.decide("u1", "users/u1", "GET").allowed
    assert not found.guests("dog", "GET").allowed


def test_what_only_a_grant_that_names_it_opens() -> None:
    found = of({"u1": {"*": ["*"]}, "u2": {"_settings": ["GET"]}, "u3": {"*": ["PUT"]}, "*": {"_export": ["GET"]}})
    assert not found.decide("u1", "_settings", "GET", named=True).allowed
    assert found.decide("u1", "_settings", "GET").allowed
    assert found.decide("u2", "_settings/key", "GET", named=True).allowed
    assert not found.decide("u2", "_settings", "PUT", named=True).allowed
    assert found.decide("u1", "_export", "GET", named=True).rule == "granted to everybody"
    assert found.decide("u3", "_export", "GET", named=True).allowed
    assert not found.decide("u1", "webhook/u1", "GET", named=True).allowed
    assert found.decide("u1", "webhook/w", "GET", named=True).ask == ""


def test_the_grants_that_have_a_say() -> None:
    found = of({"u1": {"dogs": ["GET"], "cat": ["*"], "*": ["-"]}, "*": {"dog/*": ["?", "GET"]}}, dogs="dog")
    told = [(each.subject, each.resource, each.methods) for each in found.taking_part("u1", "dogs/1")]
    assert told == [("u1", "dog", ("GET",)), ("u1", "*", ("-",)), ("*", "dog/*", ("?", "GET"))]


# --- 10.4

GUESTS: list[tuple[Map, str, str, bool]] = [
    ({"*": {"dog": ["GET", "?"]}}, "dog", "GET", True),
    ({"*": {"dog": ["GET", "?"]}}, "dog/1", "GET", True),
    ({"*": {"dog": ["GET", "?"]}}, "dog", "PUT", False),
    ({"*": {"dog": ["?"]}}, "dog", "GET", True),
    ({"*": {"dog": ["?"]}}, "dog", "POST", False),
    ({"*": {"dog": ["*"]}}, "dog", "GET", False),
    ({"*": {"dog": ["*", "?"]}}, "dog", "DELETE", True),
    ({"*": {"*": ["*"]}}, "dog", "GET", False),
    ({"*": {"*": ["?", "POST"]}}, "dog", "POST", True),
    ({"*": {"*": ["?", "GET"], "dog": ["GET"]}}, "dog", "GET", False),
    ({"*": {"*": ["?", "GET"], "dog": ["-"]}}, "dog", "GET", False),
    ({"*": {"*": ["?", "GET"], "dog": ["-"]}}, "dog/1", "GET", False),
    ({"*": {"*": ["POST"], "dog": ["?"]}}, "dog", "POST", True),  # by the contract's text: covers(*, *, M)
    ({"*": {"utils/timestamp": ["?", "GET"]}}, "utils/timestamp", "GET", True),
    ({"u1": {"dog": ["*"]}}, "dog", "GET", False),
    ({}, "dog", "GET", False),
    ({"*": {"*": ["?"]}}, "", "GET", False),
]


@pytest.mark.parametrize(("stored", "resource", "method", "allowed"), GUESTS)
def test_the_decision_for_a_guest(stored: Map, resource: str, method: str, allowed: bool) -> None:
    assert of(stored).guests(resource, method).allowed is allowed


# --- against the contract's text

SEGMENTS = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join)
KEYS = PATHS | PATHS.map(lambda path: path + "/*") | st.just("*")
LISTS = st.lists(st.sampled_from(["GET", "PUT", "*", "?", "-", "OWN"]), min_size=1, max_size=3, unique=True)
MAPS = st.dictionaries(st.sampled_from(["u1", "*"]), st.dictionaries(KEYS, LISTS, max_size=5), max_size=2)


def has(values: list[str], method: str) -> bool:
    """10.2: a list has M if it contains M or `*` (for M = `?`: only a literal `?`)."""
    return method in values or ("*" in values and method != "?")


def above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def literal_covers(stored: Map, subject: str, resource: str, method: str) -> bool:
    """10.2, sentence by sentence."""
    keys = stored.get(subject, {})
    if any(key in above(resource) and has(values, method) for key, values in keys.items()):
        return True
    direct = [resource, *(path + "/*" for path in above(resource))]
    if any(key in keys for key in direct):
        return any(has(keys[key], method) for key in direct if key in keys)
    return has(keys.get("*", []), method)


def literal_decide(stored: Map, subject: str, resource: str, method: str) -> bool:
    """10.3, step by step, without implicit rights."""
    own, public = stored.get(subject, {}), stored.get("*", {})
    key = resource if resource in own else "*" if "*" in own else None
    compounds = key is not None and own[key] != ["-"] and has(public.get(resource, []), method)
    refused = key is not None and not literal_covers(stored, subject, key, method) and not compounds
    granted_nearer = literal_covers({subject: {k: v for k, v in own.items() if k != "*"}}, subject, resource, method)
    inherited = [own[path] for up in above(resource) for path in (up, up + "/*") if path in own]
    if refused and key is not None and own[key] == ["-"]:
        return False
    if not granted_nearer and not (compounds and key == resource) and ["-"] in [*inherited, own.get(resource)]:
        return False
    pairs = ((subject, resource), (subject, "*"), ("*", resource), ("*", "*"))
    return not refused and any(literal_covers(stored, who, what, method) for who, what in pairs)


@given(MAPS, PATHS, st.sampled_from(["GET", "PUT", "?"]))
def test_covers_as_the_text_says(stored: Map, resource: str, method: str) -> None:
    for subject in ("u1", "*"):
        assert of(stored).covers(subject, resource, method) is literal_covers(stored, subject, resource, method)


@given(MAPS, PATHS, st.sampled_from(["GET", "PUT"]))
def test_decides_as_the_text_says(stored: Map, resource: str, method: str) -> None:
    assert of(stored).decide("u1", resource, method).allowed is literal_decide(stored, "u1", resource, method)


@given(MAPS, PATHS, st.sampled_from(METHODS))
def test_guests_need_the_question_mark(stored: Map, resource: str, method: str) -> None:
    allowed = of(stored).guests(resource, method).allowed
    opened = literal_covers(stored, "*", resource, "?")
    text = opened and (
        method == "GET" or literal_covers(stored, "*", resource, method) or literal_covers(stored, "*", "*", method)
    )
    public = stored.get("*", {})
    denied = any(public.get(key) == ["-"] for up in above(resource) for key in (up, up + "/*"))
    specific = literal_covers({"*": {k: v for k, v in public.items() if k != "*"}}, "*", resource, "?")
    assert allowed is (text and (specific or not denied))


@given(MAPS, PATHS, st.sampled_from(METHODS))
def test_a_grant_of_the_very_resource_always_opens_it_and_a_denial_closes_it(
    stored: Map, resource: str, method: str
) -> None:
    own = stored.get("u1", {})
    assert of({**stored, "u1": {**own, resource: [method]}}).decide("u1", resource, method).allowed
    nothing_above = {key: values for key, values in own.items() if key not in above(resource) and "/*" not in key}
    assert not of({**stored, "u1": {**nothing_above, resource: ["-"]}}).decide("u1", resource, method).allowed


@given(MAPS, PATHS, st.sampled_from(METHODS))
def test_what_is_named_is_never_more_than_what_is_not(stored: Map, resource: str, method: str) -> None:
    found = of(stored)
    if found.decide("u1", resource, method, named=True).allowed:
        assert found.decide("u1", resource, method).allowed


@given(MAPS, PATHS, st.sampled_from(METHODS))
def test_more_for_everybody_never_takes_anything_from_anybody(stored: Map, resource: str, method: str) -> None:
    before = of(stored).decide("u1", resource, method).allowed
    public = {key: [*values, "*"] for key, values in stored.get("*", {}).items()}
    assert of({**stored, "*": {**public, "*": ["*"]}}).decide("u1", resource, method).allowed >= before
