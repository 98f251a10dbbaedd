"""`{type}` and `{type}/{id}`: create, read, overwrite, merge and delete one object (objects.md 3; things.md 1.1)."""

from thingstead.core.apps import delete_app
from thingstead.core.backend import Backend
from thingstead.core.kinds.plain import unwritable
from thingstead.core.objects import Draft, Written
from thingstead.core.users import DELEGATING
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, object_body, selected
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.trail import tenant_of
from thingstead.model import audit, ids, types, votes
from thingstead.model.errors import InvalidInput, NotFound
from thingstead.model.ids import check_id, check_type, is_app_id
from thingstead.model.rights import Right
from thingstead.model.values import Json, JsonObject, dump


def object_id(type_name: str, ref: str, app: str) -> str:
    """The id that a path names: of tags and apps normalised, of things without the app's prefix. Raises NotFound."""
    if type_name == "tag":
        return ids.tag_id(ref)
    if type_name == "app":
        return ids.app_id(ref)
    if type_name == "thing" and ":" in ref:
        prefix, _, rest = ref.partition(":")
        if prefix != app:
            raise NotFound
        return rest
    return ref


class Crud:
    """The handlers of single objects."""

    def __init__(self, backend: Backend) -> None:
        self._access = backend.access
        self._objects = backend.objects
        self._audit = backend.audit
        self._search = backend.search
        self._cache = backend.cache
        self._tenants = backend.tenants
        self._users = backend.users
        self._votes = backend.votes
        self._vote_periods = backend.settings.vote_locked_after, backend.settings.vote_expires_after
        self._webhooks = backend.webhooks

    def _addressed(self, call: Call, refused: InvalidInput | NotFound) -> tuple[str, str]:
        """Tenant and id of the addressed object: an app reads and changes itself, though it lies in root's tenant."""
        app = call.app.identifier
        first = call.segments[0]
        type_name = "" if first == "_id" else types.resolve(first, call.app.datatypes)
        id = object_id(type_name, call.segments[1], app)
        if type_name == audit.TYPE:
            if call.method not in ("GET", "HEAD"):
                raise unwritable()
            return tenant_of(call, type_name), id
        if is_app_id(id) and not call.principal.root:
            if id == call.app.object.id:
                return self._tenants.root, id
            if type_name == "app":
                raise refused
        return app, id

    async def read(self, call: Call) -> Answer:
        """GET {type}/{id}, GET _id/{id}."""
        app, id = self._addressed(call, NotFound())
        public = await self._objects.public(app, id)
        if call.scope is not None:
            public = call.scope.one(public)
        elif DELEGATING in public and call.principal.kind == "app":
            public = (await self._users.for_app(app, [public]))[0]
        return Answer(200, render.shown(public, selected(call.params())) if call.raw_query else public)

    async def create(self, call: Call) -> Answer:
        """POST {type}."""
        body, names = object_body(call.body), selected(call.params())  # read whole before anything is written
        resolved = types.resolve(call.segments[0], call.app.datatypes)
        given = body.get("type")
        keep = isinstance(given, str) and given.strip() and resolved.startswith(given)
        type_name = types.clean(str(given) if keep else resolved)
        check_id(body.get("id"))
        if not body or type_name == "app" or is_app_id(body.get("id")):
            raise InvalidInput("Failed to create object.", field="id" if is_app_id(body.get("id")) else "type")
        if call.principal.kind != "app":
            await self._check_created(call, resolved, type_name, body.get("id"))
        if type_name == "webhook" and body.get("triggeredEvent") not in (None, ""):
            shown = await self._webhooks.trigger(call.app.identifier, body)
            public = render.shown(shown.public(), names)
            return Answer(201, public, headers=(render.location(shown),))
        draft = Draft(type=type_name, body=body, posted=True, credentials=type_name == "thing")
        result = await self._objects.create(call.app.identifier, draft, call.principal)
        self._credentials_made(call, result)
        headers = (render.location(result.object), *(render.NO_STORE if result.once else ()))
        return Answer(201, render.written(result, names, call.scope), headers=headers)

    async def _check_created(self, call: Call, resolved: str, type_name: str, id: Json) -> None:
        """A body may name another type than its path, and an object that is there already: both take rights of their
        own. Raises Forbidden."""
        if type_name != resolved:
            await self._access.require(call.principal, call.app, Right("POST", (type_name,)), call.path)
        if isinstance(id, str) and call.scope is not None:
            id = call.scope.placed(type_name, id)
        if isinstance(id, str) and await self._objects.get_many(call.app.identifier, [id]):
            await self._access.require(call.principal, call.app, Right("PUT", (type_name, id)), call.path)

    async def overwrite(self, call: Call) -> Answer:
        """PUT {type}/{id}: a fresh create at the path's id."""
        body, names = object_body(call.body), selected(call.params())
        app = call.app.identifier
        type_name = types.clean(types.resolve(call.segments[0], call.app.datatypes))
        id = object_id(type_name, call.segments[1], app)
        check_id(id)
        if not body or type_name == "app" or is_app_id(id):
            raise InvalidInput("Failed to overwrite object.", field="type")
        draft = Draft(type=type_name, body=body, id=id, credentials=type_name == "thing")
        result = await self._objects.overwrite(app, draft, call.principal)
        self._credentials_made(call, result)
        if type_name == "thing" and result.created:
            headers = (render.location(result.object), *render.NO_STORE)
            return Answer(201, render.written(result, names, call.scope), headers=headers)
        return Answer(200, render.written(result, names, call.scope))

    def _credentials_made(self, call: Call, result: Written) -> None:
        if result.once:
            app, id = call.app.identifier, result.object.id
            self._audit.note("credentials_made", app, call.principal.id, resource=f"thing/{id}")

    async def patch(self, call: Call) -> Answer:
        """PATCH {type}/{id}."""
        body, names = object_body(call.body), selected(call.params())
        app, id = self._addressed(call, InvalidInput("Failed to update object.", field="id"))
        if votes.is_ballot(body):
            return await self._vote(call, app, id, body)
        result = await self._objects.patch(app, id, body, call.principal)
        if is_app_id(id):
            self._audit.note("app_changed", ids.app_identifier(id), call.principal.id, resource=",".join(sorted(body)))
        return Answer(200, render.written(result, names, call.scope))

    async def _vote(self, call: Call, app: str, id: str, body: JsonObject) -> Answer:
        """A vote (objects.md 8): true if it counted; other members of the body are ignored."""
        locked_after, expires_after = self._vote_periods
        cast = votes.ballot(body, locked_after=locked_after, expires_after=expires_after)
        check_id(cast.voter, votes.UP if cast.up else votes.DOWN)
        if call.scope is not None:
            call.scope.check_voter(cast.voter)
        return Answer(200, dump(await self._votes.vote(app, id, cast, call.principal)))

    async def delete(self, call: Call) -> Answer:
        """DELETE {type}/{id}: 200 also when nothing was there."""
        app, id = self._addressed(call, InvalidInput("Failed to delete object.", field="id"))
        if app == self._tenants.root and is_app_id(id):
            await self._delete_app(id, call)
        else:
            await self._objects.delete(app, id, call.principal)
        return Answer()

    async def _delete_app(self, id: str, call: Call) -> None:
        """The app and all it holds; of the root app nothing."""
        if await delete_app(self._objects, self._tenants, self._search, self._cache, id, call.principal):
            self._audit.note("app_deleted", self._tenants.root, call.principal.id, resource=id)


def type_of_item(body: JsonObject) -> str:
    """The type of an item of a batch (objects.md 2.4). Raises InvalidInput."""
    given = body.get("type")
    return check_type(types.clean(given if isinstance(given, str) else ""))
