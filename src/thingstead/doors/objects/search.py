"""`search`, `{type}`, `{type}/search`: one handler for all of them (objects.md 6)."""

from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.metrics import FINDS
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, selected
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.trail import tenant_of
from thingstead.model import audit, types, users
from thingstead.model.errors import InvalidQuery
from thingstead.model.query import ast
from thingstead.model.query.build import ById, Limits, Params, Plan, plan, without
from thingstead.model.rights import ADMIN_TYPES
from thingstead.model.settings import Settings

_AUDIT: Final = {types.plural(audit.TYPE): audit.TYPE}


class Searches:
    """The handlers of searches."""

    def __init__(self, backend: Backend) -> None:
        self._access = backend.access
        self._search = backend.search
        self._objects = backend.objects
        self._users = backend.users
        self._limits = limits_of(backend.settings)
        self._metrics = backend.metrics

    async def anywhere(self, call: Call) -> Answer:
        """GET search[/{querytype}]: the type, if any, is the parameter."""
        params = call.params()
        named = next(iter(params.get("type", ())), "").strip()
        return await self._find(call, _AUDIT.get(named, named) or None, _tail(call, 1), params)

    async def of_type(self, call: Call) -> Answer:
        """GET {type}, GET {type}/search[/{querytype}]."""
        type_name = types.resolve(call.segments[0], call.app.datatypes)
        return await self._find(call, type_name, _tail(call, 2), call.params())

    async def _find(self, call: Call, type_name: str | None, query_type: str, params: Params) -> Answer:
        query_type = next(iter(params.get("querytype", ())), "") or query_type
        metrics, app = self._metrics, tenant_of(call, type_name)
        start = metrics.now()
        try:
            wanted = plan(query_type, type_name, params, self._limits)
            if call.principal.kind != "app":
                wanted = await self._reachable(call, type_name, wanted)
            name = query_type if query_type in FINDS else "default"
            if name == "default" and "count" in params:
                name = "count"
            only = ast.ALL if call.scope is None else call.scope.only()
            found = await self._search.find(app, wanted, only, name=FINDS[name])
        except InvalidQuery as error:
            raise invalid_query(call, error) from error
        items = found.items
        if type_name in (None, "thing") or isinstance(wanted, ById):  # there may be things among them
            items = await self._objects.present_many(app, items)
        if call.scope is not None:
            items = call.scope.view(items)
        elif (type_name in (None, users.TYPE) or isinstance(wanted, ById)) and call.principal.kind == "app":
            items = await self._users.for_app(app, items)
        body = render.page(items, selected(params), number=found.page, total=found.total, last_key=found.last_key)
        metrics.record(call.app.identifier, f"RestUtils.search.{name}", start)
        return Answer(200, body)

    async def _reachable(self, call: Call, type_name: str | None, wanted: Plan) -> Plan:
        """The search without what a right on `search` does not reach: an app's administration (identity.md 11)."""
        if isinstance(wanted, ById):
            hidden = await self._access.unreachable(call.principal, call.app, "GET", wanted.ids)
            return ById(tuple(id for id in wanted.ids if id not in hidden))
        among = [type_name] if type_name is not None else sorted(ADMIN_TYPES)
        hidden = tuple(name for name in among if self._access.hides(call.principal, call.app, "GET", name))
        return without(wanted, hidden) if hidden else wanted


def limits_of(settings: Settings) -> Limits:
    """The limits of pages that the settings say."""
    return Limits(settings.max_items_per_page, settings.max_page_limit, settings.max_pages)


def invalid_query(call: Call, error: InvalidQuery) -> InvalidQuery:
    """A wrong `q` as clients are told of it (objects.md 1.2)."""
    q = next(iter(call.params().get("q", ())), "")
    message = f"Invalid query string syntax q={q} in request {call.method} {call.path}?{call.raw_query}"
    return InvalidQuery(message, field="q", details={"why": error.message})


def _tail(call: Call, position: int) -> str:
    return call.segments[position] if len(call.segments) > position else ""
