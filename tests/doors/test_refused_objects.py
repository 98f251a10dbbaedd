"""Refused input at `/v1` changes nothing: a clear error in the door's shape, never a 500, and the journal, the head of
the readings and the rows are as they were (objects.md 1.2; identity.md 2, 4, 5, 6, 13, 14, 17)."""

import base64
import gzip
import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from support.client import Client, Reply
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.doors import objects
from thingstead.doors.objects.table import OPEN, ROUTES, SIGN_IN, Route
from thingstead.doors.things import resources as things

DEEP = 65
MANY = 10_001


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory = tmp_path_factory.mktemp("data")
    with listening(
        directory, lambda backend: objects.app(backend, things.resources(backend)), limits_sign_in=0
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create("myapp"))
    client = Client(door.url, Signer("app:myapp", secret))
    assert client.send("PUT", "/v1/dog/rex", {"name": "Rex", "version": 1}).status_code == 200
    assert client.send("PUT", "/v1/address/a1", ADDRESS).status_code == 200
    return client


ADDRESS = {"address": "Street 1", "country": "US", "latlng": "1,2"}


def check(reply: Reply, status: int, message: str) -> None:
    """The shape, the status, and a part of the message."""
    assert reply.status_code == status, reply.content
    assert reply.headers["Content-Type"] == "application/json"
    body = reply.json()
    assert list(body) == ["code", "message"]
    assert body["code"] == status
    assert message in body["message"], body


BODIES = [
    ("POST", "/v1/dogs", b"", 400, "Missing request body."),
    ("POST", "/v1/dogs", b" \n", 400, "Missing request body."),
    ("POST", "/v1/dogs", b"{", 400, "unexpected end of data"),
    ("POST", "/v1/dogs", b"nonsense", 400, ""),
    ("POST", "/v1/dogs", b'{"a":NaN}', 400, ""),
    ("POST", "/v1/dogs", b'{"a":1e999}', 400, "infinity"),
    ("POST", "/v1/dogs", b'{"a":' + b"9" * 101 + b"}", 400, "100 digits"),
    ("POST", "/v1/dogs", b'{"a":"\xff"}', 400, ""),
    ("POST", "/v1/dogs", b'{"a":"\\ud800"}', 400, ""),
    ("POST", "/v1/dogs", b"null", 400, "a JSON object is expected, not null"),
    ("POST", "/v1/dogs", b"[]", 400, "not an array"),
    ("POST", "/v1/dogs", b'"text"', 400, "not a plain value"),
    ("POST", "/v1/dogs", b"{}", 400, "Failed to create object."),
    ("PUT", "/v1/dogs/d1", b"{}", 400, "Failed to overwrite object."),
    ("PUT", "/v1/dogs/d1", b"[1]", 400, "not an array"),
    ("PATCH", "/v1/dogs/rex", b"7", 400, "not a plain value"),
    ("PATCH", "/v1/dogs/rex", b"", 400, "Missing request body."),
    ("PATCH", "/v1/dogs/none", b'{"a":1}', 404, "Not Found"),
    ("PATCH", "/v1/dogs/rex", b'{"version":7}', 412, "Update failed due to 'version' mismatch."),
    ("POST", "/v1/dogs", b"[" * DEEP + b"]" * DEEP, 400, "64 levels"),
    ("POST", "/v1/dogs", b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "64 levels"),
    ("POST", "/v1/dogs", b"[" * 5000, 400, ""),
    ("POST", "/v1/dogs", b'{"a":[' + b",".join([b"1"] * MANY) + b"]}", 400, "10000 members"),
    ("POST", "/v1/_batch", b"[" + b",".join([b'{"a":1}'] * MANY) + b"]", 400, "10000 members"),
    ("POST", "/v1/dogs", b'{"id":["x"]}', 400, "'id' must be text"),
    ("POST", "/v1/dogs", b'{"id":"a\\u0000b"}', 400, "'id'"),
    ("POST", "/v1/dogs", b'{"id":".."}', 400, "'id'"),
    ("POST", "/v1/dogs", b'{"id":"a\\\\b"}', 400, "'id'"),
    ("POST", "/v1/dogs", b'{"id":"' + b"x" * 1025 + b'"}', 400, "1024 characters"),
    ("POST", "/v1/dogs", b'{"id":"app:x"}', 400, "Failed to create object."),
    ("PUT", "/v1/dogs/app:x", b'{"a":1}', 400, "Failed to overwrite object."),
    ("POST", "/v1/apps", b'{"name":"x"}', 400, "Failed to create object."),
    ("POST", "/v1/app", b'{"id":"app:x","type":"app"}', 400, "Failed to create object."),
    ("PUT", "/v1/app/x", b'{"name":"x"}', 400, "Failed to overwrite object."),
    ("POST", "/v1/addresses", b'{"name":"x"}', 400, "'address' must not be blank"),
    ("PATCH", "/v1/address/a1", b'{"country":"X"}', 400, "'country' size must be between 2 and 255"),
    ("POST", "/v1/things", b'{"serviceBroker":"Local"}', 400, "name"),
    ("POST", "/v1/things", b'{"name":"x","serviceBroker":"Nobody"}', 400, "serviceBroker"),
    ("POST", "/v1/things", b'{"name":"x","deviceState":[1]}', 400, "deviceState"),
    ("PUT", "/v1/things/a.b", b'{"name":"x"}', 400, ""),
    ("POST", "/v1/_batch", b"{}", 400, "a JSON array is expected"),
    ("POST", "/v1/_batch", b"[1]", 400, "item 0 is a plain value"),
    ("POST", "/v1/_batch", b"[{},[]]", 400, "item 1 is an array"),
    ("PATCH", "/v1/_batch", b"null", 400, "a JSON array is expected"),
    ("GET", "/v1/_batch", b"", 400, "Missing ids."),
    ("GET", "/v1/_batch?ids=&ids=%20", b"", 400, "Missing ids."),
    ("DELETE", "/v1/_batch", b"", 400, "Missing ids."),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), BODIES)
