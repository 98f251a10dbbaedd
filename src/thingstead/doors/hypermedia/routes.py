"""Routes of the hypermedia door (hypermedia.md 1, 3-11, 20): what a request addresses, who may, and which answer.

Promises: a refused request changes nothing and gets this door's error shape, never a bare 500; hrefs carry the scheme,
host and prefix under which the client came. Streams are served next door, by `streams`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from thingstead.core.backend import Backend
from thingstead.doors.hypermedia import readings, render
from thingstead.doors.hypermedia.errors import Refusal, not_acceptable, refusal
from thingstead.doors.hypermedia.read import Reader, site_view
from thingstead.doors.hypermedia.request import Bases, Target, headers_of, target
from thingstead.doors.hypermedia.write import Writer, kind_name
from thingstead.model.errors import (
    AppNotFound,
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    ThingsteadError,
    Unauthenticated,
)
from thingstead.model.hypermedia import documents, filters, forms, negotiation, pages, times
from thingstead.model.hypermedia.filters import Attribute, Pairs
from thingstead.model.hypermedia.links import Base, Collection
from thingstead.model.hypermedia.rels import RELATIONS
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.values import Json, JsonObject, is_array, parse
from thingstead.transports.http import Disconnected, Receive, Scope, Send, bound_to_loopback, read_body

log = structlog.get_logger("hypermedia")

SUMMARY_AGE: Final = 60  # seconds (D17)
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
_FORMS: Final = {
    "sites": forms.SITE,
    "devices": forms.DEVICE,
    "sensors": forms.SENSOR,
    "sensordata": forms.DATA,
    "metadata": forms.METADATA,
}


class Call(msgspec.Struct):
    """One request past routing and access."""

    backend: Backend
    reader: Reader
    writer: Writer
    bodies: forms.Reader
    base: Base
    id: str
    query: Pairs
    collection: str
    body: bytes = b""

    def json(self) -> Json:
        """The body, whatever its content type says. Raises MalformedBody."""
        return parse(self.body)

    def created(self, form: forms.Form) -> tuple[list[forms.Fields], bool]:
        """The items of a create body, and whether it was a list."""
        body = self.json()
        return self.bodies.create(form, body, forms.presets(form, self.query)), is_array(body)


class Answer(msgspec.Struct, frozen=True):
    """What a handler gives back; rendered as the client wants it."""

    document: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call], Awaitable[Answer]]


def _one(documents_made: Sequence[JsonObject], many: bool) -> Answer:
    """The answer to a create: a list for a list, else the resource with its Location."""
    if many:
        return Answer(list(documents_made), 201)
    document: Any = documents_made[0]
    return Answer(document, 201, (("location", document["_links"]["self"]["href"]),))


# --- reads


async def entry_point(call: Call) -> Answer:
    """`/`."""
    return Answer(documents.entry_point(call.base))


def _listing(
    call: Call, name: Collection, items: Sequence[tuple[str, str, Mapping[str, Attribute]]], default: int
) -> Answer:
    """A page of (id, title, attributes) items that pass the filters."""
    conditions = filters.read(name, call.query)
    found = [item for item in items if all(condition.holds(item[2]) for condition in conditions)]
    page = pages.page(filters.first(call.query, "limit"), filters.first(call.query, "offset"), default=default)
    shown = [(id, title) for id, title, _ in found[page.offset : page.offset + page.limit]]
    pairs = filters.without(call.query, filters.PAGING)
    return Answer(documents.collection(call.base, name, pairs, page, len(found), shown))


async def sites(call: Call) -> Answer:
    """All sites, in creation order."""
    views = [site_view(obj) for obj in await call.reader.sites()]
    items = [(v.id, v.name, {"id": v.id, "name": v.name, "rawZMQStream": v.raw_zmq_stream}) for v in views]
    return _listing(call, "sites", items, pages.PAGE)


async def site(call: Call) -> Answer:
    """One site."""
    return Answer(documents.site(call.base, site_view(await call.reader.one("site", call.id))))


async def summary(call: Call) -> Answer:
    """A site with all devices and sensors."""
    things = await call.reader.things(call.id)
    sensors: dict[str, list[documents.Sensor]] = {}
    for sensor in await call.reader.sensors(None, things=things):
        sensors.setdefault(sensor.device, []).append(sensor)
    pairs = [(device, sensors.get(device.id, [])) for device in await call.reader.devices(things)]
    age = ("cache-control", f"max-age={SUMMARY_AGE}")
    return Answer(documents.summary(call.base, call.id, pairs), headers=(age,))


async def devices(call: Call) -> Answer:
    """The devices of a site, or of the whole app, by name."""
    parent = filters.first(call.query, *filters.PARENTS["devices"])
    conditions = filters.read("devices", call.query)
    try:
        things = await call.reader.things(parent)
    except NotFound:
        things = []
    if not conditions:  # the names are enough
        return _listing(call, "devices", [(thing.id, thing.name, {}) for thing in things], pages.PAGE)
    items: list[tuple[str, str, Mapping[str, Attribute]]] = []
    for view in await call.reader.devices(things):
        names = ("id", "name", "description", "building", "floor", "room", "active")
        attributes = {**{name: getattr(view, name) for name in names}, "site__name": view.site_name}
        items.append((view.id, view.name, attributes))
    return _listing(call, "devices", items, pages.PAGE)


async def device(call: Call) -> Answer:
    """One device."""
    return Answer(documents.device(call.base, await call.reader.device(call.id)))


async def sensors(call: Call) -> Answer:
    """The sensors of a device, or of the whole app, in creation order."""
    parent = filters.first(call.query, *filters.PARENTS["sensors"])
    views = await call.reader.sensors(parent)
    sites_of: dict[str, str] = {}
    if any(name.startswith("device__site") for name, _ in call.query):
        things = await call.reader.things(None)
        sites_of = {thing: site.id for thing, site in (await call.reader.sites_of(things)).items()}
    items: list[tuple[str, str, Mapping[str, Attribute]]] = []
    for view in views:
        attributes: dict[str, Attribute] = {name: getattr(view, name) for name in ("id", "metric", "unit", "active")}
        attributes["device__name"] = view.device_name
        attributes["device__site_id"] = sites_of.get(view.device)
        items.append((view.id, view.metric, attributes))
    return _listing(call, "sensors", items, pages.SENSORS)


async def sensor(call: Call) -> Answer:
    """One sensor."""
    return Answer(documents.sensor(call.base, (await call.reader.sensor(call.id))[0]))


async def history(call: Call) -> Answer:
    """Readings."""
    return Answer(await readings.history(call.backend, call.reader, call.base, call.query))


async def aggregates(call: Call) -> Answer:
    """Buckets of readings."""
    return Answer(await readings.aggregates(call.backend, call.reader, call.base, call.query))


def _target_of(query: Pairs) -> tuple[str, str]:
    """(kind number, object id) of a metadata query. Raises InvalidInput."""
    found: list[str] = []
    for name in ("content_type_id", "object_id"):
        value = filters.first(query, name)
        if not value:
            raise InvalidInput(f"{name} is missing", field=name)
        found.append(value)
    return found[0], found[1]


async def metadata(call: Call) -> Answer:
    """The metadata of an object, as of now or of `timestamp__lte`."""
    kind, id = _target_of(call.query)
    limit = filters.first(call.query, "timestamp__lte")
    latest = None if limit is None else times.read_text(limit, call.bodies.zone, field="timestamp__lte")
    entries = await call.reader.entries(id, kind_name(kind)) if kind_name(kind) else []
    shown = documents.shadowed(entry for entry in entries if latest is None or entry.time <= latest)
    page = pages.page(filters.first(call.query, "limit"), filters.first(call.query, "offset"))
    pairs = filters.without(call.query, filters.PAGING)
    creating = [("content_type_id", kind), ("object_id", id)]
    part = shown[page.offset : page.offset + page.limit]
    return Answer(documents.metadata(call.base, pairs, creating, page, len(shown), part))


async def entry(call: Call) -> Answer:
    """One metadata entry."""
    return Answer(documents.entry(call.base, await call.reader.entry(call.id)))


# --- forms


async def create_form(call: Call) -> Answer:
    """The create form of a collection."""
    form = forms.METADATA if _is_metadata(call) else _FORMS[call.collection]
    return Answer(forms.create_form(form, forms.presets(form, call.query)))


async def edit_form(call: Call) -> Answer:
    """The edit form of a resource, with present values."""
    form, current = await _current(call)
    return Answer(forms.edit_form(form, current))


async def _current(call: Call) -> tuple[forms.Form, forms.Fields]:
    view: documents.Site | documents.Device | documents.Sensor
    if call.collection == "sites":
        view = site_view(await call.reader.one("site", call.id))
    elif call.collection == "devices":
        view = await call.reader.device(call.id)
    else:
        view = (await call.reader.sensor(call.id))[0]
    form = _FORMS[call.collection]
    names = {"geoLocation": "place", "rawZMQStream": "raw_zmq_stream"}
    return form, {name: getattr(view, names.get(name, name), None) for name in form.properties}


async def immutable(call: Call) -> Answer:
    """There is no editing of metadata."""
    raise InvalidInput("metadata are immutable", field="metadata")


# --- writes


def _is_metadata(call: Call) -> bool:
    """True also for the path that the Seed's example prints by a slip (D20)."""
    names = {name for name, _ in call.query}
    slip = call.collection == "sensordata" and {"content_type_id", "object_id"} <= names
    return slip or call.collection == "metadata"


