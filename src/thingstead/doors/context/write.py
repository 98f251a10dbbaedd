"""A write of an entity: reported state of the thing that shows it, or of an object of type `entity` made for it
(doors.md 16, 18; agent.md 17.2, 18).
"""

from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft
from thingstead.doors.context.read import Entities, Part, Wanted
from thingstead.model.errors import KeyTaken, NotFound, Unavailable
from thingstead.model.ngsi import EntityWrite, Scope, stored_name
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.shadow import Attribute
from thingstead.model.values import JsonObject
from thingstead.ports.store import Key

_ATTEMPTS: Final = 5


class Writes:
    """Writes of one backend."""

    def __init__(self, backend: Backend, entities: Entities) -> None:
        self._backend = backend
        self._entities = entities

    async def put(self, app: str, path: str, entity: EntityWrite, actor: Principal, *, upsert: bool) -> bool:
        """Create an entity or, with `upsert`, set attributes of one that exists. True if it was there.

        Makes the tenant if need be. Raises KeyTaken if it exists and may not, Forbidden, StoreFailed.
        """
        await self._backend.agents.ensure_tenant(app)
        for _ in range(_ATTEMPTS):
            part = await self._part(app, path, entity)
            if part is not None and not upsert:
                raise KeyTaken("Already Exists", field="id")
            thing = part.thing if part is not None else await self._create(app, path, entity, actor)
            if thing is None:
                continue  # another writer made it meanwhile
            try:
                await self._report(app, thing, part, entity)
            except NotFound:
                continue  # deleted meanwhile
            return part is not None
        raise Unavailable("the entity is being made and deleted at once; try again")

    async def _part(self, app: str, path: str, entity: EntityWrite) -> Part | None:
        """The thing or object that takes the write: a thing if there is one."""
        wanted = Wanted(Scope(frozenset({path}), ()), (entity.id,), (entity.type,))
        found = await self._entities.find(app, wanted)
        if not found:
            return None
        parts = list(found[0].parts)
        if len(parts) > 1:
            kinds = {o.id: o.type for o in await self._backend.objects.get_many(app, [p.thing for p in parts])}
            parts.sort(key=lambda part: kinds.get(part.thing) != "thing")
        return parts[0]

    async def _create(self, app: str, path: str, entity: EntityWrite, actor: Principal) -> str | None:
        draft = Draft(
            type="entity",
            body={"name": entity.id},
            server={"entity": {"id": entity.id, "type": entity.type, "path": path}},
            keys=(Key("entity", f"{path}\x1f{entity.type}\x1f{entity.id}", app),),
        )
        try:
            made: Object = (await self._backend.objects.create(app, draft, actor)).object
        except KeyTaken:
            return None
        return made.id

    async def _report(self, app: str, thing: str, part: Part | None, entity: EntityWrite) -> None:
        if not entity.attributes:
            return
        reported = part.shadow.reported if part is not None else {}
        stated = part.shadow.attributes if part is not None else {}
        values: JsonObject = {}
        attributes: dict[str, Attribute] = {}
        for shown, write in entity.attributes.items():
            name = stored_name(shown, reported)
            values[name] = write.value
            attributes[name] = write.over(stated.get(name))
        await self._backend.ingest.report(
            Report(app=app, thing=thing, mode="set", reported=values, attributes=attributes)
        )