def test_bodies(door: Listening, app: Client, method: str, path: str, body: bytes, status: int, message: str) -> None:
    before = door.totals()
    check(app.send(method, path, body), status, message)
    assert door.totals() == before


PATHS = [
    ("GET", "/v1/dogs//rex", 400, "segment"),
    ("GET", "/v1/dogs//", 400, "segment"),
    ("GET", "/v1//dogs", 400, "segment"),
    ("GET", "/v1/dogs/./rex", 400, "segment"),
    ("GET", "/v1/dogs/%2e%2E", 400, "segment"),
    ("GET", "/v1/dogs/..", 400, "segment"),
    ("GET", "/v1/dogs/a%00b", 400, "segment"),
    ("GET", "/v1/dogs/a%5Cb", 400, "segment"),
    ("GET", "/v1/dogs/a\\b", 400, "segment"),
    ("GET", "/v1/dogs/%ff", 400, "UTF-8"),
    ("GET", "/v1/dogs?q=%ff", 400, "query"),
    ("GET", "/v1/dogs/" + "x" * 33_000, 400, "32768"),
    ("GET", "/v1/dogs/a/b", 404, "Not Found"),
    ("GET", "/v1/dogs/rex/links/cat/1/2", 404, "Not Found"),
    ("GET", "/v1/_nothing", 404, "Not Found"),
    ("GET", "/v1/_id", 404, "Not Found"),
    ("GET", "/v1/search/a/b", 404, "Not Found"),
    ("GET", "/v1/app/other", 404, "Not Found"),
    ("PATCH", "/v1/_types", 405, "Method Not Allowed"),
    ("GET", "/v2/dogs", 404, "Not Found"),
    ("GET", "/v1x", 404, "Not Found"),
    ("GET", "/v1/search?q=%22", 400, "Invalid query string syntax"),
    ("GET", "/v1/dogs/search/wildcard?field=name&q=(", 400, "Invalid query string syntax"),
    ("GET", "/v1/_setup/x", 403, "Only root app can create and initialize other apps."),
    ("POST", "/v1/utils/newid", 405, "Method Not Allowed"),
    ("GET", "/v1/utils/rm", 400, "Unknown method: rm"),
]


