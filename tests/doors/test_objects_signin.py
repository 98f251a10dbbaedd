"""People sign in, stay signed in and sign out at `/jwt_auth`, with Para's Python client and by hand (identity.md 6.3,
7, 8.8, 16): every text, every status, and what it leaves behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from paraclient import ParaClient, ParaObject

from support.backend import ROOT_SECRET
from support.client import Client
from support.listening import Listening, listening
from thingstead.doors import objects
from thingstead.model import tokens

CHEAP = bcrypt.hashpw(b"a good password", bcrypt.gensalt(4)).decode()
FAILED = "Failed to authenticate user with '{}'. Check if user is active."


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app) as opened:
        yield opened


def para_client(door: Listening, access_key: str, secret: str = "") -> Any:
    client: Any = ParaClient(access_key, secret)
    client.setEndpoint(door.url)
    return client


@pytest.fixture(scope="module")
def app(door: Listening) -> Any:
    """A client of `app:people` with its secret."""
    root = para_client(door, "app:para", ROOT_SECRET)
    keys = root.getEntity(root.invokeGet("_setup/people"), True)
    return para_client(door, "app:people", keys["secretKey"])


def sign_in(door: Listening, provider: str, token: str, appid: str = "app:people") -> tuple[int, Any]:
    reply = Client(door.url).send("POST", "/jwt_auth", {"appid": appid, "provider": provider, "token": token})
    return reply.status_code, reply.json()


def test_a_person_signs_up_is_activated_and_signs_in(door: Listening, app: Any) -> None:
    status, body = sign_in(door, "password", "Jane@Example.com:Jane Doe:a good password")
    assert (status, body["message"]) == (400, FAILED.format("password"))
    held = app.read(None, "jane@example.com")
    assert (held.type, held.name) == ("sysprop", "identifier")
    user = app.read("user", held.creatorid)
    assert (user.email, user.name, user.active, user.groups) == ("jane@example.com", "Jane Doe", False, "users")
    assert [found.id for found in app.findTerms("user", {"email": "jane@example.com"}, True)] == [user.id]
    assert sign_in(door, "password", "jane@example.com::a good password")[0] == 400
    user.active = True
    assert app.update(user).active is True
    client = para_client(door, "app:people")
    signed_in = client.signIn("password", "JANE@Example.com::a good password")
    assert signed_in.id == user.id
    assert client.getAccessToken()
    assert client.me().id == user.id
    assert sign_in(door, "password", "jane@example.com::a bad password")[1]["message"] == FAILED.format("password")
    assert client.me().id == user.id
    before = client.getAccessToken()
    assert client.refreshToken() is False  # not yet
    client._ParaClient__tokenKeyNextRefresh = 1
    assert client.refreshToken() is True
    assert client.getAccessToken() != before
    assert client.me().id == user.id
    assert client.revokeAllTokens() is True
    assert client.invokeGet("_me").status_code == 401
    client.signOut()
    assert client.getAccessToken() is None


@pytest.fixture(scope="module")
def jane(door: Listening, app: Any) -> str:
    """The id of an active user who signs in as `jane2@example.com` with `a good password`."""
    make: Any = ParaObject
    user = make(None, "user")
    user.identifier = user.email = "jane2@example.com"
    user.active = True
    made = app.create(user)
    held = app.read(None, "jane2@example.com")
    assert held.creatorid == made.id
    held.password = CHEAP  # apps verify and set passwords themselves (identity.md 7.2)
    assert app.update(held).password == CHEAP
    return str(made.id)


def token_of(door: Listening) -> str:
    status, body = sign_in(door, "generic", "jane2@example.com::a good password")
    assert status == 200
    return str(body["jwt"]["access_token"])


def test_the_answer_is_as_clients_read_it(door: Listening, jane: str) -> None:
    now = door.backend.clock.now() // 1000
    status, body = sign_in(door, "PassWord", "JANE2@example.com:ignored:a good password", appid="people")
    assert (status, list(body), list(body["jwt"])) == (200, ["jwt", "user"], ["access_token", "refresh", "expires"])
    assert (body["user"]["id"], body["user"]["name"]) == (jane, f"ParaObject {jane}")
    assert not {"password", "tokenSecret"} & body["user"].keys()
    expires, refresh = body["jwt"]["expires"], body["jwt"]["refresh"]
    assert isinstance(expires, int)
    assert isinstance(refresh, int)
    assert 0 <= expires - (now // 1000 * 1000 + 86_400_000) <= 60_000
    assert 0 <= refresh - (now // 1000 * 1000 + 3_600_000) <= 60_000
    claims = tokens.peek(body["jwt"]["access_token"])
    assert (claims.sub, claims.appid, claims.exp * 1000) == (jane, "app:people", expires)


def test_every_failure_reads_the_same(door: Listening, jane: str) -> None:
    before = door.totals()
    for provider, token in (
        ("password", "jane2@example.com::a bad password"),
        ("password", "jane2@example.com"),
        ("password", "::"),
        ("password", "no address:x:a good password"),
        ("password", "new@example.com::short"),
        ("generic", "jane2@example.com::" + "x" * 6000),
        ("passwordless", "x.y.z"),
        ("passwordless", "\u2603"),
        ("mattermost", "t"),
        ("no such provider", "t"),
    ):
        status, body = sign_in(door, provider, token)
        assert (status, body) == (400, {"code": 400, "message": FAILED.format(provider)})
    assert door.totals()[2:] == before[2:]


def test_a_token_is_refreshed_and_revoked(door: Listening, jane: str) -> None:
    plain = Client(door.url)
    for where in ("header", "query", "signed"):
        token = token_of(door)
        path, headers = f"/jwt_auth?Authorization=Bearer%20{token}", {}
        if where == "header":
            path, headers = "/jwt_auth", {"Authorization": f"bEARER {token}"}
        client = Client(door.url, door.root) if where == "signed" else plain
        reply = client.send("GET", path, Origin="http://elsewhere.example", **headers)
        assert reply.status_code == 200
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.json()["user"]["id"] == jane
        new = reply.json()["jwt"]["access_token"]
        gone = plain.send("GET", path, **headers)
        assert (gone.status_code, gone.json()["message"]) == (400, "User must reauthenticate.")
        assert plain.send("GET", f"/v1/_me?Authorization=Bearer%20{new}").json()["id"] == jane
        for expected in (200, 400):
            reply = client.send("DELETE", f"/jwt_auth?Authorization=Bearer%20{new}")
            assert reply.status_code == expected
            if expected == 200:
                assert reply.json() == {"code": 200, "message": f"All tokens revoked for user {jane}!"}
            else:
                assert reply.json()["message"] == "Invalid or expired token."
                assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_what_is_no_session_is_not_refreshed(door: Listening, app: Any, jane: str) -> None:
    plain = Client(door.url)
    now = door.backend.clock.now() // 1_000_000
    secret = door.run(door.backend.tenants.get("people")).secret
    of_app = tokens.issue(tokens.super_claims("app:people", now=now, expires=now + 60), secret)
    altered = token_of(door)[:-2] + "xx"
    for header in ("", "Bearer", "Bearer x", f"Bearer {of_app}", f"Bearer {altered}", "Basic eDp5"):
        for method, message in (("GET", "User must reauthenticate."), ("DELETE", "Invalid or expired token.")):
            reply = plain.send(method, "/jwt_auth", **({"Authorization": header} if header else {}))
            assert (reply.status_code, reply.json()["message"]) == (400, message)
            assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    for method in ("PUT", "PATCH", "HEAD", "OPTIONS"):
        assert plain.send(method, "/jwt_auth").status_code == 405


def test_clients_fail_to_sign_in_at_root_and_stay_signed_out(door: Listening) -> None:
    root = para_client(door, "app:para", ROOT_SECRET)
    reply = root.invokePost("/jwt_auth", '{"appid":"app:para","provider":"facebook","token":"test_token"}')
    assert reply.status_code == 403
    with pytest.raises(AttributeError):  # the client itself fails to forget a token that it never had
        root.signIn("facebook", "test_token")
    assert root.invokeDelete("/jwt_auth").status_code == 400
    assert root.invokeGet("/jwt_auth").status_code == 400


def test_the_client_signs_in_asks_who_it_is_and_signs_out(door: Listening, app: Any, jane: str) -> None:
    client = para_client(door, "app:people")
    assert client.signIn("password", "jane2@example.com::a good password", False).id == jane
    assert client.getAccessToken() is None
    assert client.signIn("password", "jane2@example.com::a good password").id == jane
    token = client.getAccessToken()
    client.signOut()
    assert client.getAccessToken() is None
    client.setAccessToken(token)
    assert client.me().id == jane
    assert client.invokeGet("utils/newid").status_code == 403
    keys = client.invokePost("_newkeys", "{}")
    assert keys.status_code in (401, 403)
    user = app.read("user", jane)
    user.active = False
    app.update(user)
    assert client.invokeGet("_me").status_code == 401
    user.active = True
    app.update(user)
    assert client.me().id == jane
    assert client.revokeAllTokens() is True
    assert client.invokeGet("_me").status_code == 401


def test_an_app_that_is_not_active_signs_nobody_in(door: Listening, app: Any, jane: str) -> None:
    root = Client(door.url, door.root)
    token = token_of(door)
    assert root.send("PATCH", "/v1/app/app:people", {"active": False}).status_code == 200
    try:
        assert sign_in(door, "password", "jane2@example.com::a good password")[0] == 403
        assert Client(door.url).send("GET", "/jwt_auth", Authorization=f"Bearer {token}").status_code == 403
    finally:
        assert root.send("PATCH", "/v1/app/app:people", {"active": True}).status_code == 200


def test_sign_ins_beyond_the_queue_are_told_to_come_again(tmp_path: Path) -> None:
    with listening(tmp_path, objects.app) as opened:
        passwords = opened.built.passwords
        root = para_client(opened, "app:para", ROOT_SECRET)
        root.invokeGet("_setup/people")
        passwords.pending = 1_000_000
        assert sign_in(opened, "password", "jane@example.com::a good password")[0] == 429
        assert root.me()["id"] == "app:para"
        passwords.pending = 0
        assert sign_in(opened, "password", "jane@example.com::a good password")[0] == 400
