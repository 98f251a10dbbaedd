"""The objects door says on the wire what objects.md 1-6, 9 and identity.md 3, 12 say, to the byte if clients look."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from support.backend import ROOT_SECRET
from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.core.backend import Backend
from thingstead.core.resources import Entry, ResourceAnswer, ResourceRequest
from thingstead.doors import objects
from thingstead.model.errors import InvalidInput
from thingstead.transports.http import AsgiApp

APP = "wire"


async def echo(request: ResourceRequest) -> ResourceAnswer:
    """A resource that tells what it was given."""
    if request.body == b"bad":
        raise InvalidInput("no good")
    told = {
        "method": request.method,
        "segments": request.segments,
        "query": request.query,
        "body": request.body.decode(),
        "app": request.app,
        "principal": [request.principal.kind, request.principal.id],
    }
    return ResourceAnswer(201, json.dumps(told).encode(), [("X-Echo", "1")])


def door_with_resource(backend: Backend) -> AsgiApp:
    entry = Entry(frozenset({"GET", "POST"}), echo, own=frozenset({"POST"}))
    return objects.app(backend, {("things", None, "echo"): entry})


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), door_with_resource, max_batch_delete=5) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create(APP))
    return Client(door.url, Signer(f"app:{APP}", secret))


@pytest.fixture(scope="module")
def root(door: Listening) -> Client:
    return Client(door.url, door.root)


# --- one object


def test_the_life_of_an_object(app: Client) -> None:
    made = app.send("POST", "/v1/sensors", {"type": "sensor", "plural": "x", "name": "Roof", "unit": "C"})
    assert made.status_code == 201
    wire = made.json()
    assert made.headers["Location"] == f"/v1/sensors/{wire['id']}"
    assert made.headers["Content-Type"] == "application/json"
    expected = {
        "type": "sensor",
        "appid": APP,
        "name": "Roof",
        "unit": "C",
        "votes": 0,
        "version": 0,
        "plural": "sensors",
    }
    assert expected.items() <= wire.items()
    assert "updated" not in wire
    for path in (f"/v1/sensor/{wire['id']}", f"/v1/sensors/{wire['id']}", f"/v1/_id/{wire['id']}"):
        assert app.send("GET", path).content == made.content
    put = app.send("PUT", "/v1/sensor/roof", {"unit": "F", "id": "other"})
    assert put.status_code == 200
    assert {"id": "roof", "type": "sensor", "unit": "F", "name": "ParaObject roof"}.items() <= put.json().items()
    patched = app.send("PATCH", "/v1/sensor/roof", {"unit": None, "max": 40})
    assert patched.json()["max"] == 40
    assert "unit" not in patched.json()
    deleted = app.send("DELETE", "/v1/sensor/roof")
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert app.send("DELETE", "/v1/sensor/roof").status_code == 200
    gone = app.send("GET", "/v1/_id/roof")
    assert (gone.status_code, gone.content) == (404, b'{"code":404,"message":"Not Found"}')
    assert app.send("PATCH", "/v1/sensor/roof", {"a": 1}).status_code == 404


@pytest.mark.parametrize(
    "id",
    ["a/b", "100%", "a%2Fb", "a b", "ä:ö", "a+b", "x?y#z", "日本", "..x", "^><_|'?=-+", "tag:x"],
)
def test_any_id_works_when_percent_encoded(app: Client, id: str) -> None:
    path = "/v1/odd/" + "".join(f"%{byte:02X}" for byte in id.encode())
    assert app.send("PUT", path, {"n": 1}).json()["id"] == id
    assert app.send("GET", path).json()["n"] == 1
    assert [o["id"] for o in app.send("GET", "/v1/_batch?ids=" + path.rpartition("/")[2]).json()] == [id]
    assert app.send("DELETE", path).status_code == 200
    assert app.send("GET", path).status_code == 404


def test_a_plus_in_a_path_is_a_plus_and_in_a_query_a_space(app: Client) -> None:
    app.send("PUT", "/v1/plus/a+b", {"name": "of plus"})
    assert app.send("GET", "/v1/plus/a%2Bb").json()["id"] == "a+b"
    assert app.send("GET", "/v1/plus?q=name:%22of+plus%22").json()["totalHits"] == 1


def test_types_follow_path_and_body(app: Client) -> None:
    assert app.send("POST", "/v1/cats", {"type": "cat"}).json()["type"] == "cat"
    assert app.send("POST", "/v1/cats", {"type": "dog"}).json()["type"] == "cat"
    assert app.send("PUT", "/v1/cats/c1", {"type": "dog"}).json()["type"] == "cat"
    assert app.send("POST", "/v1/_batch", [{"name": "untyped"}]).json()[0]["type"] == "sysprop"
    assert app.send("POST", "/v1/%23hash%2Fes", {"a": 1}).json()["type"] == "hashes"
    types = app.send("GET", "/v1/_types").json()
    assert types["cats"] == "cat"
    assert list(types)[:2] == ["addresses", "apps"]
    assert app.send("GET", "/v1/_types?count=true").json()["cat"] == 3


def test_tags_and_things_are_addressed_in_their_own_ways(app: Client) -> None:
    tag = app.send("PUT", "/v1/tag/Big%20News", {"count": 1})
    assert (tag.json()["id"], tag.json()["tag"], tag.json()["objectURI"]) == (
        "tag:big-news",
        "big-news",
        "/tags/big-news",
    )
    assert app.send("GET", "/v1/tags/big-news").json()["id"] == "tag:big-news"
    thing = app.send("POST", "/v1/things", {"id": "mine", "name": "pi", "serviceBroker": "local"})
    assert thing.status_code == 201
    assert thing.headers["Cache-Control"] == "no-store"
    wire = thing.json()
    assert wire["id"] != "mine"
    assert wire["deviceDetails"]["thingName"] == f"{APP}-{wire['id']}"
    again = app.send("GET", f"/v1/things/{APP}:{wire['id']}")
    assert again.json()["id"] == wire["id"]
    assert "deviceDetails" not in again.json()
    assert app.send("GET", f"/v1/things/other:{wire['id']}").status_code == 404
    assert app.send("PUT", "/v1/things/t-1", {"name": "new"}).status_code == 201
    assert app.send("PUT", "/v1/things/t-1", {"name": "again"}).status_code == 200
    refused = app.send("POST", "/v1/things", {"name": " "})
    assert (refused.status_code, "name" in refused.json()["message"]) == (400, True)


def test_select_keeps_what_it_names(app: Client) -> None:
    app.send("PUT", "/v1/picked/p1", {"name": "N", "tags": ["a"], "unit": "C", "deep": {"x": 1}})
    for query, expected in (
        ("select=id,unit", {"id": "p1", "unit": "C"}),
        ("select=id&select=name,nope", {"id": "p1", "name": "N"}),
        ("select=properties.unit", {"unit": "C"}),
        ("select=properties", {"properties": {"unit": "C", "deep": {"x": 1}}}),
        ("select=nope", {}),
    ):
        assert app.send("GET", f"/v1/picked/p1?{query}").json() == expected
        assert app.send("GET", f"/v1/_batch?ids=p1&{query}").json() == [expected]
        page = app.send("GET", f"/v1/picked?{query}").json()
        assert (page["items"], page["totalHits"]) == ([expected], 1)
    assert app.send("PATCH", "/v1/picked/p1?select=unit", {"unit": "F"}).content == b'{"unit":"F"}'


def test_versions_lock(app: Client) -> None:
    assert app.send("PUT", "/v1/locked/v", {"version": 1}).json()["version"] == 1
    assert app.send("PATCH", "/v1/locked/v", {"version": 1, "a": 1}).json()["version"] == 2
    stale = app.send("PATCH", "/v1/locked/v", {"version": 1, "a": 2})
    assert stale.status_code == 412
    assert stale.content == b'{"code":412,"message":"Update failed due to \'version\' mismatch."}'
    assert app.send("GET", "/v1/locked/v").json()["a"] == 1
    none = app.send("PATCH", "/v1/_batch", [{"id": "v", "version": 9}])
    assert none.json()["message"] == "Update failed for all objects in batch due to 'version' mismatch."
    app.send("PUT", "/v1/locked/free", {"a": 1})
    some = app.send("PATCH", "/v1/_batch", [{"id": "v", "version": 9}, {"id": "free", "b": 1}])
    assert [o["id"] for o in some.json()] == ["free"]


def test_a_negative_version_is_never_shown(app: Client) -> None:
    assert app.send("POST", "/v1/locked", {"id": "negative", "version": -1}).json()["version"] == 0
    assert app.send("POST", "/v1/_batch", [{"id": "negative", "version": -7}]).json()[0]["version"] == 0
    assert app.send("PUT", "/v1/locked/negative", {"version": -1}).json()["version"] == 0
    assert app.send("GET", "/v1/locked/negative").json()["version"] == 0


# --- batches


def test_batches_leave_out_what_is_refused_and_say_so(app: Client) -> None:
    items = [
        {"type": "cat", "id": "b1", "name": "first"},
        {"type": "address", "id": "bad"},
        {"type": "app", "id": "app:evil"},
        {"type": "cat", "id": "app:bad"},
        {"type": "cat", "id": "b1", "name": "last"},
    ]
    for method in ("POST", "PUT"):
        made = app.send(method, "/v1/_batch", items)
        assert made.status_code == 200
        assert [(o["id"], o["name"]) for o in made.json()] == [("b1", "last")]
        assert made.headers["X-Thingstead-Skipped"] == "3"
        assert "bad=constraint_violation" in made.headers["X-Thingstead-Skipped-Reasons"]
    patched = app.send("PATCH", "/v1/_batch", [{"id": "b1", "n": 1}, {"id": "zz"}, {"name": "no id"}])
    assert [o["n"] for o in patched.json()] == [1]
    assert patched.headers["X-Thingstead-Skipped"] == "2"
    assert app.send("GET", "/v1/_batch?ids=zz&ids=b1&ids=b1").json() == patched.json()
    assert app.send("DELETE", "/v1/_batch?ids=zz&ids=b1").content == b""
    assert app.send("GET", "/v1/_batch?ids=b1").content == b"[]"
    assert app.send("PATCH", "/v1/_batch", [{"id": "zz", "n": 1}]).content == b"[]"
    assert app.send("POST", "/v1/_batch", []).content == b"[]"


def test_a_batch_delete_is_bounded(app: Client) -> None:
    refused = app.send("DELETE", "/v1/_batch?" + "&".join(f"ids={n}" for n in range(6)))
    assert refused.status_code == 400
    assert refused.json()["message"] == "Limit reached. Maximum number of items to delete is 5"


# --- search


def test_pages(app: Client) -> None:
    assert len(app.send("POST", "/v1/_batch", [{"type": "page", "id": f"g{n}", "n": n} for n in range(5)]).json()) == 5
    found = app.send("GET", "/v1/pages?limit=2&sort=properties.n&desc=true")
    assert found.content.startswith(b'{"items":[{"id":"g4"')
    body = found.json()
    assert list(body) == ["items", "page", "totalHits", "lastKey"]
    assert [o["id"] for o in body["items"]] == ["g4", "g3"]
    assert (body["page"], body["totalHits"], type(body["lastKey"])) == (0, 5, str)
    second = app.send("GET", "/v1/page?limit=2&page=2&sort=properties.n&desc=true").json()
    assert [o["id"] for o in second["items"]] == ["g2", "g1"]
    for path in (
        "/v1/page/search?q=*",
        "/v1/page/search/default?q=*",
        "/v1/search?type=page",
        "/v1/search/x?type=page",
    ):
        assert app.send("GET", path).json()["totalHits"] == 5, path
    assert app.send("GET", "/v1/search/count?type=page").content == b'{"items":[],"page":0,"totalHits":5}'
    assert app.send("GET", "/v1/page?querytype=count").json()["items"] == []
    assert app.send("GET", "/v1/unheardof").content == b'{"items":[],"page":0,"totalHits":0}'
    assert app.send("GET", "/v1/page?limit=0").content == b'{"items":[],"page":0,"totalHits":5}'
    assert len(app.send("GET", "/v1/page?desc&q=*").json()["items"]) == 5


def test_a_bad_query_is_told(app: Client) -> None:
    refused = app.send("GET", "/v1/sensors?q=name:[")
    assert refused.status_code == 400
    expected = "Invalid query string syntax q=name:[ in request GET /v1/sensors?q=name:["
    assert refused.json() == {"code": 400, "message": expected}


def test_things_found_show_their_state(door: Listening, app: Client) -> None:
    id = app.send("POST", "/v1/things", {"name": "warm", "deviceState": {"temp": 20}}).json()["id"]
    for path in (f"/v1/things/{id}", f"/v1/_batch?ids={id}", "/v1/things?q=name:warm"):
        body = app.send("GET", path).json()
        thing = body["items"][0] if "items" in body else body[0] if isinstance(body, list) else body
        assert thing["deviceState"] == {"temp": 20}, path


# --- apps


def test_me_banner_health(door: Listening, app: Client) -> None:
    me = app.send("GET", "/v1/_me").json()
    assert {"id": f"app:{APP}", "type": "app", "appIdentifier": APP, "active": True}.items() <= me.items()
    assert not {"secret", "settings"} & set(me)
    assert requests.get(door.url + "/v1", timeout=5).json()["version"].startswith("1")
    assert requests.get(door.url + "/v1/", timeout=5).status_code == 401
    assert app.send("GET", "/v1/").json()["version"].startswith("1")
    assert requests.get(door.url + "/v1/_health", timeout=5).json() == {"message": "healthy"}
    assert requests.get(door.url + "/v1/_setup", timeout=5).json() == {"code": 200, "message": "All set!"}


def test_utilities_are_bare_text(app: Client) -> None:
    new = app.send("GET", "/v1/utils/newid")
    assert new.headers["Content-Type"].startswith("text/plain")
    assert new.text.isdigit()
    assert app.send("GET", "/v1/utils?method=timestamp").text.isdigit()
    assert app.send("GET", "/v1/utils").json()["message"] == "Unknown method: empty"
    assert app.send("GET", "/v1/utils/nope").json()["message"] == "Unknown method: nope"


def test_child_apps(app: Client, root: Client) -> None:
    made = root.send("GET", "/v1/_setup/app:Kid%20A?name=Kid&creatorid=c1&shared=false&sharedTable=true")
    assert list(made.json()) == ["accessKey", "secretKey", "info"]
    assert made.json()["accessKey"] == "app:kid-a"
    assert made.headers["Cache-Control"] == "no-store"
    assert root.send("GET", "/v1/_setup/kid-a").content == b'{"code":200,"message":"All set!"}'
    kid = root.send("GET", "/v1/apps/kid-a").json()
    assert {"name": "Kid", "creatorid": "c1", "sharingTable": True, "sharingIndex": False}.items() <= kid.items()
    refused = app.send("GET", "/v1/_setup/mine")
    assert refused.status_code == 403
    assert refused.json()["message"] == "Only root app can create and initialize other apps."
    client = Client(app.url, Signer("app:kid-a", made.json()["secretKey"]))
    for path in ("/v1/app/kid-a", "/v1/apps/app%3Akid-a", "/v1/_id/app:kid-a"):
        assert client.send("GET", path).json()["id"] == "app:kid-a"
    renamed = client.send("PATCH", "/v1/app/kid-a", {"name": "New", "datatypes": {"x": "y"}, "readOnly": True})
    assert renamed.json()["name"] == "New"
    assert renamed.json()["readOnly"] is False
    assert client.send("GET", f"/v1/app/{APP}").status_code == 404
    assert client.send("PATCH", f"/v1/app/{APP}", {"name": "x"}).status_code == 400
    assert client.send("DELETE", f"/v1/app/{APP}").status_code == 400
    assert client.send("DELETE", "/v1/app/kid-a").status_code == 200
    assert client.send("GET", "/v1/_me").json()["message"] == "App not found."
    assert root.send("DELETE", "/v1/app/para").status_code == 200
    assert root.send("GET", "/v1/_me").json()["id"] == "app:para"


def test_an_app_switched_off_or_read_only_is_refused_with_its_reason(root: Client) -> None:
    secret = root.send("GET", "/v1/_setup/switch").json()["secretKey"]
    client = Client(root.url, Signer("app:switch", secret))
    assert root.send("PATCH", "/v1/app/switch", {"active": False}).status_code == 200
    refused = client.send("GET", "/v1/_me")
    assert (refused.status_code, refused.json()["message"]) == (403, "App not active. [app:switch]")
    root.send("PATCH", "/v1/app/switch", {"active": True})
    assert client.send("GET", "/v1/_me").status_code == 200


def test_tenants_do_not_see_each_other(app: Client, root: Client) -> None:
    app.send("PUT", "/v1/own/secret", {"name": "mine"})
    assert root.send("GET", "/v1/own/secret").status_code == 404
    assert root.send("GET", "/v1/_batch?ids=secret").content == b"[]"
    assert root.send("GET", "/v1/search?q=name:mine").json()["totalHits"] == 0
    assert root.send("DELETE", "/v1/own/secret").status_code == 200
    assert app.send("GET", "/v1/own/secret").status_code == 200


# --- transport


def test_cors(door: Listening, app: Client) -> None:
    asked = {"Origin": "https://x.org", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "X-A"}
    for path in ("/v1/dogs/1", "/jwt_auth"):
        preflight = requests.options(door.url + path, headers=asked, timeout=5)
        assert (preflight.status_code, preflight.content) == (200, b"")
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert preflight.headers["Access-Control-Allow-Headers"] == "X-A"
        assert preflight.headers["Access-Control-Max-Age"] == "1800"
    for response in (app.send("GET", "/v1/_me", Origin="https://x.org"), app.send("GET", "/v1/x/y", Origin="null")):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Access-Control-Allow-Origin" not in app.send("GET", "/v1/_me").headers


def test_head_is_get_without_a_body(app: Client) -> None:
    got, head = app.send("GET", "/v1/_me"), app.send("HEAD", "/v1/_me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/_me", "GET"),
        ("PUT", "/v1/dogs", "GET, POST"),
        ("POST", "/v1/dogs/1", "DELETE, GET, PATCH, PUT"),
        ("GET", "/v1/_newkeys", "POST"),
        ("POST", "/v1/_health", "GET"),
        ("DELETE", "/v1/_setup", "GET"),
        ("DELETE", "/v1", "GET"),
        ("PATCH", "/jwt_auth", "DELETE, GET, POST"),
        ("DELETE", "/v1/things/x/echo", "GET, POST"),
    ],
)
def test_known_path_wrong_method(app: Client, method: str, path: str, allow: str) -> None:
    refused = app.send(method, path)
    assert (refused.status_code, refused.headers["Allow"]) == (405, allow)
    assert refused.json()["code"] == 405


# --- resources of other doors


def test_a_resource_of_another_door_gets_the_request(door: Listening, app: Client) -> None:
    answer = app.send("POST", f"/v1/thing/{APP}:t%2F1/echo?a=1&a=2&b", b"raw")
    assert (answer.status_code, answer.headers["X-Echo"]) == (201, "1")
    assert answer.json() == {
        "method": "POST",
        "segments": ["thing", "t/1", "echo"],
        "query": [["a", "1"], ["a", "2"], ["b", ""]],
        "body": "raw",
        "app": APP,
        "principal": ["app", f"app:{APP}"],
    }
    refused = app.send("POST", "/v1/things/t/echo", b"bad")
    assert refused.content == b'{"code":400,"message":"no good"}'
    assert app.send("GET", "/v1/things/t/other").status_code == 404
    assert requests.post(door.url + "/v1/things/t/echo", timeout=5).status_code == 401


def test_a_thing_reads_itself_and_uses_what_is_its_own(door: Listening, app: Client) -> None:
    made = app.send("POST", "/v1/things", {"name": "self"}).json()
    details, id = made["deviceDetails"], made["id"]
    credentials = f"{details['clientId']}:{details['secret']}".encode()
    headers = {"Authorization": "Basic " + base64.b64encode(credentials).decode()}

    def status(method: str, path: str) -> int:
        return requests.request(method, door.url + path, headers=headers, json={}, timeout=5).status_code

    assert status("GET", f"/v1/things/{id}") == 200
    assert status("GET", f"/v1/thing/{APP}:{id}") == 200
    assert status("GET", "/v1/_me") == 200
    assert status("POST", f"/v1/things/{id}/echo") == 201
    for method, path in (
        ("GET", f"/v1/things/{id}/echo"),
        ("PATCH", f"/v1/things/{id}"),
        ("DELETE", f"/v1/things/{id}"),
        ("GET", "/v1/things/other"),
        ("POST", "/v1/things/other/echo"),
        ("GET", f"/v1/_id/{id}"),
        ("GET", "/v1/things"),
        ("GET", "/v1/_types"),
    ):
        assert status(method, path) == 403, (method, path)
    assert status("POST", "/v1/_newkeys") in (401, 403)


# --- first start


def test_the_first_setup_shows_roots_keys_on_loopback_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = {"code": 200, "message": "All set!"}
    data = tmp_path_factory.mktemp("first")
    with listening(data, objects.app, host="0.0.0.0", root_secret_override="") as elsewhere:
        assert requests.get(elsewhere.url + "/v1/_setup", timeout=5).json() == done
    with listening(data, objects.app, root_secret_override="") as opened:
        assert requests.head(opened.url + "/v1/_setup", timeout=5).status_code == 405
        keys = requests.get(opened.url + "/v1/_setup", timeout=5).json()
        assert keys["info"] == "Save the secret key! It is showed only once!"
        assert requests.get(opened.url + "/v1/_setup", timeout=5).json() == done
        client = Client(opened.url, Signer(keys["accessKey"], keys["secretKey"]))
        assert client.send("GET", "/v1/_me").json()["id"] == "app:para"
    with listening(data, objects.app, root_secret_override="") as again:
        assert requests.get(again.url + "/v1/_setup", timeout=5).json() == done
    allowed: dict[str, Any] = {"root_secret_override": "", "setup_enabled": True}
    with listening(tmp_path_factory.mktemp("x"), objects.app, host="0.0.0.0", **allowed) as x:
        assert "secretKey" in requests.get(x.url + "/v1/_setup", timeout=5).json()
    with listening(tmp_path_factory.mktemp("y"), objects.app, root_secret_override=ROOT_SECRET) as y:
        assert requests.get(y.url + "/v1/_setup", timeout=5).json() == done
