"""Signing in on the web: one endpoint a provider, then a cookie and the way on (identity.md 8.1, 9).

Promises: whatever goes wrong is a failed sign-in with a short reason, never a provider's text; nobody is led off the
hosts that `model/weblogin` allows; what began here (Twitter, SAML) ends only in the browser in which it began. Who a
person is stands with the providers, who becomes which user with core/users.
"""

import base64
import hmac
from collections.abc import Mapping
from typing import Final, Protocol, cast
from urllib.parse import parse_qsl, quote, urlsplit

from thingstead.core.backend import Backend
from thingstead.core.signin.password import Password
from thingstead.core.signin.provider import failed
from thingstead.core.signin.signing import SignedIn
from thingstead.core.tenants import App, identifier_of
from thingstead.doors.web.forgery import Forgery
from thingstead.doors.web.logins import Login, Logins, subject_of_users
from thingstead.doors.web.request import TEXT, Answer, Request, error, redirect
from thingstead.model import cookies, tokens, weblogin
from thingstead.model.errors import AppNotFound, InvalidToken, SignInFailed
from thingstead.model.settings import DEFAULTS
from thingstead.model.users import Profile

FLOW: Final = "thingstead-signin"
"""Cookie of a sign-in that began here: what comes back must come to this browser."""

CODE_PROVIDERS: Final = (
    "facebook",
    "google",
    "github",
    "linkedin",
    "microsoft",
    "slack",
    "amazon",
    "oauth2",
    "oauth2second",
    "oauth2third",
)
PROVIDERS: Final = (*CODE_PROVIDERS, "twitter", "ldap", "passwordless", "password", "saml")
"""Those with an endpoint `/{name}_auth`."""

_RELAY: Final = 24  # bytes of randomness in a RelayState
_FLOW_SECONDS: Final = 900
_REASON: Final = "unknown"
_OWN_FAILURE: Final = DEFAULTS.signin_failure


class _Exchanging(Protocol):
    async def exchange(self, app: App, code: str, redirect_uri: str) -> str: ...


class _Twitter(Protocol):
    async def begin(self, app: App, callback: str) -> str: ...
    async def finish(self, app: App, oauth_token: str, oauth_verifier: str) -> str: ...


class _Saml(Protocol):
    async def begin(self, app: App, here: str, relay: str) -> str: ...
    async def finish(self, app: App, here: str, form: Mapping[str, str]) -> Profile: ...
    async def metadata(self, app: App, here: str) -> bytes: ...


