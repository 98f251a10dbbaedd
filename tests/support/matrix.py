"""Who gets how far at which route: every route that `docs/reference/routes.md` lists, asked by every kind of caller.

`routes` reads the page, `World` is a server with one of everything, `measure` asks it. `docs/reference/access.md` holds
what must come out; `tools/access_matrix.py` writes it, `tests/doors/test_access_matrix.py` compares.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from support.server import ROOT_SECRET, Server

REFERENCE: Final = Path(__file__).parents[2] / "docs/reference"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
CALLERS: Final[Mapping[str, str]] = {
    "nobody": "no credentials",
    "guest": "`Anonymous app:acme`",
    "other": "another app",
    "user": "a user of the app without grants",
    "owner": "the user whom the addressed object belongs to",
    "mod": "a user of the group `mods`",
    "admin": "a user of the group `admins`",
    "member": "a user with `*` granted on `*`",
    "device": "the addressed thing",
    "app": "the app itself",
    "root": "the root app",
}
PORTS: Final[Mapping[str, str]] = {
    "Objects, main port": "http",
    "Things, main port": "http",
    "Hypermedia, main port": "http",
    "Kits, main port": "http",
    "Web pages, main port": "http",
    "Agent, north port": "agent",
    "Agent, south port": "south",
    "Context broker": "context",
}
"""Sections of the page whose tables list routes, and the port of each."""
SETTINGS: Final[Mapping[str, str]] = {
    "default_app": "acme",
    "hypermedia.read": "auth",
    "agent.access": "auth",
    "context.access": "auth",
    "limits.sign_in": "0",
    "para.security.one_session_per_user": "false",  # a refresh must not end the tokens of later rows
}
BODIES: Final[Mapping[str, Any]] = {
    "/v1/_batch": [{"type": "note", "name": "of a batch"}],
    "/v1/_settings/{key}": {"value": "x"},
    "/v1/_permissions/{subject}/{resource}": ["GET"],
    "/v1/_constraints/{type}/{field}/{name}": {"min": 1},
}
MORE: Final = (
    *("/v1/users", "/v1/users/{id}", "/v1/webhooks", "/v1/apps/{app}", "/v1/things", "/v1/things/{id}"),
    *("/v1/audits", "/v1/audits/{id}"),
)
"""What else `{type}` can be, where that decides."""
SECONDS: Final = 30


class Route:
    """A path of a section, with its placeholders."""

    def __init__(self, section: str, path: str) -> None:
        self.section = section
        self.path = path


def routes() -> list[Route]:
    """Every path of the page, each once, in its order."""
    found: dict[tuple[str, str], Route] = {}
    page = (REFERENCE / "routes.md").read_text()
    for section in re.findall(r"^## (.*)$", page, re.MULTILINE):
        text = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
        for line in text.splitlines():
            row = re.match(r"\| [A-Z, ]+ \| `([^`]+)` \|", line)
            for path in row[1].split() if row else ():
                assert section in PORTS, f"'{section}' of routes.md has routes, and matrix.PORTS no port for it"
                found.setdefault((section, path), Route(section, path))
    found |= {("Objects, main port", path): Route("Objects, main port", path) for path in MORE}
    return sorted(found.values(), key=lambda route: list(PORTS).index(route.section))


class World:
    """A server in which each caller exists; `restore` puts back what a request has taken away."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connections: dict[str, HTTPConnection] = {}
        self._made = 0
        self._root = _basic("app:para", ROOT_SECRET)
        self.callers: dict[str, str] = {"nobody": "", "guest": "Anonymous app:acme", "root": self._root}
        self.users: dict[str, str] = {}
        self.callers["other"] = _basic("app:rival", self._set_up("rival"))
        self._build()

    def close(self) -> None:
        """Let go of connections."""
        for connection in self._connections.values():
            connection.close()

    # --- what is there

    def _build(self) -> None:
        """The app, its thing, its users and what they own."""
        self._secret = self._set_up("acme")
        self._app()
        self._make_thing()
        for name in ("user", "owner", "mod", "admin", "member"):
            self._sign_in(name)
        self.restore()

    def _make_thing(self) -> None:
        made = self._ask("POST", "/v1/things", {"name": "kit", "kitId": "kit"})
        self.thing = str(made["id"])
        self.callers["device"] = _basic(f"acme-{self.thing}", made["deviceDetails"]["secret"])
        state = {"state": {"reported": {"temperature": 21.5}}}
        self._ask("POST", f"/v1/things/{self.thing}/shadow", state)
        sensors = self._ask("GET", f"/v1/things/{self.thing}/sensors")
        self.sensor = str(sensors[0]["id"])

    def restore(self) -> None:
        """Users, what they are granted, and the objects that routes address."""
        for name, id in list(self.users.items()):
            if self.ask("http", "GET", f"/v1/users/{id}", self.callers["app"])[0] != 200:
                self._sign_in(name)
        if self.ask("http", "GET", f"/v1/things/{self.thing}", self.callers["app"])[0] != 200:
            self._make_thing()
        owner = self.users["owner"]
        self._ask("PUT", f"/v1/_permissions/{self.users['member']}/{quote('*', safe='')}", ["*"])
        for path, body in (
            ("/v1/notes/n1", {"name": "n", "creatorid": owner, "parentid": owner}),
            ("/v1/notes/n2", {"name": "other"}),
            ("/v1/sites/s1", {"name": "site", "creatorid": owner, "parentid": owner}),
        ):
            self._ask("PUT", path, body)

    def fill(self, route: Route) -> str:
        """The path of a route with this world's ids in it."""
        names = {
            "app": "acme",
            "field": "name",
            "id": "n1",
            "id2": "n2",
            "key": "theme",
            "kind": "count",
            "method": "GET" if "_permissions" in route.path else "timestamp",
            "name": "min",
            "other": "note",
            "provider": "facebook",
            "rel": "self",
            "resource": "notes",
            "s": self.users["user"],
            "subject": self.users["user"],
            "thingName": f"acme-{self.thing}",
            "type": "notes",
            "type2": "note",
            "appid": "acme",
        }
        if "/users" in route.path:
            names["id"] = self.users["owner"]
        elif "/things" in route.path or route.section.startswith("Kits"):
            names["id"] = self.thing
        elif route.section.startswith("Hypermedia"):
            names["id"] = "s1" if "site" in route.path else self.sensor if "sensor" in route.path else self.thing
        elif route.section.startswith("Context"):
            names["id"] = f"Thing:{self.thing}"
        return re.sub(r"\{([^}]*)\}", lambda match: names[match[1]], route.path)

    # --- asking

    def status(self, caller: str, route: Route, method: str) -> int:
        """What a caller is answered; what the answer changed is put back."""
        section = route.section
        headers = {"fiware-service": "acme", "fiware-servicepath": "/"} if section in _FIWARE else {}
        body = None if method == "GET" else BODIES.get(route.path, {"name": "n", "type": "note"})
        if route.path == "/v1/users":
            self._made += 1
            body = {"identifier": f"n{self._made}@example.com", "email": f"n{self._made}@example.com"}
        if route.path.startswith("/ws/"):
            headers = _UPGRADE
        elif route.path == "/v1/_import":
            headers = {"Content-Type": "application/zip"}
        if route.path == "/v1/_batch" and method in ("GET", "DELETE"):
            path, body = "/v1/_batch?ids=n1", None
        else:
            path = self.fill(route)
        status, answer = self.ask(PORTS[section], method, path, self.callers[caller], body, headers)
        if method != "GET" and status < 300:
            self._undo(caller, route.path, method, answer)
        return status

    def _undo(self, caller: str, path: str, method: str, answer: bytes) -> None:
        if (path, method) == ("/v1/apps/{app}", "DELETE"):
            self._build()
            return
        if path == "/v1/_newkeys":
            secret = json.loads(answer)["secretKey"]
            if caller == "app":
                self._secret = secret
                self._app()
            elif caller == "other":
                self.callers["other"] = _basic("app:rival", secret)
            else:
                self.callers["root"] = self._root = _basic("app:para", secret)
        if path in ("/v1/_newkeys", "/jwt_auth"):
            for name in self.users:
                self._sign_in(name)
        if path.endswith("/credentials"):
            self.callers["device"] = _basic(f"acme-{self.thing}", json.loads(answer)["secret"])
        self.restore()

    def ask(
        self,
        port: str,
        method: str,
        path: str,
        authorization: str = "",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one request."""
        connection = self._connections.get(port)
        if connection is None:
            netloc = urlsplit(getattr(self._server, port)).netloc
            connection = self._connections[port] = HTTPConnection(netloc, timeout=SECONDS)
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if data else dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            if response.status == 101:
                connection.close()
                return 101, b""
            return response.status, response.read()
        except OSError:
            connection.close()
            del self._connections[port]
            raise

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask("http", method, path, self.callers["app"], body)
        assert status < 300, (method, path, status, answer)
        return json.loads(answer) if answer else None

    def _set_up(self, app: str) -> str:
        answer = self.ask("http", "GET", f"/v1/_setup/{app}", self._root)[1]
        return str(json.loads(answer)["secretKey"])

    def _app(self) -> None:
        self.callers["app"] = _basic("app:acme", self._secret)

    def _sign_in(self, name: str) -> None:
        """A user, by a token that the app itself has signed (identity.md 8.7)."""
        groups = {"mod": "mods", "admin": "admins"}.get(name, "users")
        claims = {
            "appid": "app:acme",
            "identifier": f"custom:{name}",
            "email": f"{name}@example.com",
            "name": name,
            "groups": groups,
            "exp": int(time.time()) + 600,
        }
        body = {"appid": "app:acme", "provider": "passwordless", "token": _jwt(claims, self._secret)}
        status, answer = self.ask("http", "POST", "/jwt_auth", "", body)
        assert status == 200, (name, status, answer)
        signed_in = json.loads(answer)
        self.users[name] = signed_in["user"]["id"]
        self.callers[name] = f"Bearer {signed_in['jwt']['access_token']}"


_UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}
_FIWARE: Final = ("Agent, north port", "Agent, south port", "Context broker")


def measure(world: World, found: Sequence[Route]) -> Iterator[tuple[Route, str, list[int]]]:
    """For each route and method what each caller is answered, in the order of CALLERS."""
    for route in found:
        for method in METHODS:
            yield route, method, [world.status(caller, route, method) for caller in CALLERS]


def page(measured: Sequence[tuple[Route, str, list[int]]]) -> Iterator[str]:
    """The tables of `access.md`, line by line."""
    section = ""
    for route, method, statuses in measured:
        if route.section != section:
            section = route.section
            yield ""
            yield f"## {section}"
            yield ""
            yield f"| path | method | {' | '.join(CALLERS)} |"
            yield "|---" * (len(CALLERS) + 2) + "|"
        yield f"| `{route.path}` | {method} | {' | '.join(map(str, statuses))} |"


def told() -> dict[tuple[str, str, str], list[str]]:
    """What `access.md` says: (section, path, method) -> statuses."""
    found: dict[tuple[str, str, str], list[str]] = {}
    section = ""
    for line in (REFERENCE / "access.md").read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| `"):
            path, method, *statuses = (cell.strip() for cell in line.strip("|").split("|"))
            found[section, path.strip("`"), method] = statuses
    return found


def _basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _jwt(claims: Mapping[str, Any], key: str) -> str:
    parts = [_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(key.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, _base64url(signature)])


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
