"""SAML 2.0 service provider: people sign in at their organisation's identity provider (identity.md 8.6, 17).

A sign-in begins here, with a RelayState that only this browser knows; the door for the web sees to that. The request's
id is made of it, so that a response counts only in the browser that asked, for the app and by the provider that were
asked. A response that nobody asked for (IdP-initiated) is refused: nothing would tie it to a browser. An assertion
counts once: its id is kept, in the store, until it has expired.

Metadata of providers are fetched, and kept for an hour; while they cannot be had anew, those of the last day serve.
The library is imported at the first use, and works in threads, at most `THREADS` at once.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from cachebox import LRUCache

from thingstead.core.outbound import NotReached, Outbound
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.model import saml as rules
from thingstead.model.errors import InvalidInput
from thingstead.model.saml import Config, Idp
from thingstead.model.users import Profile
from thingstead.ports.environment import Clock
from thingstead.ports.store import Batch, Item, Store

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

THREADS: Final = 4
MOST_RESPONSE: Final = 1 << 20  # characters of Base64
MOST_METADATA: Final = 8 << 20
FRESH_SECONDS: Final = 3_600
STALE_SECONDS: Final = 86_400
AGAIN_SECONDS: Final = 60  # after metadata could not be had anew
KEPT_METADATA: Final = 200
SWEEP_SECONDS: Final = 600
SPACE: Final = "saml"  # of items: a used assertion -> the second at which it has expired


class _Described(msgspec.Struct, frozen=True):
    fetched: int  # seconds
    fresh_until: int
    idps: Mapping[str, Idp]


class Saml:
    """See the module's docstring. `here` is the URL of the request, of which only `entityid` matters."""

    def __init__(self, tenants: Tenants, outbound: Outbound, store: Store, clock: Clock) -> None:
        self._tenants = tenants
        self._outbound = outbound
        self._store = store
        self._clock = clock
        self._threads = asyncio.Semaphore(THREADS)
        self._metadata: LRUCache[tuple[str, bool], _Described | None] = LRUCache(KEPT_METADATA)
        self._spending: set[str] = set()
        self._swept = 0

    async def prove(self, app: App, token: str) -> Profile:
        """No token speaks for a person here: raises SignInFailed."""
        raise failed("only_in_a_browser")

    async def begin(self, app: App, here: str, relay: str) -> str:
        """The URL to send a browser to. `relay` is what it comes back with: unguessable, known to this browser only.

        Raises SignInFailed.
        """
        known = self._config(app)
        idp = self._provider(app, known, await self._described(app, known), _entity(here))
        id = rules.request_id(app.identifier, relay, idp.entity)

        def made() -> str:
            from thingstead.core.signin import saml_client

            return saml_client.request(known, idp, id, relay)

        return await self._in_thread(app, made, "bad_settings")

    async def finish(self, app: App, here: str, form: Mapping[str, str]) -> Profile:
        """Who a posted response speaks for. Raises SignInFailed.

        The caller has seen that `RelayState` is this browser's.
        """
        known = self._config(app)
        response, relay = form.get("SAMLResponse", ""), form.get("RelayState", "")
        if not relay or not response or len(response) > MOST_RESPONSE:
            raise failed("bad_response")
        described = await self._described(app, known)

        def from_whom() -> str:
            from thingstead.core.signin import saml_client

            return saml_client.issuer(response)

        wanted = _entity(here) or await self._in_thread(app, from_whom, "bad_response")
        idp = self._provider(app, known, described, wanted, reason="bad_response")
        id = rules.request_id(app.identifier, relay, idp.entity)
        now = self._now()

        def checked() -> tuple[str, int, Profile | None]:
            from thingstead.core.signin import saml_client

            proven = saml_client.verified(known, idp, response, id, now)
            return proven.assertion, proven.until, rules.profile(known, proven.attributes)

        assertion, until, profile = await self._in_thread(app, checked, "bad_response")
        await self._spend("\0".join((app.identifier, idp.entity, assertion)), until)
        if profile is None:
            _log.warning("SAML of %s: the assertion has no attribute %s", app.object.id, known.attributes["id"])
            raise failed("no_id")
        return profile

    async def metadata(self, app: App, here: str) -> bytes:
        """What the identity provider must know about an app, as XML. Raises SignInFailed."""
        known = self._config(app)

        def made() -> bytes:
            from thingstead.core.signin import saml_client

            return saml_client.metadata(known)

        return await self._in_thread(app, made, "bad_settings")

    # --- what the app says

    def _config(self, app: App) -> Config:
        try:
            return rules.config(lambda key: self._tenants.option(app, key))
        except InvalidInput as error:
            _log.warning("settings of %s: %s", app.object.id, error.message)
            raise failed("bad_settings") from None

    def _provider(
        self, app: App, known: Config, described: Mapping[str, Idp], wanted: str, *, reason: str = "bad_settings"
    ) -> Idp:
        try:
            return rules.provider(known, described, wanted)
        except InvalidInput as error:
            _log.warning("SAML of %s: %s", app.object.id, error.message)
            raise failed(reason) from None

    async def _described(self, app: App, known: Config) -> Mapping[str, Idp]:
        """The providers that the app's metadata URL describes; empty without one."""
        if not known.metadata_url:
            return {}
        trusted = not self._tenants.from_app(app, rules.METADATA_URL)
        key, now = (known.metadata_url, trusted), self._now()
        kept = self._metadata.get(key)
        if kept is not None and now < kept.fresh_until:
            return kept.idps
        try:
            idps = await self._fetched(app, known.metadata_url, trusted)
            kept = _Described(now, now + FRESH_SECONDS, idps)
        except NotReached as error:
            _log.warning("SAML metadata of %s: %s", app.object.id, error)
            if kept is None or now >= kept.fetched + STALE_SECONDS:
                raise failed("unreachable") from None
            kept = _Described(kept.fetched, now + AGAIN_SECONDS, kept.idps)
        self._metadata[key] = kept
        return kept.idps

    async def _fetched(self, app: App, url: str, trusted: bool) -> Mapping[str, Idp]:
        if urlsplit(url).scheme not in ("http", "https"):
            raise NotReached("no http or https URL")
        headers = {"Accept": "application/samlmetadata+xml, application/xml, text/xml"}
        answer = await self._outbound.fetch("GET", url, headers, trusted=trusted, most=MOST_METADATA)
        if answer.status != 200:
            raise NotReached(f"status {answer.status}")

        def read() -> dict[str, Idp]:
            from thingstead.core.signin import saml_client

            return saml_client.described(answer.body)

        return await self._in_thread(app, read, "bad_metadata")

    # --- the library

    async def _in_thread(self, app: App, work: Callable[[], _T], reason: str) -> _T:
        """What the library makes. Raises SignInFailed with `reason` where it refuses."""
        async with self._threads:
            done = await asyncio.to_thread(_attempt, work)
        if isinstance(done, _Failure):
            _log.warning("SAML of %s: %s", app.object.id, done.why)
            raise failed(reason)
        return done

    # --- assertions count once

    async def _spend(self, assertion: str, until: int) -> None:
        """Raises SignInFailed if the assertion was used before."""
        key = hashlib.sha256(assertion.encode()).hexdigest()
        if key in self._spending:
            raise failed("replayed")
        self._spending.add(key)
        try:
            if await self._store.items.get(SPACE, key) is not None:
                raise failed("replayed")
            gone = await self._expired()
            await self._store.commit(Batch(items=(Item(SPACE, key, str(until).encode()), *gone)))
        finally:
            self._spending.discard(key)

    async def _expired(self) -> list[Item]:
        now = self._now()
        if now < self._swept + SWEEP_SECONDS:
            return []
        self._swept = now
        kept = await self._store.items.scan(SPACE)
        return [Item(SPACE, key, None) for key, until in kept.items() if int(until) < now]

    def _now(self) -> int:
        return self._clock.now() // 1_000_000


class _Failure(msgspec.Struct, frozen=True):
    why: str


def _attempt(work: Callable[[], _T]) -> "_T | _Failure":
    try:
        from thingstead.core.signin import saml_client
    except Exception as error:  # not only ImportError: xmlsec refuses an lxml that was built with another libxml2
        return _Failure(f"python3-saml and xmlsec cannot be used here: {error!r}")
    try:
        return work()
    except saml_client.Refused as error:
        return _Failure(repr(str(error)))


def _entity(here: str) -> str:
    """The provider that a URL asks for, of several."""
    return parse_qs(urlsplit(here).query).get("entityid", [""])[0]
