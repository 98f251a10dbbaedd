"""The rows of objects.md 22 as clients other than Para's Python one send them: JavaScript (blank parameters, whole
objects sent back), PHP (`desc=1`, nulls, text flags), Java (comma-joined `select`, awkward ids and types), byte for
byte on the wire."""

import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.doors import objects

LONG = "This is a little test sentence. Testing, one, two, three."
FIXTURES: list[dict[str, Any]] = [
    {"id": "111", "type": "sysprop", "name": "John Doe", "tags": ["one", "two", "three"]},
    {"id": "222", "type": "sysprop", "name": "Joe Black", "tags": ["two", "four", "three"]},
    {"id": "333", "type": "sysprop", "name": "Ann Smith", "tags": ["four", "five", "three"]},
    {"id": "tag:test", "type": "tag", "tag": "test", "count": 3},
    {
        "id": "adr1",
        "type": "address",
        "parentid": "111",
        "address": "NYC 1",
        "country": "US",
        "city": "New York",
        "latlng": "40.67,-73.94",
    },
    {
        "id": "adr2",
        "type": "address",
        "parentid": "tag:test",
        "address": "NYC 2",
        "country": "US",
        "latlng": "40.69,-73.95",
    },
    {"id": "s1", "type": "sysprop", "name": "s1", "text": LONG},
    {
        "id": "s2",
        "type": "sysprop",
        "name": "s2",
        "text": "We are testing this thing. This sentence is a test. One, two.",
    },
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    """The root app itself, as the suites of JavaScript and PHP work in it, with the fixtures."""
    client = Client(door.url, door.root)
    made = client.send("POST", "/v1/_batch", FIXTURES)
    assert [obj["id"] for obj in made.json()] == [obj["id"] for obj in FIXTURES]
    return client


def child(door: Listening, name: str) -> Client:
    """An app of its own, for tests that count."""
    _, secret = door.run(door.backend.tenants.create(name))
    return Client(door.url, Signer(f"app:{name}", secret))


def ids(app: Client, path: str) -> list[str]:
    reply = app.send("GET", path)
    assert reply.status_code == 200, reply.content
    return [obj["id"] for obj in reply.json()["items"]]


def total(app: Client, path: str) -> int:
    page = app.send("GET", path).json()
    assert type(page["totalHits"]) is int
    return page["totalHits"]


# --- objects


def test_a1_to_a4(app: Client) -> None:
    made = app.send("PUT", "/v1/tag/tag%3Atest1", {"id": "tag:test1", "type": "tag", "count": 0}).json()
    assert (made["id"], made["tag"]) == ("tag:test1", "test1")
    for path in ("/v1/_id/tag%3Atest1", "/v1/tag/tag%3Atest1", "/v1/tags/test1", "/v1/tag/tag:test1"):
        read = app.send("GET", path).json()
        assert read["timestamp"]
        assert read["tag"] == "test1"
    php = {**read, "count": 15, "updated": None, "parentid": None, "tags": [], "objectURI": "/tag/tag%3Atest1"}
    patched = app.send("PATCH", "/v1/tag/tag%3Atest1", php).json()
    assert patched["count"] == 15
    assert patched["updated"]
    assert 400 <= app.send("PATCH", "/v1/dog/null", {"id": "null", "type": "dog"}).status_code < 500
    dog = app.send("POST", "/v1/dog", {"id": None, "type": "dog", "foo": "bark!", "timestamp": 1700000000000})
    assert dog.status_code == 201
    assert dog.json()["timestamp"] == 1700000000000
    id = dog.json()["id"]
    assert app.send("GET", f"/v1/dog/{id}").json()["foo"] == "bark!"
    for path in ("/v1/tag/tag%3Atest1", f"/v1/dog/{id}"):
        assert (app.send("DELETE", path).status_code, app.send("GET", path).status_code) == (200, 404)


@pytest.mark.parametrize(
    ("body", "id", "tag"),
    [
        ({"tag": "C ++"}, "tag:c-++", "c-++"),
        ({"tag": "tag ? @$ COOL"}, "tag:tag-cool", "tag-cool"),
        ({"tag": "+-#-+97-#x"}, "tag:97-#x", "97-#x"),
        ({"id": "tag:tag:node.js"}, "tag:node.js", "node.js"),
        ({"id": "Plain"}, "tag:plain", "plain"),
        ({"id": "tag:kept", "tag": "Other One"}, "tag:kept", "other-one"),
        ({"name": "neither"}, None, None),
        ({"tag": "???"}, None, None),
    ],
)
def test_ids_of_tags(app: Client, body: dict[str, Any], id: str | None, tag: str | None) -> None:
    """2.2: what is made can be read at its `objectURI`; what has neither tag nor id is no tag."""
    batch = app.send("POST", "/v1/_batch", [{"type": "tag", **body}])
    made = app.send("POST", "/v1/tag", body)
    if id is None:
        assert (made.status_code, made.json()["message"]) == (400, "'tag' must not be blank")
        assert (batch.content, batch.headers["X-Thingstead-Skipped"]) == (b"[]", "1")
        return
    for obj in (made.json(), batch.json()[0]):
        assert (obj["id"], obj["tag"]) == (id, tag)
    assert app.send("GET", "/v1" + made.json()["objectURI"]).json()["id"] == id
    assert app.send("DELETE", made.headers["Location"]).status_code == 200
    assert app.send("GET", "/v1/_id/" + quote(id, safe="")).status_code == 404


def test_types_are_registered_by_every_write(door: Listening) -> None:
    """2.4, seen by the next request."""
    app = child(door, "registers")
    for method, path, body, name in (
        ("POST", "/v1/ant", {"n": 1}, "ant"),
        ("PUT", "/v1/bee/b1", {"n": 1}, "bee"),
        ("POST", "/v1/_batch", [{"type": "fly", "id": "f1"}], "fly"),
        ("PUT", "/v1/_batch", [{"type": "gnat", "id": "g1"}], "gnat"),
        ("PUT", "/v1/_constraints/wasp/legs/required", None, "wasp"),
        ("POST", "/v1/my_type", {"id": "m1"}, "my-type"),
    ):
        assert app.send(method, path, body).status_code in (200, 201)
        assert name in app.send("GET", "/v1/_me").json()["datatypes"].values(), path
        assert name in app.send("GET", "/v1/_types").json().values(), path
    assert app.send("GET", "/v1/my_type/m1").json()["type"] == "my_type"
    assert ids(app, "/v1/my_type") == ["m1"]


def test_odd_behaviours_clients_live_with(door: Listening) -> None:
    """24: 1, 3, 5, 8, 9."""
    app = child(door, "odd")
    app.send("PUT", "/v1/cat/c", {"parentid": "p", "creatorid": "k", "class": "x", "plural": "y", "objectURI": "z"})
    for type in ("dog", "cats", "_id"):
        read = app.send("GET", f"/v1/{type}/c").json()
        assert (read["type"], read["plural"], read["objectURI"]) == ("cat", "cats", "/cats/c")
        assert "class" not in read
    patched = app.send("PATCH", "/v1/dog/c", {"parentid": "q", "creatorid": "q", "timestamp": 5, "type": "dog"}).json()
    assert (patched["parentid"], patched["creatorid"], patched["type"]) == ("p", "k", "cat")
    assert patched["timestamp"] == read["timestamp"]
    app.send("PUT", "/v1/cat/c", {"n": 1})
    assert "parentid" not in app.send("GET", "/v1/cat/c").json()
    for page in (0, 1):
        assert app.send("GET", f"/v1/cat?page={page}").json()["page"] == page
        assert ids(app, f"/v1/cat?page={page}") == ["c"]
    assert (
        app.send("POST", "/v1/address", {"address": "abc", "country": "BG", "latlng": "1,2", "zip": 5})
        .json()
        .get("zip")
        is None
    )
    assert app.send("DELETE", "/v1/dog/c").status_code == 200
    assert app.send("GET", "/v1/cat/c").status_code == 404


def test_the_root_app_stays(app: Client) -> None:
    assert app.send("DELETE", "/v1/app/para").status_code == 200
    assert app.send("DELETE", "/v1/_batch?ids=app:para").status_code == 200
    assert app.send("GET", "/v1/_me").json()["id"] == "app:para"


def test_a5_batches(door: Listening) -> None:
    app = child(door, "batches")
    made = app.send("POST", "/v1/_batch", [{"type": "dog", "foo": "bark!", "id": None} for _ in range(3)]).json()
    found = [obj["id"] for obj in made]
    read = app.send("GET", "/v1/_batch?" + "&".join(f"ids={id}" for id in reversed(found))).json()
    assert [(obj["id"], obj["foo"]) for obj in read] == [(id, "bark!") for id in reversed(found)]
    bare = [
        {"id": id, "name": f"NewName{n}", "custom": "prop", "type": "cat", "appid": "para"}
        for n, id in enumerate(found)
    ]
    updated = app.send("PATCH", "/v1/_batch", bare).json()
    assert [obj["name"] for obj in updated] == ["NewName0", "NewName1", "NewName2"]
    assert all(
        (obj["custom"], obj["foo"], obj["type"], obj["appid"]) == ("prop", "bark!", "dog", "batches") for obj in updated
    )
    assert app.send("DELETE", "/v1/_batch?" + "&".join(f"ids={id}" for id in found)).status_code == 200
    assert app.send("GET", "/v1/dog").json() == {"items": [], "page": 0, "totalHits": 0}
    assert app.send("GET", "/v1/_me").json()["datatypes"]["dogs"] == "dog"


def test_a6_lists(app: Client) -> None:
    app.send("POST", "/v1/_batch", [{"type": "cat", "id": f"cat{n}"} for n in range(3)])
    for path in ("/v1/cat", "/v1/cats", "/v1/cat?page=0&desc=true&limit=30", "/v1/cat?sort&lastKey=&select="):
        assert [obj["type"] for obj in app.send("GET", path).json()["items"]] == ["cat"] * 3, path
    assert len(ids(app, "/v1/cats?limit=2")) == 2
    assert app.send("GET", "/v1/_me").json()["datatypes"]["cats"] == "cat"


def test_a24_incomplete_core_objects_and_apps(app: Client) -> None:
    for method, path, body in (
        ("POST", "/v1/address", {"type": "address"}),
        ("PUT", "/v1/address/none", {"type": "address", "id": "none"}),
        ("POST", "/v1/user", {"type": "user"}),
        ("POST", "/v1/app", {"type": "app", "id": "app:x"}),
        ("PUT", "/v1/app/x", {"type": "app", "id": "app:x"}),
        ("POST", "/v1/apps", {"name": "x"}),
    ):
        assert app.send(method, path, body).status_code == 400, path
    assert app.send("GET", "/v1/address/none").status_code == 404
    assert app.send("GET", "/v1/app/app%3Apara").json()["id"] == "app:para"
    assert app.send("POST", "/v1/_batch", [{"type": "app", "id": "app:x"}]).content == b"[]"


AWKWARD = [
    "^", ">", "<", "_", "|", "'", "?", "=", "-", "+", "test ^><_|'?=-+ id", "тест", "名前", "ünï", "%", "&", "a&b=c",
    ";", ",", "@", "!", "*", "(x)", "[0]", "{}", '"q"', "`", "~", "$", "a.b", "#", "a:b:c",
    "\U0001f600", "e\u0301", "%41",
]  # fmt: skip


@pytest.mark.parametrize("id", AWKWARD)
def test_a24_awkward_ids(app: Client, id: str) -> None:
    escaped = quote(id, safe="")
    assert app.send("PUT", f"/v1/oddid/{escaped}", {"id": id, "type": "oddid", "n": 1}).json()["id"] == id
    read = app.send("GET", f"/v1/_id/{escaped}").json()
    assert (read["id"], read["objectURI"]) == (id, f"/oddids/{escaped}")
    assert app.send("GET", "/v1" + read["objectURI"]).json()["id"] == id
    assert ids(app, f"/v1/search/id?id={escaped}") == [id]
    assert ids(app, f"/v1/search/ids?ids={escaped}") == [id]
    assert ids(app, f"/v1/search/terms?type=oddid&terms=id%3A{escaped}") == [id]
    assert ids(app, f"/v1/search/in?type=oddid&field=id&terms={escaped}") == [id]
    quoted = quote('id:"' + id.replace("\\", "\\\\").replace('"', '\\"') + '"', safe="")
    assert ids(app, f"/v1/oddid?q={quoted}") == [id]
    assert app.send("PATCH", f"/v1/oddid/{escaped}", {"n": 2}).json()["n"] == 2
    again = app.send("POST", "/v1/oddid", {"id": id})
    assert (again.status_code, again.headers["Location"]) == (201, f"/v1/oddids/{escaped}")
    assert app.send("DELETE", f"/v1/_batch?ids={escaped}").status_code == 200
    assert app.send("GET", f"/v1/oddid/{escaped}").status_code == 404


@pytest.mark.parametrize(
    "type",
    ["^", ">x", "<", "a_b", "a|b", "o'x", "wh?t", "a=b", "a-b", "a+b", "тип", "タイプ", "Straße", "Big Cat", "x&y"],
)
def test_a24_awkward_types(app: Client, type: str) -> None:
    escaped = quote(type, safe="")
    made = app.send("POST", f"/v1/{escaped}", {"type": type, "n": 1})
    assert made.status_code == 201
    obj = made.json()
    assert obj["type"] == type
    assert app.send("GET", f"/v1/{escaped}/{obj['id']}").json()["n"] == 1
    assert app.send("GET", made.headers["Location"]).json()["n"] == 1
    assert ids(app, f"/v1/{escaped}") == [obj["id"]]
    assert ids(app, f"/v1/search?type={escaped}") == [obj["id"]]
    assert ids(app, f"/v1/search/terms?terms=type:{escaped}") == [obj["id"]]
    assert total(app, f"/v1/search/count?type={escaped}") == 1
    assert app.send("DELETE", f"/v1/{escaped}/{obj['id']}").status_code == 200
    assert total(app, f"/v1/search/count?type={escaped}") == 0


# --- searches


@pytest.mark.parametrize(
    ("path", "found"),
    [
        # A7
        ("search/id", []),
        ("search/id?id", []),
        ("search/id?id=null", []),
        ("search/id?id=111", ["111"]),
        ("search/ids", []),
        ("search/ids?ids=111&ids=222&ids=333&ids=nope", ["111", "222", "333"]),
        # A8
        ("search/nearby?q=*&latlng=40.60,-73.90&radius=10", []),
        ("sysprop/search/nearby?latlng=40.60,-73.90&radius=10&q=*", ["111"]),
        ("search/nearby?type=sysprop&latlng=40.60,-73.90&radius=10&q=*", ["111"]),
        ("search/nearby?type=sysprop&latlng=40.60,-73.90&radius=x&q=*", ["111"]),
        ("search/nearby?type=address&latlng=40.60,-73.90&radius=20", ["adr1", "adr2"]),
        ("search/nearby?type=address&latlng=40.67,-73.94&radius=0", ["adr1"]),
        # A9
        ("search/prefix?type=&field=null&prefix=xx", []),
        ("search/prefix?type=sysprop&field=name&prefix=Ann", ["333"]),
        # A10
        ("address?q=country:US", ["adr1", "adr2"]),
        ("search/default?type=address&q=country%3AUS", ["adr1", "adr2"]),
        ("search?type=sysprop&q=Ann*", ["333"]),
        ("search?type=sysprop&q=", []),
        ("search?querytype=prefix&type=sysprop&field=name&prefix=Ann", ["333"]),
        ("search/terms?querytype=prefix&type=sysprop&field=name&prefix=Ann", ["333"]),
        ("sysprop/search/default?type=address&q=Ann*", ["333"]),
        # A11
        ("search/similar?type=sysprop&filterid=&like=", []),
        ("search/similar?type=sysprop&fields&like", []),
        ("search/similar?type=sysprop&fields=properties.text&filterid=s1&like=" + quote(LONG), ["s2"]),
        ("search/similar?type=sysprop&fields=properties.text&filterid=s1&like=id:s1", ["s2"]),
        # A12
        ("search/tagged?type=sysprop", []),
        ("search/tagged?type=sysprop&tags=two", ["111", "222"]),
        ("search/tagged?type=sysprop&tags=one&tags=two", ["111"]),
        ("search/tagged?type=sysprop&tags=three", ["111", "222", "333"]),
        ("search/tagged?type=sysprop&tags=four&tags=three", ["222", "333"]),
        ("search/tagged?type=sysprop&tags=five&tags=three", ["333"]),
        ("search/tagged?type=tag&tags=four&tags=three", []),
        # A13
        ("search/wildcard?type=tag&field=tag&q=*", ["tag:test"]),
        ("search/wildcard?type=tag&field=tag&q=unknown*", []),
        ("search/wildcard?type=tag&field=tag&q=test*", ["tag:test"]),
        # A14
        ("search/in?type=sysprop&field=id&terms=111&terms=222&terms=333&terms=xxx&terms=yyy", ["111", "222", "333"]),
        # A15
        ("search/terms?type=sysprop&matchall=true&terms=id:111", ["111"]),
        ("search/terms?type=sysprop&matchall=true&terms=id:%20", []),
        ("search/terms?type=sysprop&matchall=true&terms=%20:bad", []),
        ("search/terms?type=sysprop&matchall=true&terms", []),
        ("search/terms?type=sysprop&matchall=true&terms=:", []),
        ("search/terms?type=sysprop&matchall=true&terms=term:", []),
        ("search/terms?type=sysprop&matchall=true&terms=:null", []),
        ("search/terms?type=sysprop&matchall=true", []),
        ("search/terms?type=sysprop&matchall=true&terms=name:Ann+Smith", ["333"]),
        ("search/terms?type=sysprop&matchall=true&terms=name:ann%20smith", []),
        ("search/terms?terms=id:tag:test", ["tag:test"]),
        # A16
        ("search/wildcard?type=sysprop&field&q", []),
        ("search/wildcard?type=sysprop&field=&q=*", []),
        ("search/wildcard?type=sysprop&field=name&q=An*", ["333"]),
        ("search/wildcard?type=sysprop&field=name&q=Ann%20Smit?", ["333"]),
    ],
)
def test_a7_to_a16_searches(app: Client, path: str, found: list[str]) -> None:
    page = app.send("GET", f"/v1/{path}").json()
    assert sorted(obj["id"] for obj in page["items"]) == found
    assert page["totalHits"] == len(found)
    if found and not path.startswith(("search/id?", "search/ids")):
        assert type(page["lastKey"]) is str
    else:
        assert "lastKey" not in page


def test_a10_and_a17_counts(app: Client) -> None:
    for path in ("search?type&q=*", "search?q=*", "search", "search?type=null%20", "search/default?type=%20"):
        reply = app.send("GET", f"/v1/{path}").json()
        assert reply["totalHits"] > 4 or "null" in path, path
    pager = app.send("GET", "/v1/search?type=sysprop&q=*&page=0&limit=30&desc=true").json()
    assert len(pager["items"]) == pager["totalHits"] > 0
    assert total(app, "/v1/search/count") > 4
    assert total(app, "/v1/search/count?type=") > 4
    assert total(app, "/v1/search/count?type=test") == 0
    assert total(app, "/v1/search/count?type=sysprop") >= 3
    assert total(app, "/v1/search/terms?type=sysprop&count=true&terms=id:%20") == 0
    assert total(app, "/v1/search/terms?type=sysprop&count=true&terms=id:111") == 1
    counted = app.send("GET", "/v1/search/terms?count=true&terms=type:sysprop").json()
    assert counted["items"] == []
    assert counted["totalHits"] > 1
    assert "lastKey" not in counted


def test_a20_me_types_version(door: Listening, app: Client) -> None:
    assert app.send("GET", "/v1/_me").json()["id"] == "app:para"
    assert app.send("GET", "/v1/_types").json()["users"] == "user"
    for path in ("/v1/", "/v1"):
        assert app.send("GET", path).json()["version"].startswith("1")
    core = ["address", "app", "linker", "sysprop", "tag", "translation", "user", "vote", "webhook"]
    assert list(app.send("GET", "/v1/_types").json().values())[:9] == core


# --- 6.5 to 6.7


def test_nested_data_and_ranges(door: Listening) -> None:
    app = child(door, "nested-data")
    owners = [("o1", "alice", 23), ("o2", "bob", 34), ("o3", "chris", 35), ("o4", "Dora", 9)]
    app.send(
        "POST",
        "/v1/_batch",
        [
            {
                "type": "cat",
                "id": id,
                "owner": {"name": name, "age": age},
                "pets": [{"name": "tom", "n": age}, {"name": "rex" if id == "o2" else "kit"}],
                "list": [1, "two", True],
                "wild": id == "o1",
                "timestamp": 10_000 + age,
            }
            for id, name, age in owners
        ],
    )
    for q, found in (
        ("properties.owner.name:[alice TO chris}", ["o1", "o2"]),
        ("properties.owner.age:[* TO 34]", ["o1", "o2", "o4"]),
        ("properties.owner.age:{9 TO 35}", ["o1", "o2"]),
        ("properties.owner.age:>=34", ["o2", "o3"]),
        ("properties.owner.age:<10", ["o4"]),
        ("-properties.owner.age:[* TO 33]", ["o2", "o3"]),
        ("NOT properties.owner.age:[* TO 33]", ["o2", "o3"]),
        ("properties.pets.name:rex", ["o2"]),
        ("properties.pets[1].name:rex", ["o2"]),
        ("properties.pets[0].name:rex", []),
        ("properties.pets.n:35", ["o3"]),
        ("properties.list:two AND properties.list[0]:1", ["o1", "o2", "o3", "o4"]),
        ("properties.list[1]:1", []),
        ("properties.wild:true", ["o1"]),
        ("timestamp:{10023 TO *}", ["o2", "o3"]),
        ("properties.owner.name:dora", ["o4"]),
        ("properties.owner.name:Dor?", ["o4"]),
        ("properties.owner.name:/do.a/", ["o4"]),
        ("properties.owner.name:bbo~", ["o2"]),
        ("properties.nothing:*", []),
        ("properties.wild:[* TO *]", ["o1", "o2", "o3", "o4"]),
        ("+properties.pets.name:tom properties.wild:true", ["o1", "o2", "o3", "o4"]),
        ("bob OR dora AND kit", ["o2", "o4"]),
        ("bob^4 || dora^2", ["o2", "o4"]),
        ("properties.owner.name:(bob OR chris)", ["o2", "o3"]),
    ):
        assert sorted(ids(app, "/v1/cat?q=" + quote(q))) == found, q
    for pairs, found in (
        (["properties.owner.age>:30"], ["o2", "o3"]),
        (["properties.owner.age >=:34", "properties.owner.age <:35"], ["o2"]),
        (["timestamp<=:10023"], ["o1", "o4"]),
        (["properties.owner.name:bob"], ["o2"]),
        (["properties.list:two", "properties.wild:true"], ["o1"]),
    ):
        path = "/v1/search/terms?type=cat&matchall=true&" + "&".join("terms=" + quote(pair) for pair in pairs)
        assert sorted(ids(app, path)) == found, pairs


def test_sorting(door: Listening) -> None:
    app = child(door, "sorting")
    rows = [("a", 10, "x", 3), ("b", 9, "y", 1), ("c", 10, "B", 2), ("d", None, "a", 4), ("e", 100, "x", 5)]
    app.send(
        "POST",
        "/v1/_batch",
        [{"type": "row", "id": id, "name": name, "n": n, "timestamp": 1000 + ts} for id, n, name, ts in rows],
    )
    for query, found in (
        ("", "edacb"),
        ("desc=false", "bcade"),
        ("desc=1", "bcade"),
        ("desc=TRUE", "edacb"),
        ("sort=properties.n&desc=false", "dbace"),
        ("sort=properties.n&desc=true", "eacbd"),
        ("sort=name&desc=false", "cdaeb"),
        ("sort=name:asc", "cdaeb"),
        ("sort=properties.n:asc,name:desc", "dbace"),
        ("sort=properties.n:desc,name:asc", "ecabd"),
        ("sort=properties.n:desc,name&desc=false", "ecabd"),
        ("sort=nothing&desc=false", "abcde"),
        ("sort=votes", "abcde"),
        ("sort=_docid&desc=false", "abcde"),
        ("sort=_docid&desc=true", "edcba"),
    ):
        assert "".join(ids(app, f"/v1/row?{query}")) == found, query
        pages = [ids(app, f"/v1/row?{query}&limit=2&page={page}") for page in (1, 2, 3)]
        assert "".join(id for page in pages for id in page) == found, query
        assert [len(page) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize("desc", ["true", "false"])
def test_search_after_under_concurrent_writes_neither_repeats_nor_skips(door: Listening, desc: str) -> None:
    """Objects that are there all the time are seen exactly once, while others come, go and change."""
    app = child(door, f"walked-{desc}")
    lasting = [f"l{n:03}" for n in range(200)]
    for start in range(0, 200, 50):
        app.send("POST", "/v1/_batch", [{"type": "w", "id": id, "n": 0} for id in lasting[start : start + 50]])
    over = threading.Event()
    failed: list[Any] = []

    def write(thread: int) -> None:
        n = 0
        while not over.is_set():
            n += 1
            for method, path, body in (
                ("PATCH", f"/v1/w/l{(n * 7 + thread) % 200:03}", {"n": n}),
                ("POST", "/v1/w", {"id": f"x{thread}-{n}"}),
                ("PUT", f"/v1/w/l{(n * 11 + thread) % 200:03}", {"n": -n}),
                ("DELETE", f"/v1/w/x{thread}-{n - 3}", None),
            ):
                reply = app.send(method, path, body)
                if reply.status_code not in (200, 201):
                    failed.append((method, path, reply.content))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(8):
            seen: list[str] = []
            last = ""
            for _ in range(200):
                page = app.send("GET", f"/v1/w?q=*&page=1&limit=17&sort=_docid&desc={desc}&lastKey={last}").json()
                if not page["items"]:
                    break
                seen += [obj["id"] for obj in page["items"]]
                last = page["lastKey"]
            assert len(seen) == len(set(seen))
            assert [id for id in seen if id.startswith("l")] == sorted(lasting, reverse=desc == "true")
    finally:
        over.set()
        for writer in writers:
            writer.join(20)
    assert failed == []


def test_the_reference_loop(door: Listening) -> None:
    app = child(door, "loop")
    app.send("POST", "/v1/_batch", [{"type": "o", "id": f"o{n:02}"} for n in range(22)])
    sizes: list[int] = []
    last = ""
    while True:
        page = app.send("GET", f"/v1/search?type=o&q=*&page=1&limit=10&desc=false&sort=_docid&lastKey={last}").json()
        sizes.append(len(page["items"]))
        assert page["totalHits"] == 22
        if not page["items"]:
            break
        last = page["lastKey"]
        app.send("DELETE", f"/v1/o/{page['items'][-1]['id']}") if len(sizes) == 9 else None
    assert sizes == [10, 10, 2, 0]
    second = app.send("GET", f"/v1/o?page=2&limit=10&desc=false&sort=_docid&lastKey={last}").json()
    assert len(second["items"]) == 10
    below = app.send("GET", "/v1/o?page=1&limit=30&desc=false&lastKey=1").json()
    assert len(below["items"]) == 22


def test_twenty_thousand_field_names(door: Listening) -> None:
    """There is no limit of distinct names: every one is searchable by name, unfielded, and by terms."""
    app = child(door, "names")
    for batch in range(0, 400, 100):
        body = [
            {"type": "wide", "id": f"w{n}", **{f"f{n}x{k}": f"v{n}y{k}" for k in range(50)}}
            for n in range(batch, batch + 100)
        ]
        data = json.dumps(body).encode()
        assert len(data) < 1 << 20
        assert len(app.send("POST", "/v1/_batch", data).json()) == 100
    assert total(app, "/v1/search/count?type=wide") == 400
    for n, k in ((0, 0), (57, 49), (200, 25), (399, 49)):
        for path in (
            f"wide?q=properties.f{n}x{k}:v{n}y{k}",
            f"wide?q=v{n}y{k}",
            f"wide?q=properties.f{n}x{k}:*",
            f"search/terms?type=wide&terms=properties.f{n}x{k}:v{n}y{k}",
            f"search/prefix?type=wide&field=properties.f{n}x{k}&prefix=v",
        ):
            assert ids(app, f"/v1/{path}") == [f"w{n}"], path
    assert ids(app, "/v1/wide?sort=properties.f399x49&desc=true&limit=1") == ["w399"]


# --- conventions


def test_a_slash_at_the_end_changes_nothing(app: Client) -> None:
    app.send("PUT", "/v1/slash/s", {"n": 1})
    for path in (
        "slash",
        "slash/s",
        "_id/s",
        "_types",
        "_me",
        "_constraints",
        "_settings",
        "search",
        "search/count",
        "slash/search",
    ):
        plain = app.send("GET", f"/v1/{path}")
        assert plain.status_code == 200
        assert app.send("GET", f"/v1/{path}/").content == plain.content, path
    assert app.send("POST", "/v1/slash/", {"n": 2}).status_code == 201
    assert app.send("GET", "/v1/slash//").status_code == 400
    assert app.send("DELETE", "/v1/slash/s/links/").status_code == 400  # a blank type must not unlink everything


def test_head(app: Client) -> None:
    for path, status in (
        ("sysprop/111", 200),
        ("sysprop/none", 404),
        ("sysprop", 200),
        ("_me", 200),
        ("", 200),
        ("_types", 200),
    ):
        get, head = app.send("GET", f"/v1/{path}"), app.send("HEAD", f"/v1/{path}")
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["Content-Length"] == str(len(get.content))