@pytest.mark.parametrize(("method", "path", "status", "message"), PATHS)
def test_paths(door: Listening, app: Client, method: str, path: str, status: int, message: str) -> None:
    before = door.totals()
    check(app.send(method, path), status, message)
    assert door.totals() == before


# --- every route of the table

FILLED = {
    "type": "dogs",
    "id": "rex",
    "id2": "max",
    "other": "cats",
    "kind": "terms",
    "method": "nospaces",
    "subject": "u1",
    "resource": "dog",
    "field": "name",
    "name": "min",
    "key": "k",
    "app": "x",
}
BAD_SEGMENTS = ("%00", "a%00b", "a%5Cb", "a\\b", ".", "..", "%2e", "%2E.", "%ff", "%C3", "x" * 33_000)
BAD_QUERIES = ("q=%ff&select=a", "%C3=1", "select=%ED%A0%80", "&".join(["ids=a"] * MANY))
LARGE = b'{"value":"' + b"x" * 1_048_576 + b'"}'
BOMB = gzip.compress(b'{"a":"' + b"x" * 10_000_000 + b'"}')
BAD_BODIES = (
    *(
        b"nonsense",
        b"{",
        b"null",
        b"7",
        b'"text"',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        b'[{"\xff":1}]',
    ),
    *(b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b'{"a":' + b"9" * 101 + b"}", BOMB, LARGE),
    *(b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * DEEP + b"]" * DEEP, b"[" * 100_000),
    b'{"value":[' + b",".join([b"1"] * MANY) + b"]}",
    b"[" + b",".join([b'{"type":"dog"}'] * MANY) + b"]",
)


def filled(path: str, **names: str) -> str:
    return "/".join((FILLED | names)[part[1:-1]] if part[0] == "{" else part for part in path.split("/"))


def rows(route: Route) -> Iterator[tuple[str, bytes]]:
    """Requests (target, body) to a route that are refused for how they are, whoever asks."""
    path = f"/v1/{filled(route.path)}"
    for name in (part[1:-1] for part in route.segments if part[0] == "{"):
        for bad in BAD_SEGMENTS:
            yield f"/v1/{filled(route.path, **{name: bad})}", b""
    if route.query:
        for bad in BAD_QUERIES:
            yield f"{path}?{bad}", b'{"name":"x"}' if route.body == "Object" else b"[]" if route.body else b""
    if route.body:
        yield path, b"[]" if route.body != "Objects" else b"{}"
        if not route.path.startswith("_constraints"):  # whose payload may be missing
            yield path, b""
            yield path, b" \r\n\t"
        for bad_body in BAD_BODIES:
            yield path, bad_body
    yield f"{path}?{'x' * 33_000}", b""


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_refuses_what_it_cannot_read(door: Listening, app: Client, route: Route) -> None:
    before = door.totals()
    identifier = "para" if route.path == "_setup/{app}" else "myapp"  # others are refused for what they are
    secret = door.run(door.backend.tenants.get(identifier)).secret
    basic = "Basic " + base64.b64encode(f"app:{identifier}:{secret}".encode()).decode()
    plain = Client(door.url)
    count = 0
    for target, body in rows(route):
        encoding = {"Content-Encoding": "gzip"} if body is BOMB else {}
        status = 413 if (route.path, body) == ("_emails", LARGE) else 400
        check(plain.send(route.method, target, body, Authorization=basic, **encoding), status, "")
        count += 1
    assert count > 0
    assert door.totals() == before


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_refuses_nobody_and_guests(door: Listening, app: Client, route: Route) -> None:
    before = door.totals()
    path, body = f"/v1/{filled(route.path)}", b'[{"type":"dog"}]' if route.body == "Objects" else b'{"value":1}'
    plain = Client(door.url)
    check(plain.send(route.method, path, body), 401, "")
    check(
        plain.send(route.method, path, body, Authorization="Basic " + base64.b64encode(b"app:myapp:x").decode()),
        401,
        "",
    )
    check(plain.send(route.method, path, body, Authorization="Bearer x.y.z"), 401, "")
    guest = plain.send(route.method, path, body, Authorization="Anonymous app:myapp")
    check(guest, 401 if route.path in ("_me", "_newkeys") else 403, "")
    assert door.totals() == before


