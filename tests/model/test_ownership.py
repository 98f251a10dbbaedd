"""What users and guests may touch, write and see once a request is permitted (identity.md 7.1, 7.2, 10.5, 11)."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import objects as model
from thingstead.model import types
from thingstead.model.errors import InvalidInput, NotFound
from thingstead.model.objects import Object
from thingstead.model.ownership import (
    Scope,
    confined,
    scope_of,
    stripped,
)
from thingstead.model.permissions import Permissions
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.query.predicate import matches
from thingstead.model.values import JsonObject, dump, parse_object

DATATYPES = {"todos": "todo", "my-types": "my-type"}


def permissions(stored: JsonObject) -> Permissions:
    return Permissions(stored, DATATYPES)


def user(id: str = "u1", groups: str = "users") -> Principal:
    return Principal("user", "shop", id, groups=groups)


def scope(stored: JsonObject, who: Principal | None = None) -> Scope:
    found = scope_of(who or user(), permissions(stored))
    assert found is not None
    return found


def obj(type: str = "todo", id: str = "x", **members: str) -> Object:
    return model.draft("shop", type, id, {**members}, now_ms=1, docid=1)


OTHERS = {"*": {"cat": ["*"], "todo": ["GET"]}}


@pytest.mark.parametrize(
    ("stored", "type", "id", "applies"),
    [
        ({"*": {"todo": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todos": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todo/*": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"wolfs": ["OWN"]}}, "wolf", "x", True),  # a plural that the app does not know
        ({"*": {"daies/*": ["OWN"]}}, "day", "x", True),
        ({"*": {"kisses": ["OWN"]}}, "kiss", "x", True),
        ({"*": {"todo/x": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todos/x": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todo/x/*": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todo/y": ["*", "OWN"]}}, "todo", "x", False),
        ({"*": {"todo/x": ["*", "OWN"]}}, "cat", "x", False),
        ({"u1": {"todo": ["OWN"]}}, "todo", "x", True),
        ({"u2": {"todo": ["OWN"]}}, "todo", "x", False),
        ({"u1": {"todo": ["*"]}, "*": {"todo": ["OWN"]}}, "todo", "x", True),
        ({"*": {"*": ["*", "OWN"]}}, "todo", "x", True),
        ({"*": {"todo": ["*"]}}, "todo", "x", False),
        ({"*": {"tod": ["*", "OWN"]}}, "todo", "x", False),
        ({}, "todo", "x", False),
        ({"*": {"cat": ["OWN"]}}, "linker", "x", True),  # which keeps copies of cats
        ({"*": {"cat": ["*"]}}, "linker", "x", False),
    ],
)
def test_where_own_applies(stored: JsonObject, type: str, id: str, applies: bool) -> None:
    asked = scope(stored)
    assert asked.confined.covers(type, id) is applies
    assert asked.touches(type, id, "u2", "u3") is not applies
    assert asked.touches(type, id, "u1", None) is True


@pytest.mark.parametrize(
    ("id", "creatorid", "parentid", "own"),
    [
        ("x", "u1", None, True),
        ("x", "u1:phone", None, True),
        ("x", "u1phone", None, False),
        ("x", "u12", None, False),
        ("u1", "u2", None, True),
        ("u1_x", "u2", None, False),
        ("x", "u2", "u1", True),
        ("x", "u2", "u1:phone", False),
        ("x", None, None, False),
        ("x", "", "", False),
        ("x", "U1", None, False),
    ],
)
def test_what_is_a_users_own(id: str, creatorid: str | None, parentid: str | None, own: bool) -> None:
    asked = scope({"*": {"todo": ["*", "OWN"]}})
    assert asked.owns(id, creatorid, parentid) is own
    assert asked.touches("todo", id, creatorid, parentid) is own


@pytest.mark.parametrize("creatorid", [None, "", ":", ":x", "guest"])
def test_a_guest_owns_nothing(creatorid: str | None) -> None:
    asked = scope({"*": {"todo": ["*", "?", "OWN"]}}, Principal("guest", "shop"))
    assert not asked.touches("todo", "x", creatorid, creatorid)
    assert not matches(asked.only(), {"id": "x", "type": "todo", "creatorid": creatorid or ""})
    assert asked.touches("cat", "x", None, None)


def test_who_has_a_scope() -> None:
    granted = permissions({"*": {"todo": ["*", "OWN"]}})
    for principal in (Principal("app", "shop"), Principal("app", "para", root=True), Principal("thing", "shop", "t")):
        assert scope_of(principal, granted) is None
    assert scope_of(NOBODY, granted) is None
    admin = scope_of(user(groups="admins"), granted)
    assert admin is not None
    assert admin.touches("todo", "x", "u2", None)
    for groups in ("mods", "users", "", "admin"):
        other = scope_of(user(groups=groups), granted)
        assert other is not None
        assert not other.touches("todo", "x", "u2", None)


@pytest.mark.parametrize(
    ("type", "id", "placed"),
    [
        ("todo", "todo_id", "u1_todo_id"),
        ("todo", "u1_todo_id", "u1_todo_id"),
        ("todo", "u12_x", "u1_u12_x"),
        ("todo", "u1", "u1"),
        ("cat", "todo_id", "todo_id"),
    ],
)
def test_the_id_that_a_user_chooses(type: str, id: str, placed: str) -> None:
    assert scope({"*": {"todo": ["*", "OWN"]}}).placed(type, id) == placed


@pytest.mark.parametrize("groups", ["users", "mods", "admins"])
def test_members_that_users_do_not_write(groups: str) -> None:
    body: JsonObject = {
        "appid": "a",
        "creatorid": "u9",
        "groups": "admins",
        "active": True,
        "identifier": "i",
        "tokenSecret": "t",
        "idpAccessToken": "p",
        "idpAnything": 1,
        "twoFA": True,
        "twoFAkey": "k",
        "password": "p",
        "name": "Ann",
        "email": "a@b.org",
        "properties": {"a": 1},
    }
    asked = scope({}, user(groups=groups))
    left: JsonObject = {"name": "Ann", "email": "a@b.org", "properties": {"a": 1}}
    if groups == "admins":
        left = {**left, "groups": "admins", "active": True, "identifier": "i"}
    assert asked.writable("user", body, new=False) == left
    assert asked.writable("user", body, new=True) == {**left, "creatorid": "u1"}
    todo = {k: v for k, v in body.items() if k not in ("appid", "creatorid")}
    assert asked.writable("todo", body, new=False) == todo
    assert asked.writable("todo", body, new=True) == {**todo, "creatorid": "u1"}
    guest = scope({}, Principal("guest", "shop"))
    assert guest.writable("todo", body, new=True) == todo
    known: JsonObject = {"name": "Ann", "email": "a@b.org", "properties": {"a": 1}}
    assert guest.writable("user", body, new=True) == {**known, "identifier": "i"}
    assert guest.writable("user", body, new=False) == known


def test_what_a_user_overwrites_keeps_what_users_do_not_write() -> None:
    old = obj("user", "u2", identifier="fb:1", groups="mods", active="true", email="a@b.org", name="Ann")
    old.hidden = {"tokenSecret": "s", "password": "h"}
    fresh = obj("user", "u2", groups="admins", email="c@d.org", name="Bob")
    scope({}).keep(fresh, old)
    assert (fresh.own["identifier"], fresh.own["groups"], fresh.own["active"]) == ("fb:1", "mods", True)
    assert (fresh.name, fresh.own["email"]) == ("Bob", "c@d.org")
    assert fresh.hidden == old.hidden
    todo = obj("todo", "x", groups="mine")
    scope({}).keep(todo, obj("todo", "x", groups="theirs"))
    assert todo.custom == {"groups": "mine"}


def test_an_administrator_says_who_a_user_is() -> None:
    old = obj("user", "u2", identifier="fb:1", groups="mods", active="true")
    old.hidden = {"tokenSecret": "s", "password": "h"}
    fresh = obj("user", "u2", identifier="fb:2", groups="users")
    scope({}, user(groups="admins")).keep(fresh, old)
    assert (fresh.own["identifier"], fresh.own["groups"]) == ("fb:2", "users")
    assert fresh.hidden == old.hidden


CREDENTIALS: JsonObject = {
    "password": "$2b$12$abc",
    "token": "t",
    "etoken": "e",
    "lockedUntil": 9,
    "failures": 3,
    "anything": "else",
}


def test_members_that_users_do_not_see() -> None:
    identifier = model.draft("shop", "sysprop", "fb:1", {"name": "identifier", **CREDENTIALS}, now_ms=1, docid=1)
    identifier.creatorid = "u2"
    shown = parse_object(stripped(identifier.public()))
    assert set(shown) <= model.ENVELOPE | model.COMPUTED
    assert (shown["id"], shown["creatorid"], shown["name"]) == ("fb:1", "u2", "identifier")
    alike = model.draft("shop", "sysprop", "fb:1", {"name": "Identifier", **CREDENTIALS}, now_ms=1, docid=1)
    assert stripped(alike.public()) == alike.public()
    person: JsonObject = {"id": "u2", "type": "user", "name": "Ann", "twoFA": True, "identityProvider": "facebook"}
    secret: JsonObject = {"idpIdToken": "a", "idpAccessToken": "b", "idpRefreshToken": "c", "twoFAkey": "d"}
    secret |= {"twoFAbackupKeyHash": "e", "password": "f", "tokenSecret": "g"}
    assert parse_object(stripped(dump({**person, **secret}))) == person
    linker: JsonObject = {"id": "l", "type": "linker", "id1": "a", "nstd": [{"properties": {"password": "h"}}]}
    assert parse_object(stripped(dump(linker))) == {"id": "l", "type": "linker", "id1": "a"}


def test_identifiers_are_read_only() -> None:
    for groups in ("users", "admins"):
        asked = scope({}, user(groups=groups))
        own = obj("sysprop", "fb:1", name="identifier", creatorid="u1")
        for action in ("update", "delete", "overwrite"):
            with pytest.raises(InvalidInput) as refused:
                asked.check(own, action)
            assert refused.value.details["actor"] == "u1"
        with pytest.raises(InvalidInput):
            asked.check_named(own, "create")
        asked.check_named(obj("todo", "x", name="identifier"), "create")
        assert not asked.changes(own)


def test_refusals_say_why() -> None:
    asked = scope({"*": {"todo": ["*", "OWN"]}})
    with pytest.raises(InvalidInput, match=r"^Failed to update object\.$") as refused:
        asked.check(obj(creatorid="u2"), "update")
    assert refused.value.details == {"rule": "OWN", "actor": "u1", "right": "update todo/x"}
    with pytest.raises(InvalidInput, match="own name"):
        asked.check_voter("u2")
    asked.check_voter("u1")
    with pytest.raises(NotFound):
        asked.one(obj(creatorid="u2").public())


# --- the query says the same as the rule

_ids = st.sampled_from(["u1", "u2", "u1:a", "u12", "x", "y", "", ":"])
_types = st.sampled_from(["todo", "cat", "linker", "webhook", "sysprop", "app", "my_type"])
_keys = st.sampled_from(["todo", "todos", "todo/*", "todo/x", "cat/y", "*", "cats", "my_type", "sysprop"])
_lists = st.dictionaries(_keys, st.sampled_from([("OWN",), ("*",), ("*", "OWN")]), max_size=3)


@given(
    _lists,
    _lists,
    st.sampled_from(["user", "guest", "admin"]),
    st.fixed_dictionaries({"id": _ids, "type": _types, "creatorid": _ids, "parentid": _ids}),
)
def test_the_query_finds_exactly_what_may_be_touched(
    everybody: Mapping[str, tuple[str, ...]], own: Mapping[str, tuple[str, ...]], kind: str, wire: Mapping[str, str]
) -> None:
    stored: JsonObject = {"*": {k: [*v] for k, v in everybody.items()}, "u1": {k: [*v] for k, v in own.items()}}
    who = Principal("guest", "shop") if kind == "guest" else user(groups="admins" if kind == "admin" else "users")
    asked = scope(stored, who)
    found = matches(asked.only(), {k: v for k, v in wire.items() if v})
    seen = asked.touches(wire["type"], wire["id"], wire["creatorid"] or None, wire["parentid"] or None)
    assert found is seen


@given(
    _lists, st.sampled_from(["u1", "u2", "u1:a", "u12"]), st.sampled_from(["x", "y"]), st.sampled_from(["todo", "cat"])
)
def test_linkers_are_found_by_whose_the_other_end_is(
    everybody: Mapping[str, tuple[str, ...]], creator: str, other: str, type: str
) -> None:
    asked = scope({"*": {k: [*v] for k, v in everybody.items()}})
    linker: JsonObject = {
        "nstd": [{"id": "me", "type": "todo", "creatorid": "u1"}, {"id": other, "type": type, "creatorid": creator}]
    }
    assert matches(asked.linked("me"), linker) is asked.touches(type, other, creator, None)


@given(st.text("abu1_:", max_size=6), st.text("abu1_:", max_size=6))
def test_a_placed_id_stays_where_it_is(user_id: str, id: str) -> None:
    asked = Scope(user_id, confined([{"todo": ["OWN"]}]))
    placed = asked.placed("todo", id)
    assert placed in (id, f"{user_id}_{id}")
    assert asked.placed("todo", placed) == placed
    assert asked.placed("cat", id) == id


def test_every_declared_secret_of_a_user_is_hidden_from_users() -> None:
    secrets = [name for name in types.spec_of("user").fields if name.startswith(("idp", "twoFA"))]
    wire: JsonObject = {"id": "u", "type": "user", **dict.fromkeys(secrets, "x")}
    assert set(parse_object(stripped(dump(wire)))) <= {"id", "type", "twoFA"}
