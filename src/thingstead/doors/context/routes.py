"""The port of `/v2` (agent.md 17): routes, tenant and caller, answers.

What the contract has and this door not yet is answered 501, never ignored.
"""

from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from thingstead import __version__
from thingstead.core.backend import Backend
from thingstead.doors.context.errors import crashed, not_found, refused
from thingstead.doors.context.read import Entities, Entity, Wanted
from thingstead.doors.context.request import (
    Request,
    check_body,
    check_options,
    check_read,
    meant,
    page_of,
    read,
)
from thingstead.doors.context.write import Writes
from thingstead.doors.fiware import Answer, Refusal, serving
from thingstead.doors.gate import Gate
from thingstead.model import ids, ngsi
from thingstead.model.bodies import bounded
from thingstead.model.errors import AppNotFound, MethodNotAllowed
from thingstead.model.principals import Principal
from thingstead.model.rights import Right
from thingstead.model.values import Json, JsonObject, dump
from thingstead.transports.http import (
    AsgiApp,
    Receive,
    Scope,
    bound_to_loopback,
    read_body,
)

MAX_BODY: Final = 1_048_576
_ENTRY: Final[JsonObject] = {
    "entities_url": "/v2/entities",
    "types_url": "/v2/types",
    "subscriptions_url": "/v2/subscriptions",
    "registrations_url": "/v2/registrations",
}
_LATER: Final = frozenset({"types", "subscriptions", "registrations", "op"})
_GET_OPTIONS: Final = frozenset({"keyValues"})
_LIST_OPTIONS: Final = frozenset({"keyValues", "count"})
_POST_OPTIONS: Final = frozenset({"keyValues", "upsert", "flowControl"})


class Caller(msgspec.Struct, frozen=True):
    """Who asks for what."""

    principal: Principal
    tenant: str
    loopback: bool

    @property
    def narrow(self) -> bool:
        """Whether it depends on the entity what the caller may do."""
        return self.principal.kind in ("thing", "user", "guest")

    @property
    def actor(self) -> Principal:
        """Who writes; without credentials, where the door is open, the tenant itself."""
        if self.principal.kind != "nobody":
            return self.principal
        return Principal("app", self.tenant, ids.APP_PREFIX + self.tenant)


def app(backend: Backend) -> AsgiApp:
    """The app of port 1026."""
    gate = Gate(backend, "context")
    answer = _Context(backend, gate).answer
    return serving(gate, backend.entropy, answer, refused, crashed, "context door failed")


