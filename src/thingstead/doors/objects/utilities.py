"""`utils/{method}` and `utils?method=`: small conversions, answered as bare text (objects.md 12).

Promises: whatever the parameters, an answer or a 400; Markdown is rendered off the loop, one document at a time, so
that a long one delays other documents and nothing else.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from thingstead.core import locales
from thingstead.core.backend import Backend
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call
from thingstead.doors.objects.render import Answer
from thingstead.model import dates, numbers, texts
from thingstead.model.errors import InvalidInput

_LONG: Final = re.compile(r"[+-]?[0-9]{1,19}")
_HTML: Final = b"text/html;charset=UTF-8"
_SANDBOX: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")

Params = Mapping[str, list[str]]


class Utilities:
    """The handler of utilities."""

    def __init__(self, backend: Backend) -> None:
        self._clock = backend.clock
        self._ids = backend.ids
        self._rendering = backend.rendering
        self._methods: Final[Mapping[str, Callable[[Params], str]]] = {
            "newid": lambda _: str(self._ids.next()),
            "timestamp": lambda _: str(self._clock.now() // 1000),
            "formatmessage": lambda given: texts.format_message(_one(given, "message"), given.get("fields", ())),
            "nospaces": lambda given: texts.no_spaces(_one(given, "string"), _one(given, "replacement")),
            "nosymbols": lambda given: texts.no_symbols(_one(given, "string")),
            "timeago": lambda given: numbers.time_ago(_delta(_one(given, "delta"))),
        }
        self._slow: Final[Mapping[str, Callable[[Params], Awaitable[Answer]]]] = {
            "formatdate": self._format_date,
            "md2html": self._html,
        }

    async def answer(self, call: Call) -> Answer:
        """GET utils/{method}, GET utils?method=. Raises InvalidInput."""
        given = call.params()
        name = call.segments[1] if len(call.segments) > 1 else _one(given, "method")
        quick = self._methods.get(name)
        if quick is not None:
            return render.text(quick(given))
        slow = self._slow.get(name)
        if slow is None:
            raise InvalidInput(f"Unknown method: {name or 'empty'}", field="method")
        return await slow(given)

    async def _format_date(self, given: Params) -> Answer:
        locale = _one(given, "locale")
        if locales.is_english(locale):
            names = dates.US_ENGLISH
        else:
            names = await asyncio.to_thread(locales.names_of, locale)
        now = datetime.fromtimestamp(self._clock.now() / 1_000_000, UTC).astimezone()  # the server's zone
        return render.text(dates.format_date(now, _one(given, "format") or dates.DEFAULT_PATTERN, names))

    async def _html(self, given: Params) -> Answer:
        html = await self._rendering.html(_one(given, "md"))
        return Answer(200, html.encode(), _HTML, (_SANDBOX,))


def _one(given: Params, name: str) -> str:
    """The first value of a parameter; "" without one."""
    values = given.get(name)
    return values[0] if values else ""


def _delta(text: str) -> int:
    """Milliseconds; 1 for what is no 64-bit number."""
    value = int(text) if _LONG.fullmatch(text) else 1
    return value if -(2**63) <= value < 2**63 else 1
