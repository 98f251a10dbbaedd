"""The AST as a tantivy query.

Promises: every query is translated to one that finds at least all matching objects; `exact` says that it finds no
other. What is not exact is re-checked with the predicate by `snapshot`. tantivy's own query parser only ever sees
numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import asin, cos, degrees, radians, sin
from typing import Any

import tantivy
from tantivy import Occur, Query, Schema, Searcher

from thingstead.engines.tantivy.schema import (
    KEPT_CHARS,
    KEYWORD,
    LAT,
    LNG,
    LONG,
    LONG_KEYWORD,
    NOT_ONE_NUMBER,
    PLAIN,
    PRESENT,
    TOKEN,
    WHOLE,
    WHOLE_CHARS,
    member,
    plain_terms,
    scope,
    whole,
)
from thingstead.model.query import ast
from thingstead.model.query.fields import SEPARATOR, is_keyword, number, sortable, tokens
from thingstead.model.query.pattern import Pattern, literal
from thingstead.model.query.predicate import EARTH_RADIUS_KM, within

_EXPANSIONS = 128  # terms that are enumerated rather than run through an automaton
_OTHER = rf"[^\x{{{ord(SEPARATOR):x}}}]*"
_FUZZY_CHARS = WHOLE_CHARS - 2  # beyond, a value two edits away may be too long to be a term as it is


class ManyPatterns(Exception):
    """A query has more patterns than were to be made into automatons."""


class Translation:
    """One translation; `exact` and `heavy` (an automaton ran over many terms) are known after `query`."""

    def __init__(
        self, index: tantivy.Index, schema: Schema, searcher: Searcher, app: str, type: str | None, patterns: int
    ) -> None:
        """`patterns`: how many may be made into automatons (1 ms each) before `query` raises ManyPatterns."""
        self._index = index
        self._schema = schema
        self._searcher = searcher
        self._app = app
        self._plain = plain_terms(app)
        self._patterns = patterns
        self.exact = True
        self.heavy = False
        self._scope = scope(app, type)
        self.scope = Query.term_query(schema, "scope", self._scope)

    def most(self) -> int:
        """No more documents than this are looked at: those of the app and type, deleted ones included."""
        return self._searcher.doc_freq("scope", self._scope)

    def query(self, query: ast.Query) -> Query:
        """A query for at least all objects that match, of any app."""
        match query:
            case ast.All():
                return Query.all_query()
            case ast.Nothing():
                return Query.empty_query()
            case ast.Exists(field):
                return self.exists(field)
            case ast.Words(field, text, slop):
                return self._words(field, text, slop)
            case ast.Match(field, pattern, lowered):
                return self._match(field, pattern, lowered)
            case ast.Like(field, pattern):
                if is_keyword(field):
                    return self._pattern(pattern, KEYWORD, field)
                return any_of([self._pattern(pattern, WHOLE, field), self._pattern(pattern, TOKEN, field)])
            case ast.Equals(field, values):
                kinds = (KEYWORD,) if is_keyword(field) else (WHOLE, TOKEN)
                return self._terms([_glued(value, kind) + field for value in values for kind in kinds])
            case ast.Fuzzy(field, text, distance):
                return self._fuzzy(field, text, distance)
            case ast.Range():
                return self._range(query)
            case ast.Near():
                self.exact = False
                return self._box(query)
            case ast.Nested(_, inner):
                self.exact = False
                return self.query(_positive(inner))
            case ast.Bool():
                return self._bool(query)

    def _raw(self, text: str) -> Query:
        return Query.term_query(self._schema, "t", text)

    def term(self, text: str) -> Query:
        """The objects that hold a term."""
        return any_of([self._raw(text), self._raw(PLAIN)]) if text in self._plain else self._raw(text)

    def count(self, query: Query) -> int:
        """How many documents a query finds."""
        result: Any = self._searcher.search(query, 1)  # the stubs do not know `count`
        return result.count

    def present(self, text: str) -> bool:
        """True if an object of this app holds the term."""
        if not self._searcher.doc_freq("t", text) and text not in self._plain:
            return False
        both = all_of([Query.term_query(self._schema, "scope", scope(self._app, None)), self.term(text)])
        return bool(self.count(both))

    def numbers(self, path: str, low: int | None, high: int | None) -> Query:
        """A range of `n`, ends included."""
        ends = " TO ".join("*" if end is None else str(end) for end in (low, high))
        return self._index.parse_query(f"n.{member(path)}:[{ends}]", [])

    def exists(self, path: str) -> Query:
        """The objects that hold a value at a path."""
        return self._terms([kind + path for kind in PRESENT])

    def _terms(self, terms: Sequence[str]) -> Query:
        if len(terms) > _EXPANSIONS:
            found = [Query.term_set_query(self._schema, "t", list(terms))]
        else:
            found = [self._raw(term) for term in terms]
        if not self._plain.isdisjoint(terms):
            found.append(self._raw(PLAIN))
        return any_of(found)

    def _plainly(self, test: Callable[[str], bool], kind: str, field: str | None) -> list[Query]:
        """PLAIN, if one of the values it stands for fits."""
        for term in self._plain:
            value, _, end = term.rpartition(SEPARATOR)
            if end[0] == kind[-1] and field in (None, end[1:]) and test(value):
                return [self._raw(PLAIN)]
        return []

    def _or_long(self, query: Query, kind: str, field: str | None) -> Query:
        """The query, or any long value, which only the predicate can decide."""
        mark = LONG_KEYWORD if field is None else LONG + field
        if kind is TOKEN or not self.present(mark):
            return query
        self.exact = False
        return any_of([query, self._raw(mark)])

    def _words(self, field: str | None, text: str, slop: int) -> Query:
        if field is not None and is_keyword(field):
            return self.term(_glued(text, KEYWORD) + field)
        words = tokens(text)
        if field is not None:
            return self._phrase(words, field, slop)
        found = [self._anywhere(text, KEYWORD)]
        if len(words) == 1:
            found.append(self._anywhere(words[0], TOKEN))
        elif words:
            first = self._expand(words[0] + TOKEN)
            if first is None:
                self.exact = False
                found.append(all_of([self._anywhere(word, TOKEN) for word in words]))
            else:
                found.extend(self._phrase(words, term.rpartition(TOKEN)[2], slop) for term in first)
        return any_of(found)

    def _anywhere(self, value: str, kind: str) -> Query:
        """The value at any path."""
        glued = _glued(value, kind)
        terms = self._expand(glued)
        return self._regex(literal(glued.removesuffix(kind)), kind, None) if terms is None else self._terms(terms)

    def _phrase(self, words: Sequence[str], field: str, slop: int) -> Query:
        if not words:
            return Query.empty_query()
        terms = [word + TOKEN + field for word in words]
        if len(terms) == 1:
            return self.term(terms[0])
        if slop:
            self.exact = False
            return all_of([self.term(term) for term in terms])
        # tantivy leaves a gap of one position between the values of a field, and every term is a value of its own.
        return Query.phrase_query(self._schema, "t", [(2 * at, term) for at, term in enumerate(terms)])

    def _match(self, field: str | None, pattern: Pattern, lowered: Pattern) -> Query:
        if field is None:
            return any_of([self._pattern(pattern, KEYWORD, None), self._pattern(lowered, TOKEN, None)])
        return self._pattern(pattern, KEYWORD, field) if is_keyword(field) else self._pattern(lowered, TOKEN, field)

    def _pattern(self, pattern: Pattern, kind: str, field: str | None) -> Query:
        # Of a long value only the beginning is in its term; that is enough for a prefix.
        enough = pattern.open_prefix and len(pattern.prefix) <= KEPT_CHARS
        if pattern.prefix and field is not None:
            end = kind + field
            terms = self._expand(pattern.prefix)
            if terms is not None:
                values = [term[: -len(end)] for term in terms if term.endswith(end)]
                fitting = [value + end for value in values if (enough or LONG not in value) and pattern.matches(value)]
                found = self._terms(fitting)
                return found if enough else self._or_long(found, kind, field)
        found = self._regex(pattern, kind, field, any_rest=enough)
        return found if enough else self._or_long(found, kind, field)

    def _expand(self, prefix: str) -> list[str] | None:
        """The terms with a prefix, None if they are many."""
        found = self._searcher.terms_with_prefix("t", prefix, limit=_EXPANSIONS + 1)
        if len(found) > _EXPANSIONS:
            return None
        return [*{term: None for term, _ in found} | {term: None for term in self._plain if term.startswith(prefix)}]

    def _regex(self, pattern: Pattern, kind: str, field: str | None, *, any_rest: bool = False) -> Query:
        self.heavy = True
        self._patterns -= 1
        if self._patterns < 0:
            raise ManyPatterns
        rest = rf"(?:{_escaped(LONG)}{_OTHER})?" if any_rest else ""
        end = _escaped(kind) + (_OTHER if field is None else _escaped(field))
        try:
            found = Query.regex_query(self._schema, "t", pattern.rust(SEPARATOR) + rest + end)
        except ValueError:  # too large for tantivy
            self.exact = False
            return Query.all_query() if field is None else self.exists(field)
        return any_of([found, *self._plainly(pattern.matches, kind, field)])

    def _fuzzy(self, field: str | None, text: str, distance: int) -> Query:
        if not distance:
            return self._edited(field, text, 0)
        self.exact = False
        self.heavy = True
        if len(text) > _FUZZY_CHARS:
            return Query.all_query() if field is None else self.exists(field)
        return self._edited(field, text, distance)

    def _edited(self, field: str | None, text: str, distance: int) -> Query:
        """Terms within `distance` edits of the text glued to its field: a few neighbours more than wanted."""
        found: list[Query] = []
        for value, kind in ((text, KEYWORD), (text.lower(), TOKEN)):
            if field is not None and is_keyword(field) != (kind is KEYWORD):
                continue
            if not distance:
                found.append(self._anywhere(value, kind) if field is None else self.term(_glued(value, kind) + field))
                continue
            if field is None:
                found.append(Query.fuzzy_term_query(self._schema, "t", value + SEPARATOR, distance, prefix=True))
            else:
                found.append(Query.fuzzy_term_query(self._schema, "t", value + kind + field, distance))
            found += self._plainly(partial(within, value, distance=distance), kind, field)
        return any_of(found)

    def _range(self, query: ast.Range) -> Query:
        field = query.field
        if field is None:
            self.exact = False
            self.heavy = True
            return Query.all_query()
        if query.low is None and query.high is None:
            return self.exists(field)
        low, high = (number(end) if end is not None else None for end in (query.low, query.high))
        numeric = (query.low is None or low is not None) and (query.high is None or high is not None)
        if not numeric or self.present(NOT_ONE_NUMBER + field):
            self.exact = False
            return self.exists(field)
        bottom = None if low is None else sortable(low) + (not query.include_low)
        top = None if high is None else sortable(high) - (not query.include_high)
        if bottom is not None and top is not None and bottom > top:
            return Query.empty_query()
        return self.numbers(field, bottom, top)

    def _box(self, near: ast.Near) -> Query:
        angle = near.radius / EARTH_RADIUS_KM * 1.000001 + 1e-9
        if angle >= radians(90):
            return self.exists("latlng")
        reach = degrees(angle)
        low, high = near.lat - reach, near.lat + reach
        box = [self.numbers(LAT, sortable(low), sortable(high))]
        if low > -90 and high < 90:
            width = degrees(asin(min(1.0, sin(angle) / cos(radians(near.lat))))) * 1.000001 + 1e-9
            west, east = near.lng - width, near.lng + width
            sides = [(west, east)]
            if west < -180:
                sides.append((west + 360, 180.0))
            if east > 180:
                sides.append((-180.0, east - 360))
            box.append(any_of([self.numbers(LNG, sortable(left), sortable(right)) for left, right in sides]))
        return all_of(box)

    def _bool(self, query: ast.Bool) -> Query:
        must = [self.query(part) for part in query.must]
        if query.minimum and query.minimum <= len(query.should):
            should = [self.query(part) for part in query.should]
            if query.minimum == len(should):
                must.extend(should)
            else:
                must.append(any_of(should, query.minimum))
        elif query.minimum:
            return Query.empty_query()
        must_not: list[Query] = []
        for part in query.must_not:
            before, self.exact = self.exact, True
            excluded = self.query(part)
            if self.exact:
                must_not.append(excluded)
                self.exact = before
        return all_of(must, must_not)


def _glued(value: str, kind: str) -> str:
    """A value as it stands in its term, and the kind; a token stands as it is."""
    return value + kind if kind is TOKEN else whole(value) + kind


def _escaped(text: str) -> str:
    return "".join(rf"\x{{{ord(char):x}}}" for char in text)


def _positive(query: ast.Query) -> ast.Query:
    """The query without its exclusions."""
    if isinstance(query, ast.Bool):
        must, should = (tuple(_positive(part) for part in parts) for parts in (query.must, query.should))
        return ast.Bool(must, should, (), query.minimum)
    return query


def any_of(queries: Sequence[Query], minimum: int = 1) -> Query:
    """At least `minimum` of them."""
    if not queries:
        return Query.empty_query()
    if len(queries) == 1:
        return queries[0]
    return Query.boolean_query([(Occur.Should, query) for query in queries], minimum_number_should_match=minimum)


def all_of(queries: Sequence[Query], without: Sequence[Query] = ()) -> Query:
    """All of `queries` (none: every document) and none of `without`."""
    if not without and len(queries) == 1:
        return queries[0]
    parts = [(Occur.Must, query) for query in queries] or [(Occur.Must, Query.all_query())]
    return Query.boolean_query(parts + [(Occur.MustNot, query) for query in without])
