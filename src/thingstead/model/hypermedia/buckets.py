"""Aggregates of readings by hour, day and week (hypermedia.md 9). Pure.

Buckets are aligned to the Unix epoch in UTC, so weeks begin on Thursday. A bucket belongs to a window by its start.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from thingstead.model.errors import InvalidInput
from thingstead.model.hypermedia.pages import Window
from thingstead.model.hypermedia.times import SECOND

SPAN: Final = 500  # buckets of a request without a lower bound
WIDTHS: Final = {"1h": 3600 * SECOND, "1d": 86_400 * SECOND, "1w": 604_800 * SECOND}


class Bucket(msgspec.Struct):
    """What is known of one bucket; `start` in microseconds UTC."""

    start: int
    min: float
    max: float
    sum: float
    count: int

    @property
    def mean(self) -> float:
        """Over the raw points, kept within their range where the sum was rounded."""
        return min(max(self.sum / self.count, self.min), self.max)


def width(aggtime: str | None) -> int:
    """Microseconds of a bucket. Raises InvalidInput."""
    found = WIDTHS.get(aggtime or "")
    if found is None:
        raise InvalidInput("aggtime must be 1h, 1d or 1w", field="aggtime")
    return found


def raw(at: Window, width: int) -> Window:
    """The raw points of all buckets whose start lies in a window."""
    return Window(-(-at.start // width) * width, -(-at.end // width) * width)


class Aggregation:
    """Takes points in any order; gives the buckets that are not empty, ascending."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._buckets: dict[int, Bucket] = {}

    def add(self, points: Iterable[tuple[int, float]]) -> None:
        """Take (time, value) pairs."""
        for time, value in points:
            start = time // self._width * self._width
            bucket = self._buckets.get(start)
            if bucket is None:
                self._buckets[start] = Bucket(start, value, value, value, 1)
                continue
            bucket.min = min(bucket.min, value)
            bucket.max = max(bucket.max, value)
            bucket.sum += value
            bucket.count += 1

    def buckets(self) -> list[Bucket]:
        """All of them."""
        return [self._buckets[start] for start in sorted(self._buckets)]