def test_open_routes_and_signing_in_refuse_other_methods_and_bodies(door: Listening, app: Client) -> None:
    before = door.totals()
    plain = Client(door.url)
    for each in OPEN:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            check(plain.send(method, each.path, b"{}"), 405, "Method Not Allowed")
        check(plain.send("GET", each.path, LARGE), 400, "too large")
        if each.query:
            for bad in BAD_QUERIES:
                check(plain.send("GET", f"{each.path}?{bad}"), 400, "")
    for each in SIGN_IN:
        for body in (b"", b"[]", *BAD_BODIES):
            check(plain.send(each.method, "/jwt_auth", body), 400, "")
    assert door.totals() == before


def test_of_a_repeated_member_the_last_counts(door: Listening, app: Client) -> None:
    assert app.send("PUT", "/v1/cats/twice", b'{"a":1,"name":"x","a":2}').json()["a"] == 2
    before = door.totals()
    check(app.send("POST", "/v1/dogs", b'{"id":"fine","id":"app:x"}'), 400, "Failed to create object.")
    check(app.send("PATCH", "/v1/cats/twice", b'{"version":0,"version":99}'), 412, "version")
    assert door.totals() == before


AWKWARD = (
    "a b",
    "a/b",
    "é",
    "東京",
    "\U0001f600",
    "a+b",
    "100%",
    "?",
    "#",
    "a;b=c",
    "'",
    '"',
    "<b>",
    "\x01",
    "\x7f",
    "\u202e",
    "a:b",
    "~",
    "*",
)


def test_awkward_ids_are_ids(app: Client) -> None:
    for id in AWKWARD:
        path = f"/v1/cats/{quote(id, safe='')}"
        assert app.send("PUT", path, {"name": "x"}).json()["id"] == id
        assert app.send("GET", path).json()["id"] == id
        assert app.send("PATCH", path, {"name": "y"}).json()["name"] == "y"
        assert [each["id"] for each in app.send("GET", f"/v1/_batch?ids={quote(id, safe='')}").json()] == [id]
        assert app.send("GET", f"/v1/cats/search/id?id={quote(id, safe='')}").json()["totalHits"] == 1
        assert app.send("DELETE", path).status_code == 200
        check(app.send("GET", path), 404, "Not Found")


def test_of_concurrent_updates_of_one_version_one_wins(door: Listening, app: Client) -> None:
    app.send("PUT", "/v1/cats/raced", {"name": "x", "version": 1})
    version = app.send("GET", "/v1/cats/raced").json()["version"]
    with ThreadPoolExecutor(8) as many:
        tasks = [many.submit(app.send, "PATCH", "/v1/cats/raced", {"winner": n, "version": version}) for n in range(24)]
    replies = [task.result() for task in tasks]
    assert Counter(reply.status_code for reply in replies) == {200: 1, 412: 23}
    [won] = [reply.json()["winner"] for reply in replies if reply.status_code == 200]
    left = app.send("GET", "/v1/cats/raced").json()
    assert (left["winner"], left["version"]) == (won, version + 1)


def test_a_body_over_the_limit(door: Listening, app: Client) -> None:
    before = door.totals()
    body = b'{"a":"' + b"x" * 1_048_576 + b'"}'
    for path in ("/v1/dogs", "/v1/_batch"):
        check(app.send("POST", path, body), 400, "Request is too large - the maximum is 1024 KB.")
    just = b'{"id":"big","a":"' + b"x" * (1_048_576 - 19) + b'"}'
    assert len(just) == 1_048_576
    assert door.totals() == before
    assert app.send("POST", "/v1/bigs", just).status_code == 201


