"""Page arithmetic (hypermedia.md 4, 8): which part of a list is meant, and the links to the others. Pure."""

from typing import Final

import msgspec

from thingstead.model.hypermedia.links import Base, Query, link, listing
from thingstead.model.hypermedia.times import EARLIEST, LATEST, SECOND, show_title
from thingstead.model.values import JsonObject

PAGE: Final = 30
SENSORS: Final = 1000  # clients read the sensors of a device once, without following pages
POINTS: Final = 500
RECENT: Final = 6 * 3600 * SECOND  # the lower bound of a window that names none
_HIGHEST: Final = 2**53


class Page(msgspec.Struct, frozen=True):
    """`limit` items from the `offset`-th on."""

    limit: int
    offset: int


class Window(msgspec.Struct, frozen=True):
    """start <= time < end, microseconds UTC."""

    start: int
    end: int


def number(text: str | None) -> int | None:
    """A paging parameter; zero, negative and what is no number count as not given."""
    if text is None or not text.strip().isdecimal():
        return None
    return min(int(text.strip()[:20]), _HIGHEST) or None


def page(limit: str | None, offset: str | None, *, default: int = PAGE) -> Page:
    """The page that a request on a collection means."""
    return Page(number(limit) or default, number(offset) or 0)


def is_newest(offset: str | None) -> bool:
    """True if a page of readings without a usable offset is meant: the newest one."""
    return offset is None or not offset.strip().isdecimal()


def data_page(limit: str | None, offset: str | None, total: int) -> Page:
    """The page of readings: without an offset the newest ones, else counted from the oldest."""
    size = number(limit) or POINTS
    return Page(size, max(0, total - size) if is_newest(offset) else number(offset) or 0)


def count_links(base: Base, path: str, filters: Query, at: Page, total: int, *, newest: bool = False) -> JsonObject:
    """first, previous, next, last, as far as they exist. `newest`: the page is the tail, so nothing follows."""

    def to(offset: int) -> JsonObject:
        href = listing(base, path, [*filters, ("limit", str(at.limit)), ("offset", str(offset))])
        return link(href, f"{offset} through {max(offset, min(offset + at.limit, total) - 1)}")

    out: JsonObject = {}
    if at.offset > 0:
        out["first"] = to(0)
        out["previous"] = to(max(0, at.offset - at.limit))
    if not newest and at.offset + at.limit < total:
        out["next"] = to(at.offset + at.limit)
        out["last"] = to((total - 1) // at.limit * at.limit)
    return out


def window(start: int | None, end: int | None, now: int, *, default: int = RECENT) -> Window:
    """The window that a request means; a missing start is counted back from now, not from the end."""
    return Window(now - default if start is None else start, now if end is None else end)


def bounds(window: Window) -> list[tuple[str, str]]:
    """The filters of a window, in whole seconds that cover it."""
    return [
        ("timestamp__gte", str(window.start // SECOND)),
        ("timestamp__lt", str(-(-window.end // SECOND))),
    ]


def window_links(base: Base, path: str, filters: Query, at: Window) -> JsonObject:
    """self, previous, next: windows of the same length, in whole seconds, that leave no gap."""

    def to(start: int, title: bool = True) -> JsonObject:
        start = min(max(start, _FIRST), _LAST - length)
        end = start + length
        pairs = [*filters, ("timestamp__gte", str(start)), ("timestamp__lt", str(end))]
        words = f"{show_title(start * SECOND)} to {show_title(end * SECOND)}"
        return link(listing(base, path, pairs), words if title else None)

    start, end = at.start // SECOND, -(-at.end // SECOND)
    length = min(max(1, end - start), _LAST - _FIRST)
    itself = link(listing(base, path, [*filters, *bounds(at)]))
    return {"self": itself, "previous": to(start - length), "next": to(start + length)}


_FIRST: Final = -(-EARLIEST // SECOND)
_LAST: Final = LATEST // SECOND
