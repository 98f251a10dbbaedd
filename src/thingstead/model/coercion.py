"""Declared fields take what they are given (objects.md 2.1): texts that are numbers, numbers that are texts, and so on.

What cannot be converted becomes the type's zero, or None where there is none. Pure.
"""

from math import isfinite
from typing import Final

from thingstead.model.values import Json, JsonObject, is_array, is_object

_LONG: Final = 1 << 63
_TRUE: Final = frozenset({"true", "yes", "y", "on", "1"})


def text_of(value: Json) -> str | None:
    """Text of a plain value; None for null, objects and arrays."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def integer_of(value: Json) -> int:
    """The whole part of a number or numeric text, else 0; 0 also for what does not fit into 64 bits."""
    try:
        number = int(value) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        number = _whole_of(value)
    return number if -_LONG <= number < _LONG else 0


def _whole_of(value: Json) -> int:
    """The whole part of a text such as `4.5` or `1e3`."""
    try:
        return int(float(value)) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        return 0


def flag_of(value: Json) -> bool:
    """True for `true`, for 1, and for the words `true`, `yes`, `y`, `on` and `1`, in any case."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in _TRUE)


def texts_of(value: Json) -> list[Json] | None:
    """The plain members of an array as texts; one text is an array of it."""
    if is_array(value):
        return [text for text in map(text_of, value) if text is not None]
    return [value] if isinstance(value, str) else None


def object_of(value: Json) -> JsonObject | None:
    """An object, else None."""
    return value if is_object(value) else None


def number_of(value: Json) -> float | None:
    """A finite number, or the text of one; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
