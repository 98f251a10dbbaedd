"""What stands before pages: paths that need a login, and writes of who is signed in (identity.md 9; doors.md 32).

Promises: a protected path is passed only by somebody whose credentials hold and who has a role that its rules ask for;
a write that rests on a cookie needs a CSRF token; explicit credentials go before cookies and need none. Whoever passes
is known to the page's own door as well, which still decides what to show: the token of a login to the page's own app
becomes the request's `Authorization`. APIs do not come by here, so no cookie ever counts there.
"""

from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from thingstead.core.backend import Backend
from thingstead.core.tenants import identifier_of
from thingstead.doors.web import pages
from thingstead.doors.web.forgery import FIELD, HEADER, Forgery
from thingstead.doors.web.logins import Login, Logins, first_of, subject_of
from thingstead.doors.web.request import (
    FORM,
    Answer,
    Header,
    error,
    headers_of,
    pairs,
    programmatic,
    redirect,
    replayed,
)
from thingstead.model import ant, cookies, protected, weblogin
from thingstead.model.errors import Forbidden
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.protected import SAFE, Rule
from thingstead.model.settings import Settings
from thingstead.transports.http import AsgiApp, Receive, Scope, Send, TrustedProxies, client_address, read_body

_RETURN_SECONDS: Final = 3_600  # how long a page that was wanted is remembered


class _Asked(msgspec.Struct):
    """A request on its way through, as far as it is known."""

    scope: Scope
    receive: Receive
    method: str
    headers: dict[str, str]
    cookies: dict[str, str]
    rules: list[Rule]
    logins: list[Login]
    secure: bool

    @property
    def json(self) -> bool:
        return any(rule.rest for rule in self.rules) or "authorization" in self.headers or programmatic(self.headers)


