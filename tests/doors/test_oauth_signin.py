"""People sign in at `/jwt_auth` over OAuth: with Para's Python client and the providers that a local server plays, and
with a real Keycloak, whose login page a browser fills in (identity.md 6.3, 8.2-8.4, 16)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from paraclient import ParaClient

from support.backend import ROOT_SECRET
from support.client import Client
from support.keycloak import Browser, Keycloak, Realm, person
from support.listening import Listening, listening
from support.providers import BACK, CLIENT, SECRET, TOKEN, TOKENS, Providers
from thingstead.core.outbound import Outbound
from thingstead.core.signin.social import SocialProviders
from thingstead.doors import objects
from thingstead.model.oauth import SOCIAL
from thingstead.model.outbound import allowed

FAILED = "Failed to authenticate user with '{}'. Check if user is active."


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """What Keycloak is at, the operator has allowed; the providers at fixed addresses are played."""
    with listening(tmp_path_factory.mktemp("data"), objects.app, outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.fixture(scope="module")
def played(door: Listening) -> Iterator[Providers]:
    backend = door.backend
    server = Providers()
    outbound = Outbound(allowed("127.0.0.1"))
    door.run(server.start())
    social = SocialProviders(backend.tenants, outbound, backend.clock, backend.entropy, at=server.url)
    backend.signin.providers.update({name: each for name, each in social.by_name.items() if "oauth2" not in name})
    yield server
    door.run(outbound.close())
    door.run(server.close())


def para_client(door: Listening, access_key: str, secret: str = "") -> Any:
    client: Any = ParaClient(access_key, secret)
    client.setEndpoint(door.url)
    return client


def new_app(door: Listening, name: str, **settings: Any) -> Any:
    """A client of a new app with these settings; `__` stands for a dot."""
    root = para_client(door, "app:para", ROOT_SECRET)
    keys = root.getEntity(root.invokeGet(f"_setup/{name}"), True)
    app = para_client(door, f"app:{name}", keys["secretKey"])
    app.setAppSettings({key.replace("__", "."): value for key, value in settings.items()})
    return app


def sign_in(door: Listening, provider: str, token: str, appid: str) -> tuple[int, Any]:
    reply = Client(door.url).send("POST", "/jwt_auth", {"appid": appid, "provider": provider, "token": token})
    return reply.status_code, reply.json()


def test_nobody_signs_in_to_the_root_app(door: Listening, played: Providers) -> None:
    """As the clients' own suites do it, token by token of providers (identity.md 16)."""
    for name in (*(known.name for known in SOCIAL), "twitter", "oauth2", "mattermost"):
        status, body = sign_in(door, name, "test_token", "app:para")
        assert status == 403
        assert "clients aren't allowed to access root app" in body["message"]
    client = para_client(door, "app:para", ROOT_SECRET)
    with pytest.raises(Exception):  # noqa: B017  the client's own: it reads a user of an answer without one
        client.signIn("facebook", "test_token")
    assert not client.getAccessToken()
    assert played.calls == []


def test_a_child_apps_people_come_in_through_every_provider(door: Listening, played: Providers) -> None:
    app = new_app(door, "social", tw_app_id=CLIENT, tw_secret=SECRET)
    for name in (*(known.name for known in SOCIAL), "twitter"):
        client = para_client(door, "app:social")
        user = client.signIn(name, TOKENS.get(name, TOKEN))
        assert client.getAccessToken()
        assert client.me().id == user.id
        assert (user.active, user.groups, user.identityProvider) == (True, "users", name)
        assert app.read(None, user.identifier).creatorid == user.id
        again = para_client(door, "app:social").signIn(name.upper(), TOKENS.get(name, TOKEN))
        assert again.id == user.id
    users = {user.identifier: user for user in app.findQuery("user", "*")}
    assert len(users) == len(SOCIAL) + 1
    assert users["fb:10224930292"].picture.startswith("https://graph.facebook.com/10224930292/picture")
    assert users["gh:583231"].email == "octocat@github.example"
    assert users["sl:U0G9QF9C6:T0G9PQBBK"].name == "Sonny Whether"


def test_a_failed_sign_in_says_no_more_than_that_and_makes_nobody(door: Listening, played: Providers) -> None:
    app = new_app(door, "strict", gp_app_id="another", gp_secret="s")
    assert sign_in(door, "google", TOKEN, "app:strict") == (
        400,
        {"code": 400, "message": FAILED.format("google")},
    )
    for name in ("facebook", "google", "github", "twitter", "mattermost", "oauth2third"):
        status, body = sign_in(door, name, "test_token", "app:strict")
        assert (status, body["message"]) == (400, FAILED.format(name))
    assert app.getCount("user") == 0


