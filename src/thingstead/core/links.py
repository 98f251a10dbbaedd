"""Links and children: objects joined many-to-many by linkers, or one-to-many by `parentid` (objects.md 7, D7).

Promises: a link is made whole or not at all, with snapshots of both objects from one moment; what is asked of one
object is answered for that object only, and sees every write that was answered before. Deleting children or linked
objects goes through all of them, a page at a time, and deletes each as what it is: things with all that belongs to them
(doors.md 24). Apps are never deleted here. Does nothing by itself when an object is deleted: its linkers stay.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from thingstead.core.kinds.base import Draft
from thingstead.core.kinds.links import is_link
from thingstead.core.objects import Objects
from thingstead.core.search import Page, Search
from thingstead.model import links as rules
from thingstead.model.errors import InvalidInput, NotFound
from thingstead.model.links import End, Link
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope
from thingstead.model.principals import Principal
from thingstead.model.query import ast
from thingstead.model.query.build import Find
from thingstead.model.query.fields import DOCID
from thingstead.model.query.sort import SortBy
from thingstead.model.values import Json, JsonObject, parse_object
from thingstead.ports.index import SearchRequest

_AT_ONCE = 100  # linkers hold two objects each


class Links:
    """See the module's docstring. Every method raises NotFound (`Object not found: <id>`) if `id` does not exist.

    `scope` is what a user or guest who asks is confined to; then a change raises InvalidInput if the object is not its
    own and must be.
    """

    def __init__(self, objects: Objects, search: Search) -> None:
        self._objects = objects
        self._search = search

    async def link(self, app: str, id: str, id2: str, actor: Principal, scope: Scope | None = None) -> str:
        """Link two objects and return the linker's id; an existing link is written anew.

        Raises InvalidInput if the second does not exist, Conflict if an id with colons makes two links look alike.
        """
        found = {obj.id: obj for obj in await self._objects.get_many(app, [id, id2])}
        first, second = found.get(id), found.get(id2)
        if first is None:
            raise _missing(id)
        if scope is not None:
            scope.check(first, "link")
        if second is None or (scope is not None and not scope.sees(second)):
            raise InvalidInput("Failed to create link.", field="id2")
        link = rules.ordered(_end(first), _end(second))
        snapshots: list[Json] = [rules.snapshot(found[end.id].searchable()) for end in link]
        body: JsonObject = {**rules.fields(link), rules.SNAPSHOTS: snapshots}
        if scope is not None:  # a link belongs to what it joins, whoever made it before
            body["creatorid"] = scope.user or None
            actor = Principal("app", app)
        draft = Draft(type=rules.LINKER, id=rules.linker_id(link), body=body)
        return (await self._objects.create(app, draft, actor)).object.id

    async def is_linked(self, app: str, id: str, type2: str, id2: str, scope: Scope | None = None) -> bool:
        """True if the two are linked, from whichever end; also if the second is gone."""
        linkers = await self._linkers(app, id, type2, id2)
        if scope is not None and linkers:
            return all(scope.sees(obj) for obj in await self._objects.get_many(app, [id, id2]))
        return bool(linkers)

    async def unlink(
        self, app: str, id: str, type2: str, id2: str, actor: Principal, scope: Scope | None = None
    ) -> None:
        """Delete the link of two objects, if there is one."""
        actor = await self._unlinking(app, id, actor, scope)
        for linker in await self._linkers(app, id, type2, id2):
            await self._objects.delete(app, linker, actor)

    async def linked(self, app: str, id: str, find: Find, scope: Scope | None = None) -> Page:
        """Linked objects as they are now, by `find` over the linkers (`model.links.linked`): pages, order, cursor and
        total are those of the linkers."""
        await self._first(app, id)
        page = await self._search.find(app, find, ast.ALL if scope is None else scope.linked(id))
        others = _others(map(parse_object, page.items), id)
        items = await self._objects.public_many(app, others)
        if scope is not None:
            items = scope.view(items)
        return replace(page, items=items, ids=[str(parse_object(item)["id"]) for item in items])

    async def children(self, app: str, id: str, find: Find, scope: Scope | None = None) -> Page:
        """Children by `find` (`model.links.children`)."""
        await self._first(app, id)
        page = await self._search.find(app, find, ast.ALL if scope is None else scope.only())
        items = await self._objects.present_many(app, page.items)
        return replace(page, items=items if scope is None else scope.view(items))

    async def unlink_all(self, app: str, id: str, actor: Principal, scope: Scope | None = None) -> None:
        """Delete every link of an object."""
        actor = await self._unlinking(app, id, actor, scope)
        async for ids in self._pages(app, rules.links_of(id)):
            await self._objects.delete_many(app, ids, actor)

    async def delete_linked(self, app: str, id: str, type2: str, actor: Principal, scope: Scope | None = None) -> None:
        """Delete all objects of a type that are linked, and then their links with this object. What is not the actor's
        to delete stays, and so does its link."""
        unlinking = await self._unlinking(app, id, actor, scope)
        async for ids in self._pages(app, rules.links_of(id, type2)):
            linkers = await self._objects.get_many(app, ids)
            others = _others((obj.own for obj in linkers), id)
            doomed = await self._objects.get_many(app, others)
            kept = await self._delete(app, [obj for obj in doomed if obj.type == type2 and obj.id != id], actor)
            done = [obj.id for obj in linkers if not kept or kept.isdisjoint(_others([obj.own], id))]
            await self._objects.delete_many(app, done, unlinking)

    async def delete_children(
        self, app: str, id: str, type2: str, actor: Principal, scope: Scope | None = None
    ) -> None:
        """Delete all children of a type, also those that are not indexed; what is not the actor's to delete stays."""
        await self._unlinking(app, id, actor, scope)
        after = 0
        while found := await self._objects.list(app, type=type2, parent=id, after=after, limit=_AT_ONCE):
            await self._delete(app, found, actor)
            after = found[-1].docid

    async def _delete(self, app: str, doomed: Sequence[Object], actor: Principal) -> set[str]:
        """The ids of those that stay."""
        return set(await self._objects.delete_many(app, [obj.id for obj in doomed if obj.type != "app"], actor))

    async def _unlinking(self, app: str, id: str, actor: Principal, scope: Scope | None) -> Principal:
        """Who deletes links of an object: whoever may change it, whoever made them. Raises InvalidInput."""
        first = await self._first(app, id)
        if scope is None:
            return actor
        scope.check(first, "unlink")
        return Principal("app", app)

    async def require(self, app: str, id: str) -> None:
        """Returns if the object exists."""
        await self._first(app, id)

    async def _first(self, app: str, id: str) -> Object:
        found = await self._objects.get_many(app, [id])
        if not found:
            raise _missing(id)
        return found[0]

    async def _linkers(self, app: str, id: str, type2: str, id2: str) -> list[str]:
        """Ids of the linkers that join the two: one, or none."""
        link = rules.ordered(_end(await self._first(app, id)), End(type2, id2))
        ways: dict[str, Link] = {rules.linker_id(way): way for way in (link, rules.mirror(link)) if way is not None}
        return [obj.id for obj in await self._objects.get_many(app, list(ways)) if is_link(obj, ways[obj.id])]

    async def _pages(self, app: str, query: ast.Query) -> AsyncIterator[list[str]]:
        """Ids of all linkers that match, in the order of their making; those of a page may be deleted meanwhile."""
        request = SearchRequest(app, query, rules.LINKER, (SortBy(DOCID, False),), limit=_AT_ONCE)
        while found := (await self._search.hits(request)).hits:
            yield [hit.id for hit in found]
            request = replace(request, after=found[-1].docid)


def _end(obj: Object) -> End:
    return End(obj.type, obj.id)


def _others(linkers: Iterable[JsonObject], id: str) -> list[str]:
    """Ids of the objects at the other ends, each once."""
    found = map(rules.link_of, linkers)
    return list(dict.fromkeys(rules.other_end(link, id).id for link in found if link is not None))


def _missing(id: str) -> NotFound:
    return NotFound(f"Object not found: {id}", field="id")
