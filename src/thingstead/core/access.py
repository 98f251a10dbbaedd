"""Access to the doors beside `/v1`: open where a setting or the binding says so, else as `/v1` would decide (doors.md
27-29).

Promises: nobody's address ever decides, only what the listener is bound to; every refusal names the rule, the actor
and the missing right. Finer rights of users are `/v1`'s and come with users.
"""

from collections.abc import Mapping
from typing import Final, Literal

from thingstead.core.identity import Identity, SignedRequest
from thingstead.core.tenants import App, Tenants
from thingstead.model.errors import Forbidden, Unauthenticated
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.settings import Settings

Door = Literal["hypermedia", "agent", "context", "kits"]
Action = Literal["read", "write"]


class Access:
    """See the module's docstring."""

    def __init__(self, settings: Settings, tenants: Tenants, identity: Identity) -> None:
        self._tenants = tenants
        self._identity = identity
        self._defaults: Final = {
            "hypermedia.read": settings.hypermedia_read,
            "hypermedia.write": settings.hypermedia_write,
            "agent.access": settings.agent_access,
            "context.access": settings.context_access,
            "kits.access": settings.kits_access,
        }

    async def principal(
        self,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        raw_path: str = "/",
        raw_query: str = "",
        body: bytes = b"",
        forwarded_host: str = "",
    ) -> Principal:
        """Who sent a request, by its `Authorization`: Basic, Bearer or a signature; NOBODY without one.

        `headers` have lower-case names; path, query and body as sent matter to signatures only. Raises Unauthenticated
        and what Identity raises.
        """
        authorization = headers.get("authorization", "").strip()
        scheme = authorization.partition(" ")[0].lower()
        if not scheme:
            return NOBODY
        if scheme == "basic":
            return await self._identity.basic(authorization)
        if scheme == "bearer":
            return await self._identity.bearer(authorization[len(scheme) :].strip())
        if scheme == "aws4-hmac-sha256":
            request = SignedRequest(method, raw_path, raw_query, headers, body, forwarded_host)
            return await self._identity.signed(request)
        raise Unauthenticated(
            f"the scheme {scheme} proves nothing here", details={"rule": "Basic, Bearer or AWS4-HMAC-SHA256"}
        )

    def check(
        self,
        principal: Principal,
        app: str,
        door: Door,
        action: Action,
        *,
        loopback: bool,
        thing: str | None = None,
    ) -> None:
        """Refuse what `principal` may not do in `app` through `door`; `thing` is the one addressed, if it is one.

        Call it after `tenants.get(app)`; an app that does not exist counts as one that would be autocreated.
        `loopback` is the listener's binding. Raises Unauthenticated, Forbidden.
        """
        tenant = self._tenants.cached(app)
        key = f"{door}.{action}" if door == "hypermedia" else f"{door}.access"
        details = {"rule": f"{key}=auth", "actor": _name(principal), "right": f"{action} in app:{app}"}
        if tenant is not None:
            self._check_tenant(tenant, action, details)
        if self._open(tenant, app, key, loopback):
            return
        if principal.kind in ("nobody", "guest"):
            raise Unauthenticated(f"{door} needs credentials of app:{app} to {action}", details=details)
        if principal.kind == "app":
            governed = tenant is None or tenant.autocreated
            if principal.app == app or (principal.root and governed):
                return
        elif principal.kind == "thing" and principal.app == app and thing is not None and thing == principal.id:
            return
        raise Forbidden(f"{_name(principal)} may not {action} this in app:{app}", details=details)

    def _open(self, tenant: App | None, app: str, key: str, loopback: bool) -> bool:
        own = tenant.settings.get(key) if tenant is not None else None
        if own in ("open", "auth"):
            return own == "open"
        if not (app == self._tenants.default or tenant is None or tenant.autocreated):
            return False
        setting = self._defaults[key]
        return setting == "open" or (setting == "" and loopback)

    def _check_tenant(self, tenant: App, action: Action, details: Mapping[str, str]) -> None:
        id = tenant.object.id
        if not tenant.active:
            raise Forbidden(f"App not active. [{id}]", details={**details, "rule": "active"})
        if tenant.read_only and action == "write":
            raise Forbidden(f"App is in read-only mode. [{id}]", details={**details, "rule": "readOnly"})


def _name(principal: Principal) -> str:
    return principal.id or principal.kind
