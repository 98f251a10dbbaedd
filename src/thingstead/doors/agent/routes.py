"""The north port: `/iot/services` (`/iot/groups`), `/iot/devices`, `/iot/about`, `/version`, `/ready` (agent.md 2-4).

Checks come in the order headers, caller, query, body, existence. Not there yet: changing and deleting groups and
devices.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from thingstead.core.backend import Backend
from thingstead.doors.agent import render
from thingstead.doors.agent.errors import crashed, missing_headers, refused
from thingstead.doors.agent.request import headers_of, query_of
from thingstead.doors.fiware import Answer, Refusal, serving
from thingstead.doors.gate import Gate
from thingstead.model import ids, ngsi
from thingstead.model.agent import schema
from thingstead.model.bodies import bounded
from thingstead.model.errors import AppNotFound, MethodNotAllowed, NotFound
from thingstead.model.ownership import Scope as ConfinedTo
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

LEVEL: Final = "2.26.0"
"""The level of the node library's contract that this door claims (agent.md 2.3)."""
MAX_BODY: Final = 1_048_576
_ALL: Final = "/*"


class Call(msgspec.Struct, frozen=True):
    """A request whose tenant, path and caller are known."""

    app: str
    service: str
    path: str
    actor: Principal
    query: dict[str, str]
    body: bytes


def north(backend: Backend) -> AsgiApp:
    """The app of port 4041."""
    gate = Gate(backend, "agent")
    answer = _North(backend, gate).answer
    return serving(gate, backend.entropy, answer, refused, crashed, "agent north failed")


class _North:
    """Routes, and what each does."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate
        self._agents = backend.agents
        self._upstream = backend.settings.agent_status_codes == "upstream"
        services: dict[str, Callable[[Call, str], Awaitable[Answer]]] = {
            "GET": self._get_groups,
            "POST": self._post_groups,
        }
        devices: dict[str, Callable[[Call, str], Awaitable[Answer]]] = {
            "GET": self._get_devices,
            "POST": self._post_devices,
        }
        self._routes = {"services": services, "groups": services, "devices": devices}
        self._device: dict[str, Callable[[Call, str], Awaitable[Answer]]] = {"GET": self._get_device}

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Find the route and take it. Raises ThingsteadError, Refusal, Disconnected."""
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        segments = [unquote(part) for part in raw.decode("latin-1").rstrip("/").split("/")[1:]]
        method: str = scope["method"]
        if segments in (["iot", "about"], ["version"]) and _allowed(method, ("GET",)):
            server: tuple[str, int | None] = scope.get("server") or ("", None)
            about: JsonObject = {"libVersion": LEVEL, "port": str(server[1] or ""), "baseRoot": "/"}
            return Answer(body=dump(about))
        if segments == ["ready"] and _allowed(method, ("GET",)):
            return Answer(body=b"{}")
        if segments[:1] == ["iot"] and len(segments) == 2 and segments[1] in self._routes:
            routes, name = self._routes[segments[1]], segments[1]
        elif segments[:2] == ["iot", "devices"] and len(segments) == 3 and segments[2]:
            routes, name = self._device, segments[2]
        else:
            raise Refusal(404, "NOT_FOUND", f"There is nothing at {scope['path']}")
        _allowed(method, tuple(routes))
        return await routes[method](await self._call(scope, receive, method, segments[1:]), name)

    async def _call(self, scope: Scope, receive: Receive, method: str, place: Sequence[str]) -> Call:
        headers = headers_of(scope)
        missing = [name for name in ("fiware-service", "fiware-servicepath") if not headers.get(name, "").strip()]
        if missing:
            raise missing_headers(missing)
        service, path = headers["fiware-service"].strip(), headers["fiware-servicepath"].strip()
        app = ngsi.tenant(service.replace("-", "_"))
        if path != _ALL or method != "GET":
            ngsi.write_path(path)
        body = await read_body(receive, MAX_BODY)
        backend = self._backend
        principal = await backend.access.principal(
            headers,
            method=method,
            raw_path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            raw_query=scope["query_string"].decode("latin-1"),
            body=body,
        )
        self._gate.known(scope, principal)
        confined: ConfinedTo | None = None
        try:
            confined = (await backend.tenants.get(app)).scope(principal)
        except AppNotFound:
            pass  # a POST may make it
        action = "read" if method == "GET" else "write"
        rights: list[Right] = []
        if principal.kind in ("user", "guest"):
            rights = await self._stands_for(app, path, method, place, query_of(scope).get("apikey"))
        await backend.access.check(principal, app, "agent", action, loopback=bound_to_loopback(scope), rights=rights)
        if confined is not None:
            confined.check_door("The agent", "thing", "service_group")
        actor = principal if principal.kind != "nobody" else Principal("app", app, ids.APP_PREFIX + app)
        return Call(app, service, path, actor, query_of(scope), body)

    async def _stands_for(
        self, app: str, path: str, method: str, place: Sequence[str], apikey: str | None
    ) -> list[Right]:
        """The rights at `/v1` that a request stands for (doors.md 28)."""
        if place[0] != "devices":
            return [Right(method, ("service_group",))]
        if len(place) == 1:
            return [Right(method, ("thing",))]
        try:
            device = await self._agents.device(app, path, place[1], apikey)
        except NotFound:
            return [Right(method, ("thing",))]
        return [Right(method, ("thing", device.thing))]

    # --- groups

    async def _get_groups(self, call: Call, envelope: str) -> Answer:
        found = await self._agents.groups(call.app, None if call.path == _ALL else call.path)
        count = len(found)
        if call.path == _ALL:
            limit, offset = _number(call.query.get("limit")), _number(call.query.get("offset"))
            found = found[offset : offset + limit if limit else None]
        listed: list[Json] = [render.group(group) for group in found]
        return Answer(body=dump({"count": count, envelope: listed}))

    async def _post_groups(self, call: Call, envelope: str) -> Answer:
        items = schema.groups(bounded(call.body), envelope)
        await self._agents.add_groups(call.app, call.service, call.path, items, call.actor)
        return self._made()

    # --- devices

    async def _get_devices(self, call: Call, envelope: str) -> Answer:
        limit, offset = _number(call.query.get("limit")), _number(call.query.get("offset"))
        count, found = await self._agents.devices(call.app, call.path, limit=limit, offset=offset)
        listed: list[Json] = [render.device(device) for device in found]
        return Answer(body=dump({"count": count, envelope: listed}))

    async def _get_device(self, call: Call, device_id: str) -> Answer:
        found = await self._agents.device(call.app, call.path, device_id, call.query.get("apikey"))
        return Answer(body=dump(render.device(found)))

    async def _post_devices(self, call: Call, envelope: str) -> Answer:
        items = schema.devices(bounded(call.body))
        await self._agents.add_devices(call.app, call.service, call.path, items, call.actor)
        return self._made()

    def _made(self) -> Answer:
        return Answer(201, b"{}") if self._upstream else Answer()


def _allowed(method: str, methods: tuple[str, ...]) -> bool:
    if method in methods:
        return True
    raise MethodNotAllowed(f"{method} is not known here", details={"allow": ", ".join(methods)})


def _number(text: str | None) -> int:
    """`limit` and `offset`: anything that is no number means none (agent.md 4.2)."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0