def test_a_chunked_body_counts_as_it_arrives(door: Listening) -> None:
    before = door.totals()
    parts = urlsplit(door.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(b"POST /v1/dogs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        for _ in range(17):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Request is too large" in answer
    assert door.totals() == before


def altered(headers: dict[str, str], **changes: str) -> dict[str, str]:
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def test_signatures(door: Listening, app: Client) -> None:
    assert app.signer is not None
    url, body = door.url + "/v1/dogs?a=1", b'{"name":"x"}'
    good = app.signer.headers("POST", url, body)
    plain = Client(door.url)
    before = door.totals()

    def refused(
        headers: dict[str, str], status: int, message: str, path: str = "/v1/dogs?a=1", data: bytes = body
    ) -> None:
        check(plain.send("POST", path, data, **headers), status, message)

    authorization = good["Authorization"]
    wrong = "Invalid signature for request POST /v1/dogs coming from app myapp"
    refused(good, 403, wrong, data=b'{"name":"y"}')
    refused(good, 403, wrong, path="/v1/dogs?a=2")
    refused(good, 403, "Invalid signature for request POST /v1/cats coming from app myapp", path="/v1/cats?a=1")
    refused(altered(good, Authorization=authorization[:-1] + ("0" if authorization[-1] != "0" else "1")), 403, wrong)
    refused(altered(good, Authorization=authorization.replace("SignedHeaders=host;", "SignedHeaders=")), 403, wrong)
    refused(altered(good, Authorization="AWS4-HMAC-SHA256 Credential=app:myapp"), 403, "Invalid signature")
    refused(altered(good, Authorization=authorization.replace("app:myapp", "app:other")), 404, "App not found.")
    refused(altered(good, Authorization=authorization.replace("app:myapp", "%%%")), 404, "App not found.")
    refused({"Authorization": authorization}, 400, "Request has expired.")
    refused(altered(good, **{"X-Amz-Date": "yesterday"}), 400, "Request has expired.")
    for shift in (timedelta(seconds=-1000), timedelta(seconds=1000), timedelta(days=-1)):
        refused(app.signer.headers("POST", url, body, at=datetime.now(UTC) + shift), 400, "Request has expired.")
    other = Signer("app:myapp", "x" * 56).headers("POST", url, body)
    refused(other, 403, wrong)
    assert door.totals() == before


def test_spaces_around_the_date_are_not_signed(door: Listening, app: Client) -> None:
    """Values count trimmed (identity.md 4.2)."""
    assert app.signer is not None
    signed = app.signer.headers("GET", door.url + "/v1/_me")
    spaced = {**signed, "X-Amz-Date": f"  {signed['X-Amz-Date']}\t "}
    assert Client(door.url).send("GET", "/v1/_me", **spaced).status_code == 200


def test_guests_nobody_and_unknown_schemes(door: Listening, app: Client) -> None:
    plain = Client(door.url)
    before = door.totals()
    guest = "You don't have permission to access this resource. [user: [GUEST], resource: GET /v1/dogs]"
    nobody = "You don't have permission to access this resource. [GET /v1/dogs]"
    secret = door.run(door.backend.tenants.get("myapp")).secret
    basic = quote("Basic " + base64.b64encode(f"app:myapp:{secret}".encode()).decode(), safe="")
    assert plain.send("GET", "/v1/_me", Authorization=unquote(basic)).status_code == 200
    for path, headers, status, message in (
        ("/v1/dogs", {}, 401, nobody),
        ("/v1/dogs", {"Authorization": "  "}, 401, nobody),
        ("/v1/dogs", {"Authorization": "Anonymous"}, 401, nobody),
        ("/v1/dogs", {"Authorization": "Anonymous app:myapp"}, 403, guest),
        ("/v1/dogs?accessKey=app:myapp", {}, 403, guest),
        ("/v1/dogs", {"Authorization": "Digest x"}, 401, nobody),
        ("/v1/dogs", {"Authorization": "Basic eDp5"}, 401, ""),
        ("/v1/_me", {}, 401, ""),
        ("/v1/_me", {"Authorization": "Anonymous app:myapp"}, 401, ""),
        ("/v1/_me?Authorization=x", {}, 401, ""),
        (f"/v1/_me?Authorization={basic}", {}, 401, ""),  # a URL carries tokens at most (identity.md 2.6)
        ("/v1/dogs?X-Amz-Signature=00&X-Amz-Credential=app:myapp", {}, 401, ""),
    ):
        reply = plain.send("GET", path, **headers)
        check(reply, status, message)
        assert ("WWW-Authenticate" in reply.headers) == (status == 401)
    assert door.totals() == before


def test_tokens(door: Listening, app: Client) -> None:
    secret = door.run(door.backend.tenants.get("myapp")).secret
    now = int(datetime.now(UTC).timestamp())

    def token(key: str = secret, **claims: Any) -> str:
        return jwt.encode({"alg": "HS256"}, {"appid": "app:myapp", **claims}, OctKey.import_key(key))

    good = token(exp=now + 60)
    plain = Client(door.url)
    assert plain.send("GET", "/v1/_me", Authorization=f"Bearer {good}").json()["id"] == "app:myapp"
    assert plain.send("GET", f"/v1/_me?Authorization=Bearer%20{good}").json()["id"] == "app:myapp"
    before = door.totals()
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    for given_token in (
        token(exp=now - 1),
        token(exp=now + 60, nbf=now + 30),
        token(),
        token("y" * 56, exp=now + 60),
        token(exp=now + 60, appid="app:nobody"),
        good[:-2] + "xx",
        f"{none}.{good.split('.')[1]}.",
        "a.b.c",
        "",
        "ä" * 10_000,
    ):
        reply = plain.send(
            "POST", "/v1/dogs", {"a": 1}, Authorization=f"Bearer {given_token}".encode().decode("latin-1")
        )
        check(reply, 401, "")
        assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    check(plain.send("GET", f"/v1/dogs?Authorization=Bearer%20{good}"), 401, "")
    assert door.totals() == before


def test_signing_in_is_refused_as_clients_expect(door: Listening, app: Client) -> None:
    plain = Client(door.url)
    before = door.totals()
    missing = "Some of the required query parameters 'provider', 'appid', 'token', are missing."
    for body, status, message in (
        (
            {"appid": "app:myapp", "provider": "facebook", "token": "t"},
            400,
            "Failed to authenticate user with 'facebook'.",
        ),
        (
            {"appid": "app:para", "provider": "facebook", "token": "t"},
            403,
            "clients aren't allowed to access root app.",
        ),
        (
            {"appid": "app:x", "provider": "facebook", "token": "t"},
            400,
            "User belongs to app 'app:x' which does not exist.",
        ),
        ({"appid": "app:myapp", "provider": "facebook"}, 400, missing),
        ({"appid": 1, "provider": [], "token": {}}, 400, missing),
        (b"{", 400, ""),
        (b"", 400, "Missing request body."),
    ):
        check(plain.send("POST", "/jwt_auth", body), status, message)
    for method, message in (("GET", "User must reauthenticate."), ("DELETE", "Invalid or expired token.")):
        reply = plain.send(method, "/jwt_auth")
        check(reply, 400, message)
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    check(plain.send("PUT", "/jwt_auth", {}), 405, "")
    assert door.totals() == before


SEGMENT = st.one_of(
    st.sampled_from(
        [
            "_me",
            "_types",
            "_id",
            "_batch",
            "_newkey",
            "search",
            "utils",
            "dogs",
            "rex",
            "links",
            "things",
            "tag",
            "app",
            "%",
        ]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#? "), max_size=8),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "name", "tags", "version", "timestamp", "stored", "x", "_voteup", "_vote_locked_after"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]),
    st.lists(SEGMENT, max_size=5),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=12),
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20),
)
def test_whatever_is_sent_is_never_a_500(
    app: Client, method: str, segments: list[str], query: str, body: bytes
) -> None:
    reply = app.send(method, "/v1/" + "/".join(segments) + "?" + query, body)
    assert reply.status_code < 500 or reply.status_code == 501, reply.content
    if reply.status_code >= 400 and method != "HEAD":
        assert list(reply.json()) == ["code", "message"]
