"""Objects of one app, read and written by programs (objects.md 21, DAO).

Promises: what returned is durable and found by searches; every write is validated, journalled and told to listeners as
if it came through `/v1`. Calls on several objects give each its own outcome. Does not check permissions: the program is
the app.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, overload

from thingstead.core.apps import delete_app
from thingstead.core.kinds.base import Draft
from thingstead.core.objects import Written
from thingstead.embed.entities import Object
from thingstead.embed.pager import Pager
from thingstead.model import ids
from thingstead.model.errors import InvalidInput, NotFound, ThingsteadError
from thingstead.model.values import JsonObject, parse_object

if TYPE_CHECKING:
    from thingstead.embed.app import App

O = TypeVar("O", bound=Object)  # noqa: E741
_MOST = 256


class Dao:
    """See the module's docstring. Methods raise StoreFailed if a write cannot be made durable."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._objects = app.backend.objects

    async def create(self, obj: Object) -> str:
        """Store a new object, or over one of the same id; its id. `obj` takes over id, timestamp and all defaults.

        Raises InvalidInput (ConstraintViolation for what a validator refuses), AppNotFound.
        """
        written = await self._objects.create(self._app.identifier, _draft(obj), self._app.actor)
        self._taken(obj, written)
        return obj.id

    @overload
    async def read(self, id: str) -> Object | None: ...
    @overload
    async def read(self, id: str, cls: type[O]) -> O | None: ...
    async def read(self, id: str, cls: type[Object] | None = None) -> Object | None:
        """The object of an id, of its registered class or of `cls`; None if there is none.

        Raises InvalidInput if it is of another class, ConstraintViolation if a stored value fits no field.
        """
        found = await self.wire(id) if id else None
        return None if found is None else self._app.made(found, cls)

    async def wire(self, id: str) -> JsonObject | None:
        """The object of an id as clients of /v1 see it."""
        try:
            return parse_object(await self._objects.public(self._app.identifier, id))
        except NotFound:
            return None

    async def update(self, obj: Object) -> None:
        """Store what has changed since `obj` was read; `updated` and `version` move, locked fields do not.

        Raises NotFound, VersionMismatch if it carries a version that has passed, InvalidInput.
        """
        written = await self._objects.patch(self._app.identifier, obj.id, obj.changes(), self._app.actor)
        self._taken(obj, written)

    async def delete(self, obj: Object | str) -> bool:
        """Delete an object and what goes with it, an app with all it holds; True if it was there."""
        id = obj if isinstance(obj, str) else obj.id
        backend, app = self._app.backend, self._app.identifier
        if app == backend.tenants.root and id.startswith(ids.APP_PREFIX):
            return await delete_app(self._objects, backend.tenants, backend.search, backend.cache, id, self._app.actor)
        return await self._objects.delete(app, id, self._app.actor)

    async def create_all(self, objs: Sequence[Object]) -> list[ThingsteadError | None]:
        """Store several; what became of each: None, or the error that kept it out."""
        drafts = [_draft(obj) for obj in objs]
        return self._outcomes(objs, await self._objects.create_many(self._app.identifier, drafts, self._app.actor))

    async def read_all(self, wanted: Sequence[str], *, all_fields: bool = True) -> dict[str, Object]:
        """Those that exist, by id, in the order of `wanted`; without `all_fields` they have id and type only."""
        publics = await self._objects.public_many(self._app.identifier, list(wanted))
        found = [self._app.made(parse_object(public)) for public in publics]
        if not all_fields:
            found = [Object(id=obj.id, type=obj.type).bind(self._app) for obj in found]
        return {obj.id: obj for obj in found}

    async def read_page(self, pager: Pager) -> list[Object]:
        """All objects of the app in the order of their making, `pager.limit` at a time; empty at the end.

        `pager.last_key` goes on, `pager.count` adds up. Raises InvalidInput for a cursor that is none.
        """
        app, after = self._app.identifier, pager.last_key or "0"
        if not after.isdecimal() or len(after) > 19:
            raise InvalidInput("the cursor is none of ours", field="last_key")
        limit = max(1, min(pager.limit, _MOST))
        found = await self._objects.list(app, after=int(after), limit=limit)
        if found:
            pager.last_key = str(found[-1].docid)
            pager.count += len(found)
        shown = await self._objects.present_many(app, [obj.public() for obj in found])
        return [self._app.made(parse_object(public)) for public in shown]

    async def update_all(self, objs: Sequence[Object]) -> list[ThingsteadError | None]:
        """Store what has changed of several; what became of each: None, or the error that kept it out."""
        items = [(obj.id, obj.changes()) for obj in objs]
        return self._outcomes(objs, await self._objects.patch_many(self._app.identifier, items, self._app.actor))

    async def delete_all(self, objs: Sequence[Object | str]) -> None:
        """Delete several; unknown ones are ignored, apps stay."""
        wanted = [obj if isinstance(obj, str) else obj.id for obj in objs]
        doomed = [id for id in wanted if not id.startswith(ids.APP_PREFIX)]
        await self._objects.delete_many(self._app.identifier, doomed, self._app.actor)

    def _outcomes(
        self, objs: Sequence[Object], outcomes: Sequence[Written | ThingsteadError]
    ) -> list[ThingsteadError | None]:
        for obj, outcome in zip(objs, outcomes, strict=True):
            if isinstance(outcome, Written):
                self._taken(obj, outcome)
        return [None if isinstance(outcome, Written) else outcome for outcome in outcomes]

    def _taken(self, obj: Object, written: Written) -> None:
        obj.bind(self._app).load(parse_object(written.public))
        obj.once = dict(written.once)


def _draft(obj: Object) -> Draft:
    return Draft(type=obj.type, body=obj.body(), credentials=obj.type == "thing")
