"""What users and guests may do at `/v1`, how it is granted, and how a refusal says why (identity.md 5, 10, 11, 16)."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from paraclient import ParaClient, ParaObject

from support.client import Client, Reply
from support.listening import Listening, listening
from support.people import Person, person
from support.sign import Signer
from thingstead.doors.objects import app as objects_app
from thingstead.doors.things.resources import resources
from thingstead.model.resource_names import encoded

READ = ["GET"]
WRITE = ["POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects_app) as opened:
        yield opened


class Tenant:
    """An app of its own, its owner's client, and its people."""

    def __init__(self, door: Listening, name: str) -> None:
        made = door.run(door.backend.tenants.create(name))
        self.door, self.name, self.secret = door, name, made[1]
        self.owner = Client(door.url, Signer(f"app:{name}", self.secret))
        self.guest = Client(door.url)

    def person(self, name: str, groups: str = "users") -> Person:
        return person(self.door, self.name, name, groups)

    def grant(self, subject: str, resource: str, methods: list[str]) -> Any:
        reply = self.owner.send("PUT", f"/v1/_permissions/{quote(subject)}/{encoded(resource)}", methods)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def asks(self, method: str, path: str, body: Any = None) -> Reply:
        """As a guest."""
        return self.guest.send(method, path, body, Authorization=f"Anonymous app:{self.name}")

    def put(self, type: str, id: str, **members: Any) -> None:
        assert self.owner.send("PUT", f"/v1/{type}/{id}", {"name": id, **members}).status_code in (200, 201)


NUMBERS = iter(range(1000))


@pytest.fixture
def tenant(door: Listening) -> Tenant:
    return Tenant(door, f"tenant{next(NUMBERS)}")


def refused(reply: Reply, rule: str, right: str = "") -> None:
    body = reply.json()
    assert reply.status_code == 403, reply.text
    assert list(body) == ["code", "message"]
    header = reply.headers["X-Thingstead-Refused"]
    assert f"rule={rule}" in header, header
    assert right in header


# --- 10.6


def test_endpoints_answer_as_clients_expect(tenant: Tenant) -> None:
    app = tenant.owner
    assert app.send("GET", "/v1/_permissions").text == "{}"
    assert app.send("GET", "/v1/_permissions/222").text == '{"222":{}}'
    assert tenant.grant("222", "dog", ["POST", "DELETE"]) == {"222": {"dog": ["POST", "DELETE"]}}
    assert tenant.grant("*", "*", READ) == {"*": {"*": READ}}
    assert tenant.grant("222", "/cat/", ["w", "GET"]) == {
        "222": {"dog": ["POST", "DELETE"], "cat": ["*"]},
        "*": {"*": READ},
    }
    whole = app.send("GET", "/v1/_permissions").json()
    assert whole == {"222": {"dog": ["POST", "DELETE"], "cat": ["*"]}, "*": {"*": READ}}
    assert app.send("GET", "/v1/_permissions/nobody").json() == {"nobody": {}, "*": {"*": READ}}
    for resource in (encoded("dog"), "ZG9n", "dog"):
        assert app.send("DELETE", f"/v1/_permissions/222/{resource}").json()["222"] == {"cat": ["*"]}
    assert app.send("DELETE", "/v1/_permissions/222/Y2F0").json() == {"222": {}, "*": {"*": READ}}
    assert app.send("GET", "/v1/_permissions").json() == {"*": {"*": READ}}
    assert app.send("DELETE", "/v1/_permissions/*").text == '{"*":{}}'
    assert app.send("GET", "/v1/_permissions").text == "{}"
    assert app.send("GET", "/v1/_me").json()["resourcePermissions"] == {}


def test_a_grant_registers_its_type_and_no_word_that_is_none(tenant: Tenant) -> None:
    for resource in ("goose/1", "*", "_batch", "utils/timestamp", "search", "users", "address"):
        tenant.grant("u1", resource, READ)
    assert tenant.owner.send("GET", "/v1/_me").json()["datatypes"] == {"gooses": "goose"}
    tenant.grant("u1", "gooses", READ)
    assert tenant.owner.send("GET", "/v1/_me").json()["datatypes"] == {"gooses": "goose"}