# --- OpenID Connect, by Keycloak


@pytest.fixture(scope="module")
def realm(keycloak: Keycloak) -> Realm:
    ann = person("ann", "ann's password", email="ann@example.com", firstName="Ann", lastName="Lee")
    client = {"clientId": CLIENT, "secret": SECRET, "publicClient": False, "redirectUris": ["https://shop.example/*"]}
    return keycloak.realm("shop", users=[ann], clients=[client])


def code_of(realm: Realm) -> str:
    """What a browser brings back after a login at Keycloak's page."""
    query = {"client_id": CLIENT, "response_type": "code", "redirect_uri": BACK, "scope": "openid", "state": "app:shop"}
    landed = Browser().sign_in(f"{realm.connect}/auth?{urlencode(query)}", "ann", "ann's password")
    assert landed.url.startswith(BACK)
    given = parse_qs(urlsplit(landed.url).query)
    assert given["state"] == ["app:shop"]
    return given["code"][0]


def connected(door: Listening, realm: Realm, name: str, **more: Any) -> Any:
    settings = {
        "profile_url": f"{realm.connect}/userinfo",
        "token_url": f"{realm.connect}/token",
        "scope": "openid profile email",
        "issuer": realm.url,
        **more,
    }
    own = {f"security__oauth__{key}": value for key, value in settings.items()}
    return new_app(door, name, oa2_app_id=CLIENT, oa2_secret=SECRET, **own)


def test_a_login_at_keycloak_signs_in_here(door: Listening, realm: Realm) -> None:
    app = connected(door, realm, "shop")
    provider: Any = door.backend.signin.providers["oauth2"]
    tenant = door.run(door.backend.tenants.get("shop"))
    token = door.run(provider.exchange(tenant, code_of(realm), BACK))
    profile = door.run(provider.prove(tenant, token))
    assert (profile.name, profile.email, profile.email_proven) == ("Ann Lee", "ann@example.com", True)
    client = para_client(door, "app:shop")
    user = client.signIn("oauth2", token)
    assert (user.name, user.email, user.identifier) == ("Ann Lee", "ann@example.com", profile.identifier)
    assert user.identifier.startswith("oa2:")
    assert client.me().id == user.id
    assert app.read("user", user.id).identityProvider == "oauth2"
    assert sign_in(door, "oauth2", token + "x", "app:shop")[0] == 400
    assert sign_in(door, "oauth2", "", "app:shop")[0] == 400


def test_keycloak_has_the_last_word_on_a_delegated_user(door: Listening, realm: Realm) -> None:
    """A refresh token brings a new access token; once the session is over at Keycloak, it is over here."""
    connected(door, realm, "hub", token_delegation_enabled=True)
    provider: Any = door.backend.signin.providers["oauth2"]
    tenant = door.run(door.backend.tenants.get("hub"))
    token = door.run(provider.exchange(tenant, code_of(realm), BACK))
    refresh = token.partition(":")[2]
    assert refresh
    signed = door.run(door.backend.signin.with_token(tenant, "oauth2", token))
    me = {"Authorization": f"Bearer {signed.token}"}
    assert Client(door.url).send("GET", "/v1/_me", **me).status_code == 200
    door.run(door.backend.users.keep_delegated("hub", signed.user.id, _worn_out(refresh)))
    assert Client(door.url).send("GET", "/v1/_me", **me).status_code == 200
    realm.call("POST", f"/users/{signed.user.own['identifier'].removeprefix('oa2:')}/logout")
    assert Client(door.url).send("GET", "/v1/_me", **me).status_code == 401


def _worn_out(refresh: str) -> Any:
    from thingstead.model.users import Delegated

    return Delegated("expired", refresh)


def test_an_id_token_of_keycloak_verifies(door: Listening, realm: Realm) -> None:
    provider: Any = door.backend.signin.providers["oauth2"]
    connected(door, realm, "idt")
    tenant = door.run(door.backend.tenants.get("idt"))
    form = {"code": code_of(realm), "redirect_uri": BACK, "grant_type": "authorization_code"}
    given = door.run(provider.granted(tenant, provider.of(tenant), form))
    assert given.id_token
    assert (given.claims["iss"], given.claims["aud"], given.claims["email"]) == (realm.url, CLIENT, "ann@example.com")
