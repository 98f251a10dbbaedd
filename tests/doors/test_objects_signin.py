"""People sign in, stay signed in and sign out at `/jwt_auth`, with Para's Python client and by hand (identity.md 6.3,
7, 8.8, 16): every text, every status, and what it leaves behind."""

from collections.abc import Iterator
from typing import Any

import pytest
from paraclient import ParaClient

from support.backend import ROOT_SECRET
from support.client import Client
from support.listening import Listening, listening
from thingstead.doors import objects

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