def test_resources_in_every_encoding(tenant: Tenant) -> None:
    for resource, segment in (
        ("utils/timestamp", "utils%2Ftimestamp"),
        ("todo/*", base64.urlsafe_b64encode(b"todo/*").decode()),
        ("a.b/c d", quote("a.b/c d", safe="")),
        ("dogs/ü", encoded("dogs/ü")),
    ):
        reply = tenant.owner.send("PUT", f"/v1/_permissions/u1/{segment}", READ)
        assert reply.json()["u1"][resource] == READ
        assert tenant.owner.send("GET", f"/v1/_permissions/u1/{segment}/GET").text == "true"
        assert resource not in tenant.owner.send("DELETE", f"/v1/_permissions/u1/{segment}").json()["u1"]


BAD: list[tuple[str, str, Any, str]] = [
    ("PUT", "/v1/_permissions/u1/dog", [], "No allowed methods specified."),
    ("PUT", "/v1/_permissions/u1/dog", ["", " "], "No allowed methods specified."),
    ("PUT", "/v1/_permissions/u1/dog", {"a": 1}, "a JSON array"),
    ("PUT", "/v1/_permissions/u1/dog", [1], "must be a text"),
    ("PUT", "/v1/_permissions/u1/dog", b"", "Missing request body."),
    ("PUT", "/v1/_permissions/u1/%20", READ, "blank"),
    ("PUT", "/v1/_permissions/u1/Lw", READ, "blank"),  # /
    ("DELETE", "/v1/_permissions/u1/IA", None, "blank"),  # a space: not everything
    ("GET", "/v1/_permissions/u1/%2F/GET", None, "blank"),
    ("PUT", "/v1/_permissions/%20/dog", READ, "subject is blank"),
    ("PUT", "/v1/_permissions/u1/dog%0Ax", READ, "control"),
    ("GET", "/v1/_permissions/explain?method=GET", None, "'resource' or 'path' is missing"),
    ("GET", "/v1/_permissions/explain?path=/v1/a//b", None, "segment"),
]


@pytest.mark.parametrize(("method", "path", "body", "message"), BAD)
def test_what_cannot_be_granted(door: Listening, method: str, path: str, body: Any, message: str) -> None:
    root = Client(door.url, door.root)
    before = door.totals()
    reply = root.send(method, path, body)
    assert reply.status_code == 400, reply.text
    assert message in reply.json()["message"]
    assert door.totals() == before


def test_concurrent_grants_lose_nothing(tenant: Tenant) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: tenant.grant(f"u{n % 4}", f"kind{n}", READ), range(24)))
    held = tenant.owner.send("GET", "/v1/_permissions").json()
    assert sum(len(resources) for resources in held.values()) == 24


def test_a_patched_map_follows_the_same_rules(tenant: Tenant) -> None:
    path = f"/v1/app/{tenant.name}"
    given = {"u1": {"/dog/": ["get", "w"]}, "u2": {}, "*": {"cat": ["?", "GET"]}}
    assert tenant.owner.send("PATCH", path, {"resourcePermissions": given}).status_code == 200
    assert tenant.owner.send("GET", "/v1/_permissions").json() == {"u1": {"dog": ["*"]}, "*": {"cat": ["?", "GET"]}}
    for wrong in ([], {"u1": {"dog": []}}, {"u1": {"dog": "GET"}}, {"u1": 7}):
        reply = tenant.owner.send("PATCH", path, {"resourcePermissions": wrong})
        assert (reply.status_code, reply.json()["code"]) == (400, 400)
    tenant.owner.send("PATCH", path, {"name": "kept"})
    assert tenant.owner.send("GET", "/v1/_permissions").json()["u1"] == {"dog": ["*"]}
    tenant.owner.send("PATCH", path, {"resourcePermissions": {}})
    assert tenant.owner.send("GET", "/v1/_permissions").text == "{}"


