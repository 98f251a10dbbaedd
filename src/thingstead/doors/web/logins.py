"""Who is signed in on web pages: login cookies and what they prove (identity.md 9).

A cookie counts if it is named as its app names them, and if its token holds now: a user who is inactive, or whose
tokens were revoked, has no login any more. It counts on web pages only; nothing here is asked by an API.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from thingstead.core.backend import Backend
from thingstead.core.tenants import App, identifier_of
from thingstead.model import cookies, tokens
from thingstead.model.errors import AppNotFound, Forbidden, Unauthenticated
from thingstead.model.principals import Principal
from thingstead.model.tokens import Claims


class Login(msgspec.Struct, frozen=True):
    """One cookie that holds."""

    cookie: str
    token: str
    app: App
    principal: Principal


class Logins:
    """Finds logins among cookies."""

    def __init__(self, backend: Backend) -> None:
        self._identity = backend.identity
        self._tenants = backend.tenants
        self._root_cookie = backend.settings.auth_cookie
        self._seconds = backend.settings.session_timeout

    def cookie_of(self, app: App) -> str:
        """The name of an app's login cookie."""
        own = app.settings.get("auth_cookie")
        if isinstance(own, str) and cookies.usable(own):
            return own
        return self._root_cookie if app.is_root else f"{app.identifier}-auth"

    def seconds_of(self, app: App) -> int:
        """How long an app's login cookie lasts."""
        return tokens.validity(app.settings.get("session_timeout"), None, self._seconds)

    async def of(self, sent: Mapping[str, str]) -> list[Login]:
        """The logins of a request, in the order of its cookies."""
        found: list[Login] = []
        for name, value in sent.items():
            if value.count(".") == 2 and (login := await self._login(name, value)) is not None:
                found.append(login)
        return found

    async def _login(self, name: str, token: str) -> Login | None:
        try:
            app = await self._app(tokens.peek(token))
            if self.cookie_of(app) != name:
                return None
            principal = await self._identity.bearer(token, about_me=True)
        except (AppNotFound, Unauthenticated, Forbidden):
            return None
        return Login(name, token, app, principal) if principal.kind == "user" else None

    async def named(self, sent: Mapping[str, str]) -> list[str]:
        """The names of the cookies that are logins, whether they hold or not."""
        found: list[str] = []
        for name, value in sent.items():
            if value.count(".") == 2:
                try:
                    if self.cookie_of(await self._app(tokens.peek(value))) == name:
                        found.append(name)
                except (AppNotFound, Unauthenticated):
                    pass
        return found

    async def _app(self, claims: Claims) -> App:
        identifier = identifier_of(claims.appid)
        return self._tenants.cached(identifier) or await self._tenants.get(identifier)


def subject_of(logins: Iterable[Login]) -> str:
    """Who is signed in, as CSRF tokens are bound to it; "" for nobody."""
    return subject_of_users((login.app.identifier, login.principal.id) for login in logins)


def subject_of_users(users: Iterable[tuple[str, str]]) -> str:
    """The same, of (app, user) pairs."""
    return " ".join(sorted(f"{app}/{user}" for app, user in users))


def first_of(app: str, logins: Sequence[Login]) -> Login | None:
    """The login to an app, if there is one."""
    return next((login for login in logins if login.app.identifier == app), None)
