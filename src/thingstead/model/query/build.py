"""Search parameters to queries and pagers (objects.md 6.2, 6.4, 6.7). Pure.

Promises: bad or missing parameters give a query that finds nothing, never an error; the one exception is an invalid `q`
(InvalidQuery, whatever the query type). Does not fetch: what needs stored objects first is a plan of its own
(`ById`, `Nearby`, `Similar`), carried out by `core.search`.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

from thingstead.model.query import ast
from thingstead.model.query.fields import DOCID, clean, tokens
from thingstead.model.query.parser import parse_query
from thingstead.model.query.pattern import literal_prefix, wildcard
from thingstead.model.query.predicate import point
from thingstead.model.query.sort import SortBy, parse_sort

Params: TypeAlias = Mapping[str, Sequence[str]]
"""Query parameters, repeated keys as lists, in order."""

_INTEGER = re.compile(r"\s*[+-]?\d{1,99}\s*", re.ASCII)
_CURSOR = re.compile(r"\s*-?\d{1,19}\s*", re.ASCII)
_MOST_TERMS = 25


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings `para.max_items_per_page`, `para.max_page_limit` and `para.max_pages`."""

    items_per_page: int = 30
    page_limit: int = 256
    pages: int = 1000


@dataclass(frozen=True, slots=True)
class Pager:
    """Which part of the hits, in which order. `page` is echoed; `after` is the search-after cursor (a docid)."""

    page: int = 0
    limit: int = 30
    sort: tuple[SortBy, ...] = (SortBy("timestamp", True),)
    after: int | None = None
    sorted: bool = False  # the client named a sort field

    @property
    def offset(self) -> int:
        """Hits before the page; pages 0 and 1 are the same."""
        return max(0, self.page - 1) * self.limit


@dataclass(frozen=True, slots=True)
class Find:
    """Objects of a type (None: any) that match; `count`: only how many."""

    query: ast.Query = ast.ALL
    type: str | None = None
    pager: Pager = field(default_factory=Pager)
    count: bool = False


@dataclass(frozen=True, slots=True)
class ById:
    """The objects of these ids that exist, newest first; no paging, no cursor."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nearby:
    """Objects of a type that are the parents of `addresses` (objects of type `address`), and match `find`."""

    addresses: ast.Query
    find: Find


@dataclass(frozen=True, slots=True)
class Similar:
    """Objects like a text, or like the stored object `like_id` in the named fields; `find.query` narrows."""

    fields: tuple[str, ...]
    like: str
    like_id: str | None
    find: Find


Plan: TypeAlias = Find | ById | Nearby | Similar


def without(plan: Plan, types: tuple[str, ...]) -> Plan:
    """A search that finds no objects of some types; one by ids stays as it is."""
    match plan:
        case Find():
            return replace(plan, query=ast.Bool(must=(plan.query,), must_not=(ast.Equals("type", types),)))
        case Nearby() | Similar():
            query = ast.Bool(must=(plan.find.query,), must_not=(ast.Equals("type", types),))
            return replace(plan, find=replace(plan.find, query=query))
        case ById():
            return plan


def pager(params: Params, limits: Limits = Limits()) -> Pager:
    """The pager of a request."""
    page = min(abs(_integer(params, "page", 0)), limits.pages)
    limit = min(abs(_integer(params, "limit", limits.items_per_page)), limits.page_limit)
    desc = _first(params, "desc", "true").strip().lower() == "true"
    sort = _first(params, "sort").strip()
    last = _first(params, "lastKey")
    if page <= 1 and _CURSOR.fullmatch(last):
        return Pager(page, limit, (SortBy(DOCID, desc),), int(last), True)
    return Pager(page, limit, parse_sort(sort, desc), None, bool(sort))


def plan(query_type: str, type: str | None, params: Params, limits: Limits = Limits()) -> Plan:
    """What a search request asks for; an unknown query type is the query-string search. Raises InvalidQuery."""
    q = _first(params, "q", "*")
    parsed = parse_query(q) if q.strip() else ast.NOTHING
    find = Find(parsed, type or None, pager(params, limits))
    match query_type:
        case "id":
            id = _first(params, "id")
            return ById((id,) if id.strip() else ())
        case "ids":
            return ById(tuple(dict.fromkeys(id for id in params.get("ids", ()) if id.strip())))
        case "count":
            return replace(find, query=ast.ALL, count=True)
        case "nearby":
            return _nearby(params, find)
        case "similar":
            return _similar(params, find)
        case "terms":
            count = "count" in params
            query = terms(
                params.get("terms", ()), count or _first(params, "matchall", "true").strip().lower() == "true"
            )
            return replace(find, query=query, count=count)
        case "tagged":
            return replace(find, query=tagged(params.get("tags", ())))
        case "in":
            return replace(find, query=one_of(_first(params, "field"), params.get("terms", ())))
        case "prefix":
            return replace(find, query=prefix(_first(params, "field"), _first(params, "prefix")))
        case "wildcard":
            return replace(find, query=pattern(_first(params, "field"), _first(params, "q")))
        case "nested":
            return replace(find, query=nested(_first(params, "field"), _first(params, "q")))
        case _:
            return find


def tagged(tags: Sequence[str]) -> ast.Query:
    """Has all the tags; nothing for none."""
    wanted = [tag for tag in tags if tag.strip()]
    return ast.every(*(ast.Equals("tags", (clean(tag),)) for tag in wanted)) if wanted else ast.NOTHING


def one_of(field: str, values: Sequence[str]) -> ast.Query:
    """The field equals one of the values."""
    field = clean(field.strip())
    wanted = tuple(dict.fromkeys(clean(value) for value in values if value.strip()))
    return ast.Equals(field, wanted) if field and wanted else ast.NOTHING


def prefix(field: str, start: str) -> ast.Query:
    """The field's value or token starts so."""
    field = clean(field.strip())
    return ast.Like(field, literal_prefix(clean(start))) if field and start.strip() else ast.NOTHING


