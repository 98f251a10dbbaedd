"""Page links exist exactly when there is something there, and following them loses nothing (hypermedia.md 4, 8, 9)."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import InvalidInput
from thingstead.model.hypermedia import buckets, links, pages, times
from thingstead.model.hypermedia.pages import Page, Window
from thingstead.model.values import JsonObject

BASE = links.base("http", "chain.example", "")


def text(found: JsonObject, rel: str, member: str = "href") -> str:
    link = found[rel]
    assert isinstance(link, dict)
    value = link[member]
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize(
    ("limit", "offset", "page"),
    [
        (None, None, Page(30, 0)),
        ("20", "40", Page(20, 40)),
        ("1000", None, Page(1000, 0)),
        ("30000", "0", Page(30000, 0)),
        ("0", "-5", Page(30, 0)),
        ("-1", "x", Page(30, 0)),
        ("ten", "1.5", Page(30, 0)),
        ("9" * 40, "9" * 40, Page(2**53, 2**53)),
    ],
)
def test_pages(limit: str | None, offset: str | None, page: Page) -> None:
    assert pages.page(limit, offset) == page


@pytest.mark.parametrize(
    ("limit", "offset", "total", "page"),
    [
        (None, None, 69148, Page(500, 68648)),
        (None, None, 3, Page(500, 0)),
        ("20", None, 1500, Page(20, 1480)),
        (None, "0", 1500, Page(500, 0)),
        ("7", "14", 1500, Page(7, 14)),
        (None, "words", 1500, Page(500, 1000)),
    ],
)
def test_pages_of_readings(limit: str | None, offset: str | None, total: int, page: Page) -> None:
    assert pages.data_page(limit, offset, total) == page


def test_links_of_the_seed() -> None:
    page = pages.data_page(None, None, 69148)
    found = pages.count_links(BASE, "sensordata", [("sensor_id", "263")], page, 69148, newest=True)
    href = "http://chain.example/sensordata/?sensor_id=263&limit=500&offset="
    assert found == {
        "first": {"href": href + "0", "title": "0 through 499"},
        "previous": {"href": href + "68148", "title": "68148 through 68647"},
    }


@pytest.mark.parametrize(
    ("page", "total", "rels"),
    [
        (Page(30, 0), 30, set[str]()),
        (Page(30, 0), 0, set[str]()),
        (Page(30, 0), 31, {"next", "last"}),
        (Page(30, 30), 31, {"first", "previous"}),
        (Page(30, 30), 61, {"first", "previous", "next", "last"}),
        (Page(30, 10), 40, {"first", "previous"}),
    ],
)
def test_which_links_exist(page: Page, total: int, rels: set[str]) -> None:
    assert set(pages.count_links(BASE, "sites", [], page, total)) == rels


def test_titles_count_from_zero_and_stop_at_the_end() -> None:
    found = pages.count_links(BASE, "sites", [], Page(30, 0), 45)
    assert text(found, "next", "title") == "30 through 44"
    assert text(found, "last").endswith("/sites/?limit=30&offset=30")
    full = pages.count_links(BASE, "sites", [], Page(30, 0), 60)
    assert text(full, "last").endswith("offset=30")  # not an empty page


@given(st.integers(1, 50), st.integers(0, 300))
def test_following_next_visits_everything_once(limit: int, total: int) -> None:
    seen: list[int] = []
    page = pages.page(str(limit), None)
    while True:
        seen.extend(range(total)[page.offset : page.offset + page.limit])
        found = pages.count_links(BASE, "sites", [], page, total)
        if "next" not in found:
            break
        query = dict(parse_qsl(urlsplit(text(found, "next")).query))
        page = pages.page(query["limit"], query["offset"])
    assert seen == list(range(total))


NOW = 1_700_021_600 * times.SECOND


def test_windows() -> None:
    six_hours = 6 * 3600 * times.SECOND
    assert pages.window(None, None, NOW) == Window(NOW - six_hours, NOW)
    assert pages.window(5, None, NOW) == Window(5, NOW)
    assert pages.window(None, 5, NOW) == Window(NOW - six_hours, 5)  # counted from now, so empty


def test_links_of_a_window() -> None:
    at = Window(1_700_000_000 * times.SECOND, NOW)
    found = pages.window_links(BASE, "sensordata", [("sensor_id", "263")], at)
    href = "http://chain.example/sensordata/?sensor_id=263&timestamp__gte={}&timestamp__lt={}"
    assert found["self"] == {"href": href.format(1_700_000_000, 1_700_021_600)}
    assert text(found, "previous") == href.format(1_699_978_400, 1_700_000_000)
    assert text(found, "next") == href.format(1_700_021_600, 1_700_043_200)
    assert text(found, "next", "title") == "2023-11-15 04:13:20+00:00 to 2023-11-15 10:13:20+00:00"


seconds = st.integers(times.EARLIEST, times.LATEST)


@given(seconds, seconds)
def test_neighbours_of_a_window_leave_no_gap_and_can_be_followed(start: int, end: int) -> None:
    found = pages.window_links(BASE, "sensordata", [], Window(start, end))
    for rel in ("self", "previous", "next"):
        query = dict(parse_qsl(urlsplit(text(found, rel)).query))
        low = times.read_seconds(query["timestamp__gte"], bound="lower", field="x")
        high = times.read_seconds(query["timestamp__lt"], bound="upper", field="x")
        if rel == "self":
            assert low <= start
            assert high >= end
        else:
            assert low < high
        if rel == "previous" and start < end and low > times.EARLIEST + times.SECOND:
            assert high >= start // times.SECOND * times.SECOND


HOUR = 3600 * times.SECOND


def test_weeks_begin_on_thursday() -> None:
    found = buckets.Aggregation(buckets.width("1w"))
    friday = times.read_text("2023-11-17T12:00:00Z", times.UTC)
    found.add([(friday, 2.0)])
    assert times.show(found.buckets()[0].start) == "2023-11-16T00:00:00+00:00"


@pytest.mark.parametrize("aggtime", [None, "", "1s", "1H", "2h"])
def test_other_buckets_are_refused(aggtime: str | None) -> None:
    with pytest.raises(InvalidInput, match="aggtime must be 1h, 1d or 1w"):
        buckets.width(aggtime)


def test_a_bucket_belongs_to_a_window_by_its_start() -> None:
    assert buckets.raw(Window(HOUR + 1, 3 * HOUR), HOUR) == Window(2 * HOUR, 3 * HOUR)
    assert buckets.raw(Window(HOUR, 3 * HOUR + 1), HOUR) == Window(HOUR, 4 * HOUR)


floats = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(st.integers(-(10**15), 10**15), floats), max_size=60), st.sampled_from(["1h", "1d", "1w"]))
def test_aggregates_agree_with_the_points(points: list[tuple[int, float]], aggtime: str) -> None:
    width = buckets.width(aggtime)
    found = buckets.Aggregation(width)
    for point in points:
        found.add([point])
    shown = found.buckets()
    assert [b.start for b in shown] == sorted({t // width * width for t, _ in points})
    for bucket in shown:
        values = [v for t, v in points if t // width * width == bucket.start]
        assert (bucket.count, bucket.min, bucket.max) == (len(values), min(values), max(values))
        assert bucket.min <= bucket.mean <= bucket.max
        assert bucket.mean == pytest.approx(sum(values) / len(values), abs=1e-5)
