"""A query as a Python predicate over one object: the definition of what matches (objects.md 6.4-6.6).

Promises: time proportional to the object for every query, strangers' patterns included. It serves the overlay,
engines that cannot answer a node exactly, filters of streams and webhooks, and the tests as oracle. Does not sort
(`sort`) or fetch.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import TypeAlias

from thingstead.model.query import ast
from thingstead.model.query.fields import (
    MAX_WHOLE,
    Flat,
    Scalar,
    flatten,
    is_keyword,
    number,
    number_of,
    text_of,
    tokens,
)
from thingstead.model.values import JsonObject, is_array, is_object

EARTH_RADIUS_KM = 6371.0088


class Subject:
    """An object prepared for predicates: its flat fields, and the tokens of those that were asked for."""

    __slots__ = ("_tokens", "fields", "flat")

    def __init__(self, fields: JsonObject) -> None:
        self.fields = fields
        self.flat: Flat = flatten(fields)
        self._tokens: dict[str, list[list[str]]] = {}

    def tokens(self, path: str) -> list[list[str]]:
        """The tokens of each value at a text field's path."""
        found = self._tokens.get(path)
        if found is None:
            found = self._tokens[path] = [tokens(text_of(value)) for value in self.flat.get(path, ())]
        return found

    def wholes(self, path: str) -> Iterable[str]:
        """The values at a path as texts, but for those too long to be known as a whole."""
        return (text for text in map(text_of, self.flat.get(path, ())) if len(text) <= MAX_WHOLE)


Predicate: TypeAlias = Callable[[Subject], bool]


def compile_query(query: ast.Query) -> Predicate:
    """The predicate of a query."""
    match query:
        case ast.All():
            return lambda subject: True
        case ast.Nothing():
            return lambda subject: False
        case ast.Exists(field):
            return lambda subject: field in subject.flat
        case ast.Words(field, text, slop):
            return _anywhere(field, _words(text, slop))
        case ast.Match(field, pattern, lowered):
            return _anywhere(field, _by_token(pattern.matches, lowered.matches))
        case ast.Fuzzy(field, text, distance):
            low = text.lower()
            return _anywhere(
                field,
                _by_token(lambda value: within(text, value, distance), lambda token: within(low, token, distance)),
            )
        case ast.Range():
            return _anywhere(query.field, _range(query))
        case ast.Like(field, pattern):
            return lambda subject: _whole_or_token(subject, field, pattern.matches)
        case ast.Equals(field, values):
            wanted = frozenset(values)
            return lambda subject: _whole_or_token(subject, field, wanted.__contains__)
        case ast.Near():
            return _near(query)
        case ast.Nested(path, inner, without):
            return _nested(path, compile_query(inner), without)
        case ast.Bool():
            return _bool(query)


def matches(query: ast.Query, fields: JsonObject) -> bool:
    """True if one object matches; compile once for many."""
    return compile_query(query)(Subject(fields))


_AtPath: TypeAlias = Callable[[Subject, str], bool]


def _anywhere(field: str | None, test: _AtPath) -> Predicate:
    if field is not None:
        return lambda subject: field in subject.flat and test(subject, field)
    return lambda subject: any(test(subject, path) for path in subject.flat)


def _words(text: str, slop: int) -> _AtPath:
    words = tokens(text)
    first = words[0] if words else ""
    counts = Counter(words)

    def test(subject: Subject, path: str) -> bool:
        if is_keyword(path):
            return text in subject.wholes(path)
        if not words:
            return False
        if len(words) == 1:
            return any(first in found for found in subject.tokens(path))
        return any(_phrase(words, counts, found, slop) for found in subject.tokens(path))

    return test


def _phrase(words: list[str], counts: Counter[str], found: list[str], slop: int) -> bool:
    if not slop:
        size = len(words)
        return any(found[start : start + size] == words for start in range(len(found) - size + 1))
    have = Counter(found)
    if any(have[word] < count for word, count in counts.items()):
        return False
    # The smallest window over one shifted position of each word, by a merge of their ascending position lists.
    lists = [[at - shift for at, token in enumerate(found) if token == word] for shift, word in enumerate(words)]
    heap = [(places[0], index, 0) for index, places in enumerate(lists)]
    heapq.heapify(heap)
    top = max(place for place, _, _ in heap)
    while True:
        low, index, step = heap[0]
        if top - low <= slop:
            return True
        if step + 1 == len(lists[index]):
            return False
        place = lists[index][step + 1]
        heapq.heapreplace(heap, (place, index, step + 1))
        top = max(top, place)


