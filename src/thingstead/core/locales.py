"""Names of months and days in other languages, from Babel, which is loaded when somebody asks (objects.md 12).

A locale is `ll` or `ll_CC`, as `en` or `en_GB`; whatever else, and what Babel does not know, is US English. Reads
Babel's files: call it off the loop.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from thingstead.model.dates import US_ENGLISH, Names

if TYPE_CHECKING:
    from babel import Locale

_LOCALE: Final = re.compile(r"[a-z]{2,3}(_([A-Z]{2}|[0-9]{3}))?")


def is_english(locale: str) -> bool:
    """True if `names_of` needs no files for it."""
    return locale in ("", "en", "en_US") or not _LOCALE.fullmatch(locale)


@lru_cache(maxsize=64)
def names_of(locale: str) -> Names:
    """What the language of a locale writes."""
    if is_english(locale):
        return US_ENGLISH
    import babel

    try:
        found = babel.Locale.parse(locale)
    except (ValueError, babel.UnknownLocaleError):
        return US_ENGLISH
    return _names(found)


def _names(locale: "Locale") -> Names:
    months, days = locale.months["format"], locale.days["format"]
    short = months["abbreviated"]
    if short[1].startswith("M"):  # a number for want of a short name
        short = months["wide"]
    halves, eras = locale.day_periods["format"]["wide"], locale.eras["abbreviated"]
    return Names(
        months=[str(months["wide"][n]) for n in range(1, 13)],
        short_months=[str(short[n]) for n in range(1, 13)],
        days=[str(days["wide"][n]) for n in range(7)],
        short_days=[str(days["abbreviated"][n]) for n in range(7)],
        halves=tuple(str(halves.get(half, half.upper())) for half in ("am", "pm")),
        eras=(str(eras[0]), str(eras[1])),
        first_day=locale.first_week_day,
        least_days=locale.min_week_days,
    )
