"""Identity: who is asking, proven by a signature, a token, a secret or a certificate (identity.md 1-6; doors.md 29).

Promises: a proof holds only for the app whose secret made it, and only while that app is active; a user's only while
the user is active and its token secret the one that signed; comparisons take constant time. What a principal may do
stands in core.access and the doors. Signing in is `core/signin`'s.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec
from cachebox import LRUCache

from thingstead.core.delegated import FIELD as DELEGATED
from thingstead.core.shapes import object_of
from thingstead.core.tenants import App, Tenants, identifier_of
from thingstead.core.token_secrets import TokenSecrets
from thingstead.model import ids, signatures, tokens
from thingstead.model.errors import (
    AppNotFound,
    BadSignature,
    ExpiredSignature,
    Forbidden,
    InvalidToken,
    SignInFailed,
    Unauthenticated,
)
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.signatures import Authorization
from thingstead.model.tokens import Claims
from thingstead.model.values import is_object
from thingstead.ports.broker import SECRET_HASH, hash_secret
from thingstead.ports.environment import Clock
from thingstead.ports.store import Key, Store, StoredObject

CACHED_TOKENS: Final = 10_000
CREDENTIALS_LIFE: Final = 60  # seconds, the longest life of a token that asks for another app's keys (identity.md 6.4)
_log = logging.getLogger(__name__)
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class SignedRequest(msgspec.Struct, frozen=True):
    """What a signature covers. Path and query as sent; header names in lower case, first value of each."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    forwarded_host: str = ""  # X-Forwarded-Host, if the peer is a trusted proxy
    body_hash: str = ""  # SHA-256 (hex) of a body that is kept elsewhere


class Logins(Protocol):
    """Who checks passwords of users: core/users."""

    async def user_of(self, app: App, identifier: str, password: str) -> Object:
        """The active user whose password that is. Raises SignInFailed, LimitReached."""
        ...


class Proven(msgspec.Struct, frozen=True):
    """What a token proves; times are checked at each use."""

    principal: Principal
    claims: Claims
    secret: str  # of the app
    rev: int = 0  # of the user's object
    token_secret: str = ""  # of the user
    active: bool = True
    delegated: bool = False  # a provider has the last word on the user


