"""Routes of the hypermedia door (hypermedia.md 1, 20): which resource, who may, and how the answer is sent.

Promises: a refused request changes nothing and gets this door's error shape, never a bare 500; hrefs carry the scheme,
host and prefix under which the client came. Streams are served next door, by `streams`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.hypermedia import readings, render, resources
from thingstead.doors.hypermedia.errors import Refusal, not_acceptable, refusal
from thingstead.doors.hypermedia.read import Reader
from thingstead.doors.hypermedia.request import Bases, Target, headers_of, target
from thingstead.doors.hypermedia.resources import FORMS, Call, Handler
from thingstead.doors.hypermedia.write import Writer
from thingstead.model.errors import (
    AppNotFound,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    ThingsteadError,
    Unauthenticated,
)
from thingstead.model.hypermedia import filters, forms, negotiation
from thingstead.model.hypermedia.filters import Pairs
from thingstead.model.hypermedia.rels import RELATIONS
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.rights import Right
from thingstead.transports.http import Disconnected, Receive, Scope, Send, bound_to_loopback, read_body

log = structlog.get_logger("hypermedia")

_COMMON: Final = (
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Location, Link, ETag"),
)
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET, POST, OPTIONS, HEAD"),
    (
        "access-control-allow-headers",
        "accept, origin, content-type, authorization, x-requested-with, x-csrftoken, prefer",
    ),
    ("access-control-max-age", "86400"),
)

_READ_ONLY: Final = frozenset({"aggregate_data"})
_LISTS: Final[Mapping[str, Handler]] = {
    "sites": resources.sites,
    "devices": resources.devices,
    "sensors": resources.sensors,
    "sensordata": resources.history,
    "aggregate_data": resources.aggregates,
    "metadata": resources.metadata,
}
_TYPES: Final = {"sites": "site", "devices": "thing", "sensors": "sensor", "metadata": "metadata"}
_SINGLES: Final[Mapping[str, Handler]] = {
    "sites": resources.site,
    "devices": resources.device,
    "sensors": resources.sensor,
    "metadata": resources.entry,
}


class Route(msgspec.Struct, frozen=True):
    """A resource: its handlers by method, its collection, and the id in its path."""

    handlers: Mapping[str, Handler]
    collection: str = ""
    id: str = ""

    @property
    def allow(self) -> str:
        """The methods, as `Allow` lists them."""
        return ", ".join([*self.handlers, *(["HEAD"] if "GET" in self.handlers else []), "OPTIONS"])


def route(segments: Sequence[str]) -> Route:
    """The resource of a path. Raises NotFound."""
    name = segments[0] if segments else ""
    match tuple(segments[1:]):
        case () if name == "" and segments:
            return Route({"GET": resources.entry_point})
        case () | ("",) if name in _LISTS:
            return Route({"GET": _LISTS[name], **({} if name in _READ_ONLY else {"POST": resources.create})}, name)
        case ("create",) if name in FORMS:
            return Route({"GET": resources.create_form, "POST": resources.create}, name)
        case (id,) if name in _SINGLES and id:
            return Route({"GET": _SINGLES[name]}, name, id)
        case (id, "edit") if name in _SINGLES and id:
            if name == "metadata":
                return Route({"GET": resources.immutable, "POST": resources.immutable}, name, id)
            return Route({"GET": resources.edit_form, "POST": resources.edit}, name, id)
        case (id, "summary") if name == "sites" and id:
            return Route({"GET": resources.summary}, name, id)
        case _:
            raise NotFound("Not Found")


class Requests:
    """Answers the HTTP requests of the door."""

    def __init__(self, backend: Backend, gate: Gate, bases: Bases, bodies: forms.Reader) -> None:
        self._backend = backend
        self._gate = gate
        self._bases = bases
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Whatever goes wrong is answered in the door's own shape."""
        headers = headers_of(scope)
        accept = headers.get("accept")
        try:
            self._gate.enter(scope)
            status, body, fields = await self._answer(scope, receive, headers)
        except Disconnected:
            return
        except ThingsteadError as error:
            status, body, fields = _refused(refusal(self._gate.refused(scope, error), accept))
        except Exception:
            log.exception("request failed", path=scope["path"])
            status, body, fields = _refused(refusal(ThingsteadError("the server failed"), accept))
        raw = [(name.encode(), _latin(value)) for name, value in (*fields, *_COMMON)]
        raw.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        method = scope["method"]
        if method == "OPTIONS":
            return 200, b"", list(_PREFLIGHT)
        where = target(scope)
        base = self._bases.of(scope, headers, where.prefix)
        raw_query: str = scope["query_string"].decode("latin-1")
        accept = headers.get("accept")
        if where.segments[:1] == ("rels",):
            return _relation(where, method, accept)
        if method in ("GET", "HEAD") and (path := _missing_slash(where)) is not None:
            location = f"{base.http}{path}" + (f"?{raw_query}" if raw_query else "")
            return 301, b"", [("location", location)]
        found = route(where.segments)
        handler = found.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            raise MethodNotAllowed(f"{method} is not possible here", details={"allow": found.allow})
        query = filters.parse(raw_query)
        app = where.app if where.app is not None else self._backend.tenants.default
        tenant = await self._backend.tenants.get(app)
        actor, body = await self._admit(scope, receive, headers, Reader(self._backend, app), found, query)
        reader = Reader(self._backend, app, tenant.scope(actor))
        handling = handler in (resources.create_form, resources.edit_form)
        also = (negotiation.SCHEMA,) if handling else ()
        kind = negotiation.choose(accept, also=also)
        if kind is None:
            return _refused(not_acceptable(accept))
        if method == "POST" and body is None:
            body = await read_body(receive, self._backend.settings.chain_max_body)
        call = Call(
            self._backend,
            reader,
            Writer(self._backend, reader, actor),
            self._bodies,
            base,
            found.id,
            query,
            found.collection,
            body or b"",
        )
        answer = await handler(call)
        fields = [*answer.headers, ("vary", "Accept")]
        if method == "POST" and _minimal(headers):
            return answer.status, b"", [*fields, ("preference-applied", "return=minimal")]
        typed = render.PAGE_FIELDS if kind == negotiation.HTML else (("content-type", kind),)
        return answer.status, render.body(answer.document, kind), [*fields, *typed]

    async def _admit(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[str, str],
        reader: Reader,
        found: Route,
        query: Pairs,
    ) -> tuple[Principal, bytes | None]:
        """Who asks, if that may be; and the body, where proving it needed one. Raises Unauthenticated, Forbidden."""
        method: str = scope["method"]
        action = "write" if method == "POST" else "read"
        body: bytes | None = None
        if headers.get("authorization", "").lower().startswith("aws4") and method == "POST":
            body = await read_body(receive, self._backend.settings.chain_max_body)
        access, loopback = self._backend.access, bound_to_loopback(scope)
        try:
            actor = await access.principal(
                headers,
                method=method,
                raw_path=scope["raw_path"].decode("latin-1"),
                raw_query=scope["query_string"].decode("latin-1"),
                body=body or b"",
            )
        except (Unauthenticated, Forbidden, AppNotFound) as error:
            # a public read ignores credentials that prove nothing (D6)
            if action == "write" or not await self._public(reader.app, loopback):
                raise Unauthenticated(error.message, field=error.field, details=error.details) from None
            return NOBODY, body
        self._gate.known(scope, actor)
        thing = await _addressed(reader, found, query) if actor.kind == "thing" else None
        rights = await stands_for(reader, found, method, query) if actor.kind in ("user", "guest") else ()
        await access.check(actor, reader.app, "hypermedia", action, loopback=loopback, thing=thing, rights=rights)
        return actor, body

    async def _public(self, app: str, loopback: bool) -> bool:
        try:
            await self._backend.access.check(NOBODY, app, "hypermedia", "read", loopback=loopback)
        except Unauthenticated:
            return False
        return True