def test_the_python_client(door: Listening, tenant: Tenant) -> None:
    para: Any = ParaClient(f"app:{tenant.name}", tenant.secret)
    guest: Any = ParaClient(f"app:{tenant.name}", "")
    for client in (para, guest):
        client.setEndpoint(door.url)
    assert para.resourcePermissions() == {}
    assert "dog" in para.grantResourcePermission("u1", "dog", ["POST", "DELETE"])["u1"]
    assert para.grantResourcePermission("u2", "*", ["POST"])["u2"] == {"*": ["POST"]}
    para.grantResourcePermission("*", "*", ["GET"])
    assert para.isAllowedTo("u1", "dog", "POST")
    assert not para.isAllowedTo("u1", "dog", "GET")
    assert para.isAllowedTo("u1", "cat", "GET")
    assert not para.isAllowedTo("u1", "cat", "PUT")
    assert not para.isAllowedTo("u2", "cat", "GET")
    assert list(para.revokeResourcePermission("u1", "dog")["u1"].keys()) == []
    assert "u1" not in para.resourcePermissions()
    assert para.resourcePermissions("u1")["u1"] == {}
    assert para.revokeAllResourcePermissions("u2")["u2"] == {}
    assert not guest.isAllowedTo("*", "utils/timestamp", "POST")
    assert not guest.getTimestamp()
    para.grantResourcePermission("*", "utils/timestamp", ["GET"], True)
    assert int(guest.getTimestamp()) > 0
    assert guest.isAllowedTo("*", "utils/timestamp", "GET")
    assert not guest.newId()
    assert guest.create(ParaObject("x", "dog")) is None
    assert para.revokeAllResourcePermissions("*") == {"*": {}}
    assert not guest.getTimestamp()


def test_checks_are_open_to_users_and_to_guests_about_everybody(tenant: Tenant) -> None:
    jane = tenant.person("jane")
    tenant.grant("u9", "dog", READ)
    for path, told in (
        (f"{jane.id}/{encoded(f'/user/{jane.id}')}/GET", "true"),
        (f"{jane.id}/{encoded(f'/user/{jane.id}a')}/GET", "false"),
        ("u9/dog/get", "true"),
        ("u9/dog/PUT", "false"),
        ("*/dog/GET", "false"),
        (f"{jane.id}/_newkeys/POST", "false"),
        (f"{jane.id}/_me/GET", "true"),
    ):
        reply = jane.send("GET", f"/v1/_permissions/{path}")
        assert (reply.status_code, reply.text) == (200, told), path
        assert reply.headers["Content-Type"].startswith("text/plain")
    assert tenant.asks("GET", "/v1/_permissions/*/dog/GET").text == "false"
    assert tenant.asks("GET", "/v1/_permissions/u9/dog/GET").status_code == 403
    assert tenant.asks("GET", "/v1/_permissions/*").status_code == 403
    assert jane.send("GET", f"/v1/_permissions/{jane.id}").status_code == 403


# --- 10.3, 10.4, 11


def test_a_person_without_grants_has_what_is_implied(tenant: Tenant) -> None:
    jane, joe = tenant.person("jane"), tenant.person("joe")
    tenant.put("dog", "rex", parentid=jane.id)
    tenant.put("dog", "max", parentid=joe.id)
    assert jane.send("GET", "/v1/_me").json()["id"] == jane.id
    assert jane.send("GET", "/v1/").status_code == 200
    for path in (f"users/{jane.id}", f"user/{jane.id}", f"_id/{jane.id}", "dog/rex", "dogs/rex", "_id/rex"):
        assert jane.send("GET", f"/v1/{path}").status_code == 200, path
    assert jane.send("PATCH", "/v1/dog/rex", {"name": "Rex"}).status_code == 200
    children = jane.send("GET", f"/v1/users/{jane.id}/links/dog?childrenonly")
    assert (children.status_code, children.json()["totalHits"]) == (200, 1)
    for method, path in (
        ("GET", "dogs"),
        ("GET", "dog/max"),
        ("GET", "_id/max"),
        ("PUT", "dog/rex"),
        ("POST", "dogs"),
        ("GET", f"users/{joe.id}"),
        ("GET", f"users/{jane.id}/links/dog"),
        ("GET", f"users/{joe.id}/links/dog?childrenonly"),
        ("GET", "utils/newid"),
        ("GET", "_types"),
        ("GET", "search"),
        ("DELETE", f"_permissions/{jane.id}"),
    ):
        refused(jane.send(method, f"/v1/{path}", {"name": "x"}), "no grant", "right=")
    message = jane.send("GET", "/v1/dogs?q=*").json()["message"]
    assert message == f"You don't have permission to access this resource. [user: {jane.id}, resource: GET /v1/dogs]"
    assert jane.send("DELETE", "/v1/dog/rex").status_code == 200
    assert jane.send("DELETE", "/v1/dog/max").status_code == 403


