"""Promise: a person signs in on the web with a password, a token of the app's own login server or a provider, gets a
cookie with the right flags, and is led where the app says; every failure looks alike and changes nothing (identity.md
8, 9, 17).
"""

import base64
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import OctKey

from support.client import Client
from support.listening import Listening
from support.sign import Signer
from support.web import PASSWORD, Browser, kept, person, serving
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App
from thingstead.model.users import Profile

JANE = "jane@plants.example"
LAX = "Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"


class Codes:
    """A provider that exchanges codes; its token is the code, and says who it is."""

    def __init__(self) -> None:
        self.redirects: list[str] = []

    async def exchange(self, app: App, code: str, redirect_uri: str) -> str:
        self.redirects.append(redirect_uri)
        if code == "bad":
            raise failed("exchange_refused")
        return code

    async def prove(self, app: App, token: str) -> Profile:
        return Profile(identifier=f"gh:{token}", email=f"{token}@git.example", name=token)


class Steps(Codes):
    """A provider that begins here, as Twitter does."""

    async def begin(self, app: App, callback: str) -> str:
        self.redirects.append(callback)
        return "https://steps.example/authenticate?oauth_token=asked-42"

    async def finish(self, app: App, oauth_token: str, oauth_verifier: str) -> str:
        assert oauth_token == "asked-42"
        return oauth_verifier


class Forms:
    """A provider that answers with a form, as SAML does."""

    def __init__(self) -> None:
        self.relay = ""

    async def begin(self, app: App, here: str, relay: str) -> str:
        self.relay = relay
        return f"https://idp.example/sso?SAMLRequest=x&for={here}"

    async def finish(self, app: App, here: str, form: Mapping[str, str]) -> Profile:
        if form["SAMLResponse"] != "signed":
            raise failed("bad_response")
        return Profile(identifier="saml:ida", email="ida@idp.example", name="Ida")

    async def metadata(self, app: App, here: str) -> bytes:
        if app.identifier != "plants":
            raise failed("not_configured")
        return f"<here>{here}</here>".encode()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory: Path = tmp_path_factory.mktemp("web")
    with serving(directory, trusted_proxies="127.0.0.1") as listening:
        listening.run(listening.backend.tenants.create("plants", name="Plants & <Co>"))
        person(listening, "plants", JANE)
        person(listening, "para", "root@plants.example")
        yield listening


@pytest.fixture
def browser(started: Listening) -> Iterator[Browser]:
    with Browser(started.url) as one:
        yield one
    started.run(started.backend.tenants.put_settings("plants", {}))


@pytest.fixture
def providers(started: Listening) -> Iterator[dict[str, Any]]:
    """The server's providers, for a test to put its own into."""
    found: Any = started.backend.signin.providers
    before = dict(found)
    yield found
    found.clear()
    found.update(before)


def settings(started: Listening, **values: str) -> None:
    named = {name.replace("__", "."): value for name, value in values.items()}
    started.run(started.backend.tenants.put_settings("plants", named))


def outcome(started: Listening, browser: Browser) -> str:
    """The user behind the cookie of the app; "" without one."""
    token = browser.cookie("plants-auth")
    return started.run(started.backend.identity.bearer(token)).id if token else ""


def own_token(started: Listening, **claims: object) -> str:
    app = started.run(started.backend.tenants.get("plants"))
    now = int(time.time())
    body = {"appid": "app:plants", "iat": now, "exp": now + 60, "email": "kim@x.example", "name": "Kim", **claims}
    return jwt.encode({"alg": "HS256"}, {"identifier": "custom:9", **body}, OctKey.import_key(app.secret))


def enter(started: Listening, browser: Browser, **parameters: str) -> requests.Response:
    """Sign in without a password: those take a while to check."""
    parameters = {"token": own_token(started), **parameters}
    return browser.get("/passwordless_auth?" + urlencode(parameters))


# --- the page


