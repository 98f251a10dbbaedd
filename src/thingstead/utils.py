"""Utilities for programs that embed thingstead (objects.md 21): what Para's users know as `Utils` and `HumanTime`.

`from thingstead import utils`. Functions of the model come through here under one roof; those that need a library of
their own (bcrypt, Mustache, Markdown) load it when they are called. Nothing inside thingstead imports this module.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from thingstead.core.locales import names_of
from thingstead.model.dates import DEFAULT_PATTERN
from thingstead.model.dates import format_date as _format_date
from thingstead.model.errors import InvalidInput
from thingstead.model.markdown import SOFT_BREAK, Markdown
from thingstead.model.numbers import (
    abbreviate_number,
    exact_time,
    format_number,
    format_price,
    round_half_up,
    time_ago,
)
from thingstead.model.texts import (
    abbreviate,
    base_of,
    format_message,
    host_of,
    is_url,
    md5,
    no_spaces,
    no_symbols,
    strip_html,
)
from thingstead.model.values import Json, JsonObject, dump, parse_object

__all__ = [
    "abbreviate",
    "abbreviate_number",
    "base_of",
    "bcrypt_hash",
    "bcrypt_matches",
    "exact_time",
    "format_date",
    "format_message",
    "format_number",
    "format_price",
    "from_json",
    "host_of",
    "is_url",
    "markdown_to_html",
    "md5",
    "months",
    "mustache",
    "no_spaces",
    "no_symbols",
    "round_half_up",
    "strip_html",
    "time_ago",
    "to_json",
]

BCRYPT_BYTES = 72  # bcrypt looks at no more


def _within(text: str) -> bytes:
    """What bcrypt is given: longer texts by their SHA-256, so that no part of them is without effect."""
    plain = text.encode()
    return plain if len(plain) <= BCRYPT_BYTES else b64encode(hashlib.sha256(plain).digest())


def bcrypt_hash(text: str, rounds: int = 12) -> str:
    """The bcrypt hash of a text; takes a quarter of a second. Raises InvalidInput for rounds outside of 4 to 31."""
    import bcrypt

    if not 4 <= rounds <= 31:
        raise InvalidInput("rounds are between 4 and 31", field="rounds")
    return bcrypt.hashpw(_within(text), bcrypt.gensalt(rounds)).decode()


def bcrypt_matches(text: str, stored_hash: str) -> bool:
    """True if the hash is of this text; False also for what is no hash."""
    import bcrypt

    try:
        return bcrypt.checkpw(_within(text), stored_hash.encode())
    except ValueError:
        return False


def mustache(scope: Mapping[str, object], template: str) -> str:
    """A Mustache template filled from `scope`, values escaped for HTML. Raises InvalidInput for a broken template."""
    import mstache

    try:
        return mstache.render(template, scope)
    except (mstache.TokenException, mstache.TemplateRecursionError) as error:
        raise InvalidInput(f"the template cannot be read: {error}", field="template") from None


def markdown_to_html(text: str, soft_break: str = SOFT_BREAK, follow_domains: Iterable[str] = ()) -> str:
    """GitHub flavoured Markdown as safe HTML, as `utils/md2html` gives it. Raises TooLarge."""
    return Markdown(soft_break, follow_domains).html(text)


def format_date(moment: datetime | int, pattern: str = DEFAULT_PATTERN, locale: str = "en_US") -> str:
    """A moment (a number is ms since the epoch, shown in UTC) by a pattern of Java. Raises InvalidInput."""
    if isinstance(moment, int):
        moment = datetime.fromtimestamp(moment / 1000, UTC)
    return _format_date(moment if moment.tzinfo else moment.astimezone(), pattern, names_of(locale))


def months(locale: str = "en_US") -> Sequence[str]:
    """The names of the months, January first."""
    return names_of(locale).months


def to_json(value: Json) -> str:
    """Compact JSON."""
    return dump(value).decode()


def from_json(text: str) -> JsonObject:
    """The object of a JSON text. Raises MalformedBody."""
    return parse_object(text)
