"""Promise: the sign-in page, protected pages and signing out work in a real browser, as a person uses them, without
scripts (identity.md 9). The browser is Debian's Chromium, started once.
"""

import time
from collections.abc import Iterator

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from support.client import Client
from support.keycloak import Keycloak, person
from support.server import Server
from support.sign import Signer

pytestmark = [pytest.mark.servers("chromium", "chromedriver"), pytest.mark.slow]

SECONDS = 15
JANE = "jane@plants.example"
PASSWORD = "correct horse battery"
PROTECTED = '{"sites": ["/chain/plants/sites/**"], "devices": ["/chain/plants/devices/**", ["admin"]]}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "para.security.protected": PROTECTED,
        "para.security.allow_unverified_emails": "true",
        "para.outbound_allow": "127.0.0.1",
    }
    with Server(tmp_path_factory.mktemp("web"), settings) as started:
        root = Client(started.http, started.root)
        keys = root.send("GET", "/v1/_setup/plants").json()
        app = Client(started.http, Signer(keys["accessKey"], keys["secretKey"]))
        assert app.send("POST", "/v1/sites", {"name": "Greenhouse", "type": "site"}).status_code == 201
        jane = {"appid": "app:plants", "provider": "password", "token": f"{JANE}:Jane:{PASSWORD}"}
        assert Client(started.http).send("POST", "/jwt_auth", jane).status_code == 200
        # open to all, so that the protected path alone is what stands before it
        assert app.send("PUT", "/v1/_settings/hypermedia.read", {"value": "open"}).status_code == 200
        yield started


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    profile = tmp_path_factory.mktemp("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(autouse=True)
def _fresh(chromium: WebDriver, server: Server) -> None:
    chromium.get(server.http + "/signin")
    chromium.delete_all_cookies()


def keys_of(server: Server) -> str:
    """The secret of the app, as root may ask for it."""
    now = int(time.time())
    claims = {"appid": "app:para", "iat": now, "exp": now + 50, "getCredentials": "app:plants"}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(server.root.secret))
    me = Client(server.http).send("GET", "/v1/_me", Authorization=f"Bearer {token}").json()
    return me["credentials"]["secretKey"]


def typed(chromium: WebDriver, email: str, password: str) -> None:
    """Fill in the page by keyboard alone: the first field has the focus."""
    wait = WebDriverWait(chromium, SECONDS)
    wait.until(lambda driver: driver.switch_to.active_element.get_attribute("name") == "email")
    chromium.switch_to.active_element.send_keys(email, Keys.TAB)
    before = chromium.find_element(By.TAG_NAME, "html")
    chromium.switch_to.active_element.send_keys(password, Keys.ENTER)
    wait.until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)


def text(chromium: WebDriver) -> str:
    return chromium.find_element(By.TAG_NAME, "body").text


def complaints(chromium: WebDriver) -> list[str]:
    """What the browser held against a page, such as a style that its policy forbids."""
    return [entry["message"] for entry in chromium.get_log("browser") if "favicon" not in entry["message"]]


def test_sign_in_page_protected_page_and_out(chromium: WebDriver, server: Server) -> None:
    chromium.get(server.http + "/chain/plants/sites/?limit=5")
    assert chromium.current_url == server.http + "/signin?appid=app%3Aplants"
    assert "Sign in to plants" in text(chromium)
    button = chromium.find_element(By.TAG_NAME, "button")
    assert button.value_of_css_property("background-color") != "rgba(0, 0, 0, 0)"  # the style is in force
    typed(chromium, JANE, PASSWORD)
    assert chromium.current_url == server.http + "/chain/plants/sites/?limit=5"
    assert "Greenhouse" in text(chromium)
    cookies = {cookie["name"]: cookie for cookie in chromium.get_cookies()}
    login = cookies["plants-auth"]
    assert (login["httpOnly"], login["sameSite"], login["path"]) == (True, "Lax", "/")
    assert not cookies["para-csrf-token"]["httpOnly"]
    assert "para-returnto" not in cookies
    chromium.get(server.http + "/signin?appid=app:plants")
    chromium.find_element(By.LINK_TEXT, "Sign out").click()
    assert chromium.current_url == server.http + "/signin"
    assert "plants-auth" not in {cookie["name"] for cookie in chromium.get_cookies()}
    chromium.get(server.http + "/chain/plants/sites/?limit=5")
    assert chromium.current_url == server.http + "/signin?appid=app%3Aplants"
    assert complaints(chromium) == []


