"""Entries of the audit trail (identity.md 17), pure: what a hostile text may not do to a line, and how a line reads."""

import json
import re
from collections.abc import Mapping
from typing import Final

ATTRIBUTE: Final = "audited"
"""The attribute of a log record that holds an entry's fields."""
MOST: Final = 200  # characters of a value
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def safe(text: str) -> str:
    """A value of an entry: cut, and without what ends a line, moves a cursor or hides in a text.

    >>> safe("a\\nb\\u202e")
    'a\\\\u000ab\\\\u202e'
    """
    if len(text) > MOST:
        text = text[:MOST] + "..."
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escaped, text)


def fields(app: str, actor: str, details: Mapping[str, str]) -> dict[str, str]:
    """An entry's fields in the order of its line; blank ones are left out."""
    given = {"app": app, "actor": actor, **details}
    return {name: safe(value) for name, value in given.items() if value}


def line(event: str, fields: Mapping[str, str]) -> str:
    """`event name="value" ...`: every value quoted, so that no value can pass for a field.

    >>> line("signed_in", {"actor": 'x" rule="none'})
    'signed_in actor="x\\\\" rule=\\\\"none"'
    """
    return " ".join([event, *(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())])


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