def test_grants_open_and_own_lists_cap(tenant: Tenant) -> None:
    jane, joe = tenant.person("jane"), tenant.person("joe")
    tenant.put("dog", "rex")
    tenant.put("cat", "tom")
    tenant.grant(jane.id, "dog", WRITE)
    tenant.grant("*", "*", READ)
    assert jane.send("PUT", "/v1/dogs/rex", {"name": "Rex"}).status_code == 200
    refused(jane.send("GET", "/v1/dogs"), f"{jane.id}'s own list on dog caps it", "right=GET dog")
    assert jane.send("GET", "/v1/cats/tom").status_code == 200
    assert jane.send("HEAD", "/v1/cats/tom").status_code == 200
    assert joe.send("GET", "/v1/dogs/rex").status_code == 200
    refused(joe.send("DELETE", "/v1/dogs/rex"), "no grant", "right=DELETE dog/rex")
    tenant.grant(joe.id, "cat", ["-"])
    for path in ("cats", "cat/tom", "cats/tom", "_id/tom", "dog/tom"):
        refused(joe.send("GET", f"/v1/{path}"), f"{joe.id} is denied cat")


def test_the_type_that_an_object_has_decides_not_the_one_that_a_path_names(tenant: Tenant) -> None:
    jane = tenant.person("jane")
    tenant.put("secret", "s1")
    tenant.grant(jane.id, "dog", ["*"])
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("DELETE", None)):
        refused(jane.send(method, "/v1/dogs/s1", body), "no grant", "secret/s1")
    refused(jane.send("POST", "/v1/dogs", {"id": "s1"}), "no grant", "PUT ")
    assert jane.send("POST", "/v1/dogs", {"id": "d1"}).status_code == 201
    assert tenant.owner.send("GET", "/v1/secret/s1").json()["name"] == "s1"


def test_administration_takes_a_grant_that_names_it(door: Listening, tenant: Tenant) -> None:
    jane, boss = tenant.person("jane"), tenant.person("boss", "admins")
    tenant.put("webhooks", "w1", targetUrl="https://example.com/x", create=True)
    tenant.grant(jane.id, "*", ["*"])
    closed = [
        ("GET", "_settings", None),
        ("PUT", "_settings/a", {"value": 1}),
        ("GET", "_export", None),
        ("POST", "_reindex", None),
        ("GET", "_permissions", None),
        ("GET", f"_permissions/{jane.id}", None),
        ("PUT", f"_permissions/{jane.id}/_settings", READ),
        ("PUT", "_constraints/dog/a/required", {}),
        ("POST", "_emails", {}),
        ("GET", f"app/{tenant.name}", None),
        ("GET", f"dog/app:{tenant.name}", None),
        ("GET", f"_id/app:{tenant.name}", None),
        ("PATCH", f"dog/app:{tenant.name}", {"resourcePermissions": {}}),
        ("GET", "webhooks", None),
        ("GET", "webhook/w1", None),
        ("GET", "dog/w1", None),
        ("GET", "_id/w1", None),
        ("POST", "webhookish", {"type": "webhook", "targetUrl": "https://example.com"}),
        ("GET", "search?type=webhook", None),
        ("GET", f"users/{jane.id}/links/webhook?childrenonly", None),
    ]
    for method, path, body in closed:
        reply = jane.send(method, f"/v1/{path}", body)
        assert reply.status_code == 403, (method, path, reply.text)
    assert jane.send("POST", "/v1/_newkeys").json() == {"code": 401, "message": "Not an app."}
    assert boss.send("POST", "/v1/_newkeys").status_code == 401
    assert jane.send("GET", "/v1/_setup/x").json()["message"] == "Only root app can create and initialize other apps."
    assert boss.send("GET", "/v1/_setup/x").status_code == 403
    for method, path, body in (("GET", "_settings", None), ("GET", "webhook/w1", None), ("GET", "_permissions", None)):
        assert boss.send(method, f"/v1/{path}", body).status_code == 200, path
    assert boss.send("PUT", f"/v1/_permissions/{jane.id}/_settings", READ).status_code == 200
    assert jane.send("GET", "/v1/_settings").status_code == 200
    assert jane.send("PUT", "/v1/_settings/a", {"value": 1}).status_code == 403
    # what is reached through others
    tenant.put("dog", "rex")
    assert [found["id"] for found in jane.send("GET", "/v1/_batch?ids=w1&ids=rex").json()] == ["rex"]
    assert jane.send("PATCH", "/v1/_batch", [{"id": "w1", "targetUrl": "https://evil.example"}]).json() == []
    assert jane.send("POST", "/v1/_batch", [{"id": "w1", "type": "dog"}, {"id": "w2", "type": "webhook"}]).json() == []
    assert jane.send("DELETE", "/v1/_batch?ids=w1").status_code == 200
    assert tenant.owner.send("GET", "/v1/webhook/w1").json()["targetUrl"] == "https://example.com/x"
    everything = jane.send("GET", "/v1/search?limit=100").json()
    assert "webhook" not in {found["type"] for found in everything["items"]}
    assert everything["totalHits"] == len(everything["items"])
    assert "webhook" in {found["type"] for found in boss.send("GET", "/v1/search?limit=100").json()["items"]}
    assert jane.send("GET", "/v1/search/ids?ids=w1&ids=rex").json()["totalHits"] == 1
    tenant.grant(jane.id, "webhooks", READ)
    assert jane.send("GET", "/v1/_id/w1").status_code == 200
    assert "webhook" in {found["type"] for found in jane.send("GET", "/v1/search?limit=100").json()["items"]}


