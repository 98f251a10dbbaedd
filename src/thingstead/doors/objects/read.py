"""Reading requests to `/v1`: paths, queries, bodies (objects.md 1.1; identity.md 2, 13, 17).

Promises: one parse of the path, on its raw form, each segment decoded once; whatever cannot be read is an InvalidInput
that names what is wrong. Does not authenticate and does not know types.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from thingstead.core.tenants import App
from thingstead.model.bodies import MAX_MEMBERS, bounded
from thingstead.model.errors import InvalidInput, MalformedBody, MissingBody
from thingstead.model.ownership import Scope
from thingstead.model.principals import Principal
from thingstead.model.uris import query_pairs
from thingstead.model.values import Json, JsonObject, is_array, is_object

MAX_URI: Final = 32_768

_FORBIDDEN = re.compile(r"[\x00\\]")


class Call(msgspec.Struct):
    """One authenticated request. `segments` come after `/v1/`, each decoded once; header names are in lower case."""

    method: str
    path: str  # as sent, without the query
    segments: tuple[str, ...]
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    principal: Principal
    app: App
    loopback: bool  # the listener is bound to loopback
    scope: Scope | None = None  # what a user or guest is confined to

    def query(self) -> list[tuple[str, str]]:
        """The query parameters in order; a name without `=` has the value ""."""
        return parse_query(self.raw_query)

    def params(self) -> dict[str, list[str]]:
        """The query parameters, repeated ones as lists."""
        return grouped(self.query())


def parse_query(raw: str) -> list[tuple[str, str]]:
    """Query parameters of a raw query. Raises InvalidInput."""
    if not raw:
        return []
    if raw.count("&") >= MAX_MEMBERS:
        raise InvalidInput(f"the query has more than {MAX_MEMBERS} parameters", field="query")
    try:
        return query_pairs(raw, errors="strict")
    except ValueError as error:
        raise InvalidInput(f"unreadable query: {error}", field="query") from None


def grouped(query: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Parameters by name."""
    params: dict[str, list[str]] = {}
    for name, value in query:
        params.setdefault(name, []).append(value)
    return params


def raw_text(raw: bytes, what: str) -> str:
    """Raw bytes of a path or query as text. Raises InvalidInput for what is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"the {what} is not UTF-8", field=what) from None


def segments(path: str) -> tuple[str, ...]:
    """The segments after `/v1/`; () for `/v1` and `/v1/`. One slash at the end changes nothing. Raises InvalidInput.

    >>> segments("/v1/my%20type/a%2Fb")
    ('my type', 'a/b')
    """
    parts = path.split("/")[2:]
    if parts and not parts[-1] and parts[-2:-1] != ["links"]:  # a blank id there must not unlink everything
        parts.pop()
    if "%" in path:
        parts = [_decoded(part) if "%" in part else part for part in parts]
    for part in parts:
        if part in ("", ".", "..") or _FORBIDDEN.search(part):
            raise InvalidInput("a path segment is empty, a dot segment, or holds NUL or a backslash", field="path")
    return tuple(parts)


def _decoded(part: str) -> str:
    return raw_text(unquote_to_bytes(part), "path")


def json_body(body: bytes) -> Json:
    """The JSON of a request body, whatever its content type. Raises MissingBody, InvalidInput."""
    if not body or body.isspace():
        raise MissingBody("Missing request body.", field="body")
    return bounded(body)


def object_body(body: bytes) -> JsonObject:
    """The JSON object of a request body. Raises InvalidInput."""
    value = json_body(body)
    if not is_object(value):
        raise MalformedBody(f"a JSON object is expected, not {_kind(value)}", field="body")
    return value


def array_body(body: bytes) -> list[JsonObject]:
    """The JSON array of objects of a request body. Raises InvalidInput."""
    value = json_body(body)
    if not is_array(value):
        raise MalformedBody(f"a JSON array is expected, not {_kind(value)}", field="body")
    items: list[JsonObject] = []
    for n, item in enumerate(value):
        if not is_object(item):
            raise MalformedBody(f"item {n} is {_kind(item)}, not a JSON object", field="body")
        items.append(item)
    return items


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    if is_object(value):
        return "an object"
    return "an array" if is_array(value) else "a plain value"


def selected(params: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The names of `select`, repeated or joined with commas; empty when there is none (objects.md 1.3)."""
    values = params.get("select")
    if not values:
        return frozenset()
    return frozenset(name for value in values for part in value.split(",") if (name := part.strip()))
