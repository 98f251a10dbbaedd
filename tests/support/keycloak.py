"""A real Keycloak, for tests that sign in through OpenID Connect or SAML; the fixture `keycloak` starts one a session.

The distribution comes from Maven Central and is unpacked and built once, in $XDG_CACHE_HOME/thingstead, else
~/.cache/thingstead; nothing is written there afterwards. Each server has a home of its own with an in-memory database,
listens on a free port of 127.0.0.1 and is ended by its pid. Needs `java` (17 or newer) and `mvn`: ./test installs them.
"""

import fcntl
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urljoin, urlsplit

VERSION = "26.4.5"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thingstead"
ADMIN = "admin"
INSTALL_SECONDS = 480
READY_SECONDS = 90
STOP_SECONDS = 15
SECONDS = 30
_HOPS = 20
_MEMORY = "-Xms128m -Xmx400m -XX:MaxMetaspaceSize=256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_JAVA = f"""{_MEMORY} -Djava.net.preferIPv4Stack=true
    -Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory
    --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED
    --add-opens=java.base/java.security=ALL-UNNAMED""".split()


def installed() -> Path:
    """The folder of the built distribution; fetched and built if it is not there yet. Of two callers one works."""
    made = CACHE / f"keycloak-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "keycloak.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made
        work = CACHE / f"keycloak-{VERSION}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        _quietly("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={work}", at=work)
        [archive] = work.glob("*.zip")
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(work)
        archive.unlink()
        # Its paths are relative: what is built here may be moved.
        _quietly("sh", "bin/kc.sh", "build", "--db=dev-mem", at=work / made.name)
        (work / made.name).rename(made)
        work.rmdir()
    return made


def _quietly(*command: str, at: Path) -> None:
    done = subprocess.run(
        command, cwd=at, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert done.returncode == 0, f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}"


class Keycloak:
    """A running server; use with `with`. `url` has no slash at its end."""

    def __init__(self, directory: Path) -> None:
        """Starts in a folder of its own and waits until it answers; AssertionError with the end of its log if not."""
        distribution = installed()
        home = directory / "home"
        (home / "data").mkdir(parents=True)
        for name in ("lib", "providers", "themes", "conf", "bin", "version.txt"):
            (home / name).symlink_to(distribution / name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / "keycloak.log"
        command = [
            *("java", *_JAVA, f"-Dkc.home.dir={home}", "-cp", str(home / "lib" / "quarkus-run.jar")),
            *("io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized", "--http-enabled=true"),
            *("--hostname-strict=false", "--http-host=127.0.0.1", f"--http-port={port}", "--cache=local"),
        ]
        account = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **account}, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._token = ""
        self._token_until = 0.0
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer (None: empty) of its admin API; AssertionError for a failure. `path` as `/realms/x/users`."""
        if time.monotonic() > self._token_until:
            form = {"client_id": "admin-cli", "grant_type": "password", "username": ADMIN, "password": ADMIN}
            status, _, text = _send("POST", f"{self.url}/realms/master/protocol/openid-connect/token", form=form)
            assert status == 200, text
            answer = json.loads(text)
            self._token = answer["access_token"]
            self._token_until = time.monotonic() + answer["expires_in"] / 2
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, _, text = _send(method, f"{self.url}/admin{path}", headers, data)
        assert 200 <= status < 300, f"{method} {path}: {status} {text}"
        return json.loads(text) if text else None

    def realm(
        self, name: str, *, users: list[dict[str, Any]], clients: list[dict[str, Any]], **settings: Any
    ) -> "Realm":
        """A new realm. `users` and `clients` are Keycloak's representations; see `person` for a short form."""
        self.call("POST", "/realms", {"realm": name, "enabled": True, "users": users, "clients": clients, **settings})
        return Realm(self, name)

    def close(self) -> None:
        """End it, by force after 15 s."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if _send("GET", f"{self.url}/realms/master/.well-known/openid-configuration")[0] == 200:
                    return
            except OSError:
                pass
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
                raise AssertionError(f"Keycloak {'ended' if ended else f'not ready in {READY_SECONDS} s'}: {tail}")
            time.sleep(0.1)


class Realm:
    """A realm of a running Keycloak and where its protocols are."""

    def __init__(self, server: Keycloak, name: str) -> None:
        self.server = server
        self.name = name
        self.url = f"{server.url}/realms/{name}"  # the issuer
        self.connect = f"{self.url}/protocol/openid-connect"  # + /auth, /token, /userinfo, /certs, /logout
        self.saml = f"{self.url}/protocol/saml"  # single sign-on; /descriptor below it is the metadata

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """`Keycloak.call` below the realm: `path` as `/users`."""
        return self.server.call(method, f"/realms/{self.name}{path}", body)


def person(name: str, password: str, **more: Any) -> dict[str, Any]:
    """A user's representation. `more`: `email`, `emailVerified`, `firstName`, `lastName`, `attributes`, ..."""
    credentials = [{"type": "password", "value": password, "temporary": False}]
    return {"username": name, "enabled": True, "emailVerified": True, "credentials": credentials, **more}


class Landed(NamedTuple):
    """Where a browser came to leave Keycloak."""

    url: str  # with its query; of a form: its action
    form: dict[str, str]  # the form that the page has the browser post there (SAML), else empty


class Browser:
    """Someone at a browser: follows redirects, keeps cookies (secure ones over plain HTTP too, as on loopback), and
    fills in the login page.
    """

    def __init__(self) -> None:
        self._cookies: dict[str, str] = {}

    def sign_in(self, url: str, name: str, password: str) -> Landed:
        """Open a page of Keycloak that asks for a login, log in, and go on until it sends us elsewhere.

        AssertionError if it does not, as with a wrong password.
        """
        origin = _origin(url)
        method, form = "GET", None
        typed = False
        for _ in range(_HOPS):
            status, headers, text = _send(method, url, self._headers(), form=form)
            self._keep(headers)
            if status in (302, 303):
                url = urljoin(url, headers["Location"])
                method, form = "GET", None
                if _origin(url) != origin:
                    return Landed(url, {})
                continue
            assert status == 200, f"{url}: {status} {_words(text)}"
            page = _Forms(text)
            for action, fields in page.forms:
                if "SAMLResponse" in fields:
                    return Landed(action, fields)
                if "password" in fields:
                    assert not typed, f"login refused: {_words(text)}"
                    typed = True
                    method, url = "POST", urljoin(url, action)
                    form = {**fields, "username": name, "password": password}
                    break
            else:
                raise AssertionError(f"no form to fill in: {_words(text)}")
        raise AssertionError("too many redirects")

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    def _keep(self, headers: http.client.HTTPMessage) -> None:
        for header in headers.get_all("Set-Cookie", []):
            name, _, value = header.partition(";")[0].partition("=")
            if "max-age=0" in header.lower():
                self._cookies.pop(name.strip(), None)
            else:
                self._cookies[name.strip()] = value.strip()


class _Forms(HTMLParser):
    """The forms of a page: action and the named inputs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1][1][given["name"]] = given.get("value", "")


def _send(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    form: Mapping[str, str] | None = None,
) -> tuple[int, http.client.HTTPMessage, str]:
    where = urlsplit(url)
    sent = dict(headers or {})
    if form is not None:
        body = urlencode(form).encode()
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection(where.netloc, timeout=SECONDS)
    try:
        connection.request(method, (where.path or "/") + (f"?{where.query}" if where.query else ""), body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _words(page: str) -> str:
    return " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", page).split())[:500]
