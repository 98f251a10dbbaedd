"""Entries of the audit trail (identity.md 17), pure: what one is, what it looks like as a line and as an object, and
what a hostile text may not do to either.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from thingstead.model import objects
from thingstead.model.values import JsonObject

TYPE: Final = "audit"
ATTRIBUTE: Final = "audited"
"""The attribute of a log record that holds an entry's fields."""
FLOODING: Final = frozenset({"refused", "limited", "sign_in_failed", "locked"})
"""Events that strangers cause at will: their different entries are bounded as well."""
WINDOW: Final = 60_000_000
"""For so long, in microseconds, equal events are counted in one entry."""
MOST: Final = 200  # characters of a value
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SUFFIX: Final = "/audit"  # no app's identifier holds a slash
_SAME: Final = frozenset({"actor", "outcome", "reason", "resource", "right", "rule"})  # what tells floods apart


class Entry(msgspec.Struct):
    """Equal events of one window. Times in microseconds; `fields` as `fields` makes them."""

    event: str
    app: str
    fields: dict[str, str]
    first: int
    last: int
    number: int  # its id and its place in the trail
    count: int = 1
    written: int = 0  # the count that was stored last

    def public(self) -> bytes:
        """The public bytes of its object."""
        body: JsonObject = {"name": self.event, "event": self.event, "count": self.count}
        body |= {"first": self.first // 1000, "last": self.last // 1000}
        body |= {name: value for name, value in self.fields.items() if name != "app"}
        now, number = self.first // 1000, self.number
        obj = objects.draft(self.app, TYPE, str(number), body, now_ms=now, docid=number)
        obj.updated = self.last // 1000
        obj.cached = False
        return obj.public()


def trail_of(app: str) -> str:
    """The tenant that holds an app's trail: one that no request can name.

    >>> trail_of("my-app")
    'my-app/audit'
    """
    return app + _SUFFIX


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


def same(event: str, app: str, fields: Mapping[str, str]) -> tuple[str, ...]:
    """What two events share that are counted in one entry; of floods, where they come from does not matter."""
    kept = _SAME if event in FLOODING else fields.keys()
    return (event, app, *(f"{name}={value}" for name, value in fields.items() if name in kept))


def line(event: str, fields: Mapping[str, str]) -> str:
    """`event name="value" ...`: every value quoted, so that no value can pass for a field.

    >>> line("signed_in", {"actor": 'x" rule="none'})
    'signed_in actor="x\\\\" rule=\\\\"none"'
    """
    return " ".join([event, *(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())])


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
