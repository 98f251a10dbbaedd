"""Dates by Java's patterns, as `java.text.SimpleDateFormat` reads them (objects.md 12). Pure; names come with `Names`.

Does not know the names of other languages than English: core/locales does.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Final

import msgspec

from thingstead.model.errors import InvalidInput

DEFAULT_PATTERN: Final = "yyyy-MM-dd"
_WIDE: Final = 4  # letters from which a name is written in full


class Names(msgspec.Struct, frozen=True):
    """What a language writes. Weeks of a year: the first is the one with at least `least_days` days of it."""

    months: Sequence[str]  # January first
    short_months: Sequence[str]
    days: Sequence[str]  # Monday first
    short_days: Sequence[str]
    halves: Sequence[str] = ("AM", "PM")
    eras: Sequence[str] = ("BC", "AD")
    first_day: int = 6  # of the week; Monday is 0
    least_days: int = 1


_MONTHS: Final = "January February March April May June July August September October November December"
_DAYS: Final = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
US_ENGLISH: Final = Names(
    months=_MONTHS.split(),
    short_months=[name[:3] for name in _MONTHS.split()],
    days=_DAYS.split(),
    short_days=[name[:3] for name in _DAYS.split()],
)


def format_date(moment: datetime, pattern: str = DEFAULT_PATTERN, names: Names = US_ENGLISH) -> str:
    """`moment`, which has a zone, by a pattern. Raises InvalidInput for a letter that is none, or an open quote.

    >>> format_date(datetime.fromisoformat("2026-01-05T13:07:09.040+01:00"), "EEE d MMM yyyy, h:mm a 'o''clock' XXX")
    "Mon 5 Jan 2026, 1:07 PM o'clock +01:00"
    """
    out: list[str] = []
    quoted = False
    for c, run in groupby(pattern):
        count = len(list(run))
        if c == "'":
            out.append("'" * (count // 2))  # a pair is one quote, inside and outside of quotes
            quoted ^= bool(count % 2)
        elif quoted or not (c.isascii() and c.isalpha()):
            out.append(c * count)
        else:
            out.append(_field(moment, c, count, names))
    if quoted:
        raise InvalidInput("the date pattern has a quote that is not closed", field="format")
    return "".join(out)


def _field(moment: datetime, letter: str, count: int, names: Names) -> str:
    match letter:
        case "G":
            return names.eras[1]
        case "y":
            return _year(moment.year, count)
        case "Y":
            return _year(_week_of_year(moment.date(), names)[0], count)
        case "M" | "L":
            if count < 3:
                return _number(moment.month, count)
            return (names.months if count >= _WIDE else names.short_months)[moment.month - 1]
        case "E":
            return (names.days if count >= _WIDE else names.short_days)[moment.weekday()]
        case "a":
            return names.halves[moment.hour >= 12]
        case "z":
            return moment.tzname() or ""
        case "Z":
            return _offset(moment, colon=count == 2)
        case "X":
            if count > 3:
                raise InvalidInput("the date pattern has more than three X", field="format")
            if not moment.utcoffset():
                return "Z"
            return _offset(moment, colon=count == 3)[: 3 if count == 1 else None]
        case _:
            pass
    number = _numeric(moment, letter, names)
    if number is None:
        raise InvalidInput(f"the date pattern has the letter {letter!r}, which means nothing", field="format")
    return _number(number, count)


def _numeric(moment: datetime, letter: str, names: Names) -> int | None:
    match letter:
        case "d":
            return moment.day
        case "D":
            return moment.timetuple().tm_yday
        case "F":
            return (moment.day - 1) // 7 + 1
        case "u":
            return moment.isoweekday()
        case "w":
            return _week_of_year(moment.date(), names)[1]
        case "W":
            return _week(moment.date(), moment.date().replace(day=1), names)
        case "H":
            return moment.hour
        case "k":
            return moment.hour or 24
        case "K":
            return moment.hour % 12
        case "h":
            return moment.hour % 12 or 12
        case "m":
            return moment.minute
        case "s":
            return moment.second
        case "S":
            return moment.microsecond // 1000
        case _:
            return None


def _number(value: int, count: int) -> str:
    return str(value).zfill(count)


def _year(year: int, count: int) -> str:
    return f"{year % 100:02}" if count == 2 else _number(year, count)


def _offset(moment: datetime, *, colon: bool) -> str:
    minutes = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return f"{sign}{hours:02}{':' if colon else ''}{minutes:02}"


def _week(day: date, start: date, names: Names) -> int:
    """The week of `day` in the month or year that begins at `start`; 0: before its first week."""
    lead = (start.weekday() - names.first_day) % 7  # days of the week of `start` that lie before it
    first = 1 if 7 - lead >= names.least_days else 0
    return (lead + (day - start).days) // 7 + first


def _week_of_year(day: date, names: Names) -> tuple[int, int]:
    """(year, week): days at both ends may belong to a week of the year beside it."""
    year = day.year
    if year < date.max.year and _week(day, date(year + 1, 1, 1), names) >= 1:
        return year + 1, 1
    week = _week(day, date(year, 1, 1), names)
    return (year, week) if week else (year - 1, _week(day, date(year - 1, 1, 1), names))
