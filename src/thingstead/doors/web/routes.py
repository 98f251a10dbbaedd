"""The web door's own paths, and its place before all pages of the main port (identity.md 9; doors.md 30, 32).

A plain ASGI callable. Promises: nothing that it answers may be kept by a cache or tell the next site where it came
from; every failure is a status with a page or `{"code", "message"}`, never a bare 500; refusals are logged without
secrets.
"""

import logging
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from thingstead.core.backend import Backend
from thingstead.core.tenants import App, identifier_of
from thingstead.doors.gate import Gate
from thingstead.doors.web import pages
from thingstead.doors.web.entering import PROVIDERS, Entering
from thingstead.doors.web.forgery import FIELD, HEADER, Forgery
from thingstead.doors.web.guard import Guard, returning
from thingstead.doors.web.logins import Login, Logins, first_of, subject_of
from thingstead.doors.web.offers import Offers
from thingstead.doors.web.request import PRIVATE, Answer, Request, browsing, error, headers_of, read, redirect
from thingstead.model import cookies, errors, weblogin
from thingstead.model.errors import AppNotFound, MethodNotAllowed, ThingsteadError
from thingstead.model.protected import SAFE
from thingstead.transports.http import AsgiApp, Disconnected, Receive, Scope, Send, TrustedProxies, refusal_headers

log = logging.getLogger(__name__)

ENDPOINTS: Final = (*(f"{name}_auth" for name in PROVIDERS), "saml_metadata")
"""First segments of the paths that take sign-ins."""

_TAKING: Final = frozenset(f"{name}_auth" for name in PROVIDERS)
_TAKES: Final[dict[str, tuple[str, ...]]] = {  # identity.md 8.5, 8.6, 8.8
    "ldap_auth": ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
    "password_auth": ("POST",),
    "saml_metadata": ("GET", "HEAD"),
}

STATUS: Final[dict[type[ThingsteadError], int]] = {
    errors.InvalidInput: 400,
    errors.TooLarge: 413,
    errors.Unauthenticated: 401,
    errors.BadSignature: 403,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.LimitReached: 429,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
    errors.ThingsteadError: 500,
}


def app(backend: Backend, rest: AsgiApp) -> AsgiApp:
    """The door over a backend, before `rest`. Raises InvalidInput for `para.security.*` that cannot be understood."""
    return _Door(backend, rest)


