"""`search`, `{type}`, `{type}/search`: one handler for all of them (objects.md 6)."""

from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.metrics import FINDS
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, selected
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.trail import tenant_of
from thingstead.model import audit, types
from thingstead.model.errors import InvalidQuery
from thingstead.model.query.build import ById, Limits, Params, plan
from thingstead.model.settings import Settings

_AUDIT: Final = {types.plural(audit.TYPE): audit.TYPE}


class Searches:
    """The handlers of searches."""

    def __init__(self, backend: Backend) -> None:
        self._search = backend.search
        self._objects = backend.objects
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
            name = query_type if query_type in FINDS else "default"
            if name == "default" and "count" in params:
                name = "count"
            found = await self._search.find(app, wanted, name=FINDS[name])
        except InvalidQuery as error:
            raise invalid_query(call, error) from error
        items = found.items
        if type_name in (None, "thing") or isinstance(wanted, ById):  # there may be things among them
            items = await self._objects.present_many(app, items)
        body = render.page(items, selected(params), number=found.page, total=found.total, last_key=found.last_key)
        metrics.record(call.app.identifier, f"RestUtils.search.{name}", start)
        return Answer(200, body)


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
