"""A path to an object, for callers who are confined by `OWN` (identity.md 10.5). Apps and things come by without it."""

from thingstead.core.objects import Objects
from thingstead.doors.objects.crud import object_id
from thingstead.doors.objects.read import Call
from thingstead.model import types
from thingstead.model.errors import NotFound
from thingstead.model.ownership import Action, Scope


async def check_path(call: Call, scope: Scope, objects: Objects, method: str) -> None:
    """Refuse a path to an object that is not the caller's own and must be. What a PUT replaces is looked at where it is
    written. Raises NotFound, InvalidInput.
    """
    parts, app = call.segments, call.app
    if len(parts) < 2 or parts[0][0] == "_" or parts[0] in types.RESERVED:
        return
    if (method == "GET" and parts[1] == "search") or (method == "PUT" and len(parts) == 2):
        return
    id = object_id(types.resolve(parts[0], app.datatypes), parts[1], app.identifier)
    for found in await objects.get_many(app.identifier, [id]):
        if method != "GET":
            scope.check(found, _action(method, linking=parts[2:3] == ("links",)))
        elif not scope.sees(found):
            raise NotFound("Not Found")


def _action(method: str, *, linking: bool) -> Action:
    if method == "DELETE":
        return "unlink" if linking else "delete"
    return "link" if linking else "update"