class Guard:
    """Stands before `rest`."""

    def __init__(
        self, backend: Backend, rest: AsgiApp, logins: Logins, forgery: Forgery, proxies: TrustedProxies
    ) -> None:
        """Raises InvalidInput for rules that cannot be understood."""
        settings = backend.settings
        self._backend = backend
        self._settings = settings
        self._rest = rest
        self._logins = logins
        self._forgery = forgery
        self._proxies = proxies
        self._rules = protected.rules(settings.security_protected)
        given = [ant.checked(pattern, "para.security.ignored") for pattern in settings.security_ignored]
        self._ignored = given or protected.IGNORED

    def ignores(self, path: str) -> bool:
        """Whether a path is open whatever protects it."""
        return ant.matches(self._ignored, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """Pass a request on, which answers it, or give the answer that turns it away.

        Raises InvalidInput for a path that can be read in two ways, TooLarge, Disconnected, and what credentials raise.
        """
        if not self._rules and not any(name == b"cookie" for name, _ in scope["headers"]):
            await self._rest(scope, receive, send)
            return None
        rules: list[Rule] = []
        method = scope["method"] if scope["type"] == "http" else "GET"
        if self._rules:
            path = protected.plain_path(scope["raw_path"])
            rules = [rule for rule in self._rules if rule.covers(method, path)]
            if rules and self.ignores(path):
                await self._rest(scope, receive, send)
                return None
        headers = headers_of(scope)
        sent = cookies.parsed([headers.get("cookie", "")])
        explicit = "authorization" in headers
        scheme, host = client_address(scope, headers, self._proxies)
        logins: list[Login] = []
        if not explicit and not any(rule.rest for rule in rules) and _same_site(scope, headers, host):
            logins = await self._logins.of(sent)
        secure = scheme in ("https", "wss")
        asked = _Asked(scope, receive, method, headers, sent, rules, logins, secure)
        if not rules and not logins:
            await self._rest(scope, receive, send)
            return None
        return await self._decide(asked, send)

    async def _decide(self, asked: _Asked, send: Send) -> Answer | None:
        scope, rest = asked.scope, any(rule.rest for rule in asked.rules)
        explicit = "authorization" in asked.headers
        if asked.method not in SAFE and not explicit and not rest and not await self._unforged(asked):
            return await self._stale(asked)
        tenant = _tenant(scope)
        if explicit:
            principal: Principal | None = await self._proven(asked)
            if principal is not None and tenant and not (principal.root or principal.app == tenant):
                raise Forbidden("these credentials belong to another app", details={"rule": "tenant"})
            chosen = None
        else:
            chosen = self._chosen(asked, tenant)
            principal = chosen.principal if chosen is not None else None
        if asked.rules:
            if principal is None:
                return self._unknown(asked, tenant)
            for rule in asked.rules:
                if not rule.admits(principal):
                    return self._lacking(asked, rule, principal)
        passing = send if scope["type"] != "http" or explicit else await self._private(asked, send)
        await self._rest(self._known(asked, tenant), asked.receive, passing)
        return None

    # --- who

    async def _proven(self, asked: _Asked) -> Principal | None:
        """The principal of explicit credentials; None for a guest. Raises what Identity raises."""
        scope, body = asked.scope, b""
        if asked.headers["authorization"].lstrip().lower().startswith("aws4") and scope["type"] == "http":
            body = await read_body(asked.receive, self._settings.chain_max_body)
            asked.receive = replayed(body, asked.receive)
        forwarded = asked.headers.get("x-forwarded-host", "") if self._proxies.trust(scope) else ""
        raw_path: bytes = scope["raw_path"]
        raw_query: bytes = scope["query_string"]
        principal = await self._backend.access.principal(
            asked.headers,
            method=asked.method,
            raw_path=raw_path.decode("latin-1"),
            raw_query=raw_query.decode("latin-1"),
            body=body,
            forwarded_host=forwarded,
        )
        return principal if principal.kind not in ("guest", NOBODY.kind) else None

    def _chosen(self, asked: _Asked, tenant: str) -> Login | None:
        """The login that counts: of those that pass the rules, the one of the page's own app, else the first."""
        logins = [login for login in asked.logins if not tenant or login.app.identifier == tenant]
        own = first_of(tenant or self._backend.tenants.default, logins)
        ordered = ([own] if own is not None else []) + logins
        for login in ordered:
            if all(rule.admits(login.principal) for rule in asked.rules):
                return login
        return ordered[0] if ordered else None

    def _known(self, asked: _Asked, tenant: str) -> Scope:
        """The scope with the login to the page's own app as its credentials; people of root have no rights there."""
        own = first_of(tenant or self._backend.tenants.default, asked.logins)
        if own is None or own.app.is_root:
            return asked.scope
        bearer = (b"authorization", b"Bearer " + own.token.encode("ascii"))
        return {**asked.scope, "headers": [*asked.scope["headers"], bearer]}

    # --- writes

    async def _unforged(self, asked: _Asked) -> bool:
        given = asked.headers.get(HEADER, "")
        if not given and asked.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            body = await read_body(asked.receive, self._settings.max_entity_size)
            asked.receive = replayed(body, asked.receive)
            given = pairs(body).get(FIELD, "")
        return await self._forgery.passes(asked.cookies, given, subject_of(asked.logins))

    async def _stale(self, asked: _Asked) -> Answer:
        message = "A valid CSRF token is needed."
        answer = error(403, message) if asked.json else pages.stale(self._own(asked, self._settings.signin))
        return await self._with_token(asked, answer)

    async def _with_token(self, asked: _Asked, answer: Answer) -> Answer:
        token = await self._forgery.token(asked.cookies, subject_of(asked.logins))
        kept = self._forgery.kept(token, secure=asked.secure)
        return answer if kept is None else answer.with_cookie(kept)

    # --- turned away

    def _unknown(self, asked: _Asked, tenant: str) -> Answer:
        """Nobody is signed in."""
        if asked.method == "OPTIONS":
            return Answer(204)
        if asked.json or asked.scope["type"] != "http":
            answer = error(401, "You have to sign in to see this.")
            answer.headers.append((b"www-authenticate", b"Bearer"))
            return answer
        raw_query: bytes = asked.scope["query_string"]
        params = pairs(raw_query)
        app = identifier_of(params.get("appid", "")) or tenant or self._backend.tenants.default
        query = "" if app == self._backend.tenants.root else "appid=" + quote(f"app:{app}", safe="")
        answer = redirect(weblogin.with_query(self._own(asked, self._settings.signin), query))
        raw_path: bytes = asked.scope["raw_path"]
        wanted = self._own(asked, raw_path.decode("latin-1")) + (f"?{raw_query.decode('latin-1')}" if raw_query else "")
        if asked.method in ("GET", "HEAD") and weblogin.relative(wanted):
            answer.with_cookie(returning(self._settings, wanted, secure=asked.secure))
        return answer

    def _lacking(self, asked: _Asked, rule: Rule, principal: Principal) -> Answer:
        """Somebody who has not the role."""
        if asked.json or asked.scope["type"] != "http":
            details = {"rule": rule.name, "actor": principal.id, "right": " or ".join(sorted(rule.roles))}
            raise Forbidden("You don't have the role that this needs.", details=details)
        return redirect(weblogin.plain(self._own(asked, self._settings.access_denied)))

    def _own(self, asked: _Asked, url: str) -> str:
        root_path: str = asked.scope.get("root_path", "")
        return root_path + url if url.startswith("/") else url

    # --- passing

    async def _private(self, asked: _Asked, send: Send) -> Send:
        """`send`, with what an answer to somebody who is signed in needs: no cache keeps it, forms find a token."""
        extra: list[Header] = []
        token = await self._forgery.token(asked.cookies, subject_of(asked.logins))
        kept = self._forgery.kept(token, secure=asked.secure)
        if kept is not None and token != asked.cookies.get(self._forgery.cookie):
            extra.append((b"set-cookie", kept.encode("ascii")))

        async def passing(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                fields = list(message.get("headers", ()))
                if not any(name.lower() == b"cache-control" for name, _ in fields):
                    fields.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*fields, *extra]}
            await send(message)

        return passing


def returning(settings: Settings, url: str, *, secure: bool) -> str:
    """The cookie that remembers which page is wanted."""
    value = weblogin.remembered(url)
    return cookies.kept(settings.returnto_cookie, value, secure=secure, max_age=_RETURN_SECONDS)


def _tenant(scope: Scope) -> str:
    """The app whose pages a path names (`/chain/{app}/`); "" where it names none."""
    raw_path: bytes = scope["raw_path"]
    parts = [part for part in raw_path.decode("latin-1").split("/") if part]
    return identifier_of(unquote(parts[1])) if len(parts) > 1 and unquote(parts[0]) == "chain" else ""


def _same_site(scope: Scope, headers: dict[str, str], host: str) -> bool:
    """Whether cookies count: a WebSocket may be opened by any site, which names itself."""
    return scope["type"] == "http" or urlsplit(headers.get("origin", "")).netloc.lower() == host.lower()