class Identity:
    """See the module's docstring."""

    def __init__(
        self, store: Store, tenants: Tenants, settings: Settings, clock: Clock, token_secrets: TokenSecrets
    ) -> None:
        self._store = store
        self._token_secrets = token_secrets
        self._tenants = tenants
        self._settings = settings
        self._clock = clock
        self._root_path = settings.root_path
        self.logins: Logins | None = None  # who checks passwords of users; set by the server
        self._verified: LRUCache[str, Proven | None] = LRUCache(CACHED_TOKENS)
        self.still_valid: Callable[[App, Object], Awaitable[bool]] | None = None
        """Asks the provider of a user whose tokens stay with it (identity.md 6.2, 8.4)."""

    async def signed(self, request: SignedRequest) -> Principal:
        """The app that signed a request. Raises ExpiredSignature, BadSignature, AppNotFound, Forbidden."""
        headers = request.headers
        given = signatures.parse_authorization(headers.get("authorization", ""))
        if given is None:
            raise BadSignature(_mismatch(request, ""), details={"rule": "Credential, SignedHeaders, Signature"})
        now = self._clock.now() // 1_000_000
        stamp = signatures.time_of(headers.get("x-amz-date", "").strip())
        life = self._settings.request_expires_after
        if stamp is None or not -life <= now - stamp <= life:
            details = {"rule": f"X-Amz-Date within {life} s", "actor": given.access_key}
            raise ExpiredSignature("Request has expired.", field="X-Amz-Date", details=details)
        identifier = identifier_of(given.access_key)
        app = self._tenants.cached(identifier) or await self._tenants.get(identifier)
        if not app.secret or not (
            _matches(given, app.secret, request, request.raw_path)
            or (self._root_path and _matches(given, app.secret, request, self._root_path + request.raw_path))
        ):
            error = BadSignature(_mismatch(request, identifier), details={"rule": "SigV4", "actor": app.object.id})
            if self._settings.debug_request_signatures:
                what = signatures.signed_text(
                    given, request.method, request.raw_path, request.raw_query, headers, request.body, request.body_hash
                )
                _log.warning("signature of %s does not match; signed here: %r", given.access_key, what)
                error.canonical = what
            raise error
        _check_active(app, "app")
        return _app_principal(app)

    async def proven(self, token: str) -> Proven:
        """What a token of a user or an app proves now. Raises InvalidToken, Forbidden."""
        held = self._verified.get(token)
        claims = tokens.peek(token) if held is None else held.claims
        identifier = identifier_of(claims.appid)
        try:
            app = self._tenants.cached(identifier) or await self._tenants.get(identifier)
        except AppNotFound:
            raise InvalidToken("no such app", field="appid") from None
        row = await self._store.objects.get(identifier, claims.sub) if claims.sub else None
        if row is not None and row.type != "user":
            row = None
        if held is None or held.secret != app.secret or held.rev != (0 if row is None else row.rev):
            self._verified.pop(token, None)
            held = self._verify(token, app, row)
            self._verified[token] = held
        tokens.check_time(held.claims, self._clock.now() / 1_000_000)
        _check_active(app, held.principal.kind)
        if not held.active:
            raise InvalidToken("the user is not active", field="sub")
        if (
            held.delegated
            and row is not None
            and self.still_valid is not None
            and not await self.still_valid(app, object_of(row))
        ):
            raise InvalidToken("the provider does not confirm the user", field="sub")
        return held

    def _verify(self, token: str, app: App, row: StoredObject | None) -> Proven:
        if row is None:
            return Proven(_app_principal(app), tokens.verify(token, app.secret), app.secret)
        user = object_of(row)
        token_secret = self._token_secrets.of(user)
        if not token_secret:
            raise InvalidToken("the user has no tokens", field="sub")
        claims = tokens.verify(token, app.secret + token_secret)
        groups = user.own.get("groups")
        principal = Principal("user", app.identifier, user.id, groups=groups if isinstance(groups, str) else "")
        active = user.own.get("active") is True
        return Proven(principal, claims, app.secret, row.rev, token_secret, active, DELEGATED in user.hidden)

    async def bearer(self, token: str, *, about_me: bool = False) -> Principal:
        """The app of a super token, or the user of a user's token; those of root only to ask who they are (`about_me`).

        Raises InvalidToken, Forbidden.
        """
        principal = (await self.proven(token)).principal
        if principal.kind == "user" and principal.app == self._tenants.root and not about_me:
            details = {"rule": "no users of the root app", "actor": principal.id, "right": "any"}
            raise InvalidToken("Users of the root app have no access.", field="appid", details=details)
        return principal

    async def credentials_asked(self, token: str) -> App | None:
        """The app whose keys a super token of root asks for (`getCredentials`, identity.md 6.4); None if it asks for
        none.

        Raises InvalidToken if it lives too long for that, or is not yet or no longer valid.
        """
        asker = await self.proven(token)
        claims = asker.claims
        if not asker.principal.root or not claims.get_credentials:
            return None
        if claims.iat is None or not 0 <= claims.exp - claims.iat <= CREDENTIALS_LIFE:
            raise InvalidToken(f"getCredentials needs exp - iat <= {CREDENTIALS_LIFE} s", field="exp")
        try:
            return await self._tenants.get(identifier_of(claims.get_credentials))
        except AppNotFound:
            return None

    async def basic(self, header_value: str) -> Principal:
        """The app, the user or the thing of `Basic ...`, as `with_secret` says; the name ends before a colon.

        Raises Unauthenticated, Forbidden, LimitReached.
        """
        try:
            text = base64.b64decode(header_value.partition(" ")[2].strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise Unauthenticated("not a Basic header", field="Authorization") from None
        prefix = ids.APP_PREFIX if text.startswith(ids.APP_PREFIX) else ""
        name, _, secret = text.removeprefix(prefix).partition(":")
        return await self.with_secret(prefix + name, secret)

    async def with_secret(self, name: str, secret: str) -> Principal:
        """Who has a name and a secret (doors.md 29): an app's id (`app:x`) and its secret; a thing's cloud id and its
        secret; a user's app and e-mail address (`x/jane@example.com`; without `x/` the default app's) and its password.

        Raises Unauthenticated, Forbidden, LimitReached.
        """
        named_app = name.startswith(ids.APP_PREFIX)
        if "@" in name and (named_app or await self._store.objects.find(Key("cloud", name)) is None):
            return await self._user(name, secret)
        if named_app:
            return await self._app(name.removeprefix(ids.APP_PREFIX), secret)
        return await self.device(fingerprint=None, username=name, password=secret)

    async def _user(self, name: str, password: str) -> Principal:
        before, slash, identifier = name.partition("/")
        if not slash:
            before, identifier = self._tenants.default, name
        details = {"rule": "app/e-mail and its password", "actor": name}
        refused = Unauthenticated("unknown user or wrong password", details=details)
        try:
            app = await self._tenants.get(identifier_of(before))
        except AppNotFound:
            raise refused from None
        _check_active(app)
        if self.logins is None or app.is_root:
            raise refused
        try:
            user = await self.logins.user_of(app, identifier, password)
        except SignInFailed:
            raise refused from None
        groups = user.own.get("groups")
        return Principal("user", app.identifier, user.id, groups=groups if isinstance(groups, str) else "")

    async def _app(self, name: str, secret: str) -> Principal:
        details = {"rule": "Basic app:id and its secret", "actor": ids.APP_PREFIX + name}
        try:
            app = await self._tenants.get(ids.app_identifier(name))
        except AppNotFound:
            raise Unauthenticated("unknown app or wrong secret", details=details) from None
        if not app.secret or not hmac.compare_digest(app.secret.encode(), secret.encode()):
            raise Unauthenticated("unknown app or wrong secret", details=details)
        _check_active(app)
        return _app_principal(app)

    async def device(self, *, fingerprint: str | None, username: str | None, password: str | None) -> Principal:
        """The thing with this client certificate (SHA-256 of its DER, hex), else with this cloud id and secret.

        Raises Unauthenticated, Forbidden.
        """
        row: StoredObject | None = None
        if fingerprint:
            row = await self._store.objects.find(Key("certificate", fingerprint.lower()))
        elif username and password:
            row = await self._store.objects.find(Key("cloud", username))
            if row is not None and not _knows_secret(row, password):
                row = None
        if row is None or row.type != "thing":
            details = {"rule": "certificate, or cloud id and secret", "actor": username or fingerprint or ""}
            raise Unauthenticated("unknown device or wrong secret", details=details)
        _check_active(await self._tenants.get(row.app))
        return Principal("thing", row.app, row.id)

    async def still(self, principal: Principal) -> Principal:
        """A user or an app that was proven before, as it is now. Raises Unauthenticated, Forbidden, AppNotFound."""
        _check_active(await self._tenants.get(principal.app))
        if principal.kind != "user":
            return principal
        row = await self._store.objects.get(principal.app, principal.id)
        user = object_of(row) if row is not None and row.type == "user" else None
        if user is None or user.own.get("active") is not True:
            raise Unauthenticated("the user is not active", details={"rule": "active", "actor": principal.id})
        groups = user.own.get("groups")
        return msgspec.structs.replace(principal, groups=groups if isinstance(groups, str) else "")

    def check_active(self, app: App) -> None:
        """Refuse an app that is not active (identity.md 3.4). Raises Forbidden."""
        _check_active(app)

    def check_method(self, app: App, method: str) -> None:
        """Refuse writes of an app that is read-only (identity.md 3.4). Raises Forbidden."""
        if app.read_only and method in _WRITES:
            details = {"rule": "readOnly", "actor": app.object.id, "right": method}
            raise Forbidden(f"App is in read-only mode. [{app.object.id}]", details=details)


def _matches(given: Authorization, secret: str, request: SignedRequest, raw_path: str) -> bool:
    return signatures.verified(
        given,
        secret,
        method=request.method,
        raw_path=raw_path,
        raw_query=request.raw_query,
        headers=request.headers,
        body=request.body,
        body_hash=request.body_hash,
        forwarded_host=request.forwarded_host,
    )


def _app_principal(app: App) -> Principal:
    return Principal("app", app.identifier, app.object.id, root=app.is_root)


def _check_active(app: App, asker: str = "") -> None:
    if not app.active:
        details = {"rule": "active", "actor": app.object.id, "right": "any"}
        error = Forbidden(f"App not active. [{app.object.id}]", details=details)
        error.asker = asker
        raise error


def _knows_secret(row: StoredObject, secret: str) -> bool:
    metadata = object_of(row).hidden.get("deviceMetadata")
    kept = metadata.get(SECRET_HASH) if is_object(metadata) else None
    return isinstance(kept, str) and hmac.compare_digest(kept.encode(), hash_secret(secret).encode())


def _mismatch(request: SignedRequest, identifier: str) -> str:
    return f"Invalid signature for request {request.method} {request.raw_path} coming from app {identifier}"
