"""What the context door reads of a request: path, headers, query and its options (agent.md 17.1, 17.2)."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from thingstead.doors.fiware import Refusal
from thingstead.model.errors import InvalidInput, NotSupported
from thingstead.transports.http import Scope

MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 20
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
_ACCEPTED: Final = ("*/*", "application/*", "application/json")
_LATER: Final = frozenset(
    {"q", "mq", "georel", "geometry", "coords", "idPattern", "typePattern", "orderBy", "orderDirection", "metadata"}
)
"""Parameters of the contract that would change the answer and are not supported yet: refused, never ignored."""


class Request(msgspec.Struct, frozen=True):
    """A request without its body."""

    method: str
    segments: tuple[str, ...]  # of the path, each decoded once
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def options(self) -> frozenset[str]:
        """The words of `options`."""
        return frozenset(part for part in self.query.get("options", "").split(",") if part)

    def names_of(self, name: str) -> tuple[str, ...]:
        """A comma list of ids or types, each also as it is stored if it is shown percent-encoded."""
        return meant(self.list_of(name))

    def list_of(self, name: str) -> tuple[str, ...]:
        """A comma list of the query; empty if it is not there."""
        return tuple(part for part in self.query.get(name, "").split(",") if part)


def meant(names: Iterable[str]) -> tuple[str, ...]:
    """Names as shown, and what they may stand for (doors.md 15)."""
    return tuple(dict.fromkeys(form for name in names for form in (name, unquote(name))))


def read(scope: Scope) -> Request:
    """The request of an ASGI scope. `X-Auth-Token` stands in for a bearer token."""
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    headers: dict[str, str] = {}
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in pairs:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    if "authorization" not in headers and headers.get("x-auth-token"):
        headers["authorization"] = f"Bearer {headers['x-auth-token']}"
    raw_query: str = scope["query_string"].decode("latin-1")
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        query.setdefault(name, value)
    segments = tuple(unquote(part) for part in raw.rstrip("/").split("/")[1:])
    return Request(scope["method"], segments, raw, raw_query, headers, query)


def check_read(request: Request, known: frozenset[str]) -> None:
    """Refuse what this door cannot answer yet, and options that it does not know. Raises NotSupported, InvalidInput."""
    for name in request.query:
        if name in _LATER:
            raise NotSupported(f"the parameter {name} is not supported", field=name)
    check_options(request, known)
    accept = request.headers.get("accept", "*/*")
    if not any(part.partition(";")[0].strip().lower() in _ACCEPTED for part in accept.split(",")):
        raise Refusal(406, "NotAcceptable", "acceptable MIME types: application/json")


def check_options(request: Request, known: frozenset[str]) -> None:
    """Refuse options that are not `known`. Raises InvalidInput."""
    unknown = request.options - known
    if unknown:
        raise InvalidInput(f"Invalid value for URI param /options/: {', '.join(sorted(unknown))}", field="options")


def check_body(request: Request, body: bytes) -> None:
    """Refuse a body that is missing or no JSON by its type (17.1)."""
    if not body:
        raise Refusal(411, "ContentLengthRequired", "Zero/No Content-Length in PUT/POST/PATCH request")
    stated = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if stated != "application/json":
        raise Refusal(415, "UnsupportedMediaType", f"not supported content type: {stated}")


def page_of(request: Request) -> tuple[int, int]:
    """(limit, offset). Raises InvalidInput with Orion's words."""
    limit, offset = request.query.get("limit"), request.query.get("offset")
    if limit is not None:
        if not _DIGITS.fullmatch(limit) or int(limit) == 0:
            raise InvalidInput(f"Bad pagination limit: /{limit}/ [must be a positive integer number]", field="limit")
        if int(limit) > MAX_LIMIT:
            raise InvalidInput(f"Bad pagination limit: /{limit}/ [max: {MAX_LIMIT}]", field="limit")
    if offset is not None and not _DIGITS.fullmatch(offset):
        raise InvalidInput(f"Bad pagination offset: /{offset}/ [must be a decimal number]", field="offset")
    return int(limit or DEFAULT_LIMIT), int(offset or 0)
