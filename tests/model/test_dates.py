"""Dates by Java's patterns come out as Java writes them (objects.md 12), in any language that Babel knows."""

import doctest
from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest
from babel.dates import format_date as babel_date
from hypothesis import given
from hypothesis import strategies as st

from thingstead.core.locales import is_english, names_of
from thingstead.model import dates
from thingstead.model.dates import US_ENGLISH, format_date
from thingstead.model.errors import InvalidInput

MOMENT = datetime(2026, 1, 5, 13, 7, 9, 40_999, timezone(timedelta(hours=-5, minutes=-30), "XST"))
MIDNIGHT = datetime(2027, 11, 23, 0, 0, 0, tzinfo=UTC)


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(dates) == (0, 1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("M d yyyy", "1 5 2026"),
        ("MM dd yyyy", "01 05 2026"),
        ("yyyy-MM-dd", "2026-01-05"),
        ("yy y yyy yyyyy", "26 2026 2026 02026"),
        ("MMM MMMM MMMMM L", "Jan January January 1"),
        ("E EEE EEEE u", "Mon Mon Monday 1"),
        ("h hh H HH k K a", "1 01 13 13 13 1 PM"),
        ("m mm s ss S SSS SSSS", "7 07 9 09 40 040 0040"),
        ("D DDD F w W", "5 005 1 2 2"),
        ("G YYYY", "AD 2026"),
        ("z Z ZZ", "XST -0530 -05:30"),
        ("X XX XXX", "-05 -0530 -05:30"),
        ("yyyy-MM-dd'T'HH:mm:ss", "2026-01-05T13:07:09"),
        ("hh 'o''clock'", "01 o'clock"),
        ("''yy''", "'26'"),
        ("''''", "''"),
        ("", ""),
        ("., /-:日", "., /-:日"),
    ],
)
def test_patterns(pattern: str, expected: str) -> None:
    assert format_date(MOMENT, pattern) == expected


def test_midnight_and_utc() -> None:
    assert format_date(MIDNIGHT, "h hh H k K a X XXX Z") == "12 12 0 24 0 AM Z Z +0000"


@pytest.mark.parametrize("pattern", ["b", "yyyy Q", "A", "'open", "it's", "XXXX", "yyyyT"])
def test_a_pattern_that_means_nothing_is_told(pattern: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        format_date(MOMENT, pattern)
    assert refused.value.field == "format"


@given(st.dates(date(1900, 1, 1), date(2200, 12, 31)))
def test_weeks_as_iso_counts_them(day: date) -> None:
    iso = msgspec.structs.replace(US_ENGLISH, first_day=0, least_days=4)
    year, week, _ = day.isocalendar()
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert format_date(moment, "YYYY w", iso) == f"{year} {week}"


@given(st.dates(date(1900, 1, 1), date(2200, 12, 31)), st.sampled_from(["en_US", "de_DE", "fr_FR", "pt_BR", "ar_EG"]))
def test_names_and_weeks_as_babel_writes_them(day: date, locale: str) -> None:
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for pattern in ("d MMM", "d MMMM", "EEEE", "w"):
        expected = babel_date(day, pattern, locale=locale)
        assert format_date(moment, pattern, names_of(locale)) == expected, pattern


def test_any_other_locale_is_us_english() -> None:
    for locale in ("", "en", "en_US", "US", "EN", "english", "xx", "xx_YY", "de_", "../de", "d" * 9_000):
        assert names_of(locale) == US_ENGLISH, locale
    assert not is_english("de")
    assert names_of("de").months[2] == "März"
    assert names_of("ja").short_months[0] == "1月"
