"""Readings of one sensor: pages, windows, aggregates, and posting (hypermedia.md 8, 9; doors.md 4, 5, 11-13)."""

import asyncio
from collections.abc import Sequence

from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.doors.hypermedia.read import Reader, Row, numbers
from thingstead.model.errors import InvalidInput
from thingstead.model.hypermedia import buckets, documents, filters, pages, times
from thingstead.model.hypermedia.documents import DataDocument, Point
from thingstead.model.hypermedia.filters import Pairs
from thingstead.model.hypermedia.forms import Fields
from thingstead.model.hypermedia.links import Base
from thingstead.model.hypermedia.pages import Page, Window
from thingstead.model.objects import Object
from thingstead.model.paths import split
from thingstead.model.readings import AHEAD
from thingstead.model.values import Json, JsonObject, dump

SENSOR = ("sensor_id", "sensor")
BOUNDS = ("timestamp__gte", "timestamp__lt")
_CHUNK = 50_000
_LARGE = 5_000  # points that are too many to print in the event loop
_EXACT = 2**53


def sensor_id(query: Pairs) -> str:
    """The sensor that a query names. Raises InvalidInput."""
    found = filters.first(query, *SENSOR)
    if not found:
        raise InvalidInput("sensor_id is missing", field="sensor_id")
    return found


def _window(query: Pairs, now: int, default: int) -> Window:
    gte, lt = (filters.first(query, name) for name in BOUNDS)
    start = None if gte is None else times.read_seconds(gte, bound="lower", field=BOUNDS[0])
    end = None if lt is None else times.read_seconds(lt, bound="upper", field=BOUNDS[1])
    return pages.window(start, end, now, default=default)


class _Series:
    """The numbers of one series."""

    def __init__(self, backend: Backend, sensor: Object) -> None:
        series = sensor.hidden["series"]
        assert isinstance(series, int)
        self._number = series
        self._readings = backend.store.readings

    async def count(self, at: Window | None) -> int:
        start, end = (None, None) if at is None else (at.start, at.end)
        return await self._readings.count(self._number, start, end, numeric=True)

    async def window(self, at: Window) -> list[Row]:
        return numbers(await self._readings.window(self._number, at.start, at.end, numeric=True))

    async def page(self, at: Window | None, page: Page, *, newest: bool) -> list[Row]:
        if at is None:
            return numbers(await self._readings.page(self._number, page.offset, page.limit, numeric=True))
        limit = page.limit if newest else page.offset + page.limit
        rows = await self._readings.window(self._number, at.start, at.end, limit=limit, newest=newest, numeric=True)
        return numbers(reversed(rows) if newest else rows[page.offset :])

    async def aggregate(self, at: Window, width: int) -> list[buckets.Bucket]:
        found = buckets.Aggregation(width)
        span = buckets.raw(at, width)
        start = span.start
        while start < span.end:
            rows = await self._readings.window(self._number, start, span.end, limit=_CHUNK, numeric=True)
            found.add(numbers(rows))
            if len(rows) < _CHUNK:
                break
            start = rows[-1].time + 1
        return found.buckets()


async def history(backend: Backend, reader: Reader, base: Base, query: Pairs) -> DataDocument:
    """A page or a window of readings. Raises InvalidInput, NotFound."""
    id = sensor_id(query)
    _, sensor = await reader.sensor(id)
    series = _Series(backend, sensor)
    limit, offset = filters.first(query, "limit"), filters.first(query, "offset")
    extra = filters.without(query, (*SENSOR, *BOUNDS, *filters.PAGING))
    within: Window | None = None
    if any(name in BOUNDS for name, _ in query):
        within = _window(query, backend.clock.now(), pages.RECENT)
        if within.start >= within.end:
            return documents.data(base, id, extra, 0, (), at=None, within=within)
    total = await series.count(within)
    most = backend.settings.chain_max_points
    if within is not None and limit is None and offset is None:
        if total > most:
            raise InvalidInput(
                f"{total} readings are more than {most}: narrow the window, or use ch:aggregateData",
                field="timestamp__gte",
            )
        rows = await series.window(within)
        if len(rows) > _LARGE:
            return await asyncio.to_thread(documents.data, base, id, extra, total, rows, at=None, within=within)
        return documents.data(base, id, extra, total, rows, at=None, within=within)
    page = pages.data_page(limit, offset, total)
    if page.limit > most:
        page = pages.data_page(str(most), offset, total)
    newest = pages.is_newest(offset)
    rows = await series.page(within, page, newest=newest) if page.offset < total else []
    return documents.data(base, id, extra, total, rows, at=page, within=within, newest=newest)


async def aggregates(backend: Backend, reader: Reader, base: Base, query: Pairs) -> DataDocument:
    """Buckets of an hour, a day or a week. Raises InvalidInput, NotFound."""
    id = sensor_id(query)
    aggtime = filters.first(query, "aggtime") or ""
    width = buckets.width(aggtime)
    within = _window(query, backend.clock.now(), buckets.SPAN * width)
    _, sensor = await reader.sensor(id)
    found = await _Series(backend, sensor).aggregate(within, width)
    extra = filters.without(query, (*SENSOR, *BOUNDS, *filters.PAGING, "aggtime"))
    return documents.aggregates(base, id, aggtime, extra, within, found)


async def post(backend: Backend, app: str, sensor: Object, items: Sequence[Fields]) -> list[Point]:
    """Store readings, all in one submission; returns them as stored. Raises StoreFailed, or what refused them."""
    keys = split(str(sensor.custom["path"]))
    now = backend.clock.now()
    reports: list[Report] = []
    for item in items:
        number: float = item["value"]
        time: int | None = item.get("timestamp")
        value: Json = int(number) if number.is_integer() and abs(number) <= _EXACT else number
        for key in reversed(keys[1:]):  # a sensor below another door's object: only this leaf is set
            value = {key: value}
        reported: JsonObject = {keys[0]: value}
        reports.append(
            Report(
                app=app,
                thing=sensor.parentid or "",
                reported=reported,
                mode="set" if len(keys) == 1 else "merge",
                time=time if time is not None and time <= now + AHEAD else None,
                state_by_time=True,
                size=len(dump(reported)),
            )
        )
    if not reports:
        return []
    outcomes = await backend.ingest.accept(reports)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    rows = [
        (outcome.time if report.time is None else report.time, float(item["value"]))
        for item, report, outcome in zip(items, reports, outcomes, strict=True)
    ]
    return documents.points(rows)