def test_guests(tenant: Tenant) -> None:
    tenant.put("dog", "rex")
    tenant.put("secret", "s1")
    tenant.grant("*", "dog", ["*"])
    assert tenant.asks("GET", "/v1/dogs").status_code == 403
    tenant.grant("*", "dog", ["GET", "?"])
    assert tenant.asks("GET", "/v1/dogs/rex").json()["name"] == "rex"
    assert tenant.guest.send("GET", f"/v1/dogs?accessKey=app:{tenant.name}").json()["totalHits"] == 1
    reply = tenant.asks("PUT", "/v1/dogs/rex", {"name": "x"})
    assert "X-Thingstead-Refused" not in reply.headers
    told = "You don't have permission to access this resource. [user: [GUEST], resource: PUT /v1/dogs/rex]"
    assert (reply.status_code, reply.json()["message"]) == (403, told)
    assert tenant.asks("GET", "/v1/dogs/s1").status_code == 403
    assert tenant.asks("GET", "/v1/_me").status_code == 401
    assert tenant.asks("POST", "/v1/_newkeys").status_code == 401
    assert tenant.asks("GET", "/v1/").status_code == 403
    tenant.grant("*", "*", ["*", "?"])
    tenant.grant("*", "_settings", ["*", "?"])
    assert tenant.asks("GET", "/v1/secret/s1").status_code == 200
    assert tenant.asks("POST", "/v1/dogs", {"name": "new"}).status_code == 201
    for path in ("_settings", "_permissions", "_export", "webhooks", f"app/{tenant.name}"):
        assert tenant.asks("GET", f"/v1/{path}").status_code == 403, path


def test_the_root_app_grants_nobody_anything(door: Listening) -> None:
    root, guest = Client(door.url, door.root), Client(door.url)
    jane = person(door, "para", "jane", "admins")
    for subject in ("*", jane.id):
        root.send("PUT", f"/v1/_permissions/{subject}/Kg", ["*", "?"])
    try:
        assert jane.send("GET", "/v1/_me").status_code == 200
        assert jane.send("GET", f"/v1/user/{jane.id}").status_code in (401, 403)
        assert guest.send("GET", "/v1/utils/newid", Authorization="Anonymous app:para").status_code == 403
        assert guest.send("GET", "/v1/_permissions/*/dog/GET", Authorization="Anonymous app:para").status_code == 403
        assert root.send("GET", f"/v1/_permissions/{jane.id}/dog/GET").text == "false"
    finally:
        for subject in ("*", jane.id):
            root.send("DELETE", f"/v1/_permissions/{subject}")


