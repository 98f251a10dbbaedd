"""Readings: what a value becomes in the readings store, and back (doors.md 10, 11, 12; things.md 9). Pure."""

import math
from typing import Final

from thingstead.model.values import Json, dump, parse

MAX_TEXT: Final = 1024  # bytes of a text reading; longer ones stay in state and make no reading
AHEAD: Final = 5 * 60 * 1_000_000  # a device time further ahead becomes receive time (doors.md 13)
_EXACT: Final = 2**53


def columns(value: Json) -> tuple[float | None, str | None] | None:
    """(number, text) of a reading's value; None if it makes no reading (null, over the cap, not finite)."""
    kind = type(value)
    if kind is float:
        assert isinstance(value, float)
        return (value, None) if math.isfinite(value) else None
    if kind is int:
        assert isinstance(value, int)
        return (float(value), None) if -_EXACT <= value <= _EXACT else (None, f'"{value}"')
    if kind is bool:
        return (1.0, "true") if value else (0.0, "false")
    if value is None:
        return None
    text = dump(value)
    return (None, text.decode()) if len(text) <= MAX_TEXT else None


def value_of(number: float | None, text: str | None) -> Json:
    """The value of a stored reading; integral numbers come back as integers (doors.md 11)."""
    if text is not None:
        return parse(text)
    if number is not None and number.is_integer() and abs(number) <= _EXACT:
        return int(number)
    return number


def data_type(value: Json) -> str:
    """`float`, `bool`, `string` or `json`, fixed by a sensor's first value (things.md 9)."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "float"
    return "string" if isinstance(value, str) else "json"


def coerce_number(value: Json) -> Json:
    """Numeric text as a number where a door or setting coerces (doors.md 11); anything else unchanged."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value