def pattern(field: str, text: str) -> ast.Query:
    """The field's value or token fits the wildcard pattern."""
    field = clean(field.strip())
    if not field or not text.strip():
        return ast.NOTHING
    return ast.Exists(field) if text.strip() == "*" else ast.Like(field, wildcard(clean(text)))


def nested(field: str, q: str) -> ast.Query:
    """An entry of `nstd` matches `q` in one of its fields."""
    field = clean(field.strip())
    if not field or not q.strip():
        return ast.NOTHING
    return ast.Nested("nstd", parse_query(q, f"nstd.{field}"))


def terms(pairs: Sequence[str], match_all: bool) -> ast.Query:
    """Pairs `field:value`; the field may end in a comparison. A repeated field: the last wins."""
    wanted: dict[str, str] = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if colon and name.strip():
            wanted.pop(name.strip(), None)
            wanted[name.strip()] = value
    parts = [_term(clean(name), clean(value)) for name, value in wanted.items()]
    if not parts:
        return ast.NOTHING
    return ast.every(*parts) if match_all else ast.some(*parts)


def _term(name: str, value: str) -> ast.Query:
    bare = name.rstrip("<>=").rstrip()
    if not value.strip() or not bare:
        return ast.NOTHING
    match name[len(bare) :].strip():
        case ">":
            return ast.Range(bare, value.strip(), None, include_low=False)
        case ">=":
            return ast.Range(bare, value.strip(), None)
        case "<":
            return ast.Range(bare, None, value.strip(), include_high=False)
        case "<=":
            return ast.Range(bare, None, value.strip())
        case _:
            return ast.Equals(name, (value,))


def _nearby(params: Params, find: Find) -> Plan:
    place = point(_first(params, "latlng"))
    if place is None or find.type is None:
        return replace(find, query=ast.NOTHING)
    near = ast.Near(*place, float(abs(_integer(params, "radius", 10))))
    if find.type == "address":
        return replace(find, query=ast.every(near, find.query))
    return Nearby(near, find)


def _similar(params: Params, find: Find) -> Plan:
    like = _first(params, "like").strip()
    fields = tuple(clean(name.strip()) for name in params.get("fields", ()) if name.strip()) or ("name",)
    without = _first(params, "filterid").strip()
    query: ast.Query = ast.Bool(must_not=(ast.Equals("id", (clean(without),)),)) if without else ast.ALL
    if not like:
        return replace(find, query=ast.NOTHING)
    return Similar(fields, like, like[3:] if like.startswith("id:") else None, replace(find, query=query))


def similar_tiers(fields: Sequence[str], like: str) -> list[ast.Query]:
    """Objects in whose fields at least 70 % of the text's terms occur: one query for each number of terms, best
    first.
    """
    counts = Counter(tokens(clean(like)))
    # The most frequent terms say most about a text, and long ones more than short ones.
    useful = sorted(counts, key=lambda word: (-counts[word], -len(word), word))[:_MOST_TERMS]
    should = tuple(ast.some(*(ast.Words(name, word) for name in fields)) for word in useful)
    if not should:
        return []
    least = max(1, len(should) * 7 // 10)
    at_least = [ast.Bool(should=should, minimum=count) for count in range(least, len(should) + 1)]
    tiers = [ast.Bool(must=(low,), must_not=(high,)) for low, high in pairwise(at_least)]
    return [at_least[-1], *reversed(tiers)]


def _first(params: Params, name: str, default: str = "") -> str:
    values = params.get(name)
    return values[0] if values else default


def _integer(params: Params, name: str, default: int) -> int:
    text = _first(params, name)
    return int(text) if _INTEGER.fullmatch(text) else default
