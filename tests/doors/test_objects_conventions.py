"""Each line of objects.md 1 holds at the door: bodies, paths, queries, errors, `select`; so do the limits of 10."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.doors import objects

APP = "rules"
LIMIT = 4096


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    changed = {
        "max_entity_size": LIMIT,
        "max_items_per_page": 3,
        "max_page_limit": 5,
        "max_pages": 7,
        "max_datatypes_per_app": 4,
        "max_batch_delete": 2,
    }
    with listening(tmp_path_factory.mktemp("data"), objects.app, **changed) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create(APP))
    client = Client(door.url, Signer(f"app:{APP}", secret))
    notes = [{"type": "note", "id": f"n{n}", "rank": n, "deep": {"x": n}} for n in range(8)]
    assert len(client.send("POST", "/v1/_batch", notes).json()) == 8
    return client


def raw(door: Listening, *parts: bytes) -> bytes:
    """All that is answered on one connection."""
    at = urlsplit(door.url)
    received = b""
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        while piece := connection.recv(65_536):
            received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            if body.endswith(b"}") and b"content-length: %d" % len(body) in head.lower():
                break
    return received


# --- 1.1 transport


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        None,
    ],
)
def test_a_body_is_json_whatever_its_type(app: Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    made = app.send("POST", "/v1/note", b'{"id":"typed","a":"\xc3\xbc"}', **headers)
    assert (made.status_code, made.json()["a"]) == (201, "ü")


def test_reads_may_have_a_content_type_and_a_body(app: Client) -> None:
    assert app.send("GET", "/v1/note/n1", b"", **{"Content-Type": "application/json"}).status_code == 200
    assert app.send("GET", "/v1/note/n1", b"{}").status_code == 200


def test_the_empty_object_is_two_bytes_and_json_is_compact_utf8(app: Client) -> None:
    assert app.send("GET", "/v1/note/n1?select=nothing").content == b"{}"
    put = app.send("PUT", "/v1/note/compact", {"text": "日本", "list": [1, {"a": 2}]})
    assert '"text":"日本","list":[1,{"a":2}]'.encode() in put.content


def test_no_member_is_null_at_any_depth(app: Client) -> None:
    body = {"a": None, "b": {"c": None, "d": [{"e": None, "f": 1}, None]}, "parentid": None, "tags": None}
    put = app.send("PUT", "/v1/note/nulls", body).json()
    assert put["b"] == {"d": [{"f": 1}, None]}
    assert not {"a", "parentid", "tags"} & set(put)
    patched = app.send("PATCH", "/v1/note/nulls", {"g": {"h": None}, "b": None}).json()
    assert patched["g"] == {}
    assert "b" not in patched
    nested = app.send("PATCH", "/v1/note/nulls", {"properties": {"z": {"y": None}}}).json()
    assert nested["z"] == {}


def test_paths_are_split_before_they_are_decoded(app: Client) -> None:
    assert app.send("PUT", "/v1/note/a%2Fb%3Fc%23d", {"n": 1}).json()["id"] == "a/b?c#d"
    assert app.send("GET", "/v1/_id/a%2Fb%3Fc%23d").json()["n"] == 1
    assert app.send("GET", "/v1/note/a/b").status_code == 404
    assert app.send("PUT", "/v1/note/x%252Fy", {"n": 2}).json()["id"] == "x%2Fy"


def test_a_plus_is_a_plus_in_a_path_and_a_space_in_a_query(app: Client) -> None:
    app.send("PUT", "/v1/note/p+q", {"name": "a b"})
    app.send("PUT", "/v1/note/p%20q", {"name": "a+b"})
    assert app.send("GET", "/v1/note/p+q").json()["name"] == "a b"
    assert app.send("GET", "/v1/note/p%2Bq").json()["name"] == "a b"
    assert app.send("GET", "/v1/note/p%20q").json()["name"] == "a+b"
    found = app.send("GET", "/v1/search/in?field=name&terms=a+b&type=note").json()
    assert [o["id"] for o in found["items"]] == ["p+q"]
    found = app.send("GET", "/v1/search/in?field=name&terms=a%2Bb&type=note").json()
    assert [o["id"] for o in found["items"]] == ["p q"]


def test_repeated_parameters_are_lists_in_order(app: Client) -> None:
    assert [o["id"] for o in app.send("GET", "/v1/_batch?ids=n2&ids=n0&ids=n2").json()] == ["n2", "n0"]
    found = app.send("GET", "/v1/search/ids?ids=n2&ids=n0").json()["items"]
    assert {o["id"] for o in found} == {"n2", "n0"}


def test_a_key_without_value_is_blank(app: Client) -> None:
    everything = app.send("GET", "/v1/search?type&q=*&limit=0").json()["totalHits"]
    assert everything == app.send("GET", "/v1/search?type=&q=*&limit=0").json()["totalHits"] > 8
    assert app.send("GET", "/v1/note?q").json() == {"items": [], "page": 0, "totalHits": 0}
    assert app.send("GET", "/v1/search/count?type").json()["totalHits"] == everything


@pytest.mark.parametrize("value", ["", "=", "=true", "=false", "=0", "=1"])
def test_a_flag_is_set_by_being_there(app: Client, value: str) -> None:
    assert app.send("GET", f"/v1/_types?count{value}").json()["note"] >= 8
    counted = app.send("GET", f"/v1/note/search/terms?terms=id:n1&count{value}").json()
    assert (counted["items"], counted["totalHits"]) == ([], 1)


@pytest.mark.parametrize(
    ("value", "first"),
    [("=true", "n7"), ("=TRUE", "n7"), ("", "n0"), ("=", "n0"), ("=1", "n0"), ("=false", "n0"), ("=yes", "n0")],
)
def test_a_boolean_is_true_for_the_word_only(app: Client, value: str, first: str) -> None:
    page = app.send("GET", f"/v1/note/search/wildcard?field=id&q=n?&sort=properties.rank&desc{value}&limit=1").json()
    assert page["items"][0]["id"] == first


def test_a_post_without_a_body_works_where_none_is_needed(door: Listening) -> None:
    _, secret = door.run(door.backend.tenants.create("turned"))
    client = Client(door.url, Signer("app:turned", secret))
    keys = client.send("POST", "/v1/_newkeys")
    assert list(keys.json()) == ["accessKey", "secretKey", "info"]
    again = Client(door.url, Signer("app:turned", keys.json()["secretKey"]))
    assert again.send("POST", "/v1/_newkeys", b"", **{"Content-Length": "0"}).status_code == 200


def test_bodies_in_chunks(door: Listening, app: Client) -> None:
    assert app.signer is not None
    body = b'{"id":"chunked","a":1}'
    headers = app.signer.headers("POST", door.url + "/v1/note", body)
    sent = requests.post(door.url + "/v1/note", data=iter([body[:5], b"", body[5:]]), headers=headers, timeout=5)
    assert (sent.status_code, sent.json()["a"]) == (201, 1)
    headers = app.signer.headers("POST", door.url + "/v1/note", b"")
    none = requests.post(door.url + "/v1/note", data=iter([]), headers=headers, timeout=5)
    assert (none.status_code, none.json()["message"]) == (400, "Missing request body.")


def test_an_answer_before_the_work_is_never_given(app: Client) -> None:
    """X-Para-Respond-Immediately may be honoured; it is not, since what is answered is durable."""
    asked = {"X-Para-Respond-Immediately": "true"}
    made = app.send("POST", "/v1/note", {"id": "hybrid"}, **asked)
    assert (made.status_code, made.json()["id"]) == (201, "hybrid")
    assert app.send("PATCH", "/v1/note/hybrid", {"a": 1}, **asked).json()["a"] == 1
    assert app.send("DELETE", "/v1/note/hybrid", **asked).status_code == 200
    assert app.send("GET", "/v1/note/hybrid").status_code == 404


# --- bodies that try something


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a":1}\x00', "unexpected content"),
        (b"\x00", "unexpected character"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'{"a":"\xc3\x28"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "UTF-8"),
        (b'{"id":"a\\u0000"}', "'id'"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "64 levels"),
        (b"[" * 4000, ""),
        (b'{"a":1,}', ""),
        (b"{'a':1}", ""),
    ],
)
def test_broken_bodies_are_told_and_change_nothing(door: Listening, app: Client, body: bytes, message: str) -> None:
    before = door.totals()
    refused = app.send("POST", "/v1/note", body)
    assert refused.status_code == 400
    assert message in refused.json()["message"]
    assert door.totals() == before


def test_of_a_repeated_member_the_last_counts(app: Client) -> None:
    made = app.send("POST", "/v1/note", b'{"id":"first","id":"twice","a":1,"a":{"b":1,"b":2}}')
    assert (made.status_code, made.json()["id"], made.json()["a"]) == (201, "twice", {"b": 2})
    assert app.send("GET", "/v1/note/first").status_code == 404


def test_nul_in_a_value_is_kept_and_in_a_type_refused(app: Client) -> None:
    assert app.send("PUT", "/v1/note/nul", {"a": "x\x00y", "k\x00": 1}).status_code == 200
    assert app.send("GET", "/v1/note/nul").json()["a"] == "x\x00y"
    made = app.send(
        "POST", "/v1/_batch", [{"type": "a\x00b"}, {"type": "no\\te"}, {"type": ".."}, {"type": "x" * 1025}]
    )
    assert (made.status_code, made.content) == (200, b"[]")
    assert made.headers["X-Thingstead-Skipped"] == "4"


# --- 1.2 errors


def test_every_error_has_the_one_shape(app: Client) -> None:
    for method, path, status in (
        ("GET", "/v1/note/none", 404),
        ("GET", "/v1/_nothing", 404),
        ("GET", "/v1/_config", 404),
        ("GET", "/v1/a/b/c/d/e", 404),
        ("PATCH", "/v1/note", 405),
        ("POST", "/v1/_me", 405),
        ("DELETE", "/v1/_health", 405),
        ("PUT", "/v1/_config/options", 405),
        ("OPTIONS", "/v1/note", 405),
        ("POST", "/v1/note", 400),
    ):
        answer = app.send(method, path)
        assert answer.status_code == status, path
        assert list(answer.json()) == ["code", "message"]
        assert answer.json()["code"] == status
        assert answer.json()["message"]
        assert answer.headers["Content-Type"] == "application/json"


def test_several_messages_are_joined(app: Client) -> None:
    refused = app.send("POST", "/v1/address", {"city": "Sofia"})
    assert refused.json()["message"].count(". ") >= 2
    assert refused.json()["message"].startswith("'address' must not be blank. '")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"not http at all\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\n" + b"A: x\r\n" * 20_000 + b"\r\n",
        b"GET /v1/" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_too(door: Listening, request_: bytes) -> None:
    answer = raw(door, request_)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 400


def test_a_head_without_end_is_cut_off(door: Listening) -> None:
    answer = raw(door, b"GET /v1 HTTP/1.1\r\nHost: x\r\nA: ", *[b"x" * 16_384] * 5)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"65536" in answer


def test_a_head_within_the_bound_is_read(door: Listening) -> None:
    answer = raw(door, b"GET /v1 HTTP/1.1\r\nHost: x\r\nA: ", b"x" * 30_000, b"x" * 30_000, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


# --- 1.3 select


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select=id,rank", {"id": "n1", "rank": 1}),
        ("select=id&select=rank", {"id": "n1", "rank": 1}),
        ("select=id,name&select=rank", {"id": "n1", "name": "ParaObject n1", "rank": 1}),
        ("select=%20id%20,+rank+,,", {"id": "n1", "rank": 1}),
        ("select=properties.rank", {"rank": 1}),
        ("select=properties.deep,id", {"id": "n1", "deep": {"x": 1}}),
        ("select=properties", {"properties": {"rank": 1, "deep": {"x": 1}}}),
        ("select=nope,secret,settings,properties.nope", {}),
        ("select=objectURI,plural", {"objectURI": "/notes/n1", "plural": "notes"}),
    ],
)
def test_select(app: Client, query: str, expected: dict[str, Any]) -> None:
    assert app.send("GET", f"/v1/note/n1?{query}").json() == expected
    assert app.send("GET", f"/v1/_id/n1?{query}").json() == expected
    assert app.send("GET", f"/v1/_batch?ids=n1&{query}").json() == [expected]
    page = app.send("GET", f"/v1/note?q=id:n1&{query}").json()
    assert page["items"] == [expected]
    assert set(page) == {"items", "page", "totalHits", "lastKey"}
    assert app.send("PATCH", f"/v1/note/n1?{query}", {"rank": 1}).json() == expected


def test_a_blank_select_selects_all(app: Client) -> None:
    assert app.send("GET", "/v1/note/n1?select=").json()["rank"] == 1


def test_what_is_hidden_is_never_selected(app: Client) -> None:
    for path in ("/v1/_me", f"/v1/app/{APP}", f"/v1/_id/app:{APP}"):
        shown = app.send("GET", path + "?select=id,secret,settings,properties.secret,properties").json()
        assert shown == {"id": f"app:{APP}"}
    thing = app.send("POST", "/v1/things?select=id,deviceMetadata,secret", {"name": "kit"}).json()
    assert set(thing) == {"id", "deviceDetails"}  # what is shown once is shown whatever is selected
    assert app.send("GET", f"/v1/things/{thing['id']}?select=deviceMetadata,secretHash,deviceDetails").json() == {}


# --- 10 limits


def test_the_largest_body(door: Listening, app: Client) -> None:
    most = b'{"id":"most","a":"' + b"x" * (LIMIT - 20) + b'"}'
    assert len(most) == LIMIT
    assert app.send("POST", "/v1/note", most).status_code == 201
    before = door.totals()
    for method, path in (
        ("POST", "/v1/note"),
        ("PUT", "/v1/note/most"),
        ("PATCH", "/v1/note/most"),
        ("POST", "/v1/_batch"),
    ):
        refused = app.send(method, path, most + b" ")
        assert refused.status_code == 400
        assert refused.json()["message"] == "Request is too large - the maximum is 4 KB."
    assert door.totals() == before


def test_pages(app: Client) -> None:
    def page(query: str) -> tuple[int, int]:
        body = app.send("GET", f"/v1/note?q=properties.rank:[0 TO 7]&{query}".replace(" ", "%20")).json()
        assert body["totalHits"] == 8
        return len(body["items"]), body["page"]

    assert page("") == (3, 0)
    assert page("limit=4") == (4, 0)
    assert page("limit=-4") == (4, 0)
    assert page("limit=6") == (5, 0)
    assert page("limit=999999999999") == (5, 0)
    assert page("limit=0") == (0, 0)
    assert page("limit=x&page=y") == (3, 0)
    assert page("page=2") == (3, 2)
    assert page("page=8") == (0, 7)
    assert page("page=-99999999999") == (0, 7)


def test_types_beyond_the_most_are_saved_and_not_listed(app: Client) -> None:
    for n in range(6):
        assert app.send("PUT", f"/v1/kind{n}/k{n}", {"n": n}).status_code == 200
    own = app.send("GET", "/v1/_me").json()["datatypes"]
    assert len(own) == 4
    assert app.send("GET", "/v1/kind5/k5").json()["type"] == "kind5"
    assert app.send("GET", "/v1/kind5").json()["totalHits"] == 1


def test_a_batch_delete(app: Client) -> None:
    refused = app.send("DELETE", "/v1/_batch?ids=n5&ids=n6&ids=n7")
    assert refused.status_code == 400
    assert refused.json()["message"] == "Limit reached. Maximum number of items to delete is 2"
    assert len(app.send("GET", "/v1/_batch?ids=n5&ids=n6&ids=n7").json()) == 3
    assert app.send("DELETE", "/v1/_batch?ids=n6&ids=n7").status_code == 200
    assert [o["id"] for o in app.send("GET", "/v1/_batch?ids=n5&ids=n6&ids=n7").json()] == ["n5"]
