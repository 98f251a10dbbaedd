"""JSON from outside, within bounds (identity.md 13): how deep, how wide, how long its numbers. Pure.

The bounds keep what walks through a value short: no recursion without an end, no number that takes a second to read.
"""

import re
from collections.abc import Iterable
from typing import Final

from thingstead.model.errors import InvalidInput
from thingstead.model.values import Json, JsonObject, parse

MAX_DEPTH: Final = 64
MAX_MEMBERS: Final = 10_000
MAX_DIGITS: Final = 100

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_DIGITS: Final = bytes(ord("0") if byte in b"0123456789.eE+-" else ord(" ") for byte in range(256))  # for translate
_LONG_NUMBER: Final = b"0" * (MAX_DIGITS + 1)


def bounded(body: bytes, *, members: int = MAX_MEMBERS) -> Json:
    """The JSON of a body. `members`: most of one array or object. Raises MalformedBody, InvalidInput."""
    if _LONG_NUMBER in body.translate(_DIGITS) and _LONG_NUMBER in _STRING.sub(b'""', body).translate(_DIGITS):
        raise _over(f"a number has more than {MAX_DIGITS} digits")
    value = parse(body)
    # Few brackets and commas cannot nest deeply or have many members: nothing to walk through as a rule.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or body.count(b",") >= members:
        _check_shape(value, members)
    return value


def _check_shape(value: Json, members: int) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        below: list[JsonObject | list[Json]] = []
        for item in level:
            if len(item) > members:
                raise _over(f"an array or object has more than {members} members")
            below += _containers(item.values() if isinstance(item, dict) else item)
        level = below
    if level:
        raise _over(f"the JSON nests deeper than {MAX_DEPTH} levels")


def _containers(values: Iterable[Json]) -> list[JsonObject | list[Json]]:
    return [value for value in values if type(value) is dict or type(value) is list]  # twice as fast as isinstance


def _over(message: str) -> InvalidInput:
    return InvalidInput(message, field="body", details={"limit": "shape"})
