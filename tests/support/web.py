"""The web door with pages behind it and `/v1` beside it, a browser without scripts for it, and people to sign in."""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from support.listening import Listening, listening
from thingstead.core.backend import Backend
from thingstead.core.tenants import App
from thingstead.doors import objects, web
from thingstead.ports.environment import Clock
from thingstead.server.main_port import below, main_port
from thingstead.transports.http import AsgiApp, Receive, Scope, Send, read_body, send_answer

SECONDS = 20
PASSWORD = "correct horse battery"
FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the guard: it tells as JSON what reached it."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = await read_body(receive, 1 << 20)
    told = {"path": scope["path"], "as": headers.get("authorization", ""), "body": body.decode()}
    await send_answer(send, 200, json.dumps(told).encode())


@contextmanager
def serving(directory: Path, clock: Clock | None = None, **settings: object) -> Generator[Listening]:
    """A main port of `/v1`, the web door and a page that tells; whoever signs up is active at once."""

    def port(backend: Backend) -> AsgiApp:
        v1 = objects.app(backend)
        app = main_port({"v1": v1, "jwt_auth": v1}, web.app(backend, page))
        return below(backend.settings.root_path, app)

    given: Any = {"allow_unverified_emails": True, "limits_sign_in": 0, **settings}
    with listening(directory, port, clock=clock, **given) as started:
        yield started


def person(started: Listening, app: str, email: str, groups: str = "users") -> str:
    """A user of an app with `PASSWORD`; the id."""

    async def made() -> str:
        backend = started.backend
        found: App = await backend.tenants.get(app)
        signed = await backend.signin.with_token(found, "password", f"{email}::{PASSWORD}")
        user = signed.user
        if groups != "users":

            def edit(present: Mapping[str, Any]) -> list[Any]:
                present[user.id].own["groups"] = groups
                return [present[user.id]]

            await backend.objects.rewrite(app, [user.id], edit)
        return user.id

    return started.run(made())


class Browser:
    """Keeps cookies and follows nothing by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """One request; `path` may be a whole URL."""
        return self._send(method, path, None, headers)

    def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> requests.Response:
        """Send a form."""
        return self._send("POST", path, urlencode(form or {}), headers)

    def put(self, path: str, form: Mapping[str, str]) -> requests.Response:
        """Send a form, as no page does."""
        return self._send("PUT", path, urlencode(form), {})

    def _send(self, method: str, path: str, data: str | None, headers: Mapping[str, str]) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            named.setdefault("Content-Type", "application/x-www-form-urlencoded")
        url = path if "://" in path else self.url + path
        return self.session.request(method, url, data=data, headers=named, allow_redirects=False, timeout=SECONDS)

    def fields(self, path: str) -> dict[str, str]:
        """The hidden fields of the first form of a page."""
        shown = self.get(path)
        assert shown.status_code == 200, shown.text
        return dict(FIELD.findall(shown.text.partition("</form>")[0]))

    def sign_in(self, email: str, password: str = PASSWORD, at: str = "/signin", **headers: str) -> requests.Response:
        """Fill in the sign-in page and send it."""
        form = {**self.fields(at), "email": email, "password": password}
        action = at.partition("?")[0].rpartition("/signin")[0] + "/password_auth"
        return self.post(action, form, **headers)

    def cookie(self, name: str) -> str | None:
        """The value of a cookie that it keeps."""
        return self.session.cookies.get(name)


def kept(answer: requests.Response) -> dict[str, str]:
    """The `Set-Cookie` texts of an answer by name, without name and value."""
    lines = answer.raw.headers.getlist("set-cookie")
    return {line.partition("=")[0]: line.partition("; ")[2] for line in lines}


def place(answer: requests.Response) -> str:
    """Where an answer leads: path and query on this host, else the whole URL."""
    location = answer.headers["location"]
    return location if not location.startswith("http") else urlsplit(location).geturl()