def _by_token(whole: Callable[[str], bool], token: Callable[[str], bool]) -> _AtPath:
    def test(subject: Subject, path: str) -> bool:
        if is_keyword(path):
            return any(map(whole, subject.wholes(path)))
        return any(token(word) for found in subject.tokens(path) for word in found)

    return test


def _whole_or_token(subject: Subject, path: str, test: Callable[[str], bool]) -> bool:
    if path not in subject.flat:
        return False
    if any(map(test, subject.wholes(path))):
        return True
    return not is_keyword(path) and any(test(word) for found in subject.tokens(path) for word in found)


def _range(query: ast.Range) -> _AtPath:
    low, high = query.low, query.high
    low_number = number(low) if low is not None else None
    high_number = number(high) if high is not None else None

    def inside(value: Scalar, lowered: bool) -> bool:
        value_number = number_of(value)
        text = text_of(value)[:MAX_WHOLE]
        if lowered:
            text = text.lower()
        if low is not None:
            if value_number is not None and low_number is not None:
                order = (value_number > low_number) - (value_number < low_number)
            else:
                end = low.lower() if lowered else low
                order = (text > end) - (text < end)
            if order < 0 or (order == 0 and not query.include_low):
                return False
        if high is not None:
            if value_number is not None and high_number is not None:
                order = (value_number > high_number) - (value_number < high_number)
            else:
                end = high.lower() if lowered else high
                order = (text > end) - (text < end)
            if order > 0 or (order == 0 and not query.include_high):
                return False
        return True

    def test(subject: Subject, path: str) -> bool:
        lowered = not is_keyword(path)
        return any(inside(value, lowered) for value in subject.flat[path])

    return test


def within(wanted: str, value: str, distance: int) -> bool:
    """True if at most `distance` edits (insert, delete, replace, swap of neighbours) lead from one text to the
    other.
    """
    if abs(len(wanted) - len(value)) > distance:
        return False
    if wanted == value:
        return True
    if not distance:
        return False
    over = distance + 1
    before: list[int] = []
    above = [min(column, over) for column in range(len(wanted) + 1)]
    for row, char in enumerate(value, 1):
        current = [over] * (len(wanted) + 1)
        if row <= distance:
            current[0] = row
        for column in range(max(1, row - distance), min(len(wanted), row + distance) + 1):
            cost = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (wanted[column - 1] != char))
            if row > 1 and column > 1 and wanted[column - 2] == char and wanted[column - 1] == value[row - 2]:
                cost = min(cost, before[column - 2] + 1)
            current[column] = min(cost, over)
        if min(current) > distance:
            return False
        before, above = above, current
    return above[-1] <= distance


def point(text: str) -> tuple[float, float] | None:
    """`lat,lng` in degrees as numbers, or None."""
    lat_text, comma, lng_text = text.partition(",")
    lat, lng = number(lat_text.strip()), number(lng_text.strip())
    if not comma or lat is None or lng is None or not isfinite(lat + lng) or abs(lat) > 90 or abs(lng) > 180:
        return None
    return lat, lng


def great_circle(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The distance of two points (degrees) in km."""
    lat_a, lng_a, lat_b, lng_b = map(radians, (*a, *b))
    chord = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lng_b - lng_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, chord)))


def _near(query: ast.Near) -> Predicate:
    center = (query.lat, query.lng)

    def test(subject: Subject) -> bool:
        places = (point(text_of(value)) for value in subject.flat.get("latlng", ()))
        return any(place is not None and great_circle(center, place) <= query.radius for place in places)

    return test


def _nested(path: str, inner: Predicate, without: str | None) -> Predicate:
    def test(subject: Subject) -> bool:
        entries = subject.fields.get(path)
        if not is_array(entries):
            return False
        found = [entry for entry in entries if is_object(entry)]
        if without is not None:
            found = [entry for entry in found if entry.get("id") != without] or found
        # The entry's fields are wrapped one level down, because only top-level fields can be keyword fields.
        return any(inner(Subject({path: entry})) for entry in found)

    return test


def _bool(query: ast.Bool) -> Predicate:
    must = [compile_query(part) for part in query.must]
    must_not = [compile_query(part) for part in query.must_not]
    should = [compile_query(part) for part in query.should]
    minimum = query.minimum

    def test(subject: Subject) -> bool:
        if not all(part(subject) for part in must) or any(part(subject) for part in must_not):
            return False
        if not minimum:
            return True
        found = 0
        for part in should:
            if part(subject):
                found += 1
                if found >= minimum:
                    return True
        return False

    return test