class Entering:
    """Answers the endpoints."""

    def __init__(self, backend: Backend, logins: Logins, forgery: Forgery) -> None:
        self._settings = backend.settings
        self._tenants = backend.tenants
        self._entropy = backend.entropy
        self._signin = backend.signin
        self._passwords = Password(backend.users, registers=False)
        self._logins = logins
        self._forgery = forgery

    async def enter(self, request: Request, provider: str, named: str, present: list[Login]) -> Answer:
        """One request to the endpoint of a provider; `named` is the app in its path, `present` who is signed in."""
        app = await self._app(request, provider, named)
        if app is None:
            return self._refused(request, None, "unknown_app")
        try:
            given = await self._given(request, provider, app)
        except SignInFailed as error:
            self._signin.failed(app, error, provider, request.address)
            return self._refused(request, app, error.details.get("reason", _REASON))
        if isinstance(given, Answer):
            return given
        try:
            if isinstance(given, Profile):
                signed = await self._signin.with_profile(app, given, address=request.address)
            else:
                signed = await self._signin.with_token(app, provider, given, address=request.address)
        except SignInFailed as error:
            return self._refused(request, app, error.details.get("reason", _REASON))
        if provider == "passwordless" and request.parameter("redirect") == "false":
            return Answer(200, signed.token.encode(), TEXT)
        return await self._entered(request, app, signed, present)

    async def metadata(self, request: Request, named: str) -> Answer:
        """What a SAML provider must know of us."""
        saml = self._signin.providers.get("saml")
        try:
            app = await self._tenants.get(identifier_of(named) or self._tenants.root)
            if saml is None:
                raise failed("not_configured")
            here = request.origin + request.root_path + "/saml_auth/" + quote(named, safe="")
            return Answer(200, await cast(_Saml, saml).metadata(app, here), b"text/xml")
        except (AppNotFound, SignInFailed):
            return error(400, "SAML is not configured for this app.")

    # --- which app

    async def _app(self, request: Request, provider: str, named: str) -> App | None:
        """The app that a sign-in is for (identity.md 9); None if it does not exist."""
        asked = weblogin.app_of(request.parameter("appid"), request.parameter("state")) or named
        if not asked and provider == "passwordless":
            try:
                asked = tokens.peek(_token_of(request)).appid
            except InvalidToken:
                pass
        identifier = identifier_of(asked) if asked else self._tenants.root
        try:
            return await self._tenants.get(identifier)
        except AppNotFound:
            return None

    # --- who

    async def _given(self, request: Request, name: str, app: App) -> str | Profile | Answer:
        """What the provider's token or profile is, or where the way goes first. Raises SignInFailed."""
        if not app.active:
            raise failed("app_inactive")
        if name == "password":
            return await self._password(request, app)
        if name == "passwordless":
            return _token_of(request)
        provider = self._signin.providers.get(name)
        if provider is None:
            raise failed("not_configured")
        if name == "ldap":
            user, password = (
                request.parameter(str(self._tenants.option(app, f"security.ldap.{key}")))
                for key in ("username_param", "password_param")
            )
            if not user or not password:
                raise failed("missing_credentials")
            return f"{user}:{password}"
        if name == "twitter":
            return await self._twitter(request, app, cast(_Twitter, provider))
        if name == "saml":
            return await self._saml(request, app, cast(_Saml, provider))
        if not request.parameter("code"):
            raise failed("cancelled" if request.parameter("error") == "access_denied" else "missing_code")
        back = request.callback("appid", "host_url")
        return await cast(_Exchanging, provider).exchange(app, request.parameter("code"), back)

    async def _password(self, request: Request, app: App) -> Profile:
        email, password = request.form.get("email", ""), request.form.get("password", "")
        if request.method != "POST" or not email or not password:
            raise failed("missing_credentials")
        if "@" not in email:
            raise failed("not_an_email")
        return await self._passwords.prove(app, f"{email}::{password}")

    async def _twitter(self, request: Request, app: App, provider: _Twitter) -> str | Answer:
        if request.parameter("denied"):
            raise failed("cancelled")
        verifier = request.parameter("oauth_verifier")
        if not verifier:
            callback = request.callback("appid")
            if "appid" not in request.query and not app.is_root:
                callback = f"{request.here}?appid={quote(app.object.id, safe='')}"
            url = await provider.begin(app, callback)
            query = dict(parse_qsl(urlsplit(url).query))
            return self._away(request, app, url, query.get("oauth_token", ""), same_site="Lax")
        oauth_token = request.parameter("oauth_token")
        _check_begun(request, oauth_token)
        return await provider.finish(app, oauth_token, verifier)

    async def _saml(self, request: Request, app: App, provider: _Saml) -> Profile | Answer:
        here = request.callback("entityid")
        if "SAMLResponse" not in request.form:
            relay = base64.urlsafe_b64encode(self._entropy.token(_RELAY)).decode()
            url = await provider.begin(app, here, relay)
            # The answer is a POST from another site, which brings along no cookie that is Lax.
            return self._away(request, app, url, relay, same_site="None" if request.secure else "")
        _check_begun(request, request.form.get("RelayState", ""))
        return await provider.finish(app, here, request.form)

    # --- where to

    def _away(self, request: Request, app: App, url: str, binding: str, *, same_site: cookies.SameSite) -> Answer:
        """To the provider, with a cookie that says what began here and where it is to lead."""
        allowed = self._allowed(app)
        wanted = next((url for url in self._wanted(request) if weblogin.returnable(url, allowed)), "")
        back = f"{self._host(request, app)} {wanted}"
        value = f"{weblogin.remembered(binding)}.{weblogin.remembered(back)}"
        return redirect(weblogin.plain(url)).with_cookie(
            cookies.kept(FLOW, value, secure=request.secure, max_age=_FLOW_SECONDS, same_site=same_site)
        )

    def _allowed(self, app: App) -> list[str]:
        return weblogin.aliases(str(self._tenants.option(app, "security.hosturl_aliases")))

    def _host(self, request: Request, app: App) -> str:
        """The other host of the app that the sign-in is to lead to; "" for this one."""
        allowed = self._allowed(app)
        host = weblogin.asked_host(request.parameter("host_url"), request.parameter("state"), allowed)
        begun, _ = _begun(request)
        return host or (begun if begun in allowed else "")

    def _wanted(self, request: Request) -> list[str]:
        """Where the visitor wants to go: remembered, as a parameter, or from before the way to the provider."""
        found = [
            weblogin.recalled(request.cookies.get(self._settings.returnto_cookie, "")),
            request.parameter(self._settings.returnto),
            _begun(request)[1],
        ]
        return [url for url in found if url]

    async def _entered(self, request: Request, app: App, signed: SignedIn, present: list[Login]) -> Answer:
        own = str(self._tenants.option(app, "signin_success"))
        success = self._settings.signin_success
        configured = success if app.is_root and success != DEFAULTS.signin_success else ""
        target = weblogin.success(
            [own, request.own(configured)],
            self._wanted(request),
            self._allowed(app),
            self._host(request, app),
            request.own("/"),
        )
        if request.wants_json and not target.chosen:
            answer = Answer(204)
        else:
            url = target.url
            if target.configured:
                url = weblogin.with_tokens(url, lambda: signed.token, lambda: self._signin.id_token(app, signed.user))
            answer = redirect(url)
        name = self._logins.cookie_of(app)
        answer.with_cookie(
            cookies.kept(name, signed.token, secure=request.secure, max_age=self._logins.seconds_of(app))
        )
        users = [(one.app.identifier, one.principal.id) for one in present if one.cookie != name]
        token = await self._forgery.token({}, subject_of_users([*users, (app.identifier, signed.user.id)]))
        if (kept := self._forgery.kept(token, secure=request.secure)) is not None:
            answer.with_cookie(kept)
        for spent in (FLOW, self._settings.returnto_cookie):
            if spent in request.cookies:
                answer.with_cookie(cookies.ended(spent, secure=request.secure))
        return answer

    def _refused(self, request: Request, app: App | None, reason: str) -> Answer:
        if request.parameter("redirect") == "false" and request.path == "/passwordless_auth":
            return error(403, "The sign-in failed.")
        own = str(self._tenants.option(app, "signin_failure")) if app is not None else ""
        configured = weblogin.configured(own)
        if request.wants_json and configured is None and self._settings.signin_failure == _OWN_FAILURE:
            return error(401, "The sign-in failed.")
        target = configured or weblogin.configured(request.own(self._settings.signin_failure)) or request.own("/")
        if configured is None and app is not None and not app.is_root:
            target = weblogin.with_query(target, "appid=" + quote(app.object.id, safe=""))
        elsewhere = configured is not None or self._settings.signin_failure != _OWN_FAILURE  # our page is at this host
        host = self._host(request, app) if app is not None and elsewhere else ""
        answer = redirect(weblogin.with_cause(weblogin.at_host(target, host), reason))
        return answer.with_cookie(cookies.ended(FLOW, secure=request.secure)) if FLOW in request.cookies else answer


def _token_of(request: Request) -> str:
    return request.parameter("token") or request.parameter("jwt")


def _begun(request: Request) -> tuple[str, str]:
    """(host, page) that a sign-in which began here is to lead to; unchecked, as all cookies."""
    host, _, page = weblogin.recalled(request.cookies.get(FLOW, "").partition(".")[2]).partition(" ")
    return host, page


def _check_begun(request: Request, binding: str) -> None:
    """Refuse what comes back to another browser than the one it began in. Raises SignInFailed."""
    kept = request.cookies.get(FLOW, "").partition(".")[0]
    if not binding or not hmac.compare_digest(kept.encode(), weblogin.remembered(binding).encode()):
        raise failed("not_begun_here")
