"""Declared fields take what they are given (objects.md 2.1): texts that are numbers, numbers that are texts, and so on.

What cannot be converted becomes the type's zero, or None where there is none. Pure.
"""

from thingstead.model.values import Json, JsonObject, is_array, is_object


def text_of(value: Json) -> str | None:
    """Text of a plain value; None for null, objects and arrays."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def integer_of(value: Json) -> int:
    """The whole part of a number or numeric text, else 0."""
    if isinstance(value, bool):
        return int(value)
    try:
        return int(float(value)) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        return 0


def flag_of(value: Json) -> bool:
    """True for `true` and the word, in any case."""
    return value if isinstance(value, bool) else isinstance(value, str) and value.strip().lower() == "true"


def texts_of(value: Json) -> list[Json] | None:
    """The plain members of an array as texts; one text is an array of it."""
    if is_array(value):
        return [text for text in map(text_of, value) if text is not None]
    return [value] if isinstance(value, str) else None


def object_of(value: Json) -> JsonObject | None:
    """An object, else None."""
    return value if is_object(value) else None
