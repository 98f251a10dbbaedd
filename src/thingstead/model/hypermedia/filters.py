"""Query strings of the hypermedia door (hypermedia.md 1.1, 4): parsing, and filters on collections. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from thingstead.model.errors import InvalidInput

Pairs = list[tuple[str, str]]
Attribute = str | bool | None

PAGING: Final = frozenset({"limit", "offset"})
_TEMPLATE: Final = re.compile(r"(?:\{|%7B).*?(?:\}|%7D)", re.IGNORECASE)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

PARENTS: Final[Mapping[str, Sequence[str]]] = {
    "sites": (),
    "devices": ("site_id", "site"),
    "sensors": ("device_id", "device"),
}
ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "sites": frozenset({"id", "name", "rawZMQStream"}),
    "devices": frozenset({"id", "name", "description", "building", "floor", "room", "active", "site__name"}),
    "sensors": frozenset({"id", "metric", "unit", "active", "device__name", "device__site_id"}),
}
_SAME: Final = {"metric__name": "metric", "unit__name": "unit", "device__site": "device__site_id", "pk": "id"}


def parse(raw: str) -> Pairs:
    """The parameters in order; left-over templates (`{&aggtime}`, also percent-encoded) are cut out first.

    >>> parse("sensor_id=263{&aggtime}"), parse("sensor_id=263%7B&aggtime%7D")
    ([('sensor_id', '263')], [('sensor_id', '263')])
    """
    try:
        return parse_qsl(_TEMPLATE.sub("", raw), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise InvalidInput("too many parameters", field="query") from None


def first(pairs: Iterable[tuple[str, str]], *names: str) -> str | None:
    """The value of the first parameter with one of these names."""
    return next((value for name, value in pairs if name in names), None)


def without(pairs: Iterable[tuple[str, str]], names: Iterable[str]) -> Pairs:
    """The parameters that have none of these names."""
    left = frozenset(names)
    return [(name, value) for name, value in pairs if name not in left]


def truth(text: str) -> bool | None:
    """A boolean as text; None if it is none."""
    lowered = text.strip().lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


class Filter(msgspec.Struct, frozen=True):
    """One condition on one attribute."""

    attribute: str
    lookup: str
    text: str

    def holds(self, values: Mapping[str, Attribute]) -> bool:
        """True if an item with these attributes passes."""
        value = values.get(self.attribute)
        if self.lookup == "isnull":
            return (value is None) == truth(self.text)
        if value is None:
            return False
        if isinstance(value, bool):
            wanted = [truth(part) for part in (self.text.split(",") if self.lookup == "in" else [self.text])]
            return value in wanted
        return _LOOKUPS[self.lookup](value, self.text)


_LOOKUPS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": lambda value, text: value == text,
    "iexact": lambda value, text: value.lower() == text.lower(),
    "contains": lambda value, text: text in value,
    "icontains": lambda value, text: text.lower() in value.lower(),
    "startswith": lambda value, text: value.startswith(text),
    "istartswith": lambda value, text: value.lower().startswith(text.lower()),
    "endswith": lambda value, text: value.endswith(text),
    "iendswith": lambda value, text: value.lower().endswith(text.lower()),
    "gt": lambda value, text: value > text,
    "gte": lambda value, text: value >= text,
    "lt": lambda value, text: value < text,
    "lte": lambda value, text: value <= text,
    "in": lambda value, text: value in text.split(","),
}


def read(collection: str, pairs: Pairs) -> list[Filter]:
    """The filters of a request on a collection, without its parent and paging. Raises InvalidInput for unknown ones."""
    found: list[Filter] = []
    for name, text in without(pairs, (*PAGING, *PARENTS[collection])):
        attribute, _, lookup = name.rpartition("__")
        if not attribute or not (lookup in _LOOKUPS or lookup == "isnull"):
            attribute, lookup = name, "exact"
        attribute = _SAME.get(attribute, attribute)
        if attribute not in ATTRIBUTES[collection]:
            raise InvalidInput(f"unknown filter {name[:60]!r}", field=name[:60])
        if (lookup == "isnull" or (attribute == "active" and lookup in ("exact", "iexact"))) and truth(text) is None:
            raise InvalidInput(f"{name} must be true or false", field=name)
        found.append(Filter(attribute, lookup, text))
    return found
