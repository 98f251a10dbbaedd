"""Sign-ins: a proven person becomes a user with a token; tokens are refreshed and revoked (identity.md 6).

Promises: with one session per user, only the newest token lives; a token that was revoked meanwhile is never refreshed.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from thingstead.core.audit import Audit
from thingstead.core.identity import Identity
from thingstead.core.objects import Objects
from thingstead.core.signin.provider import Provider, failed
from thingstead.core.tenants import App, Tenants
from thingstead.core.users import Users
from thingstead.model import tokens, users
from thingstead.model.coercion import flag_of
from thingstead.model.errors import Conflict, InvalidToken, NotFound, SignInFailed
from thingstead.model.objects import Object
from thingstead.model.settings import Settings
from thingstead.model.users import Profile
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Clock

ONE_SESSION: Final = "security.one_session_per_user"


class SignedIn(msgspec.Struct, frozen=True):
    """A user and its new token; `refresh` and `expires` in ms since the epoch."""

    user: Object
    public: bytes  # the user as shown
    token: str
    refresh: int
    expires: int


class SignIn:
    """See the module's docstring. `providers` may grow; names are in lower case."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        users: Users,
        objects: Objects,
        tenants: Tenants,
        identity: Identity,
        audit: Audit,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.providers: dict[str, Provider] = dict(providers)
        self._users = users
        self._objects = objects
        self._tenants = tenants
        self._identity = identity
        self._audit = audit
        self._settings = settings
        self._clock = clock

    async def with_token(self, app: App, provider: str, token: str, *, address: str = "") -> SignedIn:
        """Sign in whom a provider's token speaks for; `address`: the client's, for the trail.

        Raises SignInFailed, LimitReached.
        """
        name = provider.strip().lower()
        known = self.providers.get(name)
        try:
            if known is None:
                raise failed("unknown_provider")
            return await self._with_profile(app, await known.prove(app, token), name)
        except SignInFailed as error:
            self.failed(app, error, name if known is not None else "unknown", address)
            raise

    async def with_profile(self, app: App, profile: Profile, *, address: str = "") -> SignedIn:
        """Sign in whom a provider has proven; `address`: the client's, for the trail. Raises SignInFailed."""
        name = users.provider_of(profile.identifier)
        try:
            return await self._with_profile(app, profile, name)
        except SignInFailed as error:
            self.failed(app, error, name, address)
            raise

    async def _with_profile(self, app: App, profile: Profile, provider: str) -> SignedIn:
        user = await self._users.signed_in(app, profile)
        try:
            proof = profile.token_secret or None
            if self._one_session(app):
                user, secret = await self._users.replace_token_secret(app.identifier, user.id, was=proof)
            else:
                secret = self._users.token_secret(user)
        except (NotFound, Conflict):
            raise failed("gone") from None
        if not self._one_session(app) and proof not in (None, secret):
            raise failed("gone")
        self._audit.note("signed_in", app.identifier, user.id, provider=provider)
        return self._issue(app, user, secret)

    def failed(self, app: App, error: SignInFailed, provider: str, address: str) -> None:
        """Tell the trail of a sign-in that did not work."""
        reason = error.details.get("reason", "")
        self._audit.note("sign_in_failed", app.identifier, "nobody", provider=provider, reason=reason, address=address)

    async def refresh(self, token: str) -> SignedIn:
        """A new token for the user of one that still holds. Raises InvalidToken, also for tokens of apps; Forbidden."""
        app, user, secret = await self._user_of(token)
        if self._one_session(app):
            try:
                user, secret = await self._users.replace_token_secret(app.identifier, user.id, was=secret)
            except (NotFound, Conflict):
                raise InvalidToken("revoked meanwhile") from None
        return self._issue(app, user, secret)

    async def revoke(self, token: str) -> str:
        """End all tokens of the user of one that still holds; the user's id. Raises InvalidToken, Forbidden."""
        app, user, _ = await self._user_of(token)
        try:
            await self._users.replace_token_secret(app.identifier, user.id)
        except NotFound:
            raise InvalidToken("no such user", field="sub") from None
        self._audit.note("tokens_revoked", app.identifier, user.id)
        return user.id

    async def _user_of(self, token: str) -> tuple[App, Object, str]:
        proven = await self._identity.proven(token)
        principal = proven.principal
        if principal.kind != "user" or principal.app == self._tenants.root:
            raise InvalidToken("not a token of a user", field="sub")
        try:
            user = await self._objects.get(principal.app, principal.id)
        except NotFound:
            raise InvalidToken("no such user", field="sub") from None
        return await self._tenants.get(principal.app), user, proven.token_secret

    def _one_session(self, app: App) -> bool:
        return flag_of(app.settings.get(ONE_SESSION, self._settings.one_session_per_user))

    def _issue(self, app: App, user: Object, secret: str) -> SignedIn:
        settings = self._settings
        seconds = tokens.validity(
            app.settings.get("session_timeout"), app.object.own.get("tokenValiditySec"), settings.jwt_expires_after
        )
        life = tokens.life(self._clock.now(), validity=seconds, interval=settings.jwt_refresh_interval)
        provider = users.provider_of(_text(user, "identifier"))
        token = tokens.issue(tokens.user_claims(user.id, app.object.id, provider, life), app.secret + secret)
        return SignedIn(user, user.public(), token, life.refresh, life.expires * 1000)

    def id_token(self, app: App, user: Object) -> str:
        """A short proof that this user has just signed in, for the provider `passwordless` (identity.md 6.5).

        `user` is the one of the SignedIn, with its newest token secret.
        """
        secret = self._users.token_secret(user)
        email = _text(user, "email")
        about: JsonObject = {
            "name": user.name,
            "email": email,
            "identifier": _text(user, "identifier"),
            "picture": users.id_picture(_text(user, "picture"), email),
        }
        now = self._clock.now() // 1_000_000
        expires = now + self._settings.id_token_expires_after
        claims = tokens.id_claims(user.id, app.object.id, about, now=now, expires=expires)
        return tokens.issue(claims, app.secret + secret)


def _text(user: Object, name: str) -> str:
    value = user.own.get(name)
    return value if isinstance(value, str) else ""
