"""Links of the hypermedia door (hypermedia.md 1.1, 2): hrefs below one base, titles, curies. Pure.

Hrefs are absolute. Ids are opaque: whatever is not unreserved in RFC 3986 is percent-encoded.
"""

from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from thingstead.model.values import Json, JsonObject

Collection = Literal["sites", "devices", "sensors", "metadata"]
Query = Sequence[tuple[str, str]]

KIND_NUMBERS: Final = {"site": "10", "device": "11", "sensor": "12"}  # hypermedia.md 10


class Base(msgspec.Struct, frozen=True):
    """Where this client sees the door: scheme, host and prefix, without a closing slash."""

    http: str
    ws: str


def base(scheme: str, host: str, prefix: str) -> Base:
    """The base of a request or handshake; `scheme` is http, https, ws or wss."""
    secure = scheme in ("https", "wss")
    return Base(f"{'https' if secure else 'http'}://{host}{prefix}", f"{'wss' if secure else 'ws'}://{host}{prefix}")


def encode(text: str) -> str:
    """One path segment or query value."""
    return quote(text, safe="")


def query(pairs: Query) -> str:
    """A query string, `?` included, in the order given.

    >>> query([("site_id", "5"), ("room", "the café")])
    '?site_id=5&room=the%20caf%C3%A9'
    """
    return "?" + "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def single(base: Base, collection: Collection, id: str, action: str = "") -> str:
    """The href of one resource, or of what stands below it (`edit`, `summary`)."""
    return f"{base.http}/{collection}/{encode(id)}{'/' + action if action else ''}"


def listing(base: Base, collection: str, pairs: Query) -> str:
    """The href of a collection, of readings or of aggregates."""
    return f"{base.http}/{collection}/{query(pairs)}"


def creating(base: Base, collection: str, pairs: Query) -> str:
    """The href of a create form."""
    return f"{base.http}/{collection}/create{query(pairs) if pairs else ''}"


def stream(base: Base, kind: str, id: str) -> str:
    """The href of a WebSocket stream."""
    return f"{base.ws}/ws/{kind}-{encode(id)}"


def link(href: str, title: str | None = None, *, templated: bool = False) -> JsonObject:
    """One link object."""
    out: JsonObject = {"href": href}
    if title is not None:
        out["title"] = title
    if templated:
        out["templated"] = True
    return out


def curies(base: Base) -> Json:
    """The one curie, `ch`; relation documents are on the own host (D9)."""
    return [{"name": "ch", "href": f"{base.http}/rels/{{rel}}", "templated": True}]
