"""`{type}/{id}/links...`: linked objects and children (objects.md 7); links and checks are answered in bare text."""

from thingstead.core.backend import Backend
from thingstead.doors.objects import render
from thingstead.doors.objects.crud import object_id
from thingstead.doors.objects.read import Call, selected
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.search import invalid_query, limits_of
from thingstead.model import links as rules
from thingstead.model import types, users
from thingstead.model.errors import InvalidInput, InvalidQuery, NotFound


class Linking:
    """The handlers of links and children."""

    def __init__(self, backend: Backend) -> None:
        self._links = backend.links
        self._users = backend.users
        self._limits = limits_of(backend.settings)

    async def link(self, call: Call) -> Answer:
        """POST, PUT {type}/{id}/links/{id2}; a body is not looked at."""
        app, second = call.app.identifier, call.segments[3]
        return render.text(await self._links.link(app, _id(call), second, call.principal, call.scope))

    async def check(self, call: Call) -> Answer:
        """GET {type}/{id}/links/{type2}/{id2}."""
        linked = await self._links.is_linked(call.app.identifier, _id(call), *_second(call), call.scope)
        return render.text("true" if linked else "false")

    async def find(self, call: Call) -> Answer:
        """GET {type}/{id}/links/{type2}, or with the parameter `type`: linked objects, with `childrenonly` children."""
        app, id, params = call.app.identifier, _id(call), call.params()
        named = call.segments[3] if len(call.segments) > 3 else next(iter(params.get("type", ())), "")
        type2, scope = _type(call, named), call.scope
        try:
            if "childrenonly" in params:
                found = await self._links.children(app, id, rules.children(id, type2, params, self._limits), scope)
            else:
                found = await self._links.linked(app, id, rules.linked(id, type2, params, self._limits), scope)
        except InvalidQuery as error:
            raise invalid_query(call, error) from error
        items = found.items
        if call.principal.kind == "app" and type2 == users.TYPE:
            items = await self._users.for_app(app, items)
        names = selected(params)
        body = render.page(items, names, number=found.page, total=found.total, last_key=found.last_key)
        return Answer(200, body)

    async def unlink(self, call: Call) -> Answer:
        """DELETE {type}/{id}/links/{type2}/{id2}."""
        await self._links.unlink(call.app.identifier, _id(call), *_second(call), call.principal, call.scope)
        return Answer()

    async def unlink_all(self, call: Call) -> Answer:
        """DELETE {type}/{id}/links."""
        await self._links.unlink_all(call.app.identifier, _id(call), call.principal, call.scope)
        return Answer()

    async def delete(self, call: Call) -> Answer:
        """DELETE {type}/{id}/links/{type2}: with `childrenonly` the children, with `all` the linked objects; without
        either nothing."""
        app, id, params = call.app.identifier, _id(call), call.params()
        type2 = _type(call, call.segments[3])
        if "childrenonly" in params:
            await self._links.delete_children(app, id, type2, call.principal, call.scope)
        elif "all" in params:
            await self._links.delete_linked(app, id, type2, call.principal, call.scope)
        else:
            await self._links.require(app, id)
        return Answer()


def _id(call: Call) -> str:
    type_name = types.resolve(call.segments[0], call.app.datatypes)
    return object_id(type_name, call.segments[1], call.app.identifier)


def _type(call: Call, segment: str) -> str:
    if not segment.strip():
        raise InvalidInput("Parameter 'type' is missing.", field="type")
    return types.resolve(segment, call.app.datatypes)


def _second(call: Call) -> tuple[str, str]:
    """Type and id of the second object; an id that no object of that type can have stays as it is."""
    type2 = _type(call, call.segments[3])
    try:
        return type2, object_id(type2, call.segments[4], call.app.identifier)
    except NotFound:
        return type2, call.segments[4]
