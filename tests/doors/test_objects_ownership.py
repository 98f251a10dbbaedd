"""What signed-in users touch and see at `/v1` under `OWN` and without it (identity.md 7.1, 7.2, 10.5, 11, 16), sent as
clients send it; what is refused changes nothing."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.client import Client, Reply
from support.listening import Listening, listening
from support.members import Member
from support.sign import Signer
from thingstead.doors import objects
from thingstead.model.users import Delegated, Profile

APP = "app:shop"
GRANTS: dict[str, list[str]] = {
    "todo": ["*", "OWN"],
    "todo/*": ["*", "OWN"],
    "cat": ["*", "?"],
    "note": ["*", "?", "OWN"],
    "search": ["GET"],
    "_batch": ["*"],
    "_id/*": ["GET"],
    "_types": ["GET"],
    "sysprop": ["*"],
    "linker": ["GET"],
    "user": ["*"],
    "vote": ["*"],
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create("shop"))
    client = Client(door.url, Signer(APP, secret))
    for resource, methods in GRANTS.items():
        door.run(door.backend.tenants.grant("shop", "*", resource, methods))
    return client


@pytest.fixture(scope="module")
def ann(door: Listening, app: Client) -> Member:
    return Member(door.url, app, "ann")


@pytest.fixture(scope="module")
def bob(door: Listening, app: Client) -> Member:
    return Member(door.url, app, "bob")


@pytest.fixture(scope="module")
def admin(door: Listening, app: Client) -> Member:
    return Member(door.url, app, "root", "admins")


@pytest.fixture(scope="module")
def todos(ann: Member, bob: Member) -> dict[Member, list[str]]:
    """Two todos of each."""
    made: dict[Member, list[str]] = {}
    for who in (ann, bob):
        made[who] = []
        for n in range(2):
            reply = who.send("POST", "/v1/todos", {"id": f"todo_{n}", "name": f"word{n}", "text": f"word{n}"})
            assert reply.status_code == 201, reply.content
            made[who].append(reply.json()["id"])
    return made


def message(reply: Reply) -> tuple[int, str]:
    return reply.status_code, reply.json()["message"]


# --- the facts of the Java suite (identity.md 16)


def test_ids_and_creators(ann: Member, bob: Member, app: Client, todos: dict[Member, list[str]]) -> None:
    assert todos[ann] == [f"{ann.id}_todo_0", f"{ann.id}_todo_1"]
    made = ann.send("POST", "/v1/todos", {"id": "x", "creatorid": bob.id, "appid": "other"})
    assert made.headers["Location"] == f"/v1/todos/{ann.id}_x"
    assert (made.json()["creatorid"], made.json()["appid"]) == (ann.id, "shop")
    again = ann.send("POST", "/v1/todos", {"id": f"{ann.id}_x"})
    assert again.json()["id"] == f"{ann.id}_x"
    cat = ann.send("POST", "/v1/cats", {"id": "tom", "creatorid": bob.id}).json()
    assert (cat["id"], cat["creatorid"]) == ("tom", ann.id)
    batch = ann.send(
        "POST", "/v1/_batch", [{"type": "todo", "id": "b", "creatorid": bob.id}, {"type": "cat", "id": "c"}]
    )
    assert [(each["id"], each["creatorid"]) for each in batch.json()] == [(f"{ann.id}_b", ann.id), ("c", ann.id)]
    new = ann.send("PUT", "/v1/todos/put", {"name": "n"})
    assert (new.status_code, new.json()["id"]) == (200, f"{ann.id}_put")
    for id in ("x", "b", "put"):
        assert ann.send("DELETE", f"/v1/todos/{ann.id}_{id}").status_code == 200
    for id in ("tom", "c"):
        app.send("DELETE", f"/v1/cats/{id}")


def test_a_user_reads_itself_by_id_alone(ann: Member) -> None:
    assert ann.send("GET", f"/v1/_id/{ann.id}").json()["id"] == ann.id
    assert ann.send("GET", f"/v1/users/{ann.id}").json()["id"] == ann.id
    assert ann.send("GET", "/v1/_me").json()["id"] == ann.id


# --- what is another's


def test_one_object(ann: Member, bob: Member, app: Client, admin: Member, todos: dict[Member, list[str]]) -> None:
    own, theirs = todos[ann][0], todos[bob][0]
    before = app.send("GET", f"/v1/todos/{theirs}").content
    for path in (f"todos/{theirs}", f"todo/{theirs}", f"_id/{theirs}"):
        reply = ann.send("GET", f"/v1/{path}")
        assert (reply.status_code, reply.json()["code"]) == (404, 404)
    assert ann.send("GET", f"/v1/cats/{theirs}").status_code == 404  # the type in a path opens nothing
    assert message(ann.send("PATCH", f"/v1/todos/{theirs}", {"name": "mine"})) == (400, "Failed to update object.")
    assert message(ann.send("PUT", f"/v1/todos/{theirs}", {"name": "mine"})) == (400, "Failed to overwrite object.")
    assert message(ann.send("DELETE", f"/v1/todos/{theirs}")) == (400, "Failed to delete object.")
    assert ann.send("PATCH", f"/v1/todos/{theirs}", {"_voteup": ann.id}).status_code == 400
    assert ann.send("PATCH", f"/v1/cats/{theirs}", {"name": "mine"}).status_code == 400
    assert ann.send("DELETE", f"/v1/cats/{theirs}").status_code == 400
    assert app.send("GET", f"/v1/todos/{theirs}").content == before
    assert ann.send("GET", f"/v1/todos/{own}").status_code == 200
    assert ann.send("GET", f"/v1/_id/{own}").status_code == 200
    assert ann.send("PATCH", f"/v1/todos/{own}", {"done": True}).json()["done"] is True
    assert ann.send("GET", "/v1/todos/none").status_code == 404
    assert admin.send("GET", f"/v1/todos/{theirs}").status_code == 200
    assert admin.send("PATCH", f"/v1/todos/{theirs}", {"seen": 1}).json()["creatorid"] == bob.id


def test_children_are_ones_own(ann: Member, bob: Member, app: Client) -> None:
    app.send("PUT", "/v1/todos/anns-child", {"parentid": ann.id})
    assert ann.send("GET", "/v1/todos/anns-child").status_code == 200
    assert bob.send("GET", "/v1/todos/anns-child").status_code == 404
    assert ann.send("DELETE", "/v1/todos/anns-child").status_code == 200


def test_batches(ann: Member, bob: Member, app: Client, todos: dict[Member, list[str]]) -> None:
    own, theirs = todos[ann], todos[bob]
    ids = "&".join(f"ids={id}" for id in (theirs[0], own[0], theirs[1], own[1], "none"))
    assert [each["id"] for each in ann.send("GET", f"/v1/_batch?{ids}").json()] == own
    body = [{"id": theirs[0], "name": "mine"}, {"id": own[0], "name": "word0", "n": 1}]
    patched = ann.send("PATCH", "/v1/_batch", body)
    assert [each["id"] for each in patched.json()] == own[:1]
    assert patched.headers["x-thingstead-skipped"] == "1"
    assert patched.headers["x-thingstead-skipped-reasons"] is None  # for apps only
    made = ann.send("POST", "/v1/_batch", [{"type": "cat", "id": theirs[0]}, {"type": "todo", "id": "new"}])
    assert [each["id"] for each in made.json()] == [f"{ann.id}_new"]
    assert made.headers["x-thingstead-skipped"] == "1"
    deleted = ann.send("DELETE", f"/v1/_batch?ids={theirs[0]}&ids={ann.id}_new&ids={theirs[1]}&ids=none")
    assert (deleted.status_code, deleted.content, deleted.headers["x-thingstead-skipped"]) == (200, b"", "2")
    assert app.send("GET", f"/v1/todos/{ann.id}_new").status_code == 404
    assert app.send("GET", f"/v1/todos/{theirs[0]}").json()["name"] == "word0"


def test_searches(ann: Member, bob: Member, app: Client, admin: Member, todos: dict[Member, list[str]]) -> None:
    own, theirs = todos[ann], todos[bob]
    both = "&".join(f"ids={id}" for id in (theirs[0], own[0]))
    like = f"like=id:{theirs[0]}&fields=properties.text"
    for path, found in {
        "todos": own,
        "todo/search": own,
        "search?type=todo": own,
        "todos?q=word0": own[:1],
        "search?q=word0": own[:1],
        "todos/search/count": [],
        f"todos/search/ids?{both}": own[:1],
        f"search/ids?{both}": own[:1],
        f"search/id?id={theirs[0]}": [],
        f"todos/search/terms?terms=creatorid:{bob.id}": [],
        f"todos/search/prefix?field=id&prefix={bob.id}": [],
        f"todos/search/similar?{like}": [],
        "todos?sort=creatorid&desc=false": own,
    }.items():
        expected = len(own) if path.endswith("count") else len(found)
        assert ann.page(f"/v1/{path}") == (sorted(found), expected), path
    first = ann.send("GET", "/v1/todos?limit=1&sort=_docid&desc=false").json()
    assert (len(first["items"]), first["totalHits"]) == (1, 2)
    rest = ann.page(f"/v1/todos?limit=5&lastKey={first['lastKey']}&desc=false")
    assert rest == (own[1:], 2)
    assert ann.page("/v1/search?q=creatorid:*&type=todo")[1] == 2
    assert admin.page("/v1/todos")[1] == 4
    counted = app.send("GET", "/v1/todos").json()["totalHits"]
    assert counted == 4
    assert ann.send("GET", "/v1/_types?count").json()["todo"] == 2


def test_links(ann: Member, bob: Member, app: Client, todos: dict[Member, list[str]]) -> None:
    own, theirs = todos[ann], todos[bob]
    app.send("PUT", "/v1/cats/kit", {"name": "kit"})
    for id in (own[0], theirs[0]):
        assert app.send("POST", f"/v1/cats/kit/links/{id}").status_code == 200
    assert ann.page("/v1/cats/kit/links/todos") == (own[:1], 1)
    assert ann.page("/v1/cats/kit/links/todos?count") == ([], 1)
    assert ann.page("/v1/cats/kit/links/todos?q=word0&field=name") == (own[:1], 1)
    assert ann.send("GET", f"/v1/cats/kit/links/todos/{own[0]}").content == b"true"
    assert ann.send("GET", f"/v1/cats/kit/links/todos/{theirs[0]}").content == b"false"
    assert ann.send("GET", f"/v1/todos/{theirs[0]}/links/cats").status_code == 404
    assert message(ann.send("POST", f"/v1/todos/{theirs[0]}/links/kit")) == (400, "Failed to create link.")
    assert message(ann.send("POST", f"/v1/cats/kit/links/{theirs[1]}")) == (400, "Failed to create link.")
    assert message(ann.send("DELETE", f"/v1/todos/{theirs[0]}/links")) == (400, "Failed to delete link.")
    assert ann.page("/v1/linkers?q=word0") == ([], 0)  # whose copies of todos are not all hers
    linker = app.send("GET", "/v1/linkers").json()["items"][0]
    assert ann.send("GET", f"/v1/linkers/{quote(linker['id'])}").status_code == 404
    assert ann.send("DELETE", "/v1/cats/kit/links/todos?all").status_code == 200
    assert app.send("GET", f"/v1/todos/{theirs[0]}").status_code == 200
    assert app.send("GET", f"/v1/todos/{own[0]}").status_code == 404
    made = ann.send("POST", "/v1/todos", {"id": "todo_0", "name": "word0", "text": "word0"})
    assert made.json()["id"] == own[0]


# --- fields


def test_what_users_write_of_themselves(ann: Member, bob: Member, app: Client) -> None:
    path = f"/v1/users/{ann.id}"
    before = app.send("GET", path).json()
    forged = {
        "groups": "admins",
        "active": False,
        "identifier": "fb:1",
        "tokenSecret": "s",
        "creatorid": bob.id,
        "idpAccessToken": "t",
        "twoFA": True,
        "twoFAkey": "k",
        "password": "x",
        "appid": "other",
    }
    assert ann.send("PATCH", path, {**forged, "name": "Ann B"}).json()["name"] == "Ann B"
    assert ann.send("PATCH", "/v1/_batch", [{**forged, "id": ann.id}]).status_code == 200
    assert ann.send("PUT", path, {**forged, "email": before["email"], "name": "Ann C"}).status_code == 200
    again = {**forged, "type": "user", "id": ann.id, "email": before["email"], "name": "ann"}
    assert len(ann.send("POST", "/v1/_batch", [again]).json()) == 1
    after = app.send("GET", path).json()
    kept = ("groups", "active", "identifier", "identityProvider", "appid", "email", "twoFA")
    assert {name: after.get(name) for name in kept} == {name: before.get(name) for name in kept}
    assert not {"idpAccessToken", "twoFAkey", "password", "tokenSecret"} & after.keys()
    assert ann.send("GET", "/v1/_me").status_code == 200  # its tokens still hold
    ann.sign_in()  # and its password
    refused = ann.send("POST", "/v1/users", {**forged, "email": "new@example.com"})
    assert refused.status_code == 400
    assert app.send("GET", "/v1/users/search/terms?terms=email:new@example.com").json()["totalHits"] == 0


def test_what_users_see_of_users(ann: Member, bob: Member, app: Client) -> None:
    secret = {"idpIdToken": "alpha1", "idpAccessToken": "beta2", "idpRefreshToken": "gamma3"}
    secret |= {"twoFAkey": "delta4", "twoFAbackupKeyHash": "epsilon5"}
    assert app.send("PATCH", f"/v1/users/{bob.id}", secret).json().items() >= secret.items()
    ids = f"ids={bob.id}"
    for path in (f"users/{bob.id}", f"_id/{bob.id}", f"_batch?{ids}", "users", f"search/ids?{ids}", "_me"):
        for who in (ann, bob):
            reply = who.send("GET", f"/v1/{path}")
            assert reply.status_code == 200, path
            assert not any(value.encode() in reply.content for value in secret.values()), path
    reply = bob.send("PATCH", f"/v1/users/{bob.id}", {"currency": "USD"})
    assert not set(secret) & reply.json().keys()
    assert not set(secret) & bob.send("GET", f"/v1/users/{bob.id}?select={','.join(secret)}").json().keys()
    for name, value in secret.items():  # nor can they be found, by anybody
        for query in (
            f"users?q={name}:{value}",
            f"search?q={value}",
            f"users/search/prefix?field={name}&prefix={value}",
        ):
            assert bob.page(f"/v1/{query}") == ([], 0)


def test_tokens_of_a_provider_are_shown_to_the_app_and_to_nobody_else(
    door: Listening, app: Client, ann: Member, admin: Member
) -> None:
    given = Delegated("opens-profiles", "renews-them", "says.who.itis")
    profile = Profile(identifier="oa2:77", email="dee@example.com", email_proven=True, name="Dee", delegated=given)
    shop = door.run(door.backend.tenants.get("shop"))
    dee = door.run(door.backend.users.signed_in(shop, profile)).id
    secret = {"idpAccessToken": "opens-profiles", "idpRefreshToken": "renews-them", "idpIdToken": "says.who.itis"}
    app.send("POST", "/v1/todos", {"id": "of-dee", "name": "linked"})
    app.send("POST", f"/v1/todos/of-dee/links/{dee}")
    paths = (f"users/{dee}", f"_id/{dee}", f"_batch?ids={dee}", "users?q=Dee", f"search/ids?ids={dee}", "search?q=Dee")
    for path in (*paths, "todos/of-dee/links/user"):
        found = app.send("GET", f"/v1/{path}").json()
        items = found if isinstance(found, list) else found.get("items", [found])
        one = next(item for item in items if item["id"] == dee)
        assert one.items() >= secret.items(), path
        assert not any(value.encode() in admin.send("GET", f"/v1/{path}").content for value in secret.values()), path
        assert not any(value.encode() in ann.send("GET", f"/v1/{path}").content for value in secret.values()), path
    assert app.send("GET", f"/v1/users/{dee}?select=idpIdToken").json() == {"idpIdToken": "says.who.itis"}
    # sent back with the rest of the user they are not stored a second time, where they could be read
    whole = app.send("GET", f"/v1/users/{dee}").json()
    for method in ("PATCH", "PUT"):
        assert app.send(method, f"/v1/users/{dee}", whole).status_code == 200
        row = door.run(door.backend.store.objects.get("shop", dee))
        assert row is not None
        assert not any(value.encode() in row.public + (row.private or b"") for value in secret.values())
    assert app.send("GET", f"/v1/users/{dee}").json().items() >= secret.items()
    for name, value in secret.items():  # nor can they be found
        for query in (f"users?q={name}:{value}", f"search?q={value}", f"users/search/prefix?field={name}&prefix=o"):
            assert app.send("GET", f"/v1/{query}").json()["totalHits"] == 0, query
    # nor are they in an archive
    reply = app.send("GET", "/v1/_export")
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        told = b"".join(archive.read(name) for name in archive.namelist())
    assert dee.encode() in told
    assert not any(value.encode() in told for value in secret.values())


def test_what_users_see_of_identifiers(ann: Member, bob: Member, app: Client, admin: Member) -> None:
    held = f"/v1/sysprops/{quote(ann.identifier)}"
    stored = app.send("GET", held).json()
    assert stored["password"].startswith("$2b$")
    for who in (ann, bob, admin):
        seen = who.send("GET", held).json()
        assert (seen["id"], seen["creatorid"], seen["name"]) == (ann.identifier, ann.id, "identifier")
        assert not {"password", "token", "etoken", "lockedUntil"} & seen.keys()
        assert stored["password"].encode() not in who.send("GET", f"/v1/_batch?ids={quote(ann.identifier)}").content
        for body in ({"password": "x"}, {"name": "x"}, {"properties": {}}, {"creatorid": bob.id}):
            assert message(who.send("PATCH", held, body)) == (400, "Failed to update object.")
            assert message(who.send("PUT", held, body)) == (400, "Failed to overwrite object.")
        assert message(who.send("DELETE", held)) == (400, "Failed to delete object.")
        assert message(who.send("POST", f"{held}/links/{bob.id}")) == (400, "Failed to create link.")
        assert who.send("DELETE", f"/v1/_batch?ids={quote(ann.identifier)}").headers["x-thingstead-skipped"] == "1"
        assert who.send("PATCH", "/v1/_batch", [{"id": ann.identifier, "password": "x"}]).json() == []
        forged = {"id": "victim@example.com", "name": "identifier", "password": stored["password"]}
        assert who.send("POST", "/v1/sysprops", forged).status_code == 400
        assert who.send("POST", "/v1/_batch", [{**forged, "type": "sysprop"}]).json() == []
        plain = who.send("POST", "/v1/sysprops", {**forged, "id": "plain", "name": "p"}).json()
        assert message(who.send("PATCH", f"/v1/sysprops/{plain['id']}", {"name": "identifier"}))[0] == 400
        assert who.send("DELETE", f"/v1/sysprops/{plain['id']}").status_code == 200
    assert app.send("GET", held).json() == stored
    assert app.send("GET", "/v1/_id/victim%40example.com").status_code == 404


def test_what_is_hidden_cannot_be_searched_for(ann: Member, bob: Member, app: Client) -> None:
    hash = app.send("GET", f"/v1/sysprops/{quote(bob.identifier)}").json()["password"]
    app.send("PUT", "/v1/sysprops/plain", {"name": "plain", "password": hash})
    word = max(re.findall("[A-Za-z0-9]+", hash), key=len)  # the rest may be operators of a query
    for query in (
        *("q=properties.password:*", "q=name:identifier", f"q={word}", "q=properties.password:[* TO *]"),
        *(f'q="{hash}"', f'q=properties.password:"{hash}"'),
        *("q=properties.password:$2b$*", "q=_exists_:properties.password"),
    ):
        items = ann.page(f"/v1/sysprops?{quote(query, safe='=')}")[0]
        assert not {ann.identifier, bob.identifier} & set(items), query
    for path in (
        "sysprops?sort=properties.password",
        "sysprops?sort=properties.lockedUntil&desc=false",
        "sysprops/search/wildcard?field=properties.password&q=$2b*",
        f"sysprops/search/prefix?field=properties.password&prefix={quote(hash[:5])}",
        f"sysprops/search/terms?terms=properties.password:{quote(hash)}",
        f"sysprops/search/in?field=properties.password&terms={quote(hash)}",
        f"search/ids?ids={quote(bob.identifier)}",
        f"sysprops/search/id?id={quote(bob.identifier)}",
    ):
        items, total = ann.page(f"/v1/{path}")
        assert not {ann.identifier, bob.identifier} & set(items), path
        assert total == len(items)
    like = f"like=id:{quote(bob.identifier)}&fields=properties.password"
    assert ann.page(f"/v1/sysprops/search/similar?{like}") == ([], 0)
    # a link keeps copies of its ends, which users do not see, and without hashes
    linker = app.send("POST", f"/v1/cats/kit/links/{quote(bob.identifier)}").text
    copy = app.send("GET", f"/v1/linkers/{quote(linker)}").content
    assert hash.encode() not in copy
    assert ann.page(f"/v1/linkers/search/nested?field=properties.password&q={word}") == ([], 0)
    app.send("DELETE", "/v1/sysprops/plain")


# --- votes, guests


def test_users_vote_for_themselves(ann: Member, bob: Member, app: Client) -> None:
    app.send("PUT", "/v1/cats/voted", {"name": "v"})
    assert ann.send("PATCH", "/v1/cats/voted", {"_voteup": ann.id}).content == b"true"
    for voter in (bob.id, "", "nobody"):
        refused = message(ann.send("PATCH", "/v1/cats/voted", {"_voteup": voter}))
        assert refused == (400, "Users can vote only in their own name.")
    forged = {"id": f"vote:{bob.id}:voted", "parentid": "voted", "value": "down", "lockedAfter": 1, "expiresAfter": 0}
    ann.send("POST", "/v1/votes", {**forged, "creatorid": bob.id})
    assert bob.send("PATCH", "/v1/cats/voted", {"_voteup": bob.id}).content == b"true"
    assert app.send("GET", "/v1/cats/voted").json()["votes"] == 2


def test_guests(door: Listening, ann: Member, app: Client) -> None:
    guest = Client(door.url)

    def send(method: str, path: str, body: Any = None) -> Reply:
        return guest.send(method, path, body, Authorization=f"Anonymous {APP}")

    note = ann.send("POST", "/v1/notes", {"name": "n"}).json()["id"]
    assert send("GET", f"/v1/notes/{note}").status_code == 404
    assert json.loads(send("GET", "/v1/notes").content)["totalHits"] == 0
    assert send("DELETE", f"/v1/notes/{note}").status_code == 400
    cat = send("POST", "/v1/cats", {"creatorid": ann.id, "name": "stray"})
    assert cat.status_code == 201
    assert "creatorid" not in cat.json()
    assert send("PATCH", f"/v1/cats/{cat.json()['id']}", {"_voteup": ann.id}).status_code == 400


def test_deleting_oneself(door: Listening, app: Client) -> None:
    carl = Member(door.url, app, "carl")
    assert carl.send("DELETE", f"/v1/users/{carl.id}").status_code == 200
    assert carl.send("GET", "/v1/_me").status_code == 401
    assert app.send("GET", f"/v1/_id/{quote(carl.identifier)}").status_code == 404