async def create(call: Call) -> Answer:
    """A post to a create form or to the collection itself."""
    base, query = call.base, call.query
    if _is_metadata(call):
        items, many = call.created(forms.METADATA)
        kind, id = filters.first(query, "content_type_id"), filters.first(query, "object_id")
        return _one([documents.entry(base, view) for view in await call.writer.metadata(kind, id, items)], many)
    items, many = call.created(_FORMS[call.collection])
    if call.collection == "sites":
        return _one([documents.site(base, view) for view in await call.writer.sites(items)], many)
    parent = filters.first(query, *filters.PARENTS.get(call.collection, ()))
    if call.collection == "devices":
        return _one([documents.device(base, view) for view in await call.writer.devices(parent, items)], many)
    if call.collection == "sensors":
        return _one([documents.sensor(base, view) for view in await call.writer.sensors(parent, items)], many)
    try:
        _, channel = await call.reader.sensor(readings.sensor_id(query))
    except NotFound:
        raise InvalidInput("sensor_id names nothing", field="sensor_id") from None
    points = await readings.post(call.backend, call.reader.app, channel, items)
    return Answer(points if many else points[0], 201)


async def edit(call: Call) -> Answer:
    """A post to an edit form."""
    form, current = await _current(call)
    changes = call.bodies.edit(form, call.json(), current)
    if call.collection == "sites":
        return Answer(documents.site(call.base, await call.writer.edit_site(call.id, changes)))
    if call.collection == "devices":
        device = await call.reader.device(call.id)
        return Answer(documents.device(call.base, await call.writer.edit_device(device, changes)))
    sensor, _ = await call.reader.sensor(call.id)
    return Answer(documents.sensor(call.base, await call.writer.edit_sensor(sensor, changes)))


