"""`_constraints`: what an app demands of the fields of its objects (objects.md 11.1)."""

from thingstead.core.backend import Backend
from thingstead.core.tenants import App
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, object_body
from thingstead.doors.objects.render import Answer
from thingstead.model import constraints, types
from thingstead.model.values import JsonObject


class Constraints:
    """The handlers of constraints."""

    def __init__(self, backend: Backend) -> None:
        self._tenants = backend.tenants

    async def read(self, call: Call) -> Answer:
        """GET _constraints[/{type}]: the built-in ones and the app's own."""
        type_name = _type(call) if len(call.segments) > 1 else None
        return render.json(constraints.shown(call.app.constraints, type_name))

    async def add(self, call: Call) -> Answer:
        """PUT _constraints/{type}/{field}/{name}: the payload is the body; an unknown name changes nothing (D15)."""
        payload: JsonObject = object_body(call.body) if call.body.strip() else {}
        _, _, field, name = call.segments
        app = await self._tenants.add_constraint(call.app.identifier, _type(call), field, name, payload)
        return _of_type(app, call)

    async def remove(self, call: Call) -> Answer:
        """DELETE _constraints/{type}/{field}/{name}: built-in ones stay."""
        _, _, field, name = call.segments
        return _of_type(await self._tenants.remove_constraint(call.app.identifier, _type(call), field, name), call)


def _type(call: Call) -> str:
    return constraints.key_of(types.clean(types.resolve(call.segments[1], call.app.datatypes)))


def _of_type(app: App, call: Call) -> Answer:
    return render.json(constraints.shown(app.constraints, _type(call)))
