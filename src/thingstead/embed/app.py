"""One app as a program works with it: its objects, searches, users, links, votes, types, constraints and settings.

A handle that costs nothing and holds nothing; whether the app exists is told by what is asked of it (AppNotFound on
writes). The program acts as the app itself, the root app's handle as root.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from thingstead.core.backend import Backend
from thingstead.embed.dao import Dao
from thingstead.embed.entities import Object, declared_of
from thingstead.embed.pager import Pager, limits_of
from thingstead.embed.search import Finder
from thingstead.embed.users import Users
from thingstead.model import constraints as constraint_rules
from thingstead.model import declared, ids, links, types
from thingstead.model import objects as model
from thingstead.model.errors import ConstraintViolation, InvalidInput
from thingstead.model.principals import Principal
from thingstead.model.query.build import Find
from thingstead.model.values import Json, JsonObject, parse_object
from thingstead.model.votes import Ballot

if TYPE_CHECKING:
    from thingstead.embed.embedded import Embedded


class App:
    """See the module's docstring. `identifier` is bare (`myapp`), `id` the full id (`app:myapp`)."""

    def __init__(self, para: "Embedded", identifier: str) -> None:
        self.para = para
        self.identifier = identifier
        self.id = ids.APP_PREFIX + identifier
        self.actor = Principal("app", identifier, root=identifier == para.backend.tenants.root)
        self.dao = Dao(self)
        self.search = Finder(self)
        self.users = Users(self)

    @property
    def backend(self) -> Backend:
        """The parts of core, for what has no name here."""
        return self.para.backend

    def made(self, wire: JsonObject, cls: type[Object] | None = None) -> Object:
        """The object of a JSON object, of its registered class. Raises InvalidInput if `cls` is another."""
        registered = self.para.class_of(str(wire["type"]))
        if cls is not None and not issubclass(registered, cls):
            raise InvalidInput(f"{wire['id']} is a {wire['type']}, no {cls.__name__}", field="type")
        return registered(type=str(wire["type"])).bind(self).load(wire)

    async def validate(self, obj: Object) -> list[str]:
        """What a create of the object would be refused for (objects.md 11); empty when it is valid."""
        backend, rules = self.backend, declared_of(type(obj))
        now_ms = backend.clock.now() // 1000
        type_name = types.clean(obj.type)
        draft = model.draft(self.identifier, type_name, obj.id or "0", obj.body(), now_ms=now_ms, docid=0)
        try:
            draft.custom = declared.coerced(rules, draft.custom)
        except ConstraintViolation as error:
            return [error.message]
        found = [each.message for each in declared.broken(rules, draft.values(), now_ms)]
        return found or await backend.objects.validate_object(self.identifier, draft)

    # --- links, children, votes

    async def link(self, id: str, id2: str) -> str:
        """Link two objects; the linker's id. Raises NotFound, InvalidInput if the second does not exist."""
        return await self.backend.links.link(self.identifier, id, id2, self.actor)

    async def unlink(self, id: str, type2: str, id2: str) -> None:
        """Remove a link. Raises NotFound if the first does not exist."""
        await self.backend.links.unlink(self.identifier, id, type2, id2, self.actor)

    async def unlink_all(self, id: str) -> None:
        """Remove all links of an object. Raises NotFound."""
        await self.backend.links.unlink_all(self.identifier, id, self.actor)

    async def is_linked(self, id: str, type2: str, id2: str) -> bool:
        """True if the two are linked. Raises NotFound."""
        return await self.backend.links.is_linked(self.identifier, id, type2, id2)

    async def linked(self, id: str, type2: str, query: str = "", pager: Pager | None = None) -> list[Object]:
        """Linked objects of a type; `query` searches what links keep of them. Raises NotFound, InvalidQuery."""
        pager = pager if pager is not None else Pager()
        find = links.linked(id, type2, {**pager.params(), "q": [query]}, limits_of(self.backend.settings))
        page = await self.backend.links.linked(self.identifier, id, find)
        pager.count, pager.last_key = page.total, page.last_key or pager.last_key
        return [self.made(parse_object(public)) for public in page.items]

    async def children(self, id: str, type2: str, query: str = "", pager: Pager | None = None) -> list[Object]:
        """Children of a type; `query` narrows. Raises NotFound, InvalidQuery."""
        pager = pager if pager is not None else Pager()
        page = await self.backend.links.children(self.identifier, id, self._children(type2, id, query, pager))
        pager.count, pager.last_key = page.total, page.last_key or pager.last_key
        return [self.made(parse_object(public)) for public in page.items]

    async def count_children(self, id: str, type2: str) -> int:
        """How many children of a type there are. Raises NotFound."""
        find = replace(self._children(type2, id, "", Pager()), count=True)
        return (await self.backend.links.children(self.identifier, id, find)).total

    def _children(self, type2: str, id: str, query: str, pager: Pager) -> Find:
        return links.children(id, type2, {**pager.params(), "q": [query]}, limits_of(self.backend.settings))

    async def delete_children(self, id: str, type2: str) -> None:
        """Delete the children of a type. Raises NotFound."""
        await self.backend.links.delete_children(self.identifier, id, type2, self.actor)

    async def vote(self, id: str, voter: str, *, up: bool) -> bool:
        """Vote for or against an object; True if it counted. Raises NotFound, Conflict."""
        settings = self.backend.settings
        ballot = Ballot(voter, up, settings.vote_locked_after, settings.vote_expires_after)
        return await self.backend.votes.vote(self.identifier, id, ballot, self.actor)

    # --- types, constraints, settings

    async def data_types(self) -> dict[str, str]:
        """The app's own types, plural -> singular. Raises AppNotFound."""
        return dict((await self.backend.tenants.get(self.identifier)).datatypes)

    async def types(self) -> dict[str, str]:
        """All types, those of core first. Raises AppNotFound."""
        return {**types.LISTED, **await self.data_types()}

    async def constraints(self, type_name: str | None = None) -> JsonObject:
        """The constraints of one type or all: type -> field -> name -> payload. Raises AppNotFound."""
        own = (await self.backend.tenants.get(self.identifier)).constraints
        return constraint_rules.shown(own, type_name.lower() if type_name is not None else None)

    async def add_constraint(self, type_name: str, field: str, name: str, payload: Mapping[str, Json]) -> None:
        """Constrain a field of a type; what is no constraint changes nothing. Raises InvalidInput, AppNotFound."""
        await self.backend.tenants.add_constraint(self.identifier, type_name, field, name, payload)

    async def remove_constraint(self, type_name: str, field: str, name: str) -> None:
        """Free a field of a constraint. Raises AppNotFound."""
        await self.backend.tenants.remove_constraint(self.identifier, type_name, field, name)

    async def settings(self) -> dict[str, Json]:
        """All settings of the app. Raises AppNotFound."""
        return dict((await self.backend.tenants.get(self.identifier)).settings)

    async def setting(self, key: str) -> Json:
        """One setting; None if it is not set."""
        return (await self.settings()).get(key)

    async def add_setting(self, key: str, value: Json) -> None:
        """Set one; None changes nothing. Raises InvalidInput, TooLarge, AppNotFound."""
        await self.backend.tenants.put_setting(self.identifier, key, value)

    async def set_settings(self, settings: Mapping[str, Json]) -> None:
        """Replace all; `{}` clears. Raises InvalidInput, TooLarge, AppNotFound."""
        await self.backend.tenants.put_settings(self.identifier, settings)

    async def remove_setting(self, key: str) -> None:
        """Remove one. Raises AppNotFound."""
        await self.backend.tenants.delete_setting(self.identifier, key)
