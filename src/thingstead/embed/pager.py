"""Which part of the hits is wanted; searches and `read_page` write into it what they found (objects.md 6.2, 21)."""

import msgspec

from thingstead.model.query.build import Limits
from thingstead.model.settings import Settings


class Pager(msgspec.Struct):
    """`page` counts from 1; 0 is the same as 1. `sort` as in `sort=` of /v1. After a call `count` is the number of all
    hits and `last_key` the cursor behind the last one: hand the pager in again to go on from there.
    """

    limit: int = 30
    page: int = 0
    sort: str = ""
    desc: bool = True
    last_key: str = ""
    count: int = 0

    def params(self) -> dict[str, list[str]]:
        """The parameters of a search request."""
        return {
            "limit": [str(self.limit)],
            "page": [str(self.page)],
            "sort": [self.sort],
            "desc": [str(self.desc).lower()],
            "lastKey": [self.last_key],
        }


def limits_of(settings: Settings) -> Limits:
    """How far a pager may reach."""
    return Limits(settings.max_items_per_page, settings.max_page_limit, settings.max_pages)
