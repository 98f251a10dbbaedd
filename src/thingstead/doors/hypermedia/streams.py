"""WebSocket streams (hypermedia.md 12): readings and changed resources of one site, device or sensor, as they happen.

Promises: only what is durable; per sensor in the order of acceptance; a message about a resource is the document that a
GET by the same client gives, and its hrefs are textually those. A client that lags more than `chain.ws_queue` messages
is closed with 1013, all are closed with 1001 when the server ends. Nothing is replayed.

Wherever rights of somebody may have changed they are asked about again, as MQTT's are (doors.md 26), and nothing is
sent meanwhile; who has lost them is closed with 1008. A token, and an app's secret, must still hold then; of a user who
showed a password, the user must still be active.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.hypermedia.errors import Refusal, refusal
from thingstead.doors.hypermedia.frames import Frames
from thingstead.doors.hypermedia.read import Reader
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
from thingstead.model.hypermedia.links import Base
from thingstead.model.objects import Object
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.rights import Right
from thingstead.ports.hub import Listener
from thingstead.transports.http import Receive, Scope, Send, bound_to_loopback

log = structlog.get_logger("hypermedia.streams")

GOING_AWAY: Final = 1001
TRY_LATER: Final = 1013
FAILED: Final = 1011
NO_RIGHT: Final = 1008
_CLOSING: Final = 5  # seconds that closing all streams may take
_TYPES: Final = {
    "site": "site",
    "device": "thing",
    "sensor": "sensor",
    "scalar_sensor": "sensor",
    "metadata": "metadata",  # advertised, yet nothing happens to it (D7)
}


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


class _Stream:
    """One connection: what it listens to, and whether it still may."""

    def __init__(
        self, listener: Listener, actor: Principal, app: str, belongs: _Scope, again: Callable[[], Awaitable[_Scope]]
    ) -> None:
        self.listener = listener
        self.actor = actor
        self.app = app
        self._belongs: _Scope | None = belongs
        self._again = again
        self._asked = 0
        self._reviewing: asyncio.Task[None] | None = None

    def end(self) -> None:
        """It may no more."""
        self._belongs = None
        self.listener.close()

    def review(self) -> None:
        """Ask again whether it may."""
        self._asked += 1
        if self._reviewing is None and self._belongs is not None:
            self._reviewing = asyncio.ensure_future(self._review())

    def forget(self) -> None:
        """The connection is gone."""
        self.listener.close()
        if self._reviewing is not None:
            self._reviewing.cancel()

    async def belongs(self) -> _Scope | None:
        """What belongs to the stream as rights are now; None if it may be listened to no more."""
        while self._reviewing is not None:
            await asyncio.shield(self._reviewing)
        return self._belongs

    async def _review(self) -> None:
        try:
            asked = -1
            while asked != self._asked:
                asked = self._asked
                belongs = await self._again()
                if self._belongs is not None:
                    self._belongs = belongs
        except Exception as error:  # closed rather than left open unseen
            if not isinstance(error, ThingsteadError):
                log.exception("rights could not be asked again")
            self.end()
        finally:
            self._reviewing = None


class Streams:
    """Serves the WebSocket handshakes of the door."""

    def __init__(self, backend: Backend, gate: Gate, bases: Bases) -> None:
        self._backend = backend
        self._gate = gate
        self._bases = bases
        self._frames = Frames(backend)
        self._open: dict[asyncio.Task[None], _Stream] = {}
        self._ending = False
        self._changes = 0  # grows whenever rights of somebody change
        backend.tenants.watch(self._app_changed)
        backend.token_secrets.on_changed(self._user_changed)
        backend.token_secrets.on_ended(self._user_ended)
        backend.things.on_moved(self._thing_moved)
        backend.things.on_revoked(self._thing_ended)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from handshake to close."""
        if (await receive())["type"] != "websocket.connect":
            return
        before = self._changes
        try:
            self._gate.enter(scope)
            stream, base = await self._locate(scope)
        except ThingsteadError as error:
            await _deny(scope, send, refusal(self._gate.refused(scope, error), None))
            return
        except Exception:
            log.exception("handshake failed", path=scope["path"])
            await _deny(scope, send, refusal(ThingsteadError("the server failed"), None))
            return
        task = asyncio.ensure_future(self._send(stream, base, send))
        self._open[task] = stream
        if before != self._changes:  # it was let in by what may not hold any more
            stream.review()
        try:
            await _until_gone(receive, task)
        finally:
            stream.forget()
            task.cancel()
            await asyncio.wait([task])
            del self._open[task]

    async def close(self) -> None:
        """Send what is queued, then tell every client that the server goes away. Call before the listener closes."""
        self._ending = True
        for stream in list(self._open.values()):
            stream.listener.close()
        if self._open:
            await asyncio.wait(list(self._open), timeout=_CLOSING)

    # --- rights that may have changed

    def _of(self, app: str, kinds: str = "", id: str = "") -> list[_Stream]:
        """The streams of an app, or of a kind of callers of it, or of one; a change is counted."""
        self._changes += 1
        return [
            one
            for one in self._open.values()
            if one.app == app or one.actor.app == app
            if not kinds or one.actor.kind in kinds.split()
            if not id or one.actor.id == id
        ]

    def _app_changed(self, app: str) -> None:
        for stream in self._of(app):
            stream.review()

    def _user_changed(self, app: str, user: str) -> None:
        for stream in self._of(app, "user", user):
            stream.review()

    def _user_ended(self, app: str, user: str) -> None:
        for stream in self._of(app, "user", user):
            stream.end()

    def _thing_moved(self, app: str, _thing: str) -> None:
        for stream in self._of(app, "user guest"):
            stream.review()

    def _thing_ended(self, app: str, thing: str) -> None:
        for stream in self._of(app, "thing", thing):
            stream.end()

    # --- one stream

    async def _listen(self, subjects: list[str]) -> Listener:
        """A listener, unless the server is going away meanwhile. Raises Unavailable."""
        listener = await self._backend.hub.listen(subjects, bound=self._backend.settings.chain_ws_queue)
        if self._ending:
            listener.close()
            raise Unavailable("the server is going away")
        return listener

    async def _locate(self, scope: Scope) -> tuple[_Stream, Base]:
        """The stream that a handshake names. Raises NotFound, Unauthenticated, Forbidden, Unavailable."""
        where = target(scope)
        headers = headers_of(scope)
        base = self._bases.of(scope, headers, where.prefix)
        if len(where.segments) != 2 or where.segments[0] != "ws":
            raise NotFound("Not Found")
        kind, _, id = where.segments[1].partition("-")
        if kind not in _TYPES or not id:
            raise NotFound("Not Found")
        tenants, loopback = self._backend.tenants, bound_to_loopback(scope)
        app = where.app if where.app is not None else tenants.default
        await tenants.get(app)
        try:
            actor = await self._backend.access.principal(headers)
        except (Unauthenticated, Forbidden, AppNotFound):
            actor = NOBODY
        self._gate.known(scope, actor)
        belongs = await self._scope(actor, app, kind, id, loopback=loopback)
        known = tenants.cached(actor.app)
        secret = known.secret if known is not None else ""

        async def again() -> _Scope:
            now = await self._proven(actor, headers, secret)
            return await self._scope(now, app, kind, id, loopback=loopback)

        return _Stream(await self._listen(belongs.subjects()), actor, app, belongs, again), base

    async def _scope(self, actor: Principal, app: str, kind: str, id: str, *, loopback: bool) -> _Scope:
        """What belongs to a stream, if `actor` may have it. Raises NotFound, Unauthenticated, Forbidden."""
        tenant = await self._backend.tenants.get(app)
        reader = Reader(self._backend, app)
        thing: str | None = None
        if actor.kind == "thing":
            thing = id if kind == "device" else (await reader.sensor(id))[0].device if "sensor" in kind else None
        rights = await _stands_for(reader, kind, id) if actor.kind in ("user", "guest") else ()
        await self._backend.access.check(
            actor, app, "hypermedia", "read", loopback=loopback, thing=thing, rights=rights
        )
        reader = Reader(self._backend, app, tenant.scope(actor))
        obj = (await reader.sensor(id))[1] if _TYPES[kind] == "sensor" else await reader.one(_TYPES[kind], id)
        default = obj.type == "site" and obj.id == await reader.default_site_id()
        return _Scope(reader, obj, default)

    async def _proven(self, actor: Principal, headers: Mapping[str, str], secret: str) -> Principal:
        """Who listens, as it is now; `secret` is what its app had. Raises Unauthenticated, Forbidden, AppNotFound."""
        backend = self._backend
        if actor.kind == "nobody":
            return actor
        if headers.get("authorization", "").strip()[:6].lower() == "bearer":
            return await backend.access.principal(headers)
        now = await backend.identity.still(actor)
        if actor.kind == "app" and (await backend.tenants.get(actor.app)).secret != secret:
            raise Unauthenticated("the app has new keys", details={"rule": "secret", "actor": actor.id})
        return now

    async def _send(self, stream: _Stream, base: Base, send: Send) -> None:
        await send({"type": "websocket.accept"})
        code = GOING_AWAY
        try:
            async for event in stream.listener:
                for id, text in await self._frames.of(event, base):
                    belongs = await stream.belongs()
                    if belongs is not None and await belongs.has(event, id):
                        await send({"type": "websocket.send", "text": text})
            if await stream.belongs() is None:
                code = NO_RIGHT
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