def test_an_app_that_is_off_or_read_only_refuses_its_people_too(door: Listening, tenant: Tenant) -> None:
    jane = tenant.person("jane")
    tenant.grant("*", "*", ["*", "?"])
    root = Client(door.url, door.root)
    assert jane.send("POST", "/v1/dogs", {"name": "x"}).status_code == 201
    root.send("PATCH", f"/v1/app/{tenant.name}", {"active": False})
    for reply in (jane.send("GET", "/v1/dogs"), tenant.asks("GET", "/v1/dogs"), tenant.owner.send("GET", "/v1/dogs")):
        told = f"App not active. [app:{tenant.name}]"
        assert (reply.status_code, reply.json()["message"]) == (403, told)


# --- why


def explained(asker: Client | Person, **params: str) -> Reply:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())
    return asker.send("GET", f"/v1/_permissions/explain?{query}")


def test_explain(tenant: Tenant) -> None:
    jane, boss = tenant.person("jane"), tenant.person("boss", "admins")
    tenant.grant(jane.id, "dog", ["POST"])
    tenant.grant("*", "*", READ)
    reply = explained(tenant.owner, subject=jane.id, resource="dogs/1", method="get")
    assert reply.json() == {
        "allowed": True,
        "rule": "granted to everybody on *",
        "subject": jane.id,
        "resource": "dog/1",
        "method": "GET",
        "grants": [
            {"subject": jane.id, "resource": "dog", "methods": ["POST"]},
            {"subject": "*", "resource": "*", "methods": ["GET"]},
        ],
        "missing": "",
    }
    why = explained(jane, path="/v1/dogs", method="DELETE").json()
    assert (why["allowed"], why["missing"]) == (False, "DELETE dog")
    assert why["rule"] == f"{jane.id}'s own list on dog caps it"
    assert explained(jane, path=f"users/{jane.id}/links/cat?childrenonly").json()["allowed"]
    assert explained(jane, resource="_settings").json()["rule"].endswith("a grant must name this resource")
    assert explained(boss, subject=jane.id, resource="dog").json()["allowed"] is False
    assert explained(boss, subject=boss.id, resource="_settings", method="PUT").json()["rule"] == "member of admins"
    assert explained(tenant.owner, resource="dog").json()["rule"] == "the app itself"
    assert explained(tenant.owner, subject="?", resource="dog").json()["rule"] == "not opened to guests with ?"
    assert explained(tenant.owner, subject=jane.id, resource="_newkeys", method="POST").json()["rule"] == "apps only"
    refused(explained(jane, subject=boss.id, resource="dog"), "users may ask about themselves")
    assert tenant.asks("GET", "/v1/_permissions/explain?resource=dog").status_code == 403
    assert tenant.owner.send("PUT", "/v1/_permissions/explain/ZG9n", READ).json()["explain"] == {"dog": READ}
    assert tenant.owner.send("GET", "/v1/_permissions/explain").json()["explain"] == {"dog": READ}
    tenant.owner.send("PATCH", f"/v1/users/{jane.id}", {"active": False})
    off = explained(tenant.owner, subject=jane.id, resource="cat").json()
    assert (off["allowed"], off["rule"]) == (False, "the user is not active")


def test_only_those_entitled_are_told_why(door: Listening, tenant: Tenant) -> None:
    root = Client(door.url, door.root)
    reply = tenant.owner.send("GET", "/v1/_setup/another")
    assert reply.headers["X-Thingstead-Refused"] == f"rule=root app only; actor=app:{tenant.name}; right=make apps"
    jane = tenant.person("jane")
    refused(jane.send("GET", "/v1/dogs/a%0D%0Ax:y;z"), "no grant", "right=GET dogs/a%0D%0Ax:y%3Bz")
    assert "X-Thingstead-Refused" not in Client(door.url).send("GET", "/v1/dogs").headers
    assert "X-Thingstead-Refused" not in tenant.asks("GET", "/v1/dogs").headers
    forged = Client(door.url, Signer(f"app:{tenant.name}", "x" * 56)).send("GET", "/v1/dogs")
    assert forged.status_code == 403
    assert "X-Thingstead-Refused" not in forged.headers
    assert list(forged.json()) == ["code", "message"]
    root.send("PATCH", f"/v1/app/{tenant.name}", {"active": False})
    assert "rule=active" in tenant.owner.send("GET", "/v1/dogs").headers["X-Thingstead-Refused"]


