"""The query AST (objects.md 6.4, 6.6): what every engine translates and what the predicate evaluates.

Promises: nodes are immutable, hashable values that mean one thing each (the docstring of each says what, for keyword
and for text fields; see `fields`). `field` None means any indexed field. Does not know Lucene syntax (`parser`) or
parameters (`build`). Boosts have no effect on order, so there is no node for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from thingstead.model.query.pattern import Pattern


@dataclass(frozen=True, slots=True)
class All:
    """Every object."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No object."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The field holds at least one value."""

    field: str


@dataclass(frozen=True, slots=True)
class Words:
    """A term or phrase. Keyword field: the raw value equals `text`. Text field: its tokens stand in one value, in a
    row for slop 0, else at most `slop` moves apart (Lucene's measure); text without any token matches no text
    field.
    """

    field: str | None
    text: str
    slop: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """A wildcard, prefix or regex from `q`. Keyword field: the raw value. Text field: a token; `lowered` is the
    pattern for these.
    """

    field: str | None
    pattern: Pattern
    lowered: Pattern


@dataclass(frozen=True, slots=True)
class Like:
    """The query types `prefix` and `wildcard`: the pattern, as written, fits the whole value or (text field) a
    token.
    """

    field: str
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """Within `distance` (0..2) edits, a swap of neighbours being one: of a keyword value, or of a token (text
    lowercased).
    """

    field: str | None
    text: str
    distance: int


@dataclass(frozen=True, slots=True)
class Range:
    """Between two ends (None is open). An end and a value compare as numbers if both are, else as text (whole value,
    lowercased on text fields)."""

    field: str | None
    low: str | None
    high: str | None
    include_low: bool = True
    include_high: bool = True


@dataclass(frozen=True, slots=True)
class Equals:
    """The query types `terms`, `in`, `tagged`: one of the values is the whole value or (text field) a token, as
    written.
    """

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """The keyword field `latlng` ("lat,lng") lies within `radius` km (great circle) of a point in degrees."""

    lat: float
    lng: float
    radius: float


@dataclass(frozen=True, slots=True)
class Nested:
    """One entry of the top-level list `path` (of objects) matches `query` alone; its fields are `path.name`, text
    fields. `without`: entries with that `id` do not count, unless all have it.
    """

    path: str
    query: "Query"
    without: str | None = None


@dataclass(frozen=True, slots=True)
class Bool:
    """All of `must`, none of `must_not`, and at least `minimum` of `should`."""

    must: tuple["Query", ...] = ()
    should: tuple["Query", ...] = ()
    must_not: tuple["Query", ...] = ()
    minimum: int = 0


Query: TypeAlias = All | Nothing | Exists | Words | Match | Like | Fuzzy | Range | Equals | Near | Nested | Bool

ALL = All()
NOTHING = Nothing()


def every(*queries: Query) -> Query:
    """All of them (ALL for none)."""
    kept = tuple(query for query in queries if not isinstance(query, All))
    if any(isinstance(query, Nothing) for query in kept):
        return NOTHING
    return ALL if not kept else kept[0] if len(kept) == 1 else Bool(must=kept)


def some(*queries: Query) -> Query:
    """At least one of them (NOTHING for none)."""
    kept = tuple(query for query in queries if not isinstance(query, Nothing))
    return NOTHING if not kept else kept[0] if len(kept) == 1 else Bool(should=kept, minimum=1)


def walk(query: Query) -> Iterator[Query]:
    """The node and all nodes below it."""
    yield query
    if isinstance(query, Bool):
        for part in (*query.must, *query.should, *query.must_not):
            yield from walk(part)
    elif isinstance(query, Nested):
        yield from walk(query.query)


def field_of(query: Query) -> str | None:
    """The field of a node that has one; None for any other, and for a term that searches every field."""
    match query:
        case Exists(field) | Words(field) | Match(field) | Like(field) | Fuzzy(field) | Range(field) | Equals(field):
            return field
        case _:
            return None


def renamed(query: Query, rename: Callable[[str], str]) -> Query:
    """A node that has a field, with that field renamed; any other as it is."""
    field = field_of(query)
    if field is None or isinstance(query, All | Nothing | Near | Nested | Bool):
        return query
    return replace(query, field=rename(field))


def mapped(query: Query, change: Callable[[Query], Query]) -> Query:
    """The query with every node that is no Bool changed. Nodes inside Nested stay: they mean its entries."""
    if not isinstance(query, Bool):
        return change(query)
    must, should, must_not = (
        tuple(mapped(part, change) for part in parts) for parts in (query.must, query.should, query.must_not)
    )
    return Bool(must, should, must_not, query.minimum)
