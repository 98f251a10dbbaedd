"""Promise: a protected path is passed only by who is signed in and has the role, whatever way a login ended it is ended
at once, a write that rests on a cookie needs its token, and no cookie counts at an API (identity.md 9; doors.md 32).
"""

import base64
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import unquote

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import OctKey

from support.listening import Listening
from support.sign import Signer
from support.web import Browser, kept, serving
from thingstead.core.tenants import App
from thingstead.doors import web
from thingstead.model.users import Profile

RULES = {
    "garden": ["/garden", "/garden/**", "/chain/plants/garden"],
    "beds": ["/beds/**", ["mod"]],
    "shed": ["/shed/**", ["admin", "GET"]],
    "rest": ["/machine/**", ["app", "mod"]],
}
OPEN = ["/garden/gate", "/"]
GROUPS = ("users", "mods", "admins")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory: Path = tmp_path_factory.mktemp("web")
    with serving(directory, security_protected=RULES, security_ignored=OPEN) as listening:
        for app in ("plants", "others"):
            listening.run(listening.backend.tenants.create(app))
        yield listening


def cookie(started: Listening, app: str, name: str, groups: str = "users") -> tuple[str, str]:
    """The login cookie of somebody in an app, and the user's id."""

    async def signed() -> tuple[str, str]:
        found: App = await started.backend.tenants.get(app)
        profile = Profile(identifier=f"custom:{name}", email=f"{name}@x.example", name=name, groups=groups)
        one = await started.backend.signin.with_profile(found, profile)
        return one.token, one.user.id

    return started.run(signed())


@pytest.fixture
def browser(started: Listening) -> Iterator[Browser]:
    with Browser(started.url) as one:
        yield one


def enter(started: Listening, browser: Browser, groups: str = "users", app: str = "plants") -> tuple[str, str]:
    token, id = cookie(started, app, f"{groups}-of-{app}", groups)
    name = "para-auth" if app == "para" else f"{app}-auth"
    browser.session.cookies.set(name, token, domain="127.0.0.1", path="/")
    return token, id


# --- nobody


def test_nobody_is_led_to_the_sign_in_page_and_back(browser: Browser) -> None:
    answer = browser.get("/garden/a%20b?x=1&y=2")
    assert (answer.status_code, answer.headers["location"]) == (302, "/signin")
    assert kept(answer) == {"para-returnto": "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"}
    value = browser.cookie("para-returnto")
    assert value is not None
    assert base64.b64decode(value + "=" * (-len(value) % 4)) == b"/garden/a%20b?x=1&y=2"
    assert browser.get("/garden?appid=app:plants").headers["location"] == "/signin?appid=app%3Aplants"
    assert browser.get("/chain/plants/garden").headers["location"] == "/signin?appid=app%3Aplants"