class _Door:
    """See the module's docstring."""

    def __init__(self, backend: Backend, rest: AsgiApp) -> None:
        self._backend = backend
        self._settings = backend.settings
        self._gate = Gate(backend, "web")
        self._proxies = TrustedProxies(backend.settings.trusted_proxies)
        self._logins = Logins(backend)
        self._forgery = Forgery(backend)
        self._entering = Entering(backend, self._logins, self._forgery)
        self._offers = Offers(backend)
        self._guard = Guard(backend, rest, self._logins, self._forgery, self._proxies)
        settings = backend.settings
        self._pages = {
            settings.signin: self._signin,
            settings.signout: self._signout,
            settings.access_denied: self._denied,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        try:
            if scope["type"] == "http" and self._mine(scope["path"]):
                self._gate.enter(scope)
                if scope["path"][1:].partition("/")[0] in _TAKING:
                    self._gate.sign_in(scope)
                    self._gate.sign_in_failed(scope)  # what comes of it the provider and the browser say later
                answer: Answer | None = await self._answer(
                    await read(scope, receive, self._proxies, self._settings.max_entity_size)
                )
            else:
                answer = await self._guard(scope, receive, send)
        except Disconnected:
            return
        except ThingsteadError as found:
            refused = self._gate.refused(scope, found)
            answer = self._refusal(scope, refused)
            if refused.details:
                log.info("refused %s: %s %s", scope["raw_path"], refused.code, dict(refused.details))
        except Exception:
            log.exception("failed %s", scope["raw_path"])
            answer = self._refusal(scope, ThingsteadError())
        if answer is not None:
            await _send(scope, receive, send, answer)

    def _refusal(self, scope: Scope, refused: ThingsteadError) -> Answer:
        """What a refused request gets: a page in a browser, else an error as at the API."""
        status = next(STATUS[cls] for cls in type(refused).__mro__ if cls in STATUS)
        message = refused.message or HTTPStatus(status).phrase
        if scope["type"] == "http" and self._mine(scope["path"]) and browsing(headers_of(scope)):
            answer = pages.refused(status, message)
        else:
            answer = error(status, message)
        answer.headers += refusal_headers(status, refused)
        return answer

    def _mine(self, path: str) -> bool:
        first, _, rest = path[1:].partition("/")
        if path in self._pages:
            return True
        if first in ("saml_auth", "saml_metadata"):
            return "/" not in rest and (bool(rest) or first == "saml_auth")
        return first in ENDPOINTS and not rest and not path.endswith("/")

    async def _answer(self, request: Request) -> Answer:
        page = self._pages.get(request.path)
        first, _, rest = request.path[1:].partition("/")
        if request.method not in (takes := methods(first)) and page is None and request.method != "OPTIONS":
            raise MethodNotAllowed("Method Not Allowed", details={"allow": ", ".join(takes)})
        present = await self._logins.of(request.cookies)
        guarded = request.method not in SAFE and (page is not None or first == "password_auth")
        if guarded and not await self._unforged(request, present):
            return await self._stale(request, present)
        if page is not None:
            return await page(request, present)
        if request.method == "OPTIONS":
            return Answer(204)
        if first == "saml_metadata":
            return await self._entering.metadata(request, rest)
        return await self._entering.enter(request, first.removesuffix("_auth"), rest, present)

    # --- forged requests

    async def _unforged(self, request: Request, present: list[Login]) -> bool:
        if self._guard.ignores(request.path):
            return True
        given = request.headers.get(HEADER, "") or request.form.get(FIELD, "")
        return await self._forgery.passes(request.cookies, given, subject_of(present))

    async def _stale(self, request: Request, present: list[Login]) -> Answer:
        message = "A valid CSRF token is needed."
        answer = error(403, message) if request.wants_json else pages.stale(request.own(self._settings.signin))
        token = await self._forgery.token(request.cookies, subject_of(present))
        kept = self._forgery.kept(token, secure=request.secure)
        return answer if kept is None else answer.with_cookie(kept)

    # --- pages

    async def _app(self, request: Request) -> App:
        asked = weblogin.app_of(request.parameter("appid"), request.parameter("state"))
        tenants = self._backend.tenants
        return await tenants.get(identifier_of(asked) if asked else tenants.root)

    async def _signin(self, request: Request, present: list[Login]) -> Answer:
        _only_get(request)
        try:
            app = await self._app(request)
        except AppNotFound:
            return pages.unknown_app()
        token = await self._forgery.token(request.cookies, subject_of(present))
        kept = self._forgery.kept(token, secure=request.secure)
        appid = "" if app.is_root else app.object.id
        asked = request.parameter(self._settings.returnto)
        allowed = weblogin.aliases(str(self._backend.tenants.option(app, "security.hosturl_aliases")))
        wanted = weblogin.returnable(asked, allowed) or ""
        ways, directory = await self._offers.of(request, app)
        answer = pages.sign_in(
            pages.SignIn(
                app_name=app.object.name or app.identifier,
                appid=appid,
                action=request.own("/password_auth"),
                token_field=FIELD,
                token=token if self._forgery.enabled else "",
                returnto_field=self._settings.returnto,
                returnto=wanted,
                failed="error" in request.query,
                signed_in=first_of(app.identifier, present) is not None,
                signout=request.own(self._settings.signout) + (f"?appid={quote(appid, safe='')}" if appid else ""),
                ways=ways,
                directory=directory,
            )
        )
        if wanted:  # whichever way is taken leads there
            answer.with_cookie(returning(self._settings, wanted, secure=request.secure))
        return answer if kept is None else answer.with_cookie(kept)

    async def _signout(self, request: Request, present: list[Login]) -> Answer:
        """Forget the login to the app that is named, else all logins."""
        named = await self._logins.named(request.cookies)
        target = weblogin.configured(request.own(self._settings.signout_success)) or request.own("/")
        if request.parameter("appid"):
            try:
                app = await self._app(request)
            except AppNotFound:
                return redirect(target)
            wanted = self._logins.cookie_of(app)
            named = [name for name in named if name == wanted]
        answer = Answer(204) if request.wants_json else redirect(target)
        for name in named:
            answer.with_cookie(cookies.ended(name, secure=request.secure))
        left = [login for login in present if login.cookie not in named]
        for login in present:
            if login.cookie in named:
                self._backend.audit.note("sign_out", login.app.identifier, login.principal.id, door="web")
        if named and (
            kept := self._forgery.kept(await self._forgery.token({}, subject_of(left)), secure=request.secure)
        ):
            answer.with_cookie(kept)
        return answer

    async def _denied(self, request: Request, present: list[Login]) -> Answer:
        _only_get(request)
        if request.wants_json:
            return error(403, "You don't have the role that this needs.")
        appid = next((login.app.object.id for login in present if not login.app.is_root), "")
        query = f"appid={quote(appid, safe='')}" if appid else ""
        signin = weblogin.with_query(request.own(self._settings.signin), query)
        return pages.denied(signin, request.own(self._settings.signout))


def methods(endpoint: str) -> tuple[str, ...]:
    """The methods of an endpoint beside OPTIONS: providers lead back by GET, or post a form.

    >>> methods("password_auth"), methods("google_auth")
    (('POST',), ('GET', 'HEAD', 'POST'))
    """
    return _TAKES.get(endpoint, ("GET", "HEAD", "POST"))


def _only_get(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("Method Not Allowed", details={"allow": "GET"})


async def _send(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    if scope["type"] != "http":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    fields = [(b"content-length", b"%d" % len(answer.body)), *PRIVATE, *answer.headers]
    if answer.body:
        fields.append((b"content-type", answer.content_type))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
