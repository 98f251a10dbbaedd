"""Searches of one app for programs, under the names that Para's users know (objects.md 6.4, 21).

Promises: a search sees every write that was answered before; a blank field, type or text finds nothing, and is no
error; only a query that cannot be parsed is one (InvalidQuery). Types may be None for any. The index follows the
journal by itself: `index` and `unindex` set an object's flag `indexed`, which lasts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from thingstead.embed.entities import Object
from thingstead.embed.pager import Pager, limits_of
from thingstead.model.errors import InvalidQuery
from thingstead.model.query import build
from thingstead.model.query.build import Find, Plan
from thingstead.model.query.fields import DOCID
from thingstead.model.query.parser import parse_query
from thingstead.model.query.sort import SortBy
from thingstead.model.values import Json, parse_object

if TYPE_CHECKING:
    from thingstead.embed.app import App

_AT_ONCE = 100


class Finder:
    """See the module's docstring. Methods raise Unavailable if the index fails."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._search = app.backend.search
        self._limits = limits_of(app.backend.settings)

    async def find_by_id(self, id: str) -> Object | None:
        """The object of an id, if the index has it."""
        found = await self.find_by_ids([id])
        return found[0] if found else None

    async def find_by_ids(self, ids: Sequence[str]) -> list[Object]:
        """The objects of these ids."""
        return await self._find("ids", None, None, ids=list(ids))

    async def find_query(self, type: str | None, query: str, pager: Pager | None = None) -> list[Object]:
        """Objects that match a query string (objects.md 6.6). Raises InvalidQuery."""
        return await self._find("", type, pager, q=[query])

    async def find_nested_query(
        self, type: str | None, field: str, query: str, pager: Pager | None = None
    ) -> list[Object]:
        """Objects of whose `nstd` an entry matches the query in a field. Raises InvalidQuery."""
        return await self._find("nested", type, pager, field=[field], q=[query])

    async def find_nearby(
        self, type: str | None, query: str, radius_km: int, lat: float, lng: float, pager: Pager | None = None
    ) -> list[Object]:
        """Objects with an address within a radius, that match `query` (`*`: all)."""
        place = {"latlng": [f"{lat},{lng}"], "radius": [str(radius_km)]}
        return await self._find("nearby", type, pager, q=[query], **place)

    async def find_prefix(self, type: str | None, field: str, prefix: str, pager: Pager | None = None) -> list[Object]:
        """Objects of which a field's value or word begins so."""
        return await self._find("prefix", type, pager, field=[field], prefix=[prefix])

    async def find_similar(
        self, type: str | None, without: str, fields: Sequence[str], like: str, pager: Pager | None = None
    ) -> list[Object]:
        """Objects like a text in the named fields, best first, but not the one with the id `without`."""
        return await self._find("similar", type, pager, filterid=[without], fields=list(fields), like=[like])

    async def find_tagged(self, type: str | None, tags: Sequence[str], pager: Pager | None = None) -> list[Object]:
        """Objects that have all the tags."""
        return await self._find("tagged", type, pager, tags=list(tags))

    async def find_tags(self, keyword: str, pager: Pager | None = None) -> list[Object]:
        """Objects of type `tag` whose tag begins with the keyword."""
        if not keyword.strip():
            return []
        return await self._find("wildcard", "tag", pager, field=["tag"], q=[keyword + "*"])

    async def find_term_in_list(
        self, type: str | None, field: str, terms: Sequence[str], pager: Pager | None = None
    ) -> list[Object]:
        """Objects of which a field equals one of the terms."""
        return await self._find("in", type, pager, field=[field], terms=list(terms))

    async def find_terms(
        self, type: str | None, terms: Mapping[str, Json], *, match_all: bool = True, pager: Pager | None = None
    ) -> list[Object]:
        """Objects whose fields equal these values; a name may end in `<`, `<=`, `>`, `>=`."""
        pairs = {"terms": _pairs(terms), "matchall": [str(match_all).lower()]}
        return await self._find("terms", type, pager, **pairs)

    async def find_wildcard(
        self, type: str | None, field: str, wildcard: str, pager: Pager | None = None
    ) -> list[Object]:
        """Objects of which a field's value or word fits a pattern with `*` and `?`."""
        return await self._find("wildcard", type, pager, field=[field], q=[wildcard])

    async def get_count(self, type: str | None = None, terms: Mapping[str, Json] | None = None) -> int:
        """How many objects of a type there are, of which all terms hold."""
        if type is not None and not type.strip():
            return 0
        params: dict[str, list[str]] = {} if terms is None else {"terms": _pairs(terms), "count": [""]}
        plan = build.plan("count" if terms is None else "terms", type, params, self._limits)
        return (await self._search.find(self._app.identifier, plan)).total

    @staticmethod
    def is_valid_query_string(query: str) -> bool:
        """True if `find_query` can parse it."""
        try:
            parse_query(query)
        except InvalidQuery:
            return False
        return bool(query.strip())

    async def index(self, obj: Object) -> None:
        """Have an object found from now on. Raises NotFound."""
        await self._flag([obj.id], indexed=True)
        obj.indexed = True

    async def unindex(self, obj: Object) -> None:
        """Have an object not found any more; it stays stored. Raises NotFound."""
        await self._flag([obj.id], indexed=False)
        obj.indexed = False

    async def index_all(self, objs: Sequence[Object]) -> None:
        """Have several found from now on; unknown ones are ignored."""
        await self._flag([obj.id for obj in objs], indexed=True)

    async def unindex_all(self, what: Sequence[Object] | Mapping[str, Json], *, match_all: bool = True) -> None:
        """Have several not found any more: these objects, or all of which terms hold."""
        if not isinstance(what, Mapping):
            await self._flag([obj.id for obj in what], indexed=False)
            return
        plan = build.plan("terms", None, {"terms": _pairs(what), "matchall": [str(match_all).lower()]}, self._limits)
        assert isinstance(plan, Find)
        order = build.Pager(limit=_AT_ONCE, sort=(SortBy(DOCID, False),))
        while ids := (await self._search.find(self._app.identifier, replace(plan, pager=order))).ids:
            await self._flag(ids, indexed=False)

    async def rebuild_index(self) -> int:
        """Have the index take every object of the app once more, as it stands; how many it took."""
        objects, app, after, taken = self._app.backend.objects, self._app.identifier, 0, 0
        while found := await objects.list(app, after=after, limit=_AT_ONCE):
            after = found[-1].docid
            taken += len(await objects.reindex(app, [obj.id for obj in found]))
        return taken

    async def _flag(self, ids: Sequence[str], *, indexed: bool) -> None:
        objects, app = self._app.backend.objects, self._app.identifier
        outcomes = await objects.patch_many(app, [(id, {"indexed": indexed}) for id in ids], self._app.actor)
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failed and (len(ids) == 1 or len(failed) == len(ids)):
            raise failed[0]

    async def _find(self, query_type: str, type: str | None, pager: Pager | None, **params: list[str]) -> list[Object]:
        if type is not None and not type.strip():
            return []
        pager = pager if pager is not None else Pager(limit=self._limits.items_per_page)
        plan = build.plan(query_type, type, {**pager.params(), **params}, self._limits)
        return await self.carry_out(plan, pager)

    async def carry_out(self, plan: Plan, pager: Pager) -> list[Object]:
        """The objects of a plan of `model.query.build`; the pager is told of count and cursor."""
        app = self._app.identifier
        page = await self._search.find(app, plan)
        pager.count = page.total
        pager.last_key = page.last_key or pager.last_key
        shown = await self._app.backend.objects.present_many(app, page.items)
        return [self._app.made(parse_object(public)) for public in shown]


def _pairs(terms: Mapping[str, Json]) -> list[str]:
    return [f"{name}:{str(value).lower() if isinstance(value, bool) else value}" for name, value in terms.items()]
