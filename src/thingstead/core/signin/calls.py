"""How providers of sign-ins are called (identity.md 8.1), and which tokens came from them a moment ago.

Promises: HTTPS to addresses of our own tables, bounded time and size, no redirects; addresses that an app has chosen
are held to `core/outbound`'s rules. A provider's own words reach neither callers nor logs.
"""

import hashlib
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from cachebox import LRUCache

from thingstead.core.outbound import MOST_FETCHED, Answer, NotReached, Outbound
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App
from thingstead.model import pictures
from thingstead.model.errors import MalformedBody
from thingstead.model.users import Picture
from thingstead.model.values import Json, JsonObject, is_object, parse

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 1_000
_FORM: Final = "application/x-www-form-urlencoded"


class Calls:
    """See the module's docstring. `at`, for tests: a server that stands for all hosts, each below its own name."""

    def __init__(self, outbound: Outbound, *, at: str = "") -> None:
        self._outbound = outbound
        self._at = at

    def fixed(self, url: str) -> str:
        """Where an address of our own tables is."""
        return f"{self._at}/{url.removeprefix('https://')}" if self._at else url

    async def get(self, url: str, headers: Mapping[str, str], *, trusted: bool) -> Answer:
        """What is answered, whatever its status. Raises SignInFailed."""
        return await self._ask("GET", url, headers, None, trusted=trusted)

    async def post(self, url: str, headers: Mapping[str, str], form: Mapping[str, str], *, trusted: bool) -> Answer:
        """The same for a form."""
        sent = {"Content-Type": _FORM, **headers}
        return await self._ask("POST", url, sent, urlencode(form).encode(), trusted=trusted)

    async def picture(self, url: str, headers: Mapping[str, str], *, trusted: bool) -> Picture | None:
        """The picture at an address; None if there is none to be had."""
        try:
            answer = await self._outbound.fetch("GET", url, _named(headers), trusted=trusted, most=pictures.MOST)
        except NotReached:
            return None
        return pictures.picture(answer.body) if answer.status == 200 else None

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, trusted: bool
    ) -> Answer:
        try:
            return await self._outbound.fetch(method, url, _named(headers), body, trusted=trusted, most=MOST_FETCHED)
        except NotReached as error:
            _log.warning("no answer from %s for a sign-in: %s", origin(url), error)
            raise failed("unreachable") from None


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {"User-Agent": "thingstead", **headers}  # GitHub answers nobody without a name


def json_of(answer: Answer) -> Json:
    """The JSON of a good answer. Raises SignInFailed."""
    check(answer)
    try:
        return parse(answer.body)
    except MalformedBody:
        raise failed("unreadable_answer") from None


def object_of(answer: Answer) -> JsonObject:
    """The same of an answer that must be an object."""
    value = json_of(answer)
    if not is_object(value):
        raise failed("unreadable_answer")
    return value


def check(answer: Answer) -> None:
    """Refuse what is no 200. Raises SignInFailed."""
    if answer.status != 200:
        raise failed("provider_refused" if 400 <= answer.status < 500 else "provider_error")


def origin(url: str) -> str:
    """Scheme, host and port of an address; "" of none."""
    try:
        where = urlsplit(url)
        return f"{where.scheme}://{where.hostname}:{where.port or ''}" if where.hostname else ""
    except ValueError:
        return ""


class Exchange(msgspec.Struct, frozen=True):
    """What a token endpoint gave for a code."""

    access: str
    refresh: str = ""
    id_token: str = ""  # verified, or blank
    claims: JsonObject = {}  # its claims


class Exchanged:
    """Tokens from token endpoints, until they are proven: they need no check of whom they were made for."""

    def __init__(self) -> None:
        self._held: LRUCache[bytes, Exchange] = LRUCache(_REMEMBERED)

    def keep(self, app: App, token: str, exchange: Exchange) -> str:
        """Remember one; gives the token's text back."""
        self._held[_key(app, token)] = exchange
        return token

    def take(self, app: App, token: str) -> Exchange | None:
        """What is known about a token, once."""
        return self._held.pop(_key(app, token), None)


def _key(app: App, token: str) -> bytes:
    return hashlib.sha256(f"{app.identifier} {token}".encode(errors="replace")).digest()