def test_wrong_password(chromium: WebDriver, server: Server) -> None:
    chromium.get(server.http + "/signin?appid=app:plants")
    typed(chromium, JANE, "wrong password")
    assert chromium.current_url == server.http + "/signin?error&appid=app%3Aplants"
    assert "That did not work" in chromium.find_element(By.CSS_SELECTOR, "[role=alert]").text
    typed(chromium, JANE, PASSWORD)  # the page is ready for another try
    assert "plants-auth" in {cookie["name"] for cookie in chromium.get_cookies()}


def test_csrf_token_missing(chromium: WebDriver, server: Server) -> None:
    chromium.get(server.http + "/signin?appid=app:plants")
    chromium.delete_all_cookies()
    typed(chromium, JANE, PASSWORD)
    assert chromium.current_url == server.http + "/password_auth"
    assert "This form is too old" in text(chromium)
    assert {cookie["name"] for cookie in chromium.get_cookies()} == {"para-csrf-token"}


def test_role_missing(chromium: WebDriver, server: Server) -> None:
    chromium.get(server.http + "/chain/plants/devices/")
    typed(chromium, JANE, PASSWORD)
    assert chromium.current_url == server.http + "/403"
    assert "You have no access to this page" in text(chromium)
    chromium.find_element(By.LINK_TEXT, "Sign out").click()
    assert chromium.get_cookie("plants-auth") is None


def test_a_login_at_keycloak_comes_back_signed_in(chromium: WebDriver, server: Server, keycloak: Keycloak) -> None:
    """From a protected page over the sign-in page's link to Keycloak's own login page, and back to the page."""
    client = {
        "clientId": "browsers",
        "secret": "a secret of tests",
        "redirectUris": [f"{server.http}/oauth2_auth"],
        "standardFlowEnabled": True,
    }
    ann = person("ann", PASSWORD, email="ann@example.com", firstName="Ann", lastName="Gardener")
    realm = keycloak.realm("pages", users=[ann], clients=[client])
    app = Client(server.http, Signer("app:plants", keys_of(server)))
    for key, value in {
        "oa2_app_id": client["clientId"],
        "oa2_secret": client["secret"],
        "security.oauth.authz_url": f"{realm.connect}/auth",
        "security.oauth.token_url": f"{realm.connect}/token",
        "security.oauth.profile_url": f"{realm.connect}/userinfo",
        "security.oauth.scope": "openid profile email",
    }.items():
        assert app.send("PUT", f"/v1/_settings/{key}", {"value": value}).status_code == 200
    chromium.get(server.http + "/chain/plants/sites/")
    chromium.find_element(By.PARTIAL_LINK_TEXT, "Continue with").click()
    assert chromium.current_url.startswith(realm.url)
    chromium.find_element(By.ID, "username").send_keys("ann")
    chromium.find_element(By.ID, "password").send_keys(PASSWORD, Keys.ENTER)
    WebDriverWait(chromium, SECONDS).until(lambda driver: driver.current_url.startswith(server.http))
    assert chromium.current_url == server.http + "/chain/plants/sites/"
    assert "Greenhouse" in text(chromium)
    login = chromium.get_cookie("plants-auth")
    assert login is not None
    me = Client(server.http).send("GET", "/v1/_me", Authorization=f"Bearer {login['value']}").json()
    assert (me["email"], me["identityProvider"]) == ("ann@example.com", "oauth2")
