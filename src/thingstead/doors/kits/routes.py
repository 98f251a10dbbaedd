"""`GET /kits`, `/kits/{id}`, `/kits/{id}/data` (things.md 10; doors.md 27-29).

Promises: bodies exactly as the contract says; a stranger sees neither addresses nor administrators, and no kit that
says no (`privacyShowOnMap`, `privacyPublicDashboard`: false). Closed by default (`kits.access`). Routes on the raw
path, because a kit id may hold a slash.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

import msgspec
import structlog

from thingstead.core import history
from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.kits import errors, render
from thingstead.model.errors import InvalidInput, MethodNotAllowed, NotFound, ThingsteadError, Unauthenticated
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope as ConfinedTo
from thingstead.model.principals import Principal
from thingstead.model.rights import Right
from thingstead.model.values import Json, JsonObject, dump
from thingstead.ports.store import Key
from thingstead.transports.http import AsgiApp, Receive, Scope, Send, bound_to_loopback, retry_after, send_answer

_log = structlog.get_logger()
_READS: Final = ("GET", "HEAD", "OPTIONS")
_PAGE: Final = 500
_MAX_QUERY: Final = 300  # parameters

Headers = list[tuple[bytes, bytes]]


class Call(msgspec.Struct):
    """One request: who asks what of which app."""

    principal: Principal
    app: str
    loopback: bool
    segments: tuple[str, ...]  # after `/kits`
    query: Sequence[tuple[str, str]]
    stranger: bool  # nobody that the app knows, or a user without a right to what is asked
    scope: ConfinedTo | None  # what a user is confined to (identity.md 10.5)

    def sees(self, thing: Object) -> bool:
        """Whether the thing is shown to the caller, who may be confined to its own."""
        return self.scope is None or self.scope.sees(thing)

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return dict(self.query).get(name)


def app(backend: Backend) -> AsgiApp:
    """The ASGI callable for `/kits`."""
    gate = Gate(backend, "kits")
    door = _Kits(backend, gate)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: Headers = []
        try:
            gate.enter(scope)
            status, body = await door.answer(scope, headers)
        except ThingsteadError as error:
            error = gate.refused(scope, error)
            status, body = errors.shown(error)
            headers += retry_after(error)
            if status == 401:
                headers.append((b"www-authenticate", b"Basic"))
            if status == 405:
                headers.append((b"allow", ", ".join(_READS).encode()))
        except Exception:
            _log.exception("kits_failed", path=scope["path"])
            status, body = errors.shown(ThingsteadError())
        if any(name == b"origin" for name, _ in scope["headers"]):
            headers += [(b"access-control-allow-origin", b"*"), (b"vary", b"Origin")]
            headers.append((b"access-control-expose-headers", b"Link,x-next"))
        await send_answer(send, status, b"" if scope["method"] == "HEAD" else body, headers=headers)

    return serve


class _Kits:
    """See the module's docstring."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate

    async def answer(self, scope: Scope, headers: Headers) -> tuple[int, bytes]:
        method: str = scope["method"]
        if method not in _READS:
            raise MethodNotAllowed("Only GET is allowed here.")
        if method == "OPTIONS":
            _preflight(scope, headers)
            return 200, b""
        call = await self._call(scope)
        if not call.segments:
            return 200, await self._list(call, headers)
        id, *rest = call.segments
        if rest not in ([], ["data"]):
            raise NotFound("Not found")
        thing = await self._find(call, id)
        if rest:
            return 200, dump({"id": render.kit_id(thing), "data": await self._data(call, thing, headers)})
        kit = (await self._kits(call, [thing]))[0]
        if "data" in (call.parameter("include") or "").split(","):
            kit["data"] = await self._data(call, thing, headers)
        return 200, dump(kit)

    async def _call(self, scope: Scope) -> Call:
        raw_path: bytes = scope["raw_path"]
        raw_query: bytes = scope["query_string"]
        principal = await self._backend.access.principal(
            {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])},
            method=scope["method"],
            raw_path=raw_path.decode("latin-1"),
            raw_query=raw_query.decode("latin-1"),
        )
        self._gate.known(scope, principal)
        try:
            parts = [unquote_to_bytes(part).decode() for part in raw_path.split(b"/")[2:]]
            query = parse_qsl(raw_query.decode(), keep_blank_values=True, max_num_fields=_MAX_QUERY, errors="strict")
        except ValueError:
            raise InvalidInput("the path and query must be UTF-8, with few parameters", field="query") from None
        segments = tuple(parts[:-1] if parts and not parts[-1] else parts)
        tenant = await self._backend.tenants.get(principal.app or self._backend.tenants.default)
        stranger = principal.kind not in ("app", "thing")
        confined = tenant.scope(principal)
        return Call(principal, tenant.identifier, bound_to_loopback(scope), segments, query, stranger, confined)

    async def _check(self, call: Call, thing: str | None) -> None:
        """Refuse who may not read all kits, or this one; a user who may is no stranger. Raises Unauthenticated,
        Forbidden."""
        rights = [Right("GET", ("thing", thing) if thing is not None else ("thing",))]
        if thing is not None and (
            call.segments[1:] == ("data",) or "data" in (call.parameter("include") or "").split(",")
        ):
            rights.append(Right("GET", ("thing", thing, "readings")))
        access = self._backend.access
        await access.check(call.principal, call.app, "kits", "read", loopback=call.loopback, thing=thing, rights=rights)
        if await access.knows(call.principal, call.app, rights):
            call.stranger = False

    # --- one kit

    async def _find(self, call: Call, id: str) -> Object:
        """The kit of that id: a `kitId`, else a thing's id. Raises NotFound, and what `access.check` raises."""
        thing = await self._backend.objects.find(Key("kit", id, call.app)) if id else None
        if thing is None:
            may_name = {"thing": call.principal.id, "user": id, "guest": id}
            await self._check(call, may_name.get(call.principal.kind))
            thing = await self._backend.objects.get(call.app, id) if id else None
        if thing is None or thing.type != "thing":
            raise NotFound("No such kit.")
        await self._check(call, thing.id)
        if not call.sees(thing):
            raise NotFound("No such kit.")
        if call.stranger and thing.custom.get("privacyPublicDashboard") is False:
            raise Unauthenticated("This kit is not public.")
        return thing

    async def _data(self, call: Call, thing: Object, headers: Headers) -> JsonObject:
        window = history.window_of(call.query)
        shadow = await self._backend.things.shadow(call.app, thing.id)
        found = await history.read(self._backend.store.readings, shadow, window)
        if found.cursor:
            path = "/kits/" + "/".join(quote(part, safe="") for part in call.segments)
            _next(headers, path, call, "cursor", found.cursor)
        return render.data(found.points)

    # --- all kits

    async def _list(self, call: Call, headers: Headers) -> bytes:
        own = call.principal.id if call.principal.kind == "thing" else None
        await self._check(call, own)
        if own is not None:
            return dump(list[Json](await self._kits(call, [await self._backend.objects.get(call.app, own)])))
        limit = history.limit_of(call.parameter("limit"))
        since = call.parameter("lastSeenSince")
        seen_since = history.time_of(since, "lastSeenSince") if since is not None else None
        last = call.parameter("after")
        after = (await self._find(call, last)).docid if last else 0
        found: list[Object] = []
        while len(found) <= limit:
            page = await self._backend.objects.list(call.app, type="thing", after=after, limit=_PAGE)
            found += await self._shown(call, page, seen_since)
            if len(page) < _PAGE:
                break
            after = page[-1].docid
        if len(found) > limit:
            del found[limit:]
            _next(headers, "/kits", call, "after", render.kit_id(found[-1]))
        return dump(list[Json](await self._kits(call, found)))

    async def _shown(self, call: Call, things: Sequence[Object], seen_since: int | None) -> list[Object]:
        things = [thing for thing in things if call.sees(thing)]
        if call.stranger:
            things = [thing for thing in things if thing.custom.get("privacyShowOnMap") is not False]
        if seen_since is None:
            return things
        shadows = await self._backend.things.shadows(call.app, [thing.id for thing in things])
        return [thing for thing in things if thing.id in shadows and shadows[thing.id].last_seen >= seen_since]

    async def _kits(self, call: Call, things: Sequence[Object]) -> list[JsonObject]:
        creators = {thing.creatorid for thing in things if thing.creatorid and not call.stranger}
        users = await self._backend.objects.get_many(call.app, list(creators)) if creators else []
        emails = {user.id: user.own.get("email") for user in users if user.type == "user"}
        kits: list[JsonObject] = []
        for thing in things:
            email = emails.get(thing.creatorid or "")
            kits.append(render.kit(thing, email if isinstance(email, str) else None, stranger=call.stranger))
        return kits


def _next(headers: Headers, path: str, call: Call, name: str, value: str) -> None:
    """Say where the next page is."""
    query = urlencode([*((key, old) for key, old in call.query if key != name), (name, value)])
    headers.append((b"link", f'<{path}?{query}>; rel="next"'.encode()))
    headers.append((b"x-next", f"{path}?{query}".encode()))


def _preflight(scope: Scope, headers: Headers) -> None:
    """Answer OPTIONS; one with an origin is a preflight (identity.md 12)."""
    headers.append((b"allow", ", ".join(_READS).encode()))
    asked = dict(scope["headers"]).get(b"access-control-request-headers", b"Authorization")
    headers.append((b"access-control-allow-methods", ", ".join(_READS).encode()))
    headers.append((b"access-control-allow-headers", asked))
    headers.append((b"access-control-max-age", b"1800"))