def test_a_wrong_signature_is_answered_with_what_was_signed_here(tmp_path: Path) -> None:
    with listening(tmp_path, objects_app, debug_request_signatures=True) as door:
        reply = Client(door.url, Signer("app:para", "x" * 56)).send("GET", "/v1/dogs?q=a")
        body = reply.json()
        assert reply.status_code == 403
        assert body["canonicalRequest"].startswith("GET\n/v1/dogs\nq=a\nhost:")
        assert "x" * 56 not in reply.text


# --- settings


def test_a_wildcard_covers_administration_where_it_is_told_to(tmp_path: Path) -> None:
    with listening(tmp_path, objects_app, wildcard_covers_admin=True) as door:
        tenant = Tenant(door, "myapp")
        jane = tenant.person("jane")
        tenant.grant(jane.id, "*", ["*"])
        assert jane.send("GET", "/v1/_settings").status_code == 200
        assert jane.send("POST", "/v1/_newkeys").status_code == 401
        assert tenant.asks("GET", "/v1/_settings").status_code == 403


def test_public_paths_replace_the_list(tmp_path: Path) -> None:
    ignored = ["/v1/_health", "/v1/utils/**", "/v1/dogs/*", "/v1/_settings", "/v1/webhooks/**"]
    with listening(tmp_path, objects_app, security_ignored=ignored) as door:
        tenant = Tenant(door, "myapp")
        jane = tenant.person("jane")
        tenant.put("dog", "rex")
        nobody = tenant.guest
        assert nobody.send("GET", "/v1/_health").status_code == 200
        for path in ("/v1", "/v1/_setup", "/v1/_openapi"):
            assert nobody.send("GET", path).status_code == 401, path
        assert tenant.owner.send("GET", "/v1/_openapi").status_code == 200
        assert nobody.send("GET", "/v1/utils/newid").status_code == 200
        assert nobody.send("GET", "/v1/utils").status_code == 200 or nobody.send("GET", "/v1/utils").status_code == 400
        assert nobody.send("GET", "/v1/dogs/rex?accessKey=app:myapp").json()["name"] == "rex"
        assert nobody.send("GET", "/v1/dogs/rex").status_code == 404  # of the default app
        assert nobody.send("GET", "/v1/dogs").status_code == 401
        assert nobody.send("GET", "/v1/utils%2Fnewid").status_code == 401
        assert jane.send("GET", "/v1/dogs/rex").status_code == 200
        assert jane.send("GET", "/v1/dogs").status_code == 403
        assert tenant.asks("GET", "/v1/_settings").status_code == 403
        assert tenant.asks("GET", "/v1/webhooks/x").status_code == 403


def test_below_a_thing_too(tmp_path: Path) -> None:
    with listening(tmp_path, lambda backend: objects_app(backend, resources(backend))) as door:
        tenant = Tenant(door, "myapp")
        jane = tenant.person("jane")
        tenant.put("things", "t1")
        tenant.grant(jane.id, "things", READ)
        for path in ("things/t1", "things/t1/readings", "things/myapp:t1/shadow", "thing/t1/sensors"):
            assert jane.send("GET", f"/v1/{path}").status_code in (200, 404), path
        assert jane.send("POST", "/v1/things/t1/shadow", {"state": {"desired": {"a": 1}}}).status_code == 403
        tenant.grant(jane.id, "things/t1", ["-"])
        tenant.grant(jane.id, "things", ["PUT"])
        for path in ("things/t1", "things/t1/readings", "things/myapp:t1/shadow", "things/myapp:t1"):
            assert jane.send("GET", f"/v1/{path}").status_code == 403, path


def test_json_of_a_refusal_is_untouched(tenant: Tenant) -> None:
    jane = tenant.person("jane")
    assert list(json.loads(jane.send("GET", "/v1/dogs").content)) == ["code", "message"]
