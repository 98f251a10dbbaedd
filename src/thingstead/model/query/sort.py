"""Sorting of hits (objects.md 6.7): several fields, numbers before texts, missing lowest, ties by `_docid` ascending.

Promises: a total order that engines and overlay share, so that their hits can be merged. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from thingstead.model.query.fields import DOCID, MAX_WHOLE, Flat, clean, number_of, text_of

SortKey: TypeAlias = tuple[int, float | int] | tuple[int, str] | tuple[int]
"""(0,) missing; (1, number); (2, text): compares by kind, then by value."""

Entry = TypeVar("Entry")
MISSING: SortKey = (0,)


@dataclass(frozen=True, slots=True)
class SortBy:
    """One sort field, `_docid` included."""

    field: str
    desc: bool


def parse_sort(text: str, desc: bool) -> tuple[SortBy, ...]:
    """`a`, or `a:desc,b:asc`; a part without suffix follows `desc`. Blank gives `timestamp`. Nothing stands after
    `_docid`, which is unique and leaves nothing to decide.
    """
    found: list[SortBy] = []
    for part in text.split(","):
        name, colon, suffix = part.strip().rpartition(":")
        known = colon and suffix.lower() in ("asc", "desc")
        field = clean((name if known else part).strip())
        if field:
            found.append(SortBy(field, suffix.lower() == "desc" if known else desc))
        if field == DOCID:
            break
    return tuple(found[:8]) or (SortBy("timestamp", desc),)


def sort_key(flat: Flat, docid: int, field: str) -> SortKey:
    """What an object is sorted by: a single number numerically, anything else by its (joined) text."""
    if field == DOCID:
        return (1, docid)
    values = flat.get(field)
    if not values:
        return MISSING
    if len(values) == 1 and (number := number_of(values[0])) is not None:
        return (1, number)
    return (2, " ".join(map(text_of, values))[:MAX_WHOLE])


def sort_keys(flat: Flat, docid: int, sort: Iterable[SortBy]) -> tuple[SortKey, ...]:
    """One key for each sort field."""
    return tuple(sort_key(flat, docid, by.field) for by in sort)


def in_order(
    entries: Iterable[Entry],
    sort: tuple[SortBy, ...],
    docid: Callable[[Entry], int],
    keys: Callable[[Entry], tuple[SortKey, ...]],
) -> list[Entry]:
    """The entries in the order of `sort`, then by docid ascending."""
    ordered = sorted(entries, key=docid)
    for position in range(len(sort) - 1, -1, -1):
        ordered.sort(key=lambda entry: keys(entry)[position], reverse=sort[position].desc)
    return ordered