class _Context:
    """Routes, and what each does."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate
        self._entities = Entities(backend.things, backend.agents)
        self._writes = Writes(backend, self._entities)

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Find the route and take it. Raises ThingsteadError, Refusal, Disconnected."""
        request = read(scope)
        match request.segments:
            case ("version",):
                _allow(request, "GET")
                return Answer(body=dump({"orion": {"version": f"thingstead {__version__}"}}))
            case ("v2",):
                _allow(request, "GET")
                return Answer(body=dump(_ENTRY))
            case ("v2", "entities"):
                _allow(request, "GET", "POST")
                if request.method == "POST":
                    return await self._post(request, await read_body(receive, MAX_BODY), scope)
                return await self._list(request, scope)
            case ("v2", "entities", id) if id:
                _allow(request, "GET")
                return await self._get(request, id, scope)
            case ("v2", later, *_) if later in _LATER:
                raise Refusal(501, "NotImplemented", f"/v2/{later} is not supported")
            case ("v2", "entities", _, "attrs", *_):
                raise Refusal(501, "NotImplemented", "attribute paths are not supported")
            case _:
                raise Refusal(400, "BadRequest", "Service not found. Check your URL as probably it is wrong.")

    # --- reads

    async def _get(self, request: Request, id: str, scope: Scope) -> Answer:
        check_read(request, _GET_OPTIONS)
        wanted = Wanted(ngsi.read_scope(_path(request)), meant([id]), request.names_of("type"))
        caller = await self._caller(request, scope)
        tenant = caller.tenant
        if not caller.narrow:
            await self._check(caller, "read")
        found = await self._entities.find(tenant, wanted)
        if caller.narrow:
            await self._check(caller, "read", found)
        if not found:
            raise not_found()
        if len(found) > 1:
            raise Refusal(409, "TooManyResults", "More than one matching entity. Please refine your query")
        attributes = (await self._entities.shown(tenant, found))[0]
        identity = found[0].identity
        plain = "keyValues" in request.options
        only = request.list_of("attrs")
        return Answer(body=dump(ngsi.render(identity.id, identity.type, attributes, only=only, key_values=plain)))

    async def _list(self, request: Request, scope: Scope) -> Answer:
        check_read(request, _LIST_OPTIONS)
        limit, offset = page_of(request)
        wanted = Wanted(ngsi.read_scope(_path(request)), request.names_of("id"), request.names_of("type"))
        caller = await self._caller(request, scope)
        await self._check(caller, "read")
        tenant = caller.tenant
        counted = "count" in request.options
        page, count = await self._entities.page(tenant, wanted, limit=limit, offset=offset, count=counted)
        plain = "keyValues" in request.options
        only = request.list_of("attrs")
        shown: list[Json] = []
        for entity, attributes in zip(page, await self._entities.shown(tenant, page), strict=True):
            identity = entity.identity
            shown.append(ngsi.render(identity.id, identity.type, attributes, only=only, key_values=plain))
        headers = ((b"fiware-total-count", b"%d" % count),) if counted else ()
        return Answer(body=dump(shown), headers=headers)

    # --- writes

    async def _post(self, request: Request, body: bytes, scope: Scope) -> Answer:
        path = ngsi.write_path(_path(request))
        caller = await self._caller(request, scope, body)
        tenant = caller.tenant
        if not caller.narrow:
            await self._check(caller, "write")
        check_options(request, _POST_OPTIONS)
        check_body(request, body)
        entity = ngsi.entity_write(bounded(body), key_values="keyValues" in request.options)
        upsert = "upsert" in request.options
        if caller.narrow:
            wanted = Wanted(ngsi.Scope(frozenset({path}), ()), (entity.id,), (entity.type,))
            await self._check(caller, "write", await self._entities.find(tenant, wanted))
        await self._writes.put(tenant, path, entity, caller.actor, upsert=upsert)
        place = f"/v2/entities/{quote(entity.id, safe=':')}?type={quote(entity.type, safe=':')}"
        return Answer(204 if upsert else 201, headers=((b"location", place.encode()),))

    # --- who

    async def _caller(self, request: Request, scope: Scope, body: bytes = b"") -> Caller:
        """Who asks, and for which tenant: the header's, else the credentials' own, else the default one."""
        backend = self._backend
        principal = await backend.access.principal(
            request.headers,
            method=request.method,
            raw_path=request.raw_path,
            raw_query=request.raw_query,
            body=body,
        )
        self._gate.known(scope, principal)
        header = request.headers.get("fiware-service", "")
        tenant = ngsi.tenant(header) if header else principal.app or backend.tenants.default
        try:
            confined = (await backend.tenants.get(tenant)).scope(principal)
        except AppNotFound:
            confined = None  # reads find nothing, a write may make it
        if confined is not None and principal.app == tenant:
            confined.check_door("The context broker", "thing", "entity", "sensor")
        return Caller(principal, tenant, bound_to_loopback(scope))

    async def _check(self, caller: Caller, action: Literal["read", "write"], found: Sequence[Entity] = ()) -> None:
        """Refuse what the caller may not do; a thing may do it to the one entity that is its own (doors.md 29)."""
        parts = found[0].parts if len(found) == 1 else ()
        thing = parts[0].thing if len(parts) == 1 else None
        rights = await self._stands_for(caller.tenant, action, found) if caller.narrow else ()
        await self._backend.access.check(
            caller.principal, caller.tenant, "context", action, loopback=caller.loopback, thing=thing, rights=rights
        )

    async def _stands_for(self, tenant: str, action: str, found: Sequence[Entity]) -> list[Right]:
        """The rights at `/v1` that a request stands for (doors.md 28): on the things and entities that it is about."""
        if not found:
            both = [Right("GET", ("thing",)), Right("GET", ("entity",))]
            return both if action == "read" else [Right("POST", ("entity",))]
        ids = [part.thing for entity in found for part in entity.parts]
        objects = await self._backend.objects.get_many(tenant, ids)
        if action == "read":
            return [Right("GET", (obj.type, obj.id)) for obj in objects]
        return [
            Right("POST", ("thing", obj.id, "shadow")) if obj.type == "thing" else Right("PATCH", (obj.type, obj.id))
            for obj in objects
        ]


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise MethodNotAllowed("method not allowed", details={"allow": ", ".join(methods)})


def _path(request: Request) -> str | None:
    return request.headers.get("fiware-servicepath") or None