def test_the_sign_in_page_needs_no_script_and_loads_nothing(browser: Browser) -> None:
    page = browser.get("/signin?appid=app:plants&returnto=/sites/&error")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    style = re.search("<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    source = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{source}'; base-uri 'none'; frame-ancestors 'none'"
    assert "<script" not in page.text
    assert "http" not in page.text
    assert "Sign in to Plants &amp; &lt;Co&gt;" in page.text
    assert 'role="alert"' in page.text
    assert 'role="alert"' not in browser.get("/signin").text
    form = browser.fields("/signin?appid=plants&returnto=/sites/")
    assert form == {"appid": "app:plants", "returnto": "/sites/", "_csrf": browser.cookie("para-csrf-token")}
    assert kept(page) == {
        "para-csrf-token": "Path=/; SameSite=Lax",
        "para-returnto": "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax",
    }
    assert kept(browser.get("/signin?returnto=//evil.example")) == {"para-csrf-token": "Path=/; SameSite=Lax"}


@pytest.mark.parametrize("returnto", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_the_page_passes_no_foreign_target_on(browser: Browser, returnto: str) -> None:
    page = browser.get("/signin?" + urlencode({"returnto": returnto, "appid": '"><b>'}))
    assert "evil" not in page.text
    assert "<b>" not in page.text


def test_the_page_links_to_what_the_app_has_configured(started: Listening, browser: Browser, providers: Any) -> None:
    assert "Continue with" not in browser.get("/signin?appid=plants").text
    providers.update({name: Codes() for name in ("github", "google", "oauth2", "ldap", "saml", "twitter", "facebook")})
    settings(
        started,
        gh_app_id="me",
        gh_secret="s",
        gp_app_id="half",
        tw_app_id="t",
        tw_secret="s",
        oa2_app_id="generic",
        oa2_secret="s",
        security__oauth__authz_url="https://id.example/auth",
        security__oauth__scope="openid",
        security__ldap__server_url="ldap://dir.example",
        security__saml__sp__entityid="x",
    )
    text = browser.get("/signin?appid=plants").text
    links = [link.replace("&amp;", "&") for link in re.findall(r'class="way" href="([^"]*)"', text)]
    back = quote(f"{started.url}/", safe="")
    assert links == [
        f"https://github.com/login/oauth/authorize?response_type=code&client_id=me&redirect_uri={back}github_auth"
        "&state=app%3Aplants&scope=user%3Aemail",
        "/twitter_auth?appid=app%3Aplants",
        f"https://id.example/auth?response_type=code&client_id=generic&redirect_uri={back}oauth2_auth"
        "&state=app%3Aplants&scope=openid",
        "/saml_auth/app%3Aplants",
    ]
    assert 'action="/ldap_auth"' in text
    assert '<input name="username"' in text


def test_an_app_that_does_not_exist_has_no_page(browser: Browser) -> None:
    assert browser.get("/signin?appid=nobody").status_code == 404


# --- a password


def test_a_password_gives_a_cookie_and_the_way_to_the_page(started: Listening, browser: Browser) -> None:
    answer = browser.sign_in(JANE.upper(), at="/signin?appid=app:plants&returnto=/sites/?page=2")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/sites/?page=2"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    cookies = kept(answer)
    ended = "Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert cookies == {"plants-auth": LAX, "para-csrf-token": "Path=/; SameSite=Lax", "para-returnto": ended}
    user = started.run(started.backend.users.find("plants", JANE))
    assert user is not None
    assert outcome(started, browser) == user.id


def test_people_of_the_root_app_sign_in_too(browser: Browser) -> None:
    answer = browser.sign_in("root@plants.example")
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    assert kept(answer)["para-auth"] == LAX


@pytest.mark.parametrize(
    ("email", "password", "appid"),
    [
        (JANE, "wrong password", "plants"),
        ("nobody@plants.example", PASSWORD, "plants"),
        ("jane", PASSWORD, "plants"),
        ("", PASSWORD, "plants"),
        (JANE, "", "plants"),
        (JANE, PASSWORD, "nobody"),
    ],
)
def test_failures_look_alike(started: Listening, browser: Browser, email: str, password: str, appid: str) -> None:
    form = {**browser.fields("/signin?appid=plants"), "email": email, "password": password, "appid": appid}
    answer = browser.post("/password_auth", form)
    assert answer.status_code == 302
    assert answer.headers["location"] == ("/signin?error&appid=app%3Aplants" if appid == "plants" else "/signin?error")
    assert browser.cookie("plants-auth") is None
    if email:
        find = started.backend.users.find("plants", "nobody@plants.example")
        assert started.run(find) is None


def test_the_address_bar_is_no_place_for_passwords(browser: Browser) -> None:
    answer = browser.get(f"/password_auth?appid=plants&email={JANE}&password={PASSWORD}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    form = {**browser.fields("/signin"), "email": JANE}
    assert (
        browser.post(f"/password_auth?appid=plants&password={PASSWORD}", form).headers["location"].startswith("/signin")
    )
    assert browser.cookie("plants-auth") is None


def test_only_a_post_is_taken(browser: Browser) -> None:
    form = {**browser.fields("/signin?appid=plants"), "email": JANE, "password": PASSWORD}
    answer = browser.put("/password_auth", form)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert browser.cookie("plants-auth") is None


@pytest.mark.parametrize(
    ("endpoint", "takes"),
    [
        ("password_auth", {"POST"}),
        ("google_auth", {"GET", "POST"}),
        ("oauth2third_auth", {"GET", "POST"}),
        ("twitter_auth", {"GET", "POST"}),
        ("passwordless_auth", {"GET", "POST"}),
        ("saml_auth/app:plants", {"GET", "POST"}),
        ("saml_metadata/app:plants", {"GET"}),
        ("ldap_auth", {"GET", "POST", "PUT", "PATCH", "DELETE"}),
    ],
)
def test_other_methods_are_refused(started: Listening, endpoint: str, takes: set[str]) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = requests.request(method, f"{started.url}/{endpoint}", allow_redirects=False, timeout=10)
        assert (answer.status_code == 405) == (method not in takes), method
        if answer.status_code == 405:
            assert takes <= set(answer.headers["allow"].split(", "))
            assert answer.json() == {"code": 405, "message": "Method Not Allowed"}
            page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
            shown = requests.request(method, answer.url, headers=page, allow_redirects=False, timeout=10)
            assert (shown.status_code, shown.headers["content-type"]) == (405, "text/html; charset=utf-8")
            assert shown.headers["allow"] == answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jwt_auth", {"appid": "plants", "provider": "nothing", "token": "x"}),
        ("/google_auth?appid=plants", None),
        ("/passwordless_auth?appid=plants&token=nothing", None),
    ],
)
def test_the_trail_says_from_where_a_sign_in_failed(started: Listening, path: str, body: Any) -> None:
    method = "GET" if body is None else "POST"
    sent = {"X-Forwarded-For": f"192.0.2.{len(path)}"}
    requests.request(method, started.url + path, json=body, headers=sent, allow_redirects=False, timeout=10)
    client = Client(started.url, Signer("app:plants", started.run(started.backend.tenants.get("plants")).secret))

    def told() -> set[str]:
        started.run(started.backend.audit.write())
        found = client.send("GET", "/v1/audit?q=event:sign_in_failed&limit=100").json()["items"]
        return {entry.get("address") for entry in found}

    deadline = time.monotonic() + 10  # a write of the trail may be under way already
    while sent["X-Forwarded-For"] not in told():
        assert time.monotonic() < deadline, told()


def test_another_person_signs_in_over_the_first(started: Listening, browser: Browser) -> None:
    enter(started, browser)
    first = outcome(started, browser)
    enter(started, browser, token=own_token(started, identifier="custom:10", email="lee@x.example"))
    assert outcome(started, browser) != first
    token = browser.cookie("para-csrf-token")
    assert token is not None
    assert browser.post("/signout", {"_csrf": token}).status_code == 302  # the token is the second one's


def test_programs_get_statuses(started: Listening, browser: Browser) -> None:
    for headers in ({"X_Requested_With": "XMLHttpRequest"}, {"Accept": "application/json"}):
        answer = browser.sign_in(JANE, "wrong password", at="/signin?appid=plants", **headers)
        assert answer.status_code == 401
        assert answer.json() == {"code": 401, "message": "The sign-in failed."}
        answer = browser.get(f"/passwordless_auth?token={own_token(started)}", **headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert browser.cookie("plants-auth")
        browser.session.cookies.clear()
        answer = browser.get(f"/passwordless_auth?token={own_token(started)}&returnto=/x", **headers)
        assert answer.headers["location"] == "/x"
        browser.session.cookies.clear()
    assert browser.sign_in("root@plants.example", X_Requested_With="XMLHttpRequest").status_code == 204


def test_the_form_needs_its_csrf_token(browser: Browser) -> None:
    form = {"appid": "plants", "email": JANE, "password": PASSWORD}
    refused = browser.post("/password_auth", form)
    assert refused.status_code == 403
    assert "too old" in refused.text
    assert kept(refused) == {"para-csrf-token": "Path=/; SameSite=Lax"}
    token = browser.cookie("para-csrf-token")
    assert token is not None
    assert browser.post("/password_auth", {**form, "_csrf": token[:-1]}).status_code == 403
    assert browser.post("/password_auth", form, X_CSRF_TOKEN=token).status_code == 302
    browser.session.cookies.clear()
    refused = browser.post("/password_auth", {**form, "_csrf": token}, Accept="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    assert browser.post("/signin").status_code == 403


def test_a_token_from_before_the_sign_in_is_worth_nothing_after_it(browser: Browser) -> None:
    before = browser.fields("/signin")["_csrf"]
    browser.sign_in(JANE, at="/signin?appid=plants")
    assert browser.cookie("para-csrf-token") != before
    browser.session.cookies.set("para-csrf-token", before, domain="127.0.0.1", path="/")
    assert browser.post("/signout", {"_csrf": before}).status_code == 403


def test_cookies_are_secure_where_the_client_came_by_https(browser: Browser) -> None:
    fields = browser.fields("/signin?appid=plants")
    form = {**fields, "email": JANE, "password": PASSWORD}
    answer = browser.post("/password_auth", form, X_Forwarded_Proto="https")
    assert kept(answer) == {"plants-auth": LAX + "; Secure", "para-csrf-token": "Path=/; SameSite=Lax; Secure"}


def test_an_app_names_its_cookie_and_says_how_long_it_lasts(started: Listening, browser: Browser) -> None:
    settings(started, auth_cookie="green")
    for seconds in (600, -600, "600"):  # read as for tokens (identity.md 6.1)
        started.run(started.backend.tenants.put_setting("plants", "session_timeout", seconds))
        assert kept(enter(started, browser))["green"] == LAX.replace("86400", "600")


# --- where it leads


def test_the_target_of_the_app_gets_an_id_token_that_works_once(started: Listening, browser: Browser) -> None:
    settings(started, signin_success="https://my.example/in?a=b&jwt=id")
    answer = enter(started, browser, returnto="/elsewhere")
    before, _, token = answer.headers["location"].partition("jwt=")
    assert before == "https://my.example/in?a=b&"
    sent = {"appid": "app:plants", "provider": "passwordless", "token": token}
    redeemed = requests.post(f"{started.url}/jwt_auth", json=sent, timeout=20)
    assert redeemed.status_code == 200
    assert redeemed.json()["user"]["name"] == "Kim"
    assert requests.post(f"{started.url}/jwt_auth", json=sent, timeout=20).status_code == 400


def test_the_target_of_the_app_gets_a_user_token(started: Listening, browser: Browser) -> None:
    settings(started, signin_success="/in?jwt=?")
    token = enter(started, browser).headers["location"].removeprefix("/in?jwt=")
    me = requests.get(f"{started.url}/v1/_me", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert me.json()["name"] == "Kim"


def test_a_visitor_gets_no_token_into_a_url_of_his_own(started: Listening, browser: Browser) -> None:
    answer = enter(started, browser, returnto="/page?jwt=?")
    assert answer.headers["location"] == "/page?jwt=?"


def test_the_failure_target_gets_a_short_cause(started: Listening, browser: Browser) -> None:
    settings(started, signin_failure="https://my.example/failed?cause=?")
    for email in (JANE, "nobody@plants.example"):  # who has an account is not told
        answer = browser.sign_in(email, "wrong password", at="/signin?appid=plants")
        assert answer.headers["location"] == "https://my.example/failed?cause=wrong_password"


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        ({"host_url": "https://b.example"}, "https://b.example/in"),
        ({"host_url": "https://evil.example"}, "https://a.example/in"),
        ({"state": "app:plants|1", "appid": ""}, "https://b.example/in"),
        ({"state": "app:plants|7", "appid": ""}, "https://a.example/in"),
    ],
)
def test_other_hosts_of_an_app(started: Listening, browser: Browser, asked: dict[str, str], url: str) -> None:
    settings(
        started,
        signin_success="https://a.example/in",
        security__hosturl_aliases="https://a.example, https://b.example, ftp://c.example",
    )
    assert enter(started, browser, **{"appid": "plants", **asked}).headers["location"] == url


# --- a token of the app's own login server


def test_passwordless_leads_on_or_answers_with_a_token(started: Listening, browser: Browser) -> None:
    settings(started, signin_success="/in")
    answer = browser.get(f"/passwordless_auth?token={own_token(started)}")
    assert (answer.status_code, answer.headers["location"]) == (302, "/in")
    assert outcome(started, browser)
    browser.session.cookies.clear()
    answer = browser.get(f"/passwordless_auth?jwt={own_token(started)}&redirect=false")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert kept(answer) == {}
    me = requests.get(f"{started.url}/v1/_me", headers={"Authorization": f"Bearer {answer.text}"}, timeout=20)
    assert me.json()["name"] == "Kim"
    for token in ("", "x.y.z", own_token(started, exp=1)):
        refused = browser.get(f"/passwordless_auth?appid=plants&token={token}&redirect=false")
        assert refused.status_code == 403, token
        failed = browser.get(f"/passwordless_auth?appid=plants&token={token}")
        assert failed.headers["location"] == "/signin?error&appid=app%3Aplants"


# --- providers


def test_a_code_is_exchanged_with_the_url_it_came_to(started: Listening, browser: Browser, providers: Any) -> None:
    providers["github"] = codes = Codes()
    answer = browser.get(
        "/github_auth?host_url=https%3A%2F%2Fa&code=octo&appid=app:plants&returnto=/x", X_Forwarded_Proto="https"
    )
    assert answer.headers["location"] == "/x"
    host = started.url.removeprefix("http://")
    assert codes.redirects == [f"https://{host}/github_auth?appid=app:plants&host_url=https%3A%2F%2Fa"]
    assert outcome(started, browser)
    browser.session.cookies.clear()
    assert browser.get("/github_auth?state=app:plants|0&code=octo").headers["location"] == "/"
    assert codes.redirects[-1] == f"{started.url}/github_auth"
    assert outcome(started, browser)


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ("code=bad", "exchange_refused"),
        ("", "missing_code"),
        ("error=access_denied", "cancelled"),
    ],
)
def test_a_code_that_is_not_taken(started: Listening, browser: Browser, providers: Any, query: str, cause: str) -> None:
    providers["github"] = Codes()
    settings(started, signin_failure="/failed?cause=?")
    assert browser.get(f"/github_auth?appid=plants&{query}").headers["location"] == f"/failed?cause={cause}"
    assert browser.cookie("plants-auth") is None


