"""Signing in with Twitter: OAuth 1.0a, requests signed with HMAC-SHA1 by oauthlib (identity.md 8.3).

Its keys are the app's `tw_app_id` and `tw_secret`: without them nobody signs in, and a token of another client opens
nothing under them. The secret of a request token is kept from `begin` to `finish` in this process; Twitter does not
insist on it, so that a sign-in may begin at another.
"""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

from cachebox import LRUCache

from thingstead.core.outbound import Answer
from thingstead.core.signin.calls import Calls, check, object_of
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.model import profiles
from thingstead.model.profiles import usable_token
from thingstead.model.users import Profile
from thingstead.ports.environment import Clock, Entropy

API: Final = "https://api.twitter.com"
_BEGUN: Final = 10_000
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class Twitter:
    """See the module's docstring. Its tokens are `{oauth_token}:{oauth_token_secret}`."""

    def __init__(self, tenants: Tenants, calls: Calls, clock: Clock, entropy: Entropy) -> None:
        self._tenants = tenants
        self._calls = calls
        self._clock = clock
        self._entropy = entropy
        self._begun: LRUCache[tuple[str, str], str] = LRUCache(_BEGUN)

    async def begin(self, app: App, callback: str) -> str:
        """Where a browser is sent to sign in; Twitter sends it back to `callback`. Raises SignInFailed."""
        answer = await self._signed(app, "POST", "/oauth/request_token", callback_uri=callback)
        token, secret = _pair(answer, "true")
        self._begun[app.identifier, token] = secret
        return f"{API}/oauth/authenticate?oauth_token={quote(token, safe='')}"

    async def finish(self, app: App, oauth_token: str, oauth_verifier: str) -> str:
        """The token's text, once the browser is back with these. Raises SignInFailed."""
        if not usable_token(oauth_token) or not usable_token(oauth_verifier):
            raise failed("bad_token")
        secret = self._begun.pop((app.identifier, oauth_token), "")
        owner = {"resource_owner_key": oauth_token, "resource_owner_secret": secret}
        form = {"oauth_verifier": oauth_verifier}
        answer = await self._signed(app, "POST", "/oauth/access_token", form, **owner)
        return ":".join(_pair(answer))

    async def prove(self, app: App, token: str) -> Profile:
        """The profile of whoever the token is for. Raises SignInFailed."""
        key, _, secret = token.partition(":")
        if not usable_token(key) or not usable_token(secret):
            raise failed("bad_token")
        path = "/1.1/account/verify_credentials.json?include_email=true"
        answer = await self._signed(app, "GET", path, resource_owner_key=key, resource_owner_secret=secret)
        profile = profiles.twitter(object_of(answer))
        if profile is None:
            raise failed("nobody_named")
        return profile

    async def _signed(
        self, app: App, method: str, path: str, form: Mapping[str, str] | None = None, **more: str
    ) -> Answer:
        keys = self._tenants.pair(app, "tw_app_id", "tw_secret")
        if keys is None:
            raise failed("not_configured")
        oauth1: Any = await asyncio.to_thread(import_module, "oauthlib.oauth1")
        client = oauth1.Client(
            *keys,
            **more,
            signature_method=oauth1.SIGNATURE_HMAC_SHA1,
            nonce=self._entropy.token(16).hex(),
            timestamp=str(self._clock.now() // 1_000_000),
        )
        body, headers = (urlencode(form), dict(_FORM)) if form else (None, {})
        _, headers, _ = client.sign(API + path, method, body, headers)
        url = self._calls.fixed(API + path)
        if method == "GET":
            return await self._calls.get(url, headers, trusted=True)
        return await self._calls.post(url, headers, form or {}, trusted=True)


def _pair(answer: Answer, confirmed: str = "") -> tuple[str, str]:
    """Token and secret of a form. Raises SignInFailed."""
    check(answer)
    try:
        form = parse_qs(answer.body.decode(), max_num_fields=100)
    except ValueError:
        raise failed("unreadable_answer") from None
    [token], [secret] = (form.get(name, [""])[:1] for name in ("oauth_token", "oauth_token_secret"))
    if not usable_token(token) or not usable_token(secret):
        raise failed("unreadable_answer")
    if confirmed and form.get("oauth_callback_confirmed") != [confirmed]:
        raise failed("provider_refused")
    return token, secret
