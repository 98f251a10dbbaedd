"""Signing in with a provider that the app configures itself, of OAuth 2 or OpenID Connect (identity.md 8.4).

The profile that the access token opens says who somebody is. An ID token is taken from the token endpoint only, and
only if the app has named its issuer and it verifies: then its claims fill in what the profile lacks.
"""

from typing import Final

import msgspec

from thingstead.core.signin.calls import Calls, Exchange, Exchanged, check, object_of, origin
from thingstead.core.signin.id_tokens import IdTokens
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.model.oauth_generic import Generic, generic, key, parts, profile
from thingstead.model.profiles import token_answer, usable_token
from thingstead.model.users import Delegated, Picture, Profile
from thingstead.model.values import JsonObject


class GenericOAuth:
    """One of the three; its tokens are `access[:refresh[:id_token]]`, of which the last is ignored."""

    def __init__(self, alias: str, tenants: Tenants, calls: Calls, id_tokens: IdTokens) -> None:
        self.alias: Final = alias
        self._tenants = tenants
        self._calls = calls
        self._id_tokens = id_tokens
        self._exchanged = Exchanged()

    def of(self, app: App) -> Generic:
        """The provider as the app has configured it."""
        return generic(self.alias, lambda name: self._tenants.option(app, name))

    async def prove(self, app: App, token: str) -> Profile:
        """The profile that an access token opens. Raises SignInFailed."""
        known = self.of(app)
        held = self._exchanged.take(app, token)
        if held is None:
            access, refresh = parts(token)
            held = Exchange(access, refresh)
        if not usable_token(held.access) or (held.refresh and not usable_token(held.refresh)):
            raise failed("bad_token")
        found = profile(known, await self.opened(app, known, held.access), held.claims)
        if found is None:
            raise failed("nobody_named")
        if known.delegation:
            found = msgspec.structs.replace(found, delegated=Delegated(held.access, held.refresh, held.id_token))
        if known.avatars and found.picture:
            found = msgspec.structs.replace(found, avatar=await self._avatar(app, known, found.picture, held.access))
        return found

    async def exchange(self, app: App, code: str, redirect_uri: str) -> str:
        """The token's text for a code that the provider gave a browser. Raises SignInFailed."""
        form = {"code": code, "redirect_uri": redirect_uri, "grant_type": "authorization_code"}
        known = self.of(app)
        found = await self.granted(app, known, form)
        text = f"{found.access}:{found.refresh}" if found.refresh and known.delegation else found.access
        return self._exchanged.keep(app, text, found)

    async def opened(self, app: App, known: Generic, access: str) -> JsonObject:
        """What the profile's address answers to an access token. Raises SignInFailed, also for what is no 200."""
        if not known.profile_url:
            raise failed("not_configured")
        trusted = not self._tenants.from_app(app, key(self.alias, "profile_url"))
        return object_of(await self._calls.get(known.profile_url, known.headers(access), trusted=trusted))

    async def granted(self, app: App, known: Generic, form: dict[str, str]) -> Exchange:
        """What the token endpoint gives for a code or a refresh token. Raises SignInFailed."""
        pair = self._tenants.pair(app, f"{known.prefix}_app_id", f"{known.prefix}_secret")
        if pair is None or not known.token_url:
            raise failed("not_configured")
        sent = known.form({**form, "client_id": pair[0], "client_secret": pair[1]})
        trusted = not self._tenants.from_app(app, key(self.alias, "token_url"))
        answer = await self._calls.post(known.token_url, known.headers(), sent, trusted=trusted)
        check(answer)
        given = token_answer(answer.body) or {}
        access, refresh, id_token = (
            value if isinstance(value, str) and usable_token(value) else ""
            for value in (given.get(name) for name in ("access_token", "refresh_token", "id_token"))
        )
        if not access:
            raise failed("code_refused")
        if not id_token or not known.issuer:
            return Exchange(access, refresh)
        trusted = not self._tenants.from_app(app, key(self.alias, "issuer"))
        claims = await self._id_tokens.verified(
            id_token, issuer=known.issuer, client=pair[0], access=access, trusted=trusted
        )
        return Exchange(access, refresh, id_token, claims)

    async def _avatar(self, app: App, known: Generic, url: str, access: str) -> Picture | None:
        """A person's picture. The token goes only where the profile came from."""
        same = origin(url) == origin(known.profile_url)
        trusted = same and not self._tenants.from_app(app, key(self.alias, "profile_url"))
        headers = {"Authorization": f"Bearer {access}"} if same else {}
        return await self._calls.picture(url, headers, trusted=trusted)
