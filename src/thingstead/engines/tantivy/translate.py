"""The AST as a tantivy query.

Promises: every query is translated to one that finds at least all matching objects; `exact` says that it finds no
other. What is not exact is re-checked with the predicate by `snapshot`. tantivy's own query parser only ever sees
numbers.
"""

from collections.abc import Sequence
from math import asin, cos, degrees, radians, sin
from typing import Any

import tantivy
from tantivy import Occur, Query, Schema, Searcher

from thingstead.engines.tantivy.schema import KEYWORD, LAT, LNG, NOT_ONE_NUMBER, PRESENT, TOKEN, WHOLE, column, scope
from thingstead.model.query import ast
from thingstead.model.query.fields import SEPARATOR, is_keyword, number, sortable, tokens
from thingstead.model.query.pattern import Pattern, literal
from thingstead.model.query.predicate import EARTH_RADIUS_KM

_EXPANSIONS = 128  # terms that are enumerated rather than run through an automaton
_OTHER = rf"[^\x{{{ord(SEPARATOR):x}}}]*"
_LONG = 100  # characters up to which an edit-distance automaton is built


class Translation:
    """One translation; `exact` and `heavy` (an automaton ran over many terms) are known after `query`."""

    def __init__(self, index: tantivy.Index, schema: Schema, searcher: Searcher, app: str, type: str | None) -> None:
        self._index = index
        self._schema = schema
        self._searcher = searcher
        self._app = app
        self.exact = True
        self.heavy = False
        self.scope = Query.term_query(schema, "scope", scope(app, type))

    def query(self, query: ast.Query) -> Query:
        """A query for at least all objects that match, of any app."""
        match query:
            case ast.All():
                return Query.all_query()
            case ast.Nothing():
                return Query.empty_query()
            case ast.Exists(field):
                return self._exists(field)
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
                return self._terms([value + kind + field for value in values for kind in kinds])
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

    def term(self, text: str) -> Query:
        """One exact term of `t`."""
        return Query.term_query(self._schema, "t", text)

    def count(self, query: Query) -> int:
        """How many documents a query finds."""
        result: Any = self._searcher.search(query, 1)  # the stubs do not know `count`
        return result.count

    def present(self, text: str) -> bool:
        """True if an object of this app holds the term."""
        if not self._searcher.doc_freq("t", text):
            return False
        both = all_of([Query.term_query(self._schema, "scope", scope(self._app, None)), self.term(text)])
        return bool(self.count(both))

    def numbers(self, path: str, low: int | None, high: int | None) -> Query:
        """A range of `n`, ends included."""
        ends = " TO ".join("*" if end is None else str(end) for end in (low, high))
        return self._index.parse_query(f"n.{column(path)}:[{ends}]", [])

    def _exists(self, path: str) -> Query:
        return any_of([self.term(kind + path) for kind in PRESENT])

    def _terms(self, terms: Sequence[str]) -> Query:
        if len(terms) > _EXPANSIONS:
            return Query.term_set_query(self._schema, "t", list(terms))
        return any_of([self.term(term) for term in terms])

    def _words(self, field: str | None, text: str, slop: int) -> Query:
        if field is not None and is_keyword(field):
            return self.term(text + KEYWORD + field)
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
        terms = self._expand(value + kind)
        return self._regex(literal(value), kind, None) if terms is None else self._terms(terms)

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
            return any_of([self._regex(pattern, KEYWORD, None), self._regex(lowered, TOKEN, None)])
        return self._pattern(pattern, KEYWORD, field) if is_keyword(field) else self._pattern(lowered, TOKEN, field)

    def _pattern(self, pattern: Pattern, kind: str, field: str) -> Query:
        if pattern.prefix:
            end = kind + field
            terms = self._expand(pattern.prefix)
            if terms is not None:
                size = len(end)
                return self._terms([term for term in terms if term.endswith(end) and pattern.matches(term[:-size])])
        return self._regex(pattern, kind, field)

    def _expand(self, prefix: str) -> list[str] | None:
        """The terms with a prefix, None if they are many."""
        found = self._searcher.terms_with_prefix("t", prefix, limit=_EXPANSIONS + 1)
        return None if len(found) > _EXPANSIONS else [term for term, _ in found]

    def _regex(self, pattern: Pattern, kind: str, field: str | None) -> Query:
        self.heavy = True
        tail = "".join(rf"\x{{{ord(char):x}}}" for char in kind + (field or ""))
        try:
            return Query.regex_query(
                self._schema, "t", pattern.rust(SEPARATOR) + tail + (_OTHER if field is None else "")
            )
        except ValueError:  # too large for tantivy
            self.exact = False
            return Query.all_query() if field is None else self._exists(field)

    def _fuzzy(self, field: str | None, text: str, distance: int) -> Query:
        if not distance:
            return self._edited(field, text, 0)
        self.exact = False
        self.heavy = True
        if len(text) > _LONG:
            return Query.all_query() if field is None else self._exists(field)
        return self._edited(field, text, distance)

    def _edited(self, field: str | None, text: str, distance: int) -> Query:
        """Terms within `distance` edits of the text glued to its field: a few neighbours more than wanted."""
        found: list[Query] = []
        for value, kind in ((text, KEYWORD), (text.lower(), TOKEN)):
            if field is None:
                if distance:
                    found.append(Query.fuzzy_term_query(self._schema, "t", value + SEPARATOR, distance, prefix=True))
                else:
                    found.append(self._anywhere(value, kind))
            elif is_keyword(field) == (kind is KEYWORD):
                term = value + kind + field
                found.append(Query.fuzzy_term_query(self._schema, "t", term, distance) if distance else self.term(term))
        return any_of(found)

    def _range(self, query: ast.Range) -> Query:
        field = query.field
        if field is None:
            self.exact = False
            self.heavy = True
            return Query.all_query()
        low, high = (number(end) if end is not None else None for end in (query.low, query.high))
        numeric = (query.low is None or low is not None) and (query.high is None or high is not None)
        if not numeric or self.present(NOT_ONE_NUMBER + field):
            self.exact = False
            return self._exists(field)
        bottom = None if low is None else sortable(low) + (not query.include_low)
        top = None if high is None else sortable(high) - (not query.include_high)
        if bottom is not None and top is not None and bottom > top:
            return Query.empty_query()
        return self.numbers(field, bottom, top)

    def _box(self, near: ast.Near) -> Query:
        angle = near.radius / EARTH_RADIUS_KM * 1.000001 + 1e-9
        if angle >= radians(90):
            return self._exists("latlng")
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
