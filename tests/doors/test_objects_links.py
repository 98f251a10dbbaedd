"""The objects door says of links, children and votes what objects.md 7, 8 says, to the byte where clients look; what it
refuses changes nothing (objects.md 1.2)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.doors import objects


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app, vote_locked_after=60) as opened:
        yield opened


def client_of(door: Listening, app: str) -> Client:
    _, secret = door.run(door.backend.tenants.create(app))
    return Client(door.url, Signer(f"app:{app}", secret))


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    client = client_of(door, "linking")
    for type, id, body in (
        ("room", "r1", {"name": "Hall"}),
        ("room", "r2", {"name": "Attic"}),
        ("lamp", "l1", {"name": "gordon", "parentid": "r1", "watt": 5}),
        ("lamp", "l2", {"name": "kitty", "parentid": "r1", "watt": 7}),
        ("lamp", "l3", {"name": "gordon", "parentid": "r2"}),
        ("chair", "c1", {"name": "gordon", "parentid": "r1"}),
        ("dog", "rex", {"name": "Rex"}),
    ):
        assert client.send("PUT", f"/v1/{type}/{id}", body).status_code == 200
    return client


def page_of(app: Client, path: str) -> tuple[list[str], int]:
    reply = app.send("GET", path)
    assert reply.status_code == 200, reply.content
    return [item["id"] for item in reply.json()["items"]], reply.json()["totalHits"]


# --- links


def test_the_life_of_a_link(app: Client) -> None:
    assert app.send("PUT", "/v1/tag/test", {"count": 3}).status_code == 200
    for id in ("111", "333"):
        assert app.send("PUT", f"/v1/sysprop/{id}", {"name": f"Number {id}"}).status_code == 200
    made = app.send("POST", "/v1/sysprop/111/links/tag%3Atest")
    assert (made.status_code, made.content) == (200, b"sysprop:111:tag:tag:test")
    assert made.headers["Content-Type"] == "text/plain;charset=UTF-8"
    again = app.send("PUT", "/v1/tags/test/links/111", {"a": "body is not looked at"})
    assert (again.status_code, again.content) == (200, b"sysprop:111:tag:tag:test")
    assert app.send("POST", "/v1/sysprops/111/links/333").content == b"sysprop:111:sysprop:333"
    for path in (
        "/v1/sysprop/111/links/tag/tag%3Atest",
        "/v1/sysprops/111/links/tags/test",
        "/v1/tag/tag%3Atest/links/sysprop/111",
        "/v1/sysprop/333/links/sysprops/111",
    ):
        check = app.send("GET", path)
        assert (check.status_code, check.content) == (200, b"true"), path
        assert check.headers["Content-Type"] == "text/plain;charset=UTF-8"
    assert app.send("GET", "/v1/sysprop/111/links/tag/tag%3Anone").content == b"false"
    assert page_of(app, "/v1/sysprop/111/links/tags") == (["tag:test"], 1)
    assert page_of(app, "/v1/sysprop/333/links/sysprop") == (["111"], 1)
    assert app.send("GET", "/v1/tag/test/links/sysprop?count").content == b'{"items":[],"page":0,"totalHits":1}'
    found = app.send("GET", "/v1/sysprop/111/links/sysprop?select=name&page=1").json()
    assert found["items"] == [{"name": "Number 333"}]
    assert (found["page"], found["totalHits"], isinstance(found["lastKey"], str)) == (1, 1, True)
    assert page_of(app, "/v1/sysprop/111/links?type=tag") == (["tag:test"], 1)
    linker = app.send("GET", "/v1/linker/sysprop%3A111%3Atag%3Atag%3Atest").json()
    assert linker["nstd"][0]["name"] == "Number 111"
    assert {"type1": "sysprop", "id1": "111", "type2": "tag", "id2": "tag:test"}.items() <= linker.items()
    assert "nstdparentid" not in linker
    for _ in range(2):
        gone = app.send("DELETE", "/v1/sysprop/333/links/sysprop/111")
        assert (gone.status_code, gone.content) == (200, b"")
    assert app.send("GET", "/v1/sysprop/111/links/sysprop/333").content == b"false"
    assert app.send("DELETE", "/v1/sysprop/111/links?all").content == b""
    assert app.send("GET", "/v1/tag/test/links/sysprop/111").content == b"false"
    assert app.send("GET", "/v1/sysprop/111").status_code == 200


ODD = ["a/b", "x:y", "100%", "a b", "ä:ö", "x?y#z", "links", "^><_|'?=-+", "日本"]


def escaped(text: str) -> str:
    return quote(text, safe="")


@pytest.mark.parametrize("id", ODD)
def test_any_ids_and_types_are_linked(app: Client, id: str) -> None:
    path = f"/v1/{escaped('^><_|=-+ öd')}/{escaped(id)}"
    assert app.send("PUT", path, {"name": "odd"}).status_code == 200
    assert app.send("PUT", f"/v1/odd/{escaped('to ' + id)}", {"name": "also odd"}).status_code == 200
    made = app.send("POST", f"{path}/links/{escaped('to ' + id)}")
    assert made.status_code == 200, made.content
    assert app.send("GET", f"/v1/linkers/{escaped(made.text)}").json()["id"] == made.text
    assert app.send("GET", f"{path}/links/odd/{escaped('to ' + id)}").content == b"true"
    assert page_of(app, f"{path}/links/odd") == (["to " + id], 1)
    assert page_of(app, f"{path}/links/odd?field=name&q=also") == (["to " + id], 1)
    back = f"/v1/odd/{escaped('to ' + id)}/links/{escaped('^><_|=-+ öd')}"
    assert page_of(app, back + "?q=odd") == ([id], 1)
    assert page_of(app, back + "?q=also") == ([], 0)
    assert app.send("DELETE", f"{back}/{escaped(id)}").status_code == 200
    assert page_of(app, f"{path}/links/odd?count") == ([], 0)


def test_linked_objects_page_by_page(app: Client) -> None:
    batch = [{"type": "member", "id": f"m{n:02}"} for n in range(22)] + [{"type": "club", "id": "k"}]
    assert len(app.send("POST", "/v1/_batch", batch).json()) == 23
    for n in range(22):
        assert app.send("POST", f"/v1/club/k/links/m{n:02}").status_code == 200
    sizes: list[int] = []
    seen: list[str] = []
    last = ""
    while True:
        query = "limit=10&page=1&sort=_docid&desc=false" + (f"&lastKey={last}" if last else "")
        found = app.send("GET", f"/v1/club/k/links/members?{query}").json()
        assert found["totalHits"] == 22
        if not found["items"]:
            break
        sizes.append(len(found["items"]))
        seen += [item["id"] for item in found["items"]]
        last = found["lastKey"]
    assert sizes == [10, 10, 2]
    assert seen == [f"m{n:02}" for n in range(22)]
    assert app.send("DELETE", "/v1/member/m00").status_code == 200
    assert page_of(app, "/v1/club/k/links/member?limit=3&sort=_docid&desc=false") == (["m01", "m02"], 22)
    assert app.send("GET", "/v1/club/k/links/member?limit=0").json()["totalHits"] == 22
    assert app.send("DELETE", "/v1/club/k/links/members").content == b""  # with neither parameter nothing
    assert app.send("GET", "/v1/members/search/count").json()["totalHits"] == 21
    assert app.send("DELETE", "/v1/club/k/links/members?all=true").content == b""
    assert app.send("GET", "/v1/members/search/count").json()["totalHits"] == 0
    assert page_of(app, "/v1/club/k/links/member?count") == ([], 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["l1", "l2"]),
        ("&q=*", ["l1", "l2"]),
        ("&q=", ["l1", "l2"]),
        ("&q=gord*", ["l1"]),
        ("&q=kitt*", ["l2"]),
        ("&q=properties.watt:[6%20TO%20*]", ["l2"]),
        ("&q=nobody", []),
        ("&field=name&term=kitty", ["l2"]),
        ("&field=properties.watt&term=5", ["l1"]),
        ("&field=name&term=", ["l1", "l2"]),
        ("&limit=1&sort=name&desc=false", ["l1"]),
        ("&limit=1&sort=name&desc=true", ["l2"]),
        ("&limit=1&sort=name&desc=false&page=2", ["l2"]),
    ],
)
def test_children(app: Client, query: str, found: list[str]) -> None:
    ids, total = page_of(app, f"/v1/room/r1/links/lamps?childrenonly{query}")
    assert sorted(ids) == found
    assert total == (2 if "limit" in query else len(found))


def test_children_are_counted_and_deleted_of_one_parent(app: Client) -> None:
    counted = app.send("GET", "/v1/rooms/r1/links/lamp?childrenonly=true&count=true")
    assert counted.content == b'{"items":[],"page":0,"totalHits":2}'
    for n in range(35):
        assert app.send("PUT", f"/v1/sock/s{n}", {"parentid": f"r{1 + n // 34}"}).status_code == 200
    assert app.send("DELETE", "/v1/room/r1/links/socks?childrenonly=true").content == b""
    assert page_of(app, "/v1/room/r1/links/sock?childrenonly") == ([], 0)
    assert page_of(app, "/v1/room/r2/links/sock?childrenonly") == (["s34"], 1)
    assert page_of(app, "/v1/room/r1/links/chair?childrenonly") == (["c1"], 1)


def test_things_are_children_and_linked_as_they_are_shown(app: Client) -> None:
    thing = app.send("POST", "/v1/things", {"name": "kit", "parentid": "r2", "deviceState": {"on": True}}).json()["id"]
    (child,) = app.send("GET", "/v1/room/r2/links/things?childrenonly").json()["items"]
    assert child["deviceState"] == {"on": True}
    assert app.send("POST", f"/v1/room/r1/links/{thing}").text == f"room:r1:thing:{thing}"
    assert app.send("GET", f"/v1/room/r1/links/things/linking:{thing}").content == b"true"
    assert app.send("GET", f"/v1/room/r1/links/things/elsewhere:{thing}").content == b"false"
    (linked,) = app.send("GET", "/v1/room/r1/links/thing?q=kit&field=name").json()["items"]
    assert linked["deviceState"] == {"on": True}
    assert page_of(app, f"/v1/things/linking:{thing}/links/room") == (["r1"], 1)
    assert app.send("DELETE", "/v1/room/r2/links/thing?childrenonly").content == b""
    assert app.send("GET", f"/v1/thing/{thing}").status_code == 404
    assert app.send("GET", f"/v1/things/{thing}/connection").status_code == 404


def test_apps_do_not_see_each_others_links(door: Listening, app: Client) -> None:
    other = client_of(door, "elsewhere")
    for client in (app, other):
        client.send("PUT", "/v1/a/shared1", {"n": 1})
        client.send("PUT", "/v1/b/shared2", {"n": 1})
    assert app.send("POST", "/v1/a/shared1/links/shared2").status_code == 200
    assert other.send("GET", "/v1/a/shared1/links/b/shared2").content == b"false"
    assert page_of(other, "/v1/a/shared1/links/b") == ([], 0)
    assert other.send("POST", "/v1/a/shared1/links/rex").status_code == 400
    assert other.send("DELETE", "/v1/a/shared1/links").status_code == 200
    assert app.send("GET", "/v1/a/shared1/links/b/shared2").content == b"true"


# --- votes


def test_the_reference_votes(app: Client) -> None:
    made = app.send("PUT", "/v1/post/p1", {"name": "Post", "creatorid": "maker", "version": 1})
    assert made.json()["votes"] == 0
    for name, counted, votes in (
        ("_voteup", b"true", 1),
        ("_voteup", b"false", 1),
        ("_votedown", b"true", 0),
        ("_votedown", b"true", -1),
        ("_votedown", b"false", -1),
    ):
        reply = app.send("PATCH", "/v1/post/p1", {name: "u9", "name": "ignored", "parentid": None})
        assert (reply.status_code, reply.content) == (200, counted)
        assert reply.headers["Content-Type"] == "application/json"
        assert app.send("GET", "/v1/post/p1").json()["votes"] == votes
    post = app.send("GET", "/v1/posts/p1").json()
    assert (post["name"], post["version"], "updated" in post) == ("Post", 4, True)
    vote = app.send("GET", "/v1/vote/vote%3Au9%3Ap1").json()
    assert {"value": "down", "lockedAfter": 60, "expiresAfter": 2_592_000}.items() <= vote.items()
    assert not {"votes", "tags"} & vote.keys()
    assert app.send("DELETE", "/v1/vote/vote%3Au9%3Ap1").status_code == 200
    assert app.send("GET", "/v1/post/p1").json()["votes"] == -1
    mine = {"_votedown": "u9", "_vote_locked_after": 6, "_vote_expires_after": "86400"}
    assert app.send("PATCH", "/v1/post/p1", mine).content == b"true"
    vote = app.send("GET", "/v1/votes/vote%3Au9%3Ap1").json()
    assert (vote["lockedAfter"], vote["expiresAfter"]) == (6, 86_400)
    for voter in ("", " ", None, "p1", "maker"):
        assert app.send("PATCH", "/v1/post/p1", {"_voteup": voter}).content == b"false"
    assert app.send("GET", "/v1/post/p1").json()["votes"] == -2


def test_fifty_voters_at_once(app: Client) -> None:
    assert app.send("PUT", "/v1/post/hot", {"name": "Hot"}).status_code == 200
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda n: app.send("PATCH", "/v1/post/hot", {"_voteup": f"u{n}"}), range(50)))
    assert {reply.content for reply in replies} == {b"true"}
    assert app.send("GET", "/v1/post/hot").json()["votes"] == 50
    counted = app.send("GET", "/v1/post/hot/links/vote?childrenonly&count").json()
    assert counted["totalHits"] == 50


# --- refused


REFUSED = [
    ("GET", "/v1/dog/rex/links", b"", 400, "Parameter 'type' is missing."),
    ("GET", "/v1/dog/rex/links?type=%20", b"", 400, "Parameter 'type' is missing."),
    ("GET", "/v1/dog/rex/links/%20", b"", 400, "Parameter 'type' is missing."),
    ("GET", "/v1/dog/rex/links/%20/x", b"", 400, "Parameter 'type' is missing."),
    ("DELETE", "/v1/dog/rex/links/%20?all", b"", 400, "Parameter 'type' is missing."),
    ("GET", "/v1/dog/rex/links/", b"", 400, "segment"),
    ("POST", "/v1/dog/rex/links/", b"", 400, "segment"),
    ("POST", "/v1/dog/rex/links/a%00", b"", 400, "segment"),
    ("POST", "/v1/dog/rex/links/nobody", b"", 400, "Failed to create link."),
    ("PUT", "/v1/dog/rex/links/%20", b"", 400, "Failed to create link."),
    ("POST", "/v1/dog/nobody/links/rex", b"", 404, "Object not found: nobody"),
    ("PUT", "/v1/dog/nobody/links/nobody", b"", 404, "Object not found: nobody"),
    ("GET", "/v1/dog/nobody/links/dog/rex", b"", 404, "Object not found: nobody"),
    ("GET", "/v1/dog/nobody/links/dog", b"", 404, "Object not found: nobody"),
    ("GET", "/v1/dog/nobody/links/dog?childrenonly", b"", 404, "Object not found: nobody"),
    ("DELETE", "/v1/dog/nobody/links", b"", 404, "Object not found: nobody"),
    ("DELETE", "/v1/dog/nobody/links/dog", b"", 404, "Object not found: nobody"),
    ("DELETE", "/v1/dog/nobody/links/dog?all", b"", 404, "Object not found: nobody"),
    ("DELETE", "/v1/dog/nobody/links/dog?childrenonly", b"", 404, "Object not found: nobody"),
    ("DELETE", "/v1/dog/nobody/links/dog/rex", b"", 404, "Object not found: nobody"),
    ("GET", "/v1/things/other:1/links/dog", b"", 404, "Not Found"),
    ("GET", "/v1/dog/rex/links/dog?q=name:[", b"", 400, "Invalid query string syntax q=name:[ in request GET /v1/dog/"),
    ("GET", "/v1/dog/rex/links/dog?q=%22&field=name", b"", 400, "Invalid query string syntax"),
    ("GET", "/v1/dog/rex/links/dog?q=(&childrenonly", b"", 400, "Invalid query string syntax"),
    ("GET", "/v1/dog/rex/links/dog?q=(&childrenonly&count", b"", 400, "Invalid query string syntax"),
    ("GET", "/v1/dog/rex/links/dog?q=%ff", b"", 400, "query"),
    ("GET", "/v1/dog/rex/links/dog/rex/more", b"", 404, "Not Found"),
    ("GET", "/v1/_id/rex/links/dog", b"", 404, "Not Found"),
    ("POST", "/v1/dog/rex/link/rex", b"", 404, "Not Found"),
    ("PATCH", "/v1/dog/rex", b'{"_voteup":["u"]}', 400, "'_voteup' must be the id of the voter"),
    ("PATCH", "/v1/dog/rex", b'{"_votedown":{}}', 400, "'_votedown' must be the id of the voter"),
    ("PATCH", "/v1/dog/rex", b'{"_voteup":"u","_vote_locked_after":-1}', 400, "'_vote_locked_after' must be a whole"),
    (
        "PATCH",
        "/v1/dog/rex",
        b'{"_voteup":"u","_vote_expires_after":"x"}',
        400,
        "'_vote_expires_after' must be a whole",
    ),
    ("PATCH", "/v1/dog/rex", b'{"_voteup":"a\\u0000b"}', 400, "'_voteup' is a dot segment, or holds NUL"),
    ("PATCH", "/v1/dog/nobody", b'{"_voteup":"u"}', 404, "Not Found"),
    ("PATCH", "/v1/dog/nobody", b'{"_voteup":""}', 404, "Not Found"),
    ("PATCH", "/v1/app/elsewhere2", b'{"_voteup":"u"}', 400, "Failed to update object."),
    ("POST", "/v1/votes", b'{"value":"up","expiresAfter":1}', 400, "'lockedAfter'"),
    ("POST", "/v1/linkers", b'{"id1":"a","type1":"b","id2":"c"}', 400, "'type2' must not be blank"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), REFUSED)
def test_refused(door: Listening, app: Client, method: str, path: str, body: bytes, status: int, message: str) -> None:
    before = door.totals()
    reply = app.send(method, path, body)
    assert reply.status_code == status, reply.content
    assert reply.headers["Content-Type"] == "application/json"
    assert list(reply.json()) == ["code", "message"]
    assert reply.json()["code"] == status
    assert message in reply.json()["message"]
    assert door.totals() == before


@pytest.mark.parametrize(
    ("path", "wrong", "allowed"),
    [
        ("/v1/dog/rex/links", ["POST", "PUT", "PATCH"], "DELETE, GET"),
        ("/v1/dog/rex/links/dog", ["PATCH"], "DELETE, GET, POST, PUT"),
        ("/v1/dog/rex/links/dog/rex", ["POST", "PUT", "PATCH"], "DELETE, GET"),
    ],
)
def test_wrong_methods(door: Listening, app: Client, path: str, wrong: list[str], allowed: str) -> None:
    before = door.totals()
    for method in wrong:
        reply = app.send(method, path, b"{}")
        assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)
        assert reply.json() == {"code": 405, "message": "Method Not Allowed"}
    assert door.totals() == before


def test_nobody_links_without_credentials(door: Listening) -> None:
    plain = Client(door.url)
    for method, path in (("POST", "/v1/dog/rex/links/rex"), ("DELETE", "/v1/dog/rex/links"), ("PATCH", "/v1/dog/rex")):
        assert plain.send(method, path, b'{"_voteup":"u"}').status_code == 401


def test_heads_are_gets_without_a_body(app: Client) -> None:
    assert app.send("HEAD", "/v1/dog/rex/links/dog").status_code == 200
    assert app.send("HEAD", "/v1/dog/rex/links/dog/rex").status_code == 200