def test_a_provider_that_the_server_does_not_have(browser: Browser, providers: Any) -> None:
    for name in list(providers):
        if name not in ("password", "generic", "passwordless"):
            del providers[name]
    for name in ("facebook", "twitter", "oauth2third", "ldap", "saml"):
        answer = browser.get(f"/{name}_auth?appid=plants&code=x")
        assert answer.headers["location"] == "/signin?error&appid=app%3Aplants", name
    assert browser.get("/mattermost_auth?appid=plants&code=x").json()["path"] == "/mattermost_auth"  # nothing of ours
    assert browser.get("/saml_metadata/app:plants").status_code == 400


def test_what_begins_here_ends_in_the_same_browser(started: Listening, browser: Browser, providers: Any) -> None:
    providers["twitter"] = steps = Steps()
    away = browser.get("/twitter_auth?appid=app:plants&returnto=/sites/")
    assert away.headers["location"] == "https://steps.example/authenticate?oauth_token=asked-42"
    assert steps.redirects == [f"{started.url}/twitter_auth?appid=app:plants"]
    assert kept(away)["thingstead-signin"] == "Path=/; Max-Age=900; HttpOnly; SameSite=Lax"
    back = "/twitter_auth?appid=app:plants&oauth_token=asked-42&oauth_verifier=wren"
    with Browser(started.url) as other:
        assert other.get(back).headers["location"].startswith("/signin?error")
    with Browser(started.url) as other:
        other.session.cookies.set("thingstead-signin", "", domain="127.0.0.1", path="/")
        assert (
            other.get("/twitter_auth?appid=plants&oauth_verifier=wren").headers["location"].startswith("/signin?error")
        )
    assert browser.get("/twitter_auth?appid=app:plants&denied=x").headers["location"].startswith("/signin?error")
    browser.get("/twitter_auth?appid=app:plants&returnto=/sites/")
    answer = browser.get(back)
    assert answer.headers["location"] == "/sites/"
    assert outcome(started, browser)
    assert browser.cookie("thingstead-signin") is None


