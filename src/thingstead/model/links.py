"""Links: what a linker is called and holds, and the queries that find linked objects and children (objects.md 7, D7).

A link joins two *ends*. Types stand in alphabetical order, ignoring case; ends of equal types keep the order in which
they were given, and a link and its mirror are one link. The index knows a linker by *marks*, exact words of the keyword
field `nstdparentid`: one for each end alone and one for each end with the type of the other. So what is asked of one
object is never answered with links of another, whatever its id looks like. Pure; does not read objects.
"""

from typing import Final, NamedTuple
from urllib.parse import quote

from thingstead.model import ids
from thingstead.model.coercion import text_of
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Limits, Params, one_of, pager
from thingstead.model.query.fields import clean
from thingstead.model.query.parser import parse_query
from thingstead.model.values import Json, JsonObject

LINKER: Final = "linker"
SNAPSHOTS: Final = "nstd"
MARKS: Final = "nstdparentid"


class End(NamedTuple):
    """One of the two objects."""

    type: str
    id: str


class Link(NamedTuple):
    """Two ends, in order."""

    first: End
    second: End


def ordered(a: End, b: End) -> Link:
    """The link of two ends, as it is stored.

    >>> linker_id(ordered(End("tag", "tag:test"), End("sysprop", "111")))
    'sysprop:111:tag:tag:test'
    """
    return Link(b, a) if a.type.lower() > b.type.lower() else Link(a, b)


def mirror(link: Link) -> Link | None:
    """The other spelling of the same link; None if there is only one."""
    equal = link.first.type.lower() == link.second.type.lower()
    return Link(link.second, link.first) if equal and link.first != link.second else None


def linker_id(link: Link) -> str:
    """`type1:id1:type2:id2`. Ids with colons may give two links one id: compare the ends, too."""
    return ids.SEPARATOR.join((*link.first, *link.second))


def linker_name(link: Link) -> str:
    """`type1:type2`."""
    return f"{link.first.type}{ids.SEPARATOR}{link.second.type}"


def fields(link: Link) -> JsonObject:
    """The linker's own fields that name its ends."""
    (type1, id1), (type2, id2) = link
    return {"type1": type1, "id1": id1, "type2": type2, "id2": id2}


def link_of(own: JsonObject) -> Link | None:
    """The link of a linker's own fields, as they stand; None if one is missing."""
    type1, id1, type2, id2 = (text_of(own.get(name)) for name in ("type1", "id1", "type2", "id2"))
    return Link(End(type1, id1), End(type2, id2)) if type1 and id1 and type2 and id2 else None


def other_end(link: Link, id: str) -> End:
    """The end that is not `id`; of a link of an object with itself that object."""
    return link.second if link.first.id == id else link.first


def snapshot(searchable: JsonObject) -> JsonObject:
    """What a linker keeps of an object, from its searchable form. Of another linker without its own snapshots, so that
    links of links do not double at each step."""
    return {name: value for name, value in searchable.items() if name not in (SNAPSHOTS, MARKS)}


def marks(own: JsonObject) -> list[Json]:
    """The marks of a linker, see the module's docstring."""
    link = link_of(own)
    if link is None:
        return []
    found = [_mark("", end.id) for end in link]
    found += [_mark(link.second.type, link.first.id), _mark(link.first.type, link.second.id)]
    return list[Json](dict.fromkeys(found))


def _mark(other_type: str, id: str) -> str:
    return f"{quote(other_type, safe='')}{ids.SEPARATOR}{id}"


def links_of(id: str, other_type: str = "") -> ast.Query:
    """Linkers of an object; with a type those to objects of that type."""
    return ast.Equals(MARKS, (clean(_mark(other_type, id)),))


def _of_snapshot(field: str) -> str:
    return field if field.startswith(f"{SNAPSHOTS}.") else f"{SNAPSHOTS}.{field}"


def linked(id: str, type2: str, params: Params, limits: Limits) -> Find:
    """The linkers that a request for linked objects of type2 means: `q` searches what they keep of the other object, in
    `field` (blank: anywhere) where it names no field itself; with `count` only how many. Raises InvalidQuery."""
    field, q = clean(_first(params, "field").strip()), _first(params, "q")
    query = links_of(id, type2)
    if q.strip() and q.strip() != "*":
        inner = ast.mapped(parse_query(q, field or None), lambda part: ast.renamed(part, _of_snapshot))
        if "count" not in params:
            query = ast.every(query, ast.Nested(SNAPSHOTS, inner, without=id))
    return Find(query, LINKER, pager(params, limits), "count" in params)


def children(id: str, type2: str, params: Params, limits: Limits) -> Find:
    """The children of type2 that a request means: where `field` equals `term`, else those that match `q`, else all;
    with `count` only how many there are. Raises InvalidQuery."""
    field, term, q = _first(params, "field"), _first(params, "term"), _first(params, "q")
    matching = parse_query(q) if q.strip() else ast.ALL
    if field.strip() and term.strip():
        matching = one_of(field, [term])
    query: ast.Query = ast.Equals("parentid", (clean(id),))
    if "count" not in params:
        query = ast.every(query, matching)
    return Find(query, type2, pager(params, limits), "count" in params)


def _first(params: Params, name: str) -> str:
    values = params.get(name)
    return values[0] if values else ""
