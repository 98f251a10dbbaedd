"""A request to the web door, and an answer: parameters, cookies, the address that the client sees (identity.md 8.1).

Parameters are those of the query, then those of a form; of equal names the first counts. A form has a bounded size.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from thingstead.model import cookies
from thingstead.model.errors import InvalidInput
from thingstead.model.uris import query_pairs
from thingstead.model.values import dump
from thingstead.transports.http import Receive, Scope, TrustedProxies, client_address, read_body

Header = tuple[bytes, bytes]

HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain;charset=UTF-8"
PRIVATE: Final[tuple[Header, ...]] = ((b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer"))
FORM: Final = "application/x-www-form-urlencoded"
_MAX_PARAMETERS: Final = 300


class Answer(msgspec.Struct):
    """What is sent back; every answer of this door may be kept by nobody."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: list[Header] = []

    def with_cookie(self, text: str) -> "Answer":
        """Itself, with one more cookie to keep."""
        self.headers.append((b"set-cookie", text.encode("ascii")))
        return self


def redirect(url: str) -> Answer:
    """Go elsewhere."""
    return Answer(302, headers=[(b"location", url.encode("ascii"))])


def error(status: int, message: str) -> Answer:
    """An error as clients of the API know it (identity.md 14)."""
    return Answer(status, dump({"code": status, "message": message}))


class Request(msgspec.Struct, frozen=True):
    """One request, read whole. `path` is below the context path, which is `root_path`."""

    method: str
    path: str
    root_path: str
    raw_query: str
    headers: Mapping[str, str]  # lower-case names, first value of each
    cookies: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    origin: str  # scheme and host that the client sees
    address: str  # of the client

    @property
    def secure(self) -> bool:
        """The client came by HTTPS."""
        return self.origin.startswith("https://")

    @property
    def here(self) -> str:
        """The address of this path, without a query."""
        return self.origin + self.root_path + self.path

    def own(self, url: str) -> str:
        """A path of this server as the client must ask for it; other URLs as they are."""
        return self.root_path + url if url.startswith("/") else url

    @property
    def wants_json(self) -> bool:
        """A program asks, not a person: it gets statuses instead of pages."""
        return programmatic(self.headers)

    def parameter(self, name: str) -> str:
        """A parameter of the query, else of the form; "" for none."""
        return self.query.get(name) or self.form.get(name) or ""

    def callback(self, *names: str) -> str:
        """This address with these parameters of its query as they were sent: what a provider leads back to."""
        pairs = (part for part in self.raw_query.split("&") if part)
        kept = {unquote_plus(part.partition("=")[0]): part for part in reversed(list(pairs))}
        query = "&".join(kept[name] for name in names if name in kept)
        return self.here + (f"?{query}" if query else "")


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers by lower-case name; of a repeated one the first, but all cookies."""
    sent: Sequence[Header] = scope["headers"]
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(sent)}
    several = [value.decode("latin-1") for name, value in sent if name == b"cookie"]
    return found if len(several) < 2 else {**found, "cookie": "; ".join(several)}


def programmatic(headers: Mapping[str, str]) -> bool:
    """Whether a program asks (identity.md 9): it says so, or it takes JSON and no pages."""
    if headers.get("x-requested-with", "").lower() == "xmlhttprequest":
        return True
    accepted = headers.get("accept", "").lower()
    return "application/json" in accepted and "text/html" not in accepted


def browsing(headers: Mapping[str, str]) -> bool:
    """Whether a person with a browser asks: it takes pages, and no program says otherwise."""
    return "text/html" in headers.get("accept", "").lower() and not programmatic(headers)


async def read(scope: Scope, receive: Receive, proxies: TrustedProxies, limit: int) -> Request:
    """The request, with its form of at most `limit` bytes. Raises InvalidInput, TooLarge, Disconnected."""
    headers = headers_of(scope)
    scheme, host = client_address(scope, headers, proxies)
    raw_query: bytes = scope["query_string"]
    form: Mapping[str, str] = {}
    if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        body = await read_body(receive, limit)
        if headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            form = pairs(body)
    return Request(
        scope["method"],
        scope["path"],
        scope.get("root_path", ""),
        raw_query.decode("latin-1"),
        headers,
        cookies.parsed([headers.get("cookie", "")]),
        pairs(raw_query),
        form,
        f"{'https' if scheme == 'https' else 'http'}://{host}",
        proxies.client(scope),
    )


def pairs(raw: bytes) -> dict[str, str]:
    """The parameters of a query or form. Raises InvalidInput for too many, or what is not UTF-8."""
    if raw.count(b"&") >= _MAX_PARAMETERS:
        raise InvalidInput("too many parameters", field="query")
    try:
        return dict(reversed(query_pairs(raw.decode("ascii"), errors="strict")))
    except UnicodeDecodeError:
        raise InvalidInput("parameters are percent-encoded UTF-8", field="query") from None


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body again that was read."""
    first: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return first.pop() if first else await receive()

    return again
