"""What every HTTP door asks about the requests that it gets: is there room for this one, and what a refusal means.

Promises: one place where a request's address is found (`TrustedProxies`, as everywhere), where refusals are counted and
told to the audit trail, and where too many of them become a LimitReached. A door calls `enter` before it looks at a
request, `known` once it knows who sent it, and `refused` for each error that it is about to render.
"""

import re
from collections.abc import Collection
from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.tenants import identifier_of
from thingstead.model.errors import (
    BadSignature,
    ExpiredSignature,
    Forbidden,
    LimitReached,
    NotFound,
    SignInFailed,
    ThingsteadError,
    TooLarge,
    Unauthenticated,
)
from thingstead.model.principals import Principal
from thingstead.transports.http import Scope, TrustedProxies

_APP: Final = re.compile(r"app:[^\s,\]]+")
_PRINCIPAL: Final = "thingstead.principal"


class Gate:
    """See the module's docstring; `door` is its name in metrics and in the trail.

    `guessed`: each request of the door brings a secret that may be guessed; a NotFound that names one of these fields
    says that it was wrong.
    """

    def __init__(self, backend: Backend, door: str, *, guessed: Collection[str] = ()) -> None:
        """Raises ValueError for `trusted_proxies` that name no address."""
        self._door = door
        self._guessed = frozenset(guessed)
        self._limits = backend.limits
        self._audit = backend.audit
        self._proxies = TrustedProxies(backend.settings.trusted_proxies)

    def enter(self, scope: Scope) -> None:
        """A request comes. Raises LimitReached."""
        limits = self._limits
        if limits.addresses:
            limits.entering(self._proxies.client(scope), self._door)
        if limits.wary:
            if self._guessed:
                limits.passwords(self._proxies.client(scope), self._door)
            for name, value in scope["headers"]:
                if name == b"authorization" and value[:5].lower() == b"basic":
                    limits.passwords(self._proxies.client(scope), self._door)
                    return

    def sign_in(self, scope: Scope) -> None:
        """Somebody wants to sign in. Raises LimitReached."""
        self._limits.signing_in(self._proxies.client(scope), self._door)

    def sign_in_failed(self, scope: Scope) -> None:
        """It did not work."""
        self._limits.sign_in_failed(self._proxies.client(scope))

    def known(self, scope: Scope, principal: Principal) -> None:
        """Who sent a request is known, or that it is nobody. Raises LimitReached."""
        if principal.kind == "nobody":
            return
        scope[_PRINCIPAL] = principal
        if self._limits.limits(principal):
            address = self._proxies.client(scope) if principal.kind == "guest" else ""
            self._limits.known(principal, address, self._door)

    def refused(self, scope: Scope, error: ThingsteadError) -> ThingsteadError:
        """An error that a request ends with; the one to render, which is another one after too many refusals."""
        limit = "size" if isinstance(error, TooLarge) else error.details.get("limit")
        if limit:
            self._limits.count(self._door, limit)
        if isinstance(error, LimitReached):
            self._told(scope, "limited", error)
        elif isinstance(error, (Unauthenticated, Forbidden)):
            if not isinstance(error, SignInFailed):  # told by who signs in, with what it knows
                self._told(scope, "refused", error)
            principal: Principal | None = scope.get(_PRINCIPAL)
            unproven = isinstance(error, (Unauthenticated, BadSignature, ExpiredSignature))
            guest = principal is None and "guest" in error.details.get("actor", "").lower()
            if (unproven or guest) and principal is None:
                return self._limits.failed(self._proxies.client(scope), self._door) or error
        elif isinstance(error, NotFound) and error.field in self._guessed:
            self._told(scope, "refused", error)
            return self._limits.failed(self._proxies.client(scope), self._door) or error
        return error

    def _told(self, scope: Scope, event: str, error: ThingsteadError) -> None:
        details = error.details
        principal: Principal | None = scope.get(_PRINCIPAL)
        actor = details.get("actor", "")
        if principal is None:
            named = _APP.search(actor) or _APP.search(details.get("right", ""))
            app = details.get("app") or (identifier_of(named.group()) if named else "")
        else:
            app, actor = principal.app, actor or principal.id
        path: str = scope["path"]
        method: str = scope.get("method", "GET")
        self._audit.note(
            event,
            app,
            actor,
            outcome=error.code,
            resource=f"{method} {path}",
            right=details.get("right", ""),
            rule=details.get("rule", ""),
            address=self._proxies.client(scope),
            door=self._door,
        )
