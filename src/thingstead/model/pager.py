"""The pager: which part of a result is asked for (objects.md 6.2). Pure."""

from collections.abc import Callable
from typing import Final

import msgspec

from thingstead.model.settings import DEFAULTS, Settings

MAX_DIGITS: Final = 18  # longer numbers are capped by any limit anyway


class Pager(msgspec.Struct, frozen=True):
    """A page of a result. `page` 0 and 1 are the same page; `last_key` is the search-after cursor, "" without one."""

    page: int = 0
    limit: int = DEFAULTS.max_items_per_page
    sort: str = "timestamp"
    desc: bool = True
    last_key: str = ""

    @property
    def offset(self) -> int:
        """Hits before the page."""
        return max(self.page - 1, 0) * self.limit


def read_pager(first: Callable[[str], str | None], settings: Settings = DEFAULTS) -> Pager:
    """The pager of query parameters; `first` gives a parameter's first value. What is no number counts as not given.

    >>> read_pager({"page": "-2", "limit": "999", "desc": "1"}.get)
    Pager(page=2, limit=256, sort='timestamp', desc=False, last_key='')
    """
    desc = first("desc")
    return Pager(
        page=min(_number(first("page"), 0), settings.max_pages),
        limit=min(_number(first("limit"), settings.max_items_per_page), settings.max_page_limit),
        sort=(first("sort") or "").strip() or "timestamp",
        desc=desc is None or desc.strip().lower() == "true",
        last_key=(first("lastKey") or "").strip(),
    )


def _number(text: str | None, default: int) -> int:
    text = (text or "").strip()
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        return default
    return int(digits) if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS
