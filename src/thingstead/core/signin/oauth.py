"""Signing in with Facebook, Google, GitHub, LinkedIn, Microsoft, Slack and Amazon (identity.md 8.2): one class for all
of them, which does what their row of `model/oauth.SOCIAL` says.

An app that has set the provider's `{prefix}_app_id` takes no tokens that were made for other clients, where the
provider tells for whom it made one (identity.md 17); what it does not tell is refused.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from thingstead.core.outbound import Answer
from thingstead.core.signin.calls import Calls, Exchange, Exchanged, check, json_of, object_of
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.model.errors import SignInFailed
from thingstead.model.oauth import Ask, Social
from thingstead.model.profiles import Asked, member, token_answer, usable_token
from thingstead.model.users import Profile
from thingstead.model.values import Json

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,253}")


class OAuth:
    """A provider of the table; its tokens are access tokens."""

    def __init__(self, known: Social, tenants: Tenants, calls: Calls) -> None:
        self.known: Final = known
        self._tenants = tenants
        self._calls = calls
        self._exchanged = Exchanged()

    async def prove(self, app: App, token: str) -> Profile:
        """The profile that an access token opens. Raises SignInFailed."""
        known = self.known
        if not usable_token(token):
            raise failed("bad_token")
        exchanged = self._exchanged.take(app, token) is not None
        asked = Asked(token, self._tenant(app), exchanged)
        profile = known.read(await self._answers(token), asked)
        if profile is None:
            raise failed("nobody_named")
        if not exchanged:
            await self._check_audience(app, token)
        if known.photo is not None:
            url, headers = self._filled(known.photo, {"token": token})
            photo = await self._calls.picture(url, headers, trusted=True)
            profile = msgspec.structs.replace(profile, avatar=photo)
        return profile

    async def exchange(self, app: App, code: str, redirect_uri: str) -> str:
        """The access token for a code that the provider gave a browser. Raises SignInFailed."""
        call = self.known.token
        id, secret = self._keys(app)
        form = {"code": code, "redirect_uri": redirect_uri, "client_id": id, "client_secret": secret, **call.form}
        if call.grant_type:
            form["grant_type"] = "authorization_code"
        headers = {"Accept": "application/json"} if call.accept_json else {}
        url = self._calls.fixed(call.url.replace("{tenant}", self._tenant(app)))
        if call.method == "GET":
            answer = await self._calls.get(f"{url}?{urlencode(form)}", headers, trusted=True)
        else:
            answer = await self._calls.post(url, headers, form, trusted=True)
        check(answer)
        path = (call.within, "access_token") if call.within else ("access_token",)
        token = member(token_answer(answer.body), *path)
        if not isinstance(token, str) or not usable_token(token):
            raise failed("code_refused")
        return self._exchanged.keep(app, token, Exchange(token))

    def _keys(self, app: App) -> tuple[str, str]:
        pair = self._tenants.pair(app, f"{self.known.prefix}_app_id", f"{self.known.prefix}_secret")
        if pair is None:
            raise failed("not_configured")
        return pair

    def _tenant(self, app: App) -> str:
        """Microsoft's tenant, which stands in a path."""
        if self.known.prefix != "ms":
            return ""
        tenant = self._tenants.option(app, "ms_tenant_id")
        tenant = tenant.strip() if isinstance(tenant, str) else ""
        if not _TENANT.fullmatch(tenant or "common"):
            raise failed("not_configured")
        return tenant or "common"

    async def _answers(self, token: str) -> Mapping[str, Json]:
        answers: dict[str, Json] = {}
        for ask in self.known.asks:
            if not ask.wanted(answers):
                continue
            try:
                answer = await self._asked(ask, token)
                if ask.instead is not None and 400 <= answer.status < 500:
                    ask = ask.instead
                    answer = await self._asked(ask, token)
                answers[ask.name] = json_of(answer)
            except SignInFailed:
                if not ask.optional:
                    raise
        return answers

    async def _asked(self, ask: Ask, token: str) -> Answer:
        url, headers = self._filled(ask, {"token": token})
        return await self._calls.get(url, headers, trusted=True)

    def _filled(self, ask: Ask, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Address and headers of a question."""
        query = urlencode({name: _put(text, values) for name, text in ask.query.items()})
        url = self._calls.fixed(ask.url)
        return (f"{url}?{query}" if query else url), {name: _put(text, values) for name, text in ask.headers.items()}

    async def _check_audience(self, app: App, token: str) -> None:
        """Refuse a token that was made for another client than the app's. Raises SignInFailed."""
        audience = self.known.audience
        client = self._tenants.option(app, f"{self.known.prefix}_app_id")
        if audience is None or not isinstance(client, str) or not client.strip():
            return
        answer: Json = None
        if audience.ask is not None:
            values = {"token": token}
            if any("{secret}" in text for text in audience.ask.query.values()):
                values["id"], values["secret"] = self._keys(app)
            url, headers = self._filled(audience.ask, values)
            answer = object_of(await self._calls.get(url, headers, trusted=True))
        if not hmac.compare_digest(audience.read(answer, token).encode(), client.strip().encode()):
            raise failed("wrong_audience")


def _put(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders replaced, each once: what a token holds is no placeholder."""
    return re.sub(r"\{(token|id|secret)\}", lambda found: values[found[1]], text)
