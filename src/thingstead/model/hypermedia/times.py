"""Times on the hypermedia wire (hypermedia.md 1.2, 8). Pure; the zone and the present are handed in.

Inside, every time is an integer of microseconds UTC. Out: ISO 8601 in UTC with `+00:00`. In: date-times in bodies, Unix
seconds in the filters of data. Whatever cannot be read raises InvalidInput that names the field.
"""

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from thingstead.model.errors import ConstraintViolation, InvalidInput

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

_DATE_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=min(max(micros, EARLIEST), LATEST))


def show(micros: int) -> str:
    """A time as clients see it: six fractional digits when they are not zero.

    >>> show(1397335635291305), show(0)
    ('2014-04-12T20:47:15.291305+00:00', '1970-01-01T00:00:00+00:00')
    """
    return _moment(micros).isoformat()


def show_title(micros: int) -> str:
    """A time within the title of a page link: with a space."""
    return _moment(micros).isoformat(" ")


def read_text(text: str, zone: tzinfo, *, field: str = "timestamp") -> int:
    """The date-time of a body or of an ISO filter. Raises ConstraintViolation, also for an ambiguous local time."""
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None:
        raise ConstraintViolation(f"{field} is no date-time: {text[:60]!r}", field=field)
    year, month, day, hour, minute = (int(match[n]) for n in range(1, 6))
    micros = int(((match[7] or "") + "000000")[:6])
    try:
        local = datetime(year, month, day, hour, minute, int(match[6] or 0), micros)
        if match[8]:
            return _micros(local.replace(tzinfo=UTC))
        if match[9]:
            offset = timedelta(hours=int(match[10]), minutes=int(match[11] or 0))
            return _micros(local.replace(tzinfo=UTC)) - (offset if match[9] == "+" else -offset) // timedelta(
                microseconds=1
            )
        early, late = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
        if early.utcoffset() != late.utcoffset():
            raise ConstraintViolation(f"{field} is ambiguous: {text!r} needs an offset", field=field)
        return _micros(early)
    except (ValueError, OverflowError):
        raise ConstraintViolation(f"{field} is no date-time: {text[:60]!r}", field=field) from None


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def read_seconds(text: str, *, bound: str, field: str) -> int:
    """Unix seconds of a filter on data, with or without a fraction. Raises InvalidInput; `bound` is lower or upper."""
    seconds = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    if not EARLIEST <= seconds * SECOND <= LATEST + 1:  # the end of the last second bounds a window
        raise InvalidInput(f"invalid timestamp format for {bound} bound: {text[:60]!r}", field=field)
    return round(seconds * SECOND)
