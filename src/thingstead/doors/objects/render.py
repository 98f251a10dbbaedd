"""Answers of `/v1`: stored bytes are spliced, not parsed, unless `select` asks for members (objects.md 1.3, 6.3).

Promises: compact JSON, no null members added, an empty object is exactly `{}`.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Final

import msgspec

from thingstead.core.objects import Written
from thingstead.model import objects as model
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope, stripped
from thingstead.model.values import JsonObject, dump, parse_object

Header = tuple[bytes, bytes]

JSON: Final = b"application/json"
TEXT: Final = b"text/plain;charset=UTF-8"
NO_STORE: Final[tuple[Header, ...]] = ((b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer"))

_ORIGIN: Final[tuple[Header, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Cache-Control,Content-Length,Content-Type,Date,ETag,Expires,WWW-Authenticate",
    ),
    (b"vary", b"Origin"),
)
_ALLOWED_HEADERS: Final = (
    "Origin,Accept,X-Requested-With,Content-Type,Authorization,X-Amz-Date,X-Amz-Credential,X-Amz-Content-Sha256,"
    "X-CSRF-TOKEN"
)


class Answer(msgspec.Struct):
    """A status, a body (whole, or as pieces of unknown length) and what else the client is told."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    stream: AsyncGenerator[bytes] | None = None

    def fields(self, *, cors: bool) -> list[Header]:
        """The header fields; `cors`: the request had an Origin (identity.md 12)."""
        fields = list(self.headers)
        if self.stream is None:
            fields.insert(0, (b"content-length", b"%d" % len(self.body)))
        if self.body or self.stream is not None or self.content_type != JSON:  # an empty text is one
            fields.append((b"content-type", self.content_type))
        if cors:
            fields.extend(_ORIGIN)
        return fields


def preflight(asked: str) -> Answer:
    """The answer to a CORS preflight that asks for these headers."""
    allowed = asked if asked.isascii() and asked.isprintable() and asked else _ALLOWED_HEADERS
    return Answer(
        headers=(
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-methods", b"GET,POST,PATCH,PUT,DELETE,HEAD,OPTIONS"),
            (b"access-control-allow-headers", allowed.encode()),
            (b"access-control-max-age", b"1800"),
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        )
    )


def json(value: JsonObject, *, headers: tuple[Header, ...] = ()) -> Answer:
    """An answer with a JSON object."""
    return Answer(200, dump(value), headers=headers)


def text(value: str) -> Answer:
    """An answer with bare text."""
    return Answer(200, value.encode(), TEXT)


def shown(public: bytes, names: frozenset[str]) -> bytes:
    """Public bytes reduced to the selected members; all of them for no names."""
    return dump(model.select(parse_object(public), names)) if names else public


def array(publics: Iterable[bytes], names: frozenset[str]) -> bytes:
    """A JSON array of objects."""
    return b"[%b]" % b",".join([shown(public, names) for public in publics] if names else publics)


def page(publics: Iterable[bytes], names: frozenset[str], *, number: int, total: int, last_key: str | None) -> bytes:
    """The page envelope (objects.md 6.3)."""
    tail = b',"lastKey":"%b"' % last_key.encode() if last_key is not None else b""
    return b'{"items":%b,"page":%d,"totalHits":%d%b}' % (array(publics, names), number, total, tail)


def written(result: Written, names: frozenset[str], scope: Scope | None) -> bytes:
    """A written object, as its writer sees it, with what only this answer may show."""
    public = result.public if scope is None else stripped(result.public)
    if not names and not result.once:
        return public
    public = shown(public, names)
    return dump(parse_object(public) | result.once) if result.once else public


def location(obj: Object) -> Header:
    """The `Location` of a new object."""
    return (b"location", b"/v1" + obj.uri().encode())
