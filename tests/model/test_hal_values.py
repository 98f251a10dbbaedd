"""Times, negotiation and query strings of the hypermedia door read and print what hypermedia.md 1.2, 1.5 and 4 say."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import InvalidInput
from thingstead.model.hypermedia import filters, negotiation, times

SEED = 1_397_335_635_291_305  # 2014-04-12T20:47:15.291305Z


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2014-04-12T20:47:15.291305+00:00", SEED),
        ("2014-04-12T20:47:15.291305Z", SEED),
        ("2014-04-12 20:47:15.291305", SEED),
        ("2014-04-12t20:47:15.2913059999z", SEED),
        ("2014-04-12T16:47:15.291305-04:00", SEED),
        ("2014-04-12T16:47:15.291305-0400", SEED),
        ("2014-04-12T16:47:15.291305-04", SEED),
        ("2014-04-13T02:32:15.291305+05:45", SEED),
        ("2014-04-12T20:47:15.3Z", SEED + 8_695),
        ("2014-04-12T20:47Z", SEED - 15_291_305),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_body_times(text: str, micros: int) -> None:
    assert times.read_text(text, UTC) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2014-04-12",
        "20:47:15",
        "2014-04-12T20",
        "2014-02-30T00:00:00Z",
        "2014-04-12T24:30:00Z",
        "2014-04-12T20:47:60Z",
        "2014-04-12T20:47:15.Z",
        "2014-04-12T20:47:15+1",
        "2014-04-12T20:47:15 UTC",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1397335635",
        "٢٠١٤-04-12T20:47:15Z",
    ],
)
def test_body_times_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        times.read_text(text, UTC)
    assert refused.value.field == "timestamp"


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2015-11-01T00:59:59", 4), ("2015-11-01T02:00:00", 7), ("2015-03-08T01:59:59", 6), ("2015-03-08T03:00:00", 7)],
)
def test_local_times_beside_a_change_of_clocks(text: str, hour: int) -> None:
    found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=times.read_text(text, ZoneInfo("America/New_York"))
    )
    assert found.hour == hour


@pytest.mark.parametrize("text", ["2015-11-01T01:00:00", "2015-11-01 01:59:59.5", "2015-03-08T02:30:00"])
def test_local_times_that_are_double_or_missing(text: str) -> None:
    with pytest.raises(InvalidInput, match="ambiguous"):
        times.read_text(text, ZoneInfo("America/New_York"))
    assert times.read_text(text + "-05:00", ZoneInfo("America/New_York"))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_what_is_shown_reads_back(moment: datetime, offset: int) -> None:
    micros = times.read_text(moment.isoformat(), timezone(timedelta(minutes=offset)))
    shown = times.show(micros)
    assert shown.endswith("+00:00")
    assert times.read_text(shown, ZoneInfo("America/New_York")) == micros


@given(st.integers())
def test_any_stored_time_can_be_shown(micros: int) -> None:
    assert times.show(micros).endswith("+00:00")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("1602617712", 1_602_617_712_000_000),
        ("1508000000.123", 1_508_000_000_123_000),
        ("-1.5", -1_500_000),
        ("1.5e9", 1_500_000_000_000_000),
    ],
)
def test_seconds_of_filters(text: str, micros: int) -> None:
    assert times.read_seconds(text, bound="lower", field="timestamp__gte") == micros


@pytest.mark.parametrize(
    "text", ["", "NaN", "nan", "inf", "-Infinity", "hello", "1_000", "0x10", "1e300", "2014-04-12"]
)
def test_seconds_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid timestamp format for upper bound") as refused:
        times.read_seconds(text, bound="upper", field="timestamp__lt")
    assert refused.value.field == "timestamp__lt"


HAL, JSON, HTML = negotiation.HAL, negotiation.JSON, negotiation.HTML


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("application/json", JSON),
        ("application/hal+json", HAL),
        ("*/*", HAL),
        ("application/*", HAL),
        ("*/json", HAL),
        ("*/hal+json", HAL),
        ("foobar, */*", HAL),
        ("foobar", None),
        ("image/png", None),
        ("text/html", HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("application/hal+json, */*", HAL),
        ("application/hal+json,application/json", HAL),
        ("application/json, text/plain, */*", JSON),
        ("application/json;q=0.5, application/hal+json;q=0.9", HAL),
        ("application/prs.hal-forms+json;q=1.0, application/hal+json;q=0.9, application/json;q=0.7", HAL),
        ("Application/JSON; charset=utf-8", JSON),
        ("application/json;q=0", None),
        ("application/hal+json;q=0, */*", JSON),
        ("text/html;q=nonsense", HTML),
        (",,;", None),
    ],
)
def test_negotiation(accept: str | None, chosen: str | None) -> None:
    assert negotiation.choose(accept) == chosen


def test_a_type_that_is_given_only_when_named() -> None:
    assert negotiation.choose("application/schema+json", also=(negotiation.SCHEMA,)) == negotiation.SCHEMA
    assert negotiation.choose("application/schema+json") is None
    assert negotiation.choose("*/*", also=(negotiation.SCHEMA,)) == HAL


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("*/*", False),
        ("application/*", False),
        ("application/problem+json", True),
        ("application/json, application/problem+json;q=0.1", True),
        ("application/problem+json;q=0", False),
    ],
)
def test_problems_only_by_name(accept: str | None, wanted: bool) -> None:
    assert negotiation.wants_problem(accept) is wanted


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        ("", []),
        ("site_id=5&limit=30", [("site_id", "5"), ("limit", "30")]),
        ("sensor_id=263{&aggtime}", [("sensor_id", "263")]),
        ("sensor_id=263%7B&aggtime%7D", [("sensor_id", "263")]),
        ("sensor_id=263{&aggtime}&timestamp__gte=1", [("sensor_id", "263"), ("timestamp__gte", "1")]),
        ("name=a+b%20c&name=", [("name", "a b c"), ("name", "")]),
    ],
)
def test_queries(raw: str, pairs: filters.Pairs) -> None:
    assert filters.parse(raw) == pairs


def test_a_query_of_very_many_parameters_is_refused() -> None:
    with pytest.raises(InvalidInput):
        filters.parse("&".join("a=1" for _ in range(2000)))


DEVICE: dict[str, filters.Attribute] = {"id": "7", "name": "North Bed", "room": "", "active": True, "site__name": None}


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        ("name=North Bed", True),
        ("name=north bed", False),
        ("name__exact=North Bed", True),
        ("name__iexact=north BED", True),
        ("name__contains=th B", True),
        ("name__icontains=TH b", True),
        ("name__startswith=North", True),
        ("name__istartswith=nor", True),
        ("name__endswith=Bed", True),
        ("name__iendswith=bED", True),
        ("name__in=South,North Bed", True),
        ("name__in=South,West", False),
        ("name__gt=North", True),
        ("name__gte=North Bed", True),
        ("name__lt=North", False),
        ("name__lte=North Bed", True),
        ("active=true", True),
        ("active=True", True),
        ("active=1", True),
        ("active=false", False),
        ("active__in=false,true", True),
        ("site__name__isnull=true", True),
        ("name__isnull=true", False),
        ("site__name=x", False),
        ("id=7&room=", True),
        ("name=North Bed&room=5", False),
        ("site_id=5&limit=3&offset=1", True),
    ],
)
def test_filters(raw: str, passes: bool) -> None:
    found = filters.read("devices", filters.parse(raw))
    assert all(condition.holds(DEVICE) for condition in found) is passes


@pytest.mark.parametrize(
    "raw", ["colour=red", "name__regex=.*", "password=1", "active=perhaps", "name__isnull=perhaps", "__exact=1", "=1"]
)
def test_unknown_filters_are_refused(raw: str) -> None:
    with pytest.raises(InvalidInput):
        filters.read("devices", filters.parse(raw))