# --- the table

_READ_ONLY: Final = frozenset({"aggregate_data"})
_LISTS: Final[Mapping[str, Handler]] = {
    "sites": sites,
    "devices": devices,
    "sensors": sensors,
    "sensordata": history,
    "aggregate_data": aggregates,
    "metadata": metadata,
}
_SINGLES: Final[Mapping[str, Handler]] = {"sites": site, "devices": device, "sensors": sensor, "metadata": entry}


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
            return Route({"GET": entry_point})
        case () | ("",) if name in _LISTS:
            return Route({"GET": _LISTS[name], **({} if name in _READ_ONLY else {"POST": create})}, name)
        case ("create",) if name in _FORMS:
            return Route({"GET": create_form, "POST": create}, name)
        case (id,) if name in _SINGLES and id:
            return Route({"GET": _SINGLES[name]}, name, id)
        case (id, "edit") if name in _SINGLES and id:
            if name == "metadata":
                return Route({"GET": immutable, "POST": immutable}, name, id)
            return Route({"GET": edit_form, "POST": edit}, name, id)
        case (id, "summary") if name == "sites" and id:
            return Route({"GET": summary}, name, id)
        case _:
            raise NotFound("Not Found")


class Requests:
    """Answers the HTTP requests of the door."""

    def __init__(self, backend: Backend, bases: Bases, bodies: forms.Reader) -> None:
        self._backend = backend
        self._bases = bases
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Whatever goes wrong is answered in the door's own shape."""
        headers = headers_of(scope)
        accept = headers.get("accept")
        try:
            status, body, fields = await self._answer(scope, receive, headers)
        except Disconnected:
            return
        except ThingsteadError as error:
            status, body, fields = _refused(refusal(error, accept))
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
        await self._backend.tenants.get(app)
        reader = Reader(self._backend, app)
        actor, body = await self._admit(scope, receive, headers, reader, found, query)
        handling = handler in (create_form, edit_form)
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
        content_type = kind if kind != negotiation.HTML else "text/html; charset=utf-8"
        return answer.status, render.body(answer.document, kind), [*fields, ("content-type", content_type)]

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
            if action == "write" or not self._public(reader.app, loopback):
                raise Unauthenticated(error.message, field=error.field, details=error.details) from None
            return NOBODY, body
        thing = await _addressed(reader, found, query) if actor.kind == "thing" else None
        access.check(actor, reader.app, "hypermedia", action, loopback=loopback, thing=thing)
        return actor, body

    def _public(self, app: str, loopback: bool) -> bool:
        try:
            self._backend.access.check(NOBODY, app, "hypermedia", "read", loopback=loopback)
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
        return 200, render.body(document, kind), [("vary", "Accept"), ("content-type", "text/html; charset=utf-8")]
    return 200, render.encode(document), [("vary", "Accept"), ("content-type", negotiation.JSON)]


def _minimal(headers: Mapping[str, str]) -> bool:
    return any(part.strip().lower() == "return=minimal" for part in headers.get("prefer", "").split(","))


def _refused(answer: Refusal) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status, answer.body, [*answer.headers, ("content-type", answer.content_type)]


def _latin(value: str) -> bytes:
    return value.encode("latin-1", "replace")