async def _addressed(reader: Reader, found: Route, query: Pairs) -> str | None:
    """The thing that a request is about, for a caller that may only read and report itself (doors.md 29)."""
    sensor = None
    if found.collection == "devices":
        return found.id or None
    if found.collection == "sensors" and not found.id:
        return filters.first(query, *filters.PARENTS["sensors"])
    if found.collection == "sensors":
        sensor = found.id
    elif found.collection in ("sensordata", "aggregate_data"):
        sensor = filters.first(query, *readings.SENSOR)
    try:
        return (await reader.sensor(sensor))[0].device if sensor else None
    except NotFound:
        return None


async def stands_for(reader: Reader, found: Route, method: str, query: Pairs) -> list[Right]:
    """The rights at `/v1` that a request stands for (doors.md 28)."""
    type = _TYPES.get(found.collection, "")
    names = {name for name, _ in query}
    if method == "POST":
        if found.collection == "metadata" or {"content_type_id", "object_id"} <= names:
            return [Right("POST", ("metadata",))]
        if found.collection == "sensordata":
            device = await _addressed(reader, found, query)
            return [Right("POST", ("thing", device, "shadow") if device else ("thing",))]
        return [Right("PATCH", (type, found.id)) if found.id else Right("POST", (type,))]
    if not found.collection:
        return [Right("GET", ())]
    if found.collection in ("sensordata", "aggregate_data") or (type == "sensor" and not found.id):
        device = await _addressed(reader, found, query)
        below = "sensors" if type == "sensor" else "readings"
        return [Right("GET", ("thing", device, below) if device else ("sensor",))]
    rights = [Right("GET", (type, found.id) if found.id else (type,))]
    if found.handlers.get("GET") is resources.summary:
        rights += [Right("GET", ("thing",)), Right("GET", ("sensor",))]
    return rights


def _missing_slash(where: Target) -> str | None:
    """The path with its slash, for a collection (or the prefix of an app) that was asked for without."""
    if not where.segments:
        return "/"
    name = where.segments[0]
    return f"/{name}/" if len(where.segments) == 1 and (name in _LISTS) else None


def _relation(where: Target, method: str, accept: str | None) -> tuple[int, bytes, list[tuple[str, str]]]:
    """`/rels/` and `/rels/{rel}`: pages, JSON when that was named (13.2)."""
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{method} is not possible here", details={"allow": "GET, HEAD, OPTIONS"})
    rel = where.segments[1] if len(where.segments) == 2 else ""
    relation = RELATIONS.get(rel)
    if relation is None and (rel or len(where.segments) > 2):
        raise NotFound("Not Found")
    document = relation if relation is not None else {"relations": list(RELATIONS)}
    kind = negotiation.choose(accept, wildcard=negotiation.HTML) if accept else negotiation.HTML
    if kind is None:
        return _refused(not_acceptable(accept))
    if kind == negotiation.HTML:
        return 200, render.body(document, kind), [("vary", "Accept"), *render.PAGE_FIELDS]
    return 200, render.encode(document), [("vary", "Accept"), ("content-type", negotiation.JSON)]


def _minimal(headers: Mapping[str, str]) -> bool:
    return any(part.strip().lower() == "return=minimal" for part in headers.get("prefer", "").split(","))


def _refused(answer: Refusal) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status, answer.body, [*answer.headers, ("content-type", answer.content_type)]


def _latin(value: str) -> bytes:
    return value.encode("latin-1", "replace")
