"""WebSocket streams (hypermedia.md 12): readings and changed resources of one site, device or sensor, as they happen.

Promises: only what is durable; per sensor in the order of acceptance; a message about a resource is the document that a
GET by the same client gives, and its hrefs are textually those. A client that lags more than `chain.ws_queue` messages
is closed with 1013, all are closed with 1001 when the server ends. Nothing is replayed.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final

import structlog

from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.hypermedia import render
from thingstead.doors.hypermedia.errors import Refusal, refusal
from thingstead.doors.hypermedia.read import Reader, device_view, site_view
from thingstead.doors.hypermedia.request import Bases, headers_of, target
from thingstead.model.errors import (
    AppNotFound,
    CutOff,
    Forbidden,
    NotFound,
    ThingsteadError,
    Unauthenticated,
    Unavailable,
)
from thingstead.model.events import Event, ObjectChanged, Reported, everything, subject
from thingstead.model.hypermedia import documents
from thingstead.model.hypermedia.links import Base
from thingstead.model.objects import Object, decode
from thingstead.model.principals import NOBODY
from thingstead.model.readings import columns
from thingstead.model.rights import Right
from thingstead.ports.hub import Listener
from thingstead.transports.http import Receive, Scope, Send, bound_to_loopback

log = structlog.get_logger("hypermedia.streams")

GOING_AWAY: Final = 1001
TRY_LATER: Final = 1013
FAILED: Final = 1011
_KEPT: Final = 256  # events whose frames are kept for further listeners
_CLOSING: Final = 5  # seconds that closing all streams may take
_TYPES: Final = {
    "site": "site",
    "device": "thing",
    "sensor": "sensor",
    "scalar_sensor": "sensor",
    "metadata": "metadata",  # advertised, yet nothing happens to it (D7)
}

Frame = tuple[str, str]
"""Id of the sensor or object that a message is about, and its text."""


class Frames:
    """The messages of events, encoded once for all listeners that see the same base."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._readings: OrderedDict[tuple[int, Base], tuple[Event, list[Frame]]] = OrderedDict()
        self._changes: OrderedDict[tuple[int, Base], tuple[Event, asyncio.Task[list[Frame]]]] = OrderedDict()

    async def of(self, event: Event, base: Base) -> list[Frame]:
        """The messages of an event, in order."""
        key = (id(event), base)  # the event is kept beside its frames, so its address stays its own
        if isinstance(event, Reported):
            made = self._readings.get(key)
            if made is None:
                made = self._readings[key] = (event, _reported(event, base))
                _trim(self._readings)
            return made[1]
        if event.op == "delete":
            return []
        making = self._changes.get(key)
        if making is None:
            making = self._changes[key] = (event, asyncio.ensure_future(self._changed(event, base)))
            _trim(self._changes)
        return await asyncio.shield(making[1])

    async def _changed(self, event: ObjectChanged, base: Base) -> list[Frame]:
        try:
            document = await self._resource(event, base)
        except NotFound:  # it was never numeric, or is gone already
            return []
        return [] if document is None else [(event.id, render.encode(document).decode())]

    async def _resource(self, event: ObjectChanged, base: Base) -> Any:
        reader = Reader(self._backend, event.app)
        if event.type == "site":
            return documents.site(base, site_view(decode(event.app, event.public)))
        if event.type == "thing":
            thing = decode(event.app, event.public)
            return documents.device(base, device_view(thing, (await reader.sites_of([thing]))[thing.id]))
        if event.type == "sensor":
            return documents.sensor(base, (await reader.sensor(event.id))[0])
        return None


def _reported(event: Reported, base: Base) -> list[Frame]:
    frames: list[Frame] = []
    for point in event.points:
        row = columns(point.value)
        if point.sensor and row is not None and row[0] is not None:
            document = documents.reading(base, point.sensor, row[0], point.time)
            frames.append((point.sensor, render.encode(document).decode()))
    return frames