def test_nobody_in_other_forms(browser: Browser) -> None:
    for headers in ({"X_Requested_With": "XMLHttpRequest"}, {"Accept": "application/json"}):
        answer = browser.get("/garden", **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert browser.get("/garden", Accept="text/html, application/json;q=0.9").status_code == 302
    answer = browser.get("/garden", method="OPTIONS")
    assert (answer.status_code, answer.content) == (204, b"")
    assert browser.get("/machine/1").status_code == 401
    assert browser.get("/beds/1", method="HEAD").status_code == 302
    for header in ("Bearer x.y.z", "Basic eDp5", "Anonymous app:plants", "Magic x"):
        answer = browser.get("/garden", Authorization=header)
        assert (answer.status_code, answer.json()["code"]) == (401, 401), header


@pytest.mark.parametrize("path", ["//garden", "/garden/", "/g%61rden", "/garden//x", "///beds/x", "/beds/%78"])
def test_no_spelling_gets_around_a_rule(started: Listening, path: str) -> None:
    connection = HTTPConnection(started.url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path)
        assert connection.getresponse().status == 302
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/garden/gate", "/", "/elsewhere", "/shedding", "/gardens"])
def test_what_is_not_protected_is_open(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.json() == {"path": path, "as": "", "body": ""}
    assert browser.post(path).json()["path"] == path  # nobody is signed in, so nothing can be forged


def test_a_path_that_can_be_read_in_two_ways_is_refused(started: Listening) -> None:
    for raw in ("/x/%2e%2e/garden", "/garden%5cx", "/%ff", "/a%00"):
        prepared = requests.Request("GET", started.url + "/").prepare()
        prepared.url = started.url + raw
        with requests.Session() as session:
            answer = session.send(prepared, timeout=20)
        assert answer.status_code == 400, raw


# --- somebody


@pytest.mark.parametrize(
    ("path", "method", "passing"),
    [
        ("/garden/x", "GET", GROUPS),
        ("/beds/x", "GET", ("mods", "admins")),
        ("/shed/x", "GET", ("admins",)),
        ("/shed/x", "HEAD", ("admins",)),
        ("/elsewhere", "GET", GROUPS),
    ],
)
def test_roles_are_ranked(started: Listening, path: str, method: str, passing: tuple[str, ...]) -> None:
    for groups in GROUPS:
        with Browser(started.url) as browser:
            token, _ = enter(started, browser, groups, "para" if path == "/garden/x" else "plants")
            answer = browser.get(path, method=method)
            if groups in passing:
                assert answer.status_code == 200
                assert answer.headers["cache-control"] == "no-store"
            else:
                assert (answer.status_code, answer.headers["location"]) == (302, "/403")
                refused = browser.get(path, method=method, X_Requested_With="XMLHttpRequest")
                assert refused.status_code == 403
            assert token


def test_the_page_for_those_without_a_role(browser: Browser) -> None:
    answer = browser.get("/403")
    assert answer.status_code == 403
    assert "no access" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert browser.get("/403", Accept="application/json").json()["code"] == 403
    assert browser.get("/403", method="PUT").status_code == 403  # no CSRF token


def test_the_page_knows_who_is_signed_in_to_its_own_app(started: Listening, browser: Browser) -> None:
    token, _ = enter(started, browser)
    assert browser.get("/chain/plants/garden").json()["as"] == f"Bearer {token}"
    assert browser.get("/chain/plants/x").json()["as"] == f"Bearer {token}"
    assert browser.get("/garden").json()["as"] == ""  # whose app is root
    assert browser.get("/chain/others/x").json()["as"] == ""
    browser.session.cookies.clear()
    enter(started, browser, app="others")
    assert browser.get("/chain/plants/garden").headers["location"] == "/signin?appid=app%3Aplants"
    enter(started, browser, app="para")
    assert browser.get("/garden").json()["as"] == ""


def test_of_two_logins_the_one_with_the_role_counts(started: Listening, browser: Browser) -> None:
    enter(started, browser, app="others")
    assert browser.get("/beds/x").headers["location"] == "/403"
    enter(started, browser, "mods")
    assert browser.get("/beds/x").status_code == 200


def test_a_cookie_under_another_name_or_of_another_kind_proves_nothing(started: Listening, browser: Browser) -> None:
    token, _ = cookie(started, "plants", "stray")
    browser.session.cookies.set("others-auth", token, domain="127.0.0.1", path="/")
    assert browser.get("/garden").status_code == 302
    browser.session.cookies.clear()
    app = started.run(started.backend.tenants.get("plants"))
    claims = {"appid": "app:plants", "iat": int(time.time()), "exp": int(time.time()) + 60}
    super_token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(app.secret))
    assert browser.get("/garden", Authorization=f"Bearer {super_token}").status_code == 200
    for value in ("", "x", "a.b.c", token[:-3], super_token):
        browser.session.cookies.set("plants-auth", value, domain="127.0.0.1", path="/")
        assert browser.get("/garden").status_code == 302, value


# --- logins end


def test_a_login_ends_with_its_token(started: Listening, browser: Browser) -> None:
    _, id = enter(started, browser)
    assert browser.get("/garden").status_code == 200
    first = dict(browser.session.cookies)
    enter(started, browser)  # one session per user: a new one ends the one before
    assert browser.get("/garden").status_code == 200
    with Browser(started.url) as elsewhere:
        elsewhere.session.cookies.update(first)
        assert elsewhere.get("/garden").status_code == 302
    token = browser.cookie("plants-auth")
    ended = requests.delete(f"{started.url}/jwt_auth", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert ended.status_code == 200
    assert browser.get("/garden").status_code == 302
    assert id


def test_a_login_ends_with_its_user(started: Listening, browser: Browser) -> None:
    for change in ({"active": False}, None):
        token, id = cookie(started, "plants", "leaving")
        browser.session.cookies.set("plants-auth", token, domain="127.0.0.1", path="/")
        assert browser.get("/garden").status_code == 200
        signer = Signer("app:plants", started.run(started.backend.tenants.get("plants")).secret)
        body = b"" if change is None else json.dumps(change).encode()
        url = f"{started.url}/v1/users/{id}"
        method = "DELETE" if change is None else "PATCH"
        done = requests.request(method, url, data=body, headers=signer.headers(method, url, body), timeout=20)
        assert done.status_code == 200, done.text
        assert browser.get("/garden").status_code == 302
        if change is not None:
            restored = json.dumps({"active": True}).encode()
            requests.patch(url, data=restored, headers=signer.headers("PATCH", url, restored), timeout=20)


def test_signing_out_forgets_the_cookie(started: Listening, browser: Browser) -> None:
    enter(started, browser)
    enter(started, browser, app="others")
    answer = browser.get("/signout?appid=others")
    assert (answer.status_code, answer.headers["location"]) == (302, "/signin")
    assert kept(answer)["others-auth"].startswith("Path=/; Max-Age=0; HttpOnly")
    assert (browser.cookie("plants-auth") is None, browser.cookie("others-auth") is None) == (False, True)
    assert browser.post("/signout").status_code == 403
    token = browser.cookie("para-csrf-token")
    assert token is not None
    assert browser.post("/signout", {"_csrf": token}).status_code == 302
    assert browser.cookie("plants-auth") is None
    assert browser.get("/garden").status_code == 302
    assert browser.get("/signout?appid=nobody").headers["location"] == "/signin"


# --- no cookie at an API


def test_no_cookie_counts_at_an_api(started: Listening, browser: Browser) -> None:
    token, _ = enter(started, browser, "admins")
    for path in ("/v1/_me", "/v1/users", "/v1/utils/timestamp"):
        assert browser.get(path).status_code == 401
    assert browser.get("/machine/x").status_code == 401
    assert browser.get("/v1/_me", Authorization=f"Bearer {token}").status_code == 200


def test_a_resource_for_programs_takes_signatures_and_tokens(started: Listening, browser: Browser) -> None:
    url = f"{started.url}/machine/x?y=1"
    body = b'{"a": 1}'
    headers = started.root.headers("POST", url, body)
    told = requests.post(url, data=body, headers=headers, timeout=20)
    assert told.status_code == 200
    assert told.json()["body"] == body.decode()
    refused = requests.post(url, data=body + b" ", headers=headers, timeout=20)
    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    token, _ = cookie(started, "plants", "a-mod", "mods")
    assert browser.get("/machine/x", Authorization=f"Bearer {token}").status_code == 200
    token, _ = cookie(started, "plants", "a-user")
    refused = browser.get("/machine/x", Authorization=f"Bearer {token}")
    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    refused = requests.get(
        f"{started.url}/beds/x", headers=started.root.headers("GET", f"{started.url}/beds/x"), timeout=20
    )
    assert refused.status_code == 403  # an app is no moderator


def test_credentials_of_another_app_do_not_open_the_pages_of_an_app(started: Listening, browser: Browser) -> None:
    token, _ = cookie(started, "others", "stranger", "admins")
    refused = browser.get("/chain/plants/garden", Authorization=f"Bearer {token}")
    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    token, _ = cookie(started, "plants", "neighbour")
    assert browser.get("/chain/plants/garden", Authorization=f"Bearer {token}").status_code == 200
    url = f"{started.url}/chain/plants/garden"
    assert requests.get(url, headers=started.root.headers("GET", url), timeout=20).status_code == 200


# --- forged writes


@pytest.mark.parametrize("path", ["/garden/x", "/chain/plants/x"])
def test_a_write_of_who_is_signed_in_needs_its_token(started: Listening, browser: Browser, path: str) -> None:
    token, _ = enter(started, browser)
    refused = browser.post(path, {"a": "1"}, Accept="application/json")
    assert (refused.status_code, refused.json()) == (403, {"code": 403, "message": "A valid CSRF token is needed."})
    assert kept(refused) == {"para-csrf-token": "Path=/; SameSite=Lax"}
    csrf = browser.cookie("para-csrf-token")
    assert csrf is not None
    assert browser.post(path, {"_csrf": csrf, "a": "1"}).json()["body"].endswith("a=1")
    assert browser.post(path, {"a": "1"}, X_CSRF_TOKEN=csrf).json()["body"] == "a=1"
    assert browser.get(path, method="DELETE", X_CSRF_TOKEN=csrf).status_code == 200
    for wrong in (csrf[:-1], csrf + "x", "x", unquote("%C3%A9")):
        assert browser.get(path, method="PUT", X_CSRF_TOKEN=wrong.encode().decode("latin-1")).status_code == 403
    with Browser(started.url) as other:  # a token is of one person
        enter(started, other, "mods")
        other.session.cookies.set("para-csrf-token", csrf, domain="127.0.0.1", path="/")
        assert other.post(path, {"_csrf": csrf}).status_code == 403
    with Browser(started.url) as program:
        sent = program.post(path, {"a": "1"}, Authorization=f"Bearer {token}")
        assert (sent.status_code, sent.json()["body"]) == (200, "a=1")


def test_a_token_is_fetched_by_posting_to_a_protected_path(started: Listening, browser: Browser) -> None:
    refused = browser.post("/garden", X_Requested_With="XMLHttpRequest")
    assert refused.status_code == 403
    csrf = browser.cookie("para-csrf-token")
    assert csrf is not None
    again = browser.post("/garden", X_CSRF_TOKEN=csrf, X_Requested_With="XMLHttpRequest")
    assert again.status_code == 401  # it is nobody still


def test_a_page_gives_its_forms_a_token(started: Listening, browser: Browser) -> None:
    enter(started, browser)
    assert kept(browser.get("/garden")) == {"para-csrf-token": "Path=/; SameSite=Lax"}
    assert kept(browser.get("/garden")) == {}


def test_protection_from_forgery_can_be_switched_off_and_cookies_named(tmp_path: Path) -> None:
    with serving(
        tmp_path,
        security_protected={"all": ["/**"]},
        csrf_protection=False,
        auth_cookie="root-login",
        signin="/in",
        signout="/out/now",
        access_denied="/no",
        signout_success="https://elsewhere.example/",
        context_path="/base",
        default_app="plants",
    ) as started:
        started.run(started.backend.tenants.create("plants"))
        with Browser(started.url) as browser:
            assert browser.get("/base/").status_code == 200  # open where nothing is said
            assert browser.get("/base/x?y").headers["location"] == "/base/in?appid=app%3Aplants"
            assert browser.get("/base/signin").status_code == 302
            text = browser.get("/base/in").text
            assert 'action="/base/password_auth"' in text
            assert "_csrf" not in text
            token, _ = cookie(started, "para", "root")
            browser.session.cookies.set("root-login", token, domain="127.0.0.1", path="/")
            assert browser.post("/base/x").status_code == 200
            token, _ = cookie(started, "plants", "ada")
            browser.session.cookies.set("plants-auth", token, domain="127.0.0.1", path="/")
            assert browser.get("/base/x").json()["as"] == f"Bearer {token}"
            assert browser.get("/base/no").status_code == 403
            answer = browser.get("/base/out/now")
            assert answer.headers["location"] == "https://elsewhere.example/"
            assert kept(answer).keys() == {"root-login", "plants-auth"}


def test_streams_are_protected_too(started: Listening) -> None:
    """A WebSocket handshake is let through for who is signed in and comes from our own pages."""
    told: list[dict[str, object]] = []
    door = web.app(started.backend, _Handshake(told))
    token, _ = cookie(started, "plants", "watcher")
    host = b"127.0.0.1:8080"

    async def opened(origin: bytes, value: str) -> list[dict[str, object]]:
        sent: list[dict[str, object]] = []
        headers = [(b"host", host), (b"origin", origin), (b"cookie", f"plants-auth={value}".encode())]
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": "/garden/stream",
            "raw_path": b"/garden/stream",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        async def send(message: object) -> None:
            sent.append(dict(message))  # pyright: ignore

        await door(scope, receive, send)
        return sent

    assert started.run(opened(b"http://127.0.0.1:8080", token)) == [{"type": "websocket.accept"}]
    refused = [{"type": "websocket.close", "code": 1008}]
    assert started.run(opened(b"http://evil.example", token)) == refused
    assert started.run(opened(b"http://127.0.0.1:8080", "x.y.z")) == refused
    assert len(told) == 1


class _Handshake:
    def __init__(self, told: list[dict[str, object]]) -> None:
        self._told = told

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        self._told.append(dict(scope))  # pyright: ignore
        await send({"type": "websocket.accept"})  # pyright: ignore
