"""Ids (objects.md 2.2, 2.3): generated numbers, names made from types, tags and apps. Pure; the clock is handed in."""

import re
import unicodedata

from thingstead.model.errors import InvalidInput
from thingstead.model.values import Json

EPOCH_MS = 1_310_084_584_692  # the zero of generated ids, as Para's
SEPARATOR = ":"
APP_PREFIX = "app:"
TAG_PREFIX = "tag:"
MAX_ID = 1024

_FORBIDDEN = re.compile(r"[\x00\\]")
_NOT_TAG = re.compile(r"[^\w+#.\-]|_")
_SPACES = re.compile(r"\s+")


def compose(now_ms: int, node: int, sequence: int) -> int:
    """The 64-bit number of a moment (ms since the Unix epoch), a node (0-1023) and a sequence (0-4095)."""
    return (now_ms - EPOCH_MS) << 22 | (node & 0x3FF) << 12 | (sequence & 0xFFF)


def check_id(value: Json, field: str = "id") -> None:
    """Refuse ids that no path could address. Raises InvalidInput, which names the field."""
    if not isinstance(value, str):
        return
    if len(value) > MAX_ID:
        raise InvalidInput(f"'{field}' is longer than {MAX_ID} characters", field=field)
    if value in (".", "..") or _FORBIDDEN.search(value):
        raise InvalidInput(f"'{field}' is a dot segment, or holds NUL or a backslash", field=field)


def check_type(name: str) -> str:
    """Refuse types that no path could address; returns the others. Raises InvalidInput."""
    if len(name) > MAX_ID or name in (".", "..") or _FORBIDDEN.search(name):
        raise InvalidInput("'type' is too long, a dot segment, or holds NUL or a backslash", field="type")
    return name


def is_app_id(id: Json) -> bool:
    """True for ids that only apps have."""
    return isinstance(id, str) and id.startswith(APP_PREFIX)


def app_identifier(text: str) -> str:
    """An app's bare identifier, normalised (identity.md 3.1); "" means: no app.

    >>> app_identifier("app:test app ? @#$ COOL")
    'test-app-cool'
    """
    while text.startswith(APP_PREFIX):
        text = text[len(APP_PREFIX) :]
    ascii_only = "".join(c for c in text if ord(c) < 128)
    spaced = "".join(" " if unicodedata.category(c)[0] in "SPC" else c for c in ascii_only)
    return _SPACES.sub(" ", spaced).strip().lower().replace(" ", "-")


def app_id(text: str) -> str:
    """The full id of an app: `app:` and its identifier; "" if there is none."""
    identifier = app_identifier(text)
    return APP_PREFIX + identifier if identifier else ""


def tag_name(text: str) -> str:
    """A tag without its prefix, normalised (objects.md 2.2).

    >>> tag_name("C ++"), tag_name("+-#-+97-#x")
    ('c-++', '97-#x')
    """
    text = text.replace(TAG_PREFIX, "").strip().lower()
    while text and unicodedata.category(text[0])[0] in "SPZC":
        text = text[1:]
    return _SPACES.sub(" ", _NOT_TAG.sub(" ", text)).strip().replace(" ", "-")


def tag_id(text: str) -> str:
    """The id of a tag: `tag:` and its name."""
    return TAG_PREFIX + tag_name(text)