def test_a_form_from_a_provider_counts_in_the_browser_that_asked(
    started: Listening, browser: Browser, providers: Any
) -> None:
    providers["saml"] = forms = Forms()
    away = browser.get("/saml_auth/app:plants?returnto=/sites/")
    assert away.headers["location"] == f"https://idp.example/sso?SAMLRequest=x&for={started.url}/saml_auth/app:plants"
    assert kept(away)["thingstead-signin"] == "Path=/; Max-Age=900; HttpOnly"
    secure = browser.get("/saml_auth/app:plants?returnto=/sites/", X_Forwarded_Proto="https")
    assert kept(secure)["thingstead-signin"] == "Path=/; Max-Age=900; HttpOnly; SameSite=None; Secure"
    browser.session.cookies.clear()
    browser.get("/saml_auth/app:plants?returnto=/sites/")
    form = {"SAMLResponse": "signed", "RelayState": forms.relay}
    with Browser(started.url) as other:
        assert other.post("/saml_auth/app:plants", form).headers["location"].startswith("/signin?error")
        assert other.cookie("plants-auth") is None
    wrong = browser.post("/saml_auth/app:plants", {**form, "RelayState": "another"})
    assert wrong.headers["location"].startswith("/signin?error")
    browser.get("/saml_auth/app:plants?returnto=/sites/")
    answer = browser.post("/saml_auth/app:plants", {**form, "RelayState": forms.relay})
    assert answer.headers["location"] == "/sites/"
    assert outcome(started, browser)
    assert browser.get("/saml_metadata/app:plants").text == f"<here>{started.url}/saml_auth/app%3Aplants</here>"
    assert browser.get("/saml_metadata/app:plants").headers["content-type"] == "text/xml"
    assert browser.get("/saml_metadata/para").status_code == 400


def test_bad_requests_are_refused(browser: Browser) -> None:
    assert browser.get("/signin?appid=%ff").status_code == 400
    assert browser.get("/signin?" + "a=b&" * 400).status_code == 400
    assert browser.post("/ldap_auth", {"username": "x" * 2_000_000}).status_code == 413
    assert browser.get("/saml_metadata/x", method="PUT").status_code == 405
    assert browser.get("/github_auth", method="OPTIONS").status_code == 204
    assert browser.get("/signin", method="HEAD").content == b""
