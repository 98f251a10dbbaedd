"""The history of one thing as kits and `/readings` show it (things.md 9, 10.4): per sensor, windowed, paged, summed up.

Promises: values as stored (`model.readings.value_of`), times in microseconds; pages neither skip nor repeat a reading
while no reading is added. Sensors are named by path (doors.md 8). Does not know who may read.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from thingstead.model.errors import InvalidInput
from thingstead.model.readings import value_of
from thingstead.model.shadow import Shadow
from thingstead.model.values import Json
from thingstead.ports.store import Reading, ReadingReads

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
PARAMETERS: Final = {
    "from": "not before this time: milliseconds, or as in RFC 3339",
    "to": "before this time",
    "limit": f"how many of each sensor, at most {MAX_LIMIT}",
    "order": "`desc`, newest first, or `asc`",
    "sensor": "the path of a sensor; may be repeated",
    "agg": "`avg`, `min`, `max`, `count`, `sum`, `first` or `last`, of each `bucket`",
    "bucket": "the width of a bucket: `60s`, `5m`, `1h`, `1d`",
    "cursor": "where the page before ended",
}
"""Query parameters of a window -> what each is."""
MAX_AGGREGATED: Final = 100_000  # readings of one sensor that one request may aggregate
_SECOND: Final = 1_000_000
_UNITS: Final = {"s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86_400 * _SECOND}
_MAX_MS: Final = 253_402_300_800_000  # the year 10000
_MAX_CURSOR: Final = 65_536

Point = tuple[int, Json]
Aggregate = Literal["avg", "min", "max", "count", "sum", "first", "last"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings: start <= time < end (None: open), at most `limit` of each sensor, newest or oldest first."""

    start: int | None = None
    end: int | None = None
    limit: int = DEFAULT_LIMIT
    newest: bool = True
    sensors: tuple[str, ...] = ()  # paths; empty: every sensor that has readings in range
    aggregate: Aggregate | None = None
    bucket: int = 0  # width in microseconds, aligned to the epoch
    positions: Mapping[str, int] | None = None  # of a cursor: path -> where its next page begins


class History(msgspec.Struct, frozen=True):
    """Points by path, and the cursor of the next page, "" at the end."""

    points: Mapping[str, list[Point]]
    cursor: str


async def read(readings: ReadingReads, shadow: Shadow, window: Window) -> History:
    """The window of a thing's history. Raises InvalidInput when there is too much to aggregate."""
    series = {path: leaf.series for path, leaf in shadow.leaves.items() if leaf.series}
    wanted: Sequence[str] = window.sensors or sorted(series)
    if window.positions is not None:
        wanted = [path for path in wanted if path in window.positions]
    points: dict[str, list[Point]] = {}
    following: dict[str, int] = {}
    for path in wanted:
        found = await _points(readings, series[path], path, window) if path in series else []
        if len(found) > window.limit:
            del found[window.limit :]
            last = found[-1][0]
            following[path] = last if window.newest else last + (window.bucket or 1)
        if found or window.sensors:
            points[path] = found
    return History(points, _cursor(following) if following else "")


async def _points(readings: ReadingReads, series: int, path: str, window: Window) -> list[Point]:
    """One more than the limit, if there is one more."""
    start, end = window.start, window.end
    if window.positions is not None:
        if window.newest:
            end = window.positions[path]
        else:
            start = window.positions[path]
    if window.aggregate is None:
        rows = await readings.window(series, start, end, limit=window.limit + 1, newest=window.newest)
        return [(row.time, value_of(row.value, row.text)) for row in rows]
    rows = await readings.window(series, start, end, limit=MAX_AGGREGATED + 1)
    if len(rows) > MAX_AGGREGATED:
        raise InvalidInput(f"more than {MAX_AGGREGATED} readings to aggregate; narrow the range", field="from")
    found = aggregated(rows, window.aggregate, window.bucket)
    return found[::-1] if window.newest else found


def aggregated(rows: Sequence[Reading], aggregate: Aggregate, bucket: int) -> list[Point]:
    """One point per bucket that holds numbers: (start of the bucket, aggregate). `rows` ascend by time."""
    buckets: dict[int, list[float]] = {}
    for row in rows:
        if row.value is not None and row.text is None:
            buckets.setdefault(row.time - row.time % bucket, []).append(row.value)
    fold = _FOLDS[aggregate]
    return [(start, value_of(fold(values), None)) for start, values in buckets.items()]


_FOLDS: Final[Mapping[Aggregate, Callable[[list[float]], float]]] = {
    "avg": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
    "sum": math.fsum,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}


def window_of(query: Sequence[tuple[str, str]]) -> Window:
    """The window that query parameters ask for (things.md 10.4). Raises InvalidInput naming the parameter."""
    given = dict(query)
    order = given.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidInput("order must be asc or desc", field="order")
    aggregate, bucket = _aggregate(given)
    return Window(
        start=time_of(given["from"], "from") if "from" in given else None,
        end=time_of(given["to"], "to") if "to" in given else None,
        limit=limit_of(given.get("limit")),
        newest=order == "desc",
        sensors=tuple(dict.fromkeys(value for name, value in query if name == "sensor")),
        aggregate=aggregate,
        bucket=bucket,
        positions=_positions(given["cursor"]) if given.get("cursor") else None,
    )


def limit_of(text: str | None) -> int:
    """A page size; larger ones are cut to MAX_LIMIT. Raises InvalidInput."""
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit()) or not int(text[:9]):
        raise InvalidInput("limit must be a positive number", field="limit")
    return min(int(text[:9]), MAX_LIMIT)


def time_of(text: str, field: str) -> int:
    """Microseconds of a time in ms since the epoch or in RFC 3339. Raises InvalidInput."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 15 and abs(int(text)) < _MAX_MS:
        return int(text) * 1000
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of an offset
        if moment.tzinfo is not None:
            return round(moment.timestamp() * _SECOND)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{field} must be milliseconds or a time as in RFC 3339", field=field)


def _aggregate(given: Mapping[str, str]) -> tuple[Aggregate | None, int]:
    name, width = given.get("agg"), given.get("bucket")
    if name is None and width is None:
        return None, 0
    for aggregate in _FOLDS:
        if aggregate == name:
            break
    else:
        raise InvalidInput("agg must be one of " + ", ".join(_FOLDS), field="agg")
    digits, unit = (width or "")[:-1], (width or "")[-1:]
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit() and len(digits) < 7) or not int(digits):
        raise InvalidInput("bucket must be a width such as 60s, 5m, 1h or 1d", field="bucket")
    return aggregate, int(digits) * _UNITS[unit]


def _cursor(positions: Mapping[str, int]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(positions)).rstrip(b"=").decode()


_positions_decoder = msgspec.json.Decoder(dict[str, int])


def _positions(text: str) -> Mapping[str, int]:
    try:
        if len(text) <= _MAX_CURSOR:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            positions = _positions_decoder.decode(raw)
            if all(abs(position) < _MAX_MS * 1000 for position in positions.values()):
                return positions
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        pass
    raise InvalidInput("cursor is none of ours", field="cursor")