def _trim(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > _KEPT:
        kept.popitem(last=False)


class _Scope:
    """Which events belong to one stream (12.2)."""

    def __init__(self, reader: Reader, obj: Object, default: bool) -> None:
        self._reader = reader
        self._obj = obj
        self._default = default
        self._sites: dict[str, bool] = {}  # parent id -> is it a site other than the default one

    def subjects(self) -> list[str]:
        """What to listen to. The default site has whatever hangs under no other one."""
        if self._obj.type == "metadata":
            return []
        return [everything(self._obj.app) if self._default else subject(self._obj.app, self._obj.id)]

    async def has(self, event: Event, id: str) -> bool:
        """True if the message about `id` of this event belongs to the stream, and whoever listens sees that object."""
        if not await self._belongs(event, id):
            return False
        of_sensor = isinstance(event, ObjectChanged) and event.type == "sensor"
        return await self._reader.sees(
            [id, event.thing] if isinstance(event, Reported) else [id, event.parent] if of_sensor else [id]
        )

    async def _belongs(self, event: Event, id: str) -> bool:
        me = self._obj.id
        if isinstance(event, Reported):
            if self._obj.type == "sensor":
                return id == me
            return event.thing == me if self._obj.type == "thing" else await self._under(event.parent)
        if event.id == me:
            return True
        if self._obj.type == "thing":
            return event.type == "sensor" and event.parent == me
        if self._obj.type != "site" or event.type not in ("thing", "sensor"):
            return False
        parent = event.parent
        if event.type == "sensor":
            try:
                parent = (await self._reader.one("thing", parent)).parentid or ""
            except NotFound:
                return False
        return await self._under(parent)

    async def _under(self, parent: str) -> bool:
        """True if a thing with this parent appears under this site."""
        if parent == self._obj.id or not self._default:
            return parent == self._obj.id
        if parent and parent not in self._sites:
            try:
                await self._reader.one("site", parent)
                self._sites[parent] = True
            except NotFound:
                self._sites[parent] = False
        return not self._sites.get(parent, False)


class Streams:
    """Serves the WebSocket handshakes of the door."""

    def __init__(self, backend: Backend, gate: Gate, bases: Bases) -> None:
        self._backend = backend
        self._gate = gate
        self._bases = bases
        self._frames = Frames(backend)
        self._open: dict[asyncio.Task[None], Listener] = {}
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from handshake to close."""
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            self._gate.enter(scope)
            belongs, base = await self._locate(scope)
            listener = await self._listen(belongs.subjects())
        except ThingsteadError as error:
            await _deny(scope, send, refusal(self._gate.refused(scope, error), None))
            return
        except Exception:
            log.exception("handshake failed", path=scope["path"])
            await _deny(scope, send, refusal(ThingsteadError("the server failed"), None))
            return
        task = asyncio.ensure_future(self._send(listener, belongs, base, send))
        self._open[task] = listener
        try:
            await _until_gone(receive, task)
        finally:
            listener.close()
            task.cancel()
            await asyncio.wait([task])
            del self._open[task]

    async def close(self) -> None:
        """Send what is queued, then tell every client that the server goes away. Call before the listener closes."""
        self._ending = True
        for listener in list(self._open.values()):
            listener.close()
        if self._open:
            await asyncio.wait(list(self._open), timeout=_CLOSING)

    async def _listen(self, subjects: list[str]) -> Listener:
        """A listener, unless the server is going away meanwhile. Raises Unavailable."""
        listener = await self._backend.hub.listen(subjects, bound=self._backend.settings.chain_ws_queue)
        if self._ending:
            listener.close()
            raise Unavailable("the server is going away")
        return listener

    async def _locate(self, scope: Scope) -> tuple[_Scope, Base]:
        """The stream that a handshake names. Raises NotFound, Unauthenticated, Forbidden."""
        where = target(scope)
        headers = headers_of(scope)
        base = self._bases.of(scope, headers, where.prefix)
        if len(where.segments) != 2 or where.segments[0] != "ws":
            raise NotFound("Not Found")
        kind, _, id = where.segments[1].partition("-")
        if kind not in _TYPES or not id:
            raise NotFound("Not Found")
        app = where.app if where.app is not None else self._backend.tenants.default
        tenant = await self._backend.tenants.get(app)
        reader = Reader(self._backend, app)
        access, loopback = self._backend.access, bound_to_loopback(scope)
        try:
            actor = await access.principal(headers)
        except (Unauthenticated, Forbidden, AppNotFound):
            actor = NOBODY
        self._gate.known(scope, actor)
        thing: str | None = None
        if actor.kind == "thing":
            thing = id if kind == "device" else (await reader.sensor(id))[0].device if "sensor" in kind else None
        rights = await _stands_for(reader, kind, id) if actor.kind in ("user", "guest") else ()
        await access.check(actor, app, "hypermedia", "read", loopback=loopback, thing=thing, rights=rights)
        reader = Reader(self._backend, app, tenant.scope(actor))
        obj = (await reader.sensor(id))[1] if _TYPES[kind] == "sensor" else await reader.one(_TYPES[kind], id)
        default = obj.type == "site" and obj.id == await reader.default_site_id()
        return _Scope(reader, obj, default), base

    async def _send(self, listener: Listener, belongs: _Scope, base: Base, send: Send) -> None:
        await send({"type": "websocket.accept"})
        code = GOING_AWAY
        try:
            async for event in listener:
                for id, text in await self._frames.of(event, base):
                    if await belongs.has(event, id):
                        await send({"type": "websocket.send", "text": text})
        except CutOff:
            code = TRY_LATER
        except OSError:  # the client is gone
            return
        except Exception:
            log.exception("stream failed")
            code = FAILED
        await send({"type": "websocket.close", "code": code})


async def _stands_for(reader: Reader, kind: str, id: str) -> list[Right]:
    """The rights at `/v1` that a stream stands for (doors.md 28). Raises NotFound."""
    if _TYPES[kind] == "site":
        return [Right("GET", ("site", id)), Right("GET", ("thing",))]
    if kind == "metadata":
        return [Right("GET", ("metadata", id))]
    device = id if kind == "device" else (await reader.sensor(id))[0].device
    return [Right("GET", ("thing", device, "readings"))]


async def _until_gone(receive: Receive, sending: asyncio.Task[None]) -> None:
    """Read and ignore what the client sends, until it goes or the stream was closed."""
    while not sending.done():
        reading = asyncio.ensure_future(receive())
        done, _ = await asyncio.wait([reading, sending], return_when=asyncio.FIRST_COMPLETED)
        if reading not in done:
            reading.cancel()
            sending.result()
            return
        if reading.result()["type"] == "websocket.disconnect":
            return


async def _deny(scope: Scope, send: Send, answer: Refusal) -> None:
    """Refuse a handshake with an HTTP answer, or, where the server cannot, with a close before the upgrade (403)."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    headers.append((b"content-type", answer.content_type.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
