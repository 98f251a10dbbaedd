"""Which representation a request gets (hypermedia.md 1.4, 1.5). Pure; RFC 9110 weights, ties by order of listing."""

from collections.abc import Collection
from typing import Final

JSON: Final = "application/json"
HAL: Final = "application/hal+json"
HTML: Final = "text/html"
SCHEMA: Final = "application/schema+json"
PROBLEM: Final = "application/problem+json"

_ANY: Final = frozenset({"*/*", "application/*", "*/json", "*/hal+json"})
_DOCUMENT: Final = (HAL, JSON, HTML)


def ranges(accept: str) -> list[tuple[str, float]]:
    """(media range, weight), the heaviest first; parameters other than `q` are ignored."""
    found: list[tuple[str, float]] = []
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _weight(value.strip())
        if name:
            found.append((name, weight))
    return sorted(found, key=lambda pair: -pair[1])


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0.0 <= weight <= 1.0 else 1.0


def choose(accept: str | None, *, also: Collection[str] = (), wildcard: str = HAL) -> str | None:
    """The type of the answer; None: nothing acceptable (406). `also` are types given only when named.

    >>> choose(None), choose("foobar, */*"), choose("foobar")
    ('application/json', 'application/hal+json', None)
    """
    if accept is None or not accept.strip():
        return JSON
    wanted = ranges(accept)
    refused = {name for name, weight in wanted if weight == 0.0}
    for name, weight in wanted:
        if weight == 0.0:
            break
        if name in _ANY:
            for offered in (wildcard, *_DOCUMENT):
                if offered not in refused:
                    return offered
        elif (name in _DOCUMENT or name in also) and name not in refused:
            return name
    return None


def wants_problem(accept: str | None) -> bool:
    """True if RFC 9457 problems were asked for by name."""
    return accept is not None and any(name == PROBLEM and weight for name, weight in ranges(accept))
