"""The one decision: who may do what, at every door (identity.md 2, 5, 10, 11; doors.md 27-29).

Promises: closed unless a rule opens; nobody's address ever decides, only what a listener is bound to; every refusal
names the rule, the actor and the missing right. Apps may do everything in their own app without a look at grants. What
`OWN` adds, and which members a caller may see or write, is decided where objects are read and written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from thingstead.core.identity import Identity, SignedRequest
from thingstead.core.shapes import object_of
from thingstead.core.tenants import App, Tenants, identifier_of
from thingstead.model import rights as rules
from thingstead.model.errors import AppNotFound, Forbidden, Unauthenticated
from thingstead.model.permissions import EVERYBODY, GUESTS, Decision, with_parent
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.rights import ADMIN_TYPES, Right
from thingstead.model.settings import Settings
from thingstead.model.users import ADMINS
from thingstead.ports.store import Store

Door = Literal["hypermedia", "agent", "context", "kits"]
Action = Literal["read", "write"]


class Access:
    """See the module's docstring."""

    def __init__(self, settings: Settings, tenants: Tenants, identity: Identity, store: Store) -> None:
        self._tenants = tenants
        self._identity = identity
        self._store = store
        self._wildcard = settings.wildcard_covers_admin
        self._defaults: Final = {
            "hypermedia.read": settings.hypermedia_read,
            "hypermedia.write": settings.hypermedia_write,
            "agent.access": settings.agent_access,
            "context.access": settings.context_access,
            "kits.access": settings.kits_access,
        }

    # --- who is asking, at the doors beside `/v1`

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
        """Who sent a request, by its `Authorization`: Basic, Bearer, Anonymous or a signature; NOBODY without one.

        `headers` have lower-case names; path, query and body as sent matter to signatures only. Raises Unauthenticated
        and what Identity raises.
        """
        authorization = headers.get("authorization", "").strip()
        scheme, _, rest = authorization.partition(" ")
        match scheme.lower():
            case "":
                return NOBODY
            case "basic":
                return await self._identity.basic(authorization)
            case "bearer":
                return await self._identity.bearer(rest.strip())
            case "anonymous" if identifier_of(rest.strip()):
                return Principal("guest", identifier_of(rest.strip()))
            case "aws4-hmac-sha256":
                request = SignedRequest(method, raw_path, raw_query, headers, body, forwarded_host)
                return await self._identity.signed(request)
            case other:
                raise Unauthenticated(
                    f"the scheme {other} proves nothing here", details={"rule": "Basic, Bearer or AWS4-HMAC-SHA256"}
                )

    # --- what they may do

    async def decide(self, principal: Principal, app: App, right: Right) -> Decision:
        """Whether a principal of `app` has a right at `/v1`, and which rule says so.

        Things are not asked about here: they reach themselves (doors.md 29). Reads the addressed object, for users
        and guests only: its type and parent may matter.
        """
        if principal.kind == "app":
            return Decision(True, "the app itself", principal.id, right.resource, right.method)
        segments = rules.canonical(right.segments, app.identifier, app.datatypes)
        right = Right(right.method, segments, right.childrenonly, right.explains)
        decision = self._granted(principal, app, right)
        if decision is None:
            return Decision(True, f"member of {ADMINS}", principal.id, right.resource, right.method)
        if decision.denied or not (decision.allowed or decision.ask) or decision.rule == _KNOWN:
            return decision
        id = rules.object_of(segments)
        row = await self._store.objects.get(app.identifier, id) if id else None
        if row is None:
            return with_parent(decision, None)
        parent = object_of(row).parentid
        decision = with_parent(decision, parent)
        if not decision.allowed or row.type == segments[0]:
            return decision
        # The path may name any type; what decides is the one that the object has (objects.md D18).
        actual = Right(right.method, (row.type, *segments[1:]), right.childrenonly)
        besides = self._granted(principal, app, actual)
        if besides is None or besides.allowed:
            return decision
        if segments[0] == "_id" and not besides.denied and row.type not in ADMIN_TYPES:
            return decision
        return with_parent(besides, parent)

    def _granted(self, principal: Principal, app: App, right: Right) -> Decision | None:
        """What the grants say; None for administrators, whom they do not bind."""
        guest = principal.kind != "user"
        subject = GUESTS if guest else principal.id
        standing = rules.standing(right, app.datatypes)
        if standing == "known" and (right.segments == ("_me",) or not app.is_root):
            checks = right.segments[:2] == ("_permissions", EVERYBODY) and len(right.segments) == rules.CHECK
            return Decision(not guest or checks, _KNOWN, subject, right.resource, right.method)
        if standing == "app":
            return Decision(False, "apps only", subject, right.resource, right.method, denied=True)
        if guest:
            if standing == "granted":
                return app.permissions.guests(right.resource, right.method)
            return Decision(False, "not for guests", subject, right.resource, right.method, denied=True)
        if principal.groups == ADMINS and not app.is_root:
            return None
        named = standing == "admin" and not self._wildcard
        return app.permissions.decide(
            principal.id, right.resource, right.method, named=named, childrenonly=right.childrenonly
        )

    async def require(self, principal: Principal, app: App, right: Right, path: str) -> None:
        """Refuse a user or guest of `app` that lacks a right; `path` is what was asked for, as sent.

        Raises Forbidden.
        """
        if principal.kind == "app":
            return
        self._check_tenant(app, "read" if right.method in ("GET", "HEAD") else "write", _name(principal), right.method)
        decision = await self.decide(principal, app, right)
        if not decision.allowed:
            name = "[GUEST]" if principal.kind == "guest" else principal.id
            raise Forbidden(
                f"You don't have permission to access this resource. [user: {name}, resource: {right.method} {path}]",
                details={"rule": decision.rule, "actor": _name(principal), "right": decision.missing},
            )

    async def unreachable(self, principal: Principal, app: App, method: str, ids: Iterable[str]) -> frozenset[str]:
        """Those of some objects that a right on `_batch` or on a search does not reach: an app's administration."""
        if principal.kind == "app" or (principal.groups == ADMINS and not app.is_root):
            return frozenset()
        rows = await self._store.objects.get_many(app.identifier, list(ids))
        return frozenset(row.id for row in rows if self.hides(principal, app, method, row.type))

    def hides(self, principal: Principal, app: App, method: str, type_name: str) -> bool:
        """Whether objects of a type need a grant of their own that a caller does not have (identity.md 11)."""
        if principal.kind not in ("user", "guest", "nobody") or type_name not in ADMIN_TYPES:
            return False
        decision = self._granted(principal, app, Right(method, (type_name,)))
        return decision is not None and not decision.allowed

    async def explain(self, app: App, name: str, right: Right) -> Decision:
        """What `decide` would say of a made-up request of a subject, and whether it comes to that."""
        asker = await self.subject(app, name)

        def no(rule: str) -> Decision:
            return Decision(False, rule, name, right.resource, right.method)

        if not app.active:
            return no("the app is not active")
        if app.read_only and right.method not in ("GET", "HEAD"):
            return no("the app is read-only")
        if asker.kind == "user" and name != EVERYBODY:
            row = await self._store.objects.get(app.identifier, name)
            if row is not None and row.type == "user" and object_of(row).own.get("active") is not True:
                return no("the user is not active")
        method = "GET" if right.method == "HEAD" else right.method
        return await self.decide(asker, app, Right(method, right.segments, right.childrenonly, right.explains))

    async def subject(self, app: App, name: str) -> Principal:
        """The principal that a made-up request is about: a user, `*` for any, `?` for guests, or the app by its id."""
        if name == GUESTS:
            return Principal("guest", app.identifier)
        if name == app.object.id:
            return Principal("app", app.identifier, name, root=app.is_root)
        row = await self._store.objects.get(app.identifier, name) if name != EVERYBODY else None
        groups = object_of(row).own.get("groups") if row is not None and row.type == "user" else ""
        return Principal("user", app.identifier, name, groups=groups if isinstance(groups, str) else "")

    # --- the doors beside `/v1`

    async def check(
        self,
        principal: Principal,
        app: str,
        door: Door,
        action: Action,
        *,
        loopback: bool,
        thing: str | None = None,
        rights: Sequence[Right] = (),
    ) -> None:
        """Refuse what `principal` may not do in `app` through `door`.

        `thing` is the one addressed, if it is one. `rights` are those at `/v1` that the request stands for; a user or
        guest needs them all where the door is closed, and none means that it is closed to them. Call it after
        `tenants.get(app)`; an app that does not exist counts as one that would be autocreated. `loopback` is the
        listener's binding. Raises Unauthenticated, Forbidden.
        """
        tenant = self._tenants.cached(app)
        key = f"{door}.{action}" if door == "hypermedia" else f"{door}.access"
        right = f"{action} in app:{app}"
        if tenant is not None:
            self._check_tenant(tenant, action, _name(principal), right)
        if self._open(tenant, app, key, loopback):
            return
        rule = f"{key}=auth"
        if principal.app == app:
            if principal.kind == "app" or (principal.kind == "thing" and thing is not None and thing == principal.id):
                return
            if principal.kind in ("user", "guest") and tenant is not None:
                missing = await self._missing(principal, tenant, rights)
                if missing is None and rights:
                    return
                if missing is not None:
                    rule, right = f"{rule}; {missing.rule}", missing.missing
        elif principal.kind == "app" and principal.root and (tenant is None or tenant.autocreated):
            return
        details = {"rule": rule, "actor": _name(principal), "right": right}
        if principal.kind in ("nobody", "guest"):
            raise Unauthenticated(f"{door} needs credentials of app:{app} to {action}", details=details)
        raise Forbidden(f"{_name(principal)} may not {action} this in app:{app}", details=details)

    async def _missing(self, principal: Principal, tenant: App, rights: Iterable[Right]) -> Decision | None:
        for right in rights:
            decision = await self.decide(principal, tenant, right)
            if not decision.allowed:
                return decision
        return None

    async def knows(self, principal: Principal, app: str, rights: Sequence[Right]) -> bool:
        """Whether a user of `app` has all of some rights, whatever a door's setting opens to strangers."""
        tenant = self._tenants.cached(app)
        if principal.kind != "user" or principal.app != app or tenant is None:
            return False
        return await self._missing(principal, tenant, rights) is None

    def _open(self, tenant: App | None, app: str, key: str, loopback: bool) -> bool:
        own = tenant.settings.get(key) if tenant is not None else None
        if own in ("open", "auth"):
            return own == "open"
        if not (app == self._tenants.default or tenant is None or tenant.autocreated):
            return False
        setting = self._defaults[key]
        return setting == "open" or (setting == "" and loopback)

    def _check_tenant(self, tenant: App, action: Action, actor: str, right: str) -> None:
        id = tenant.object.id
        if not tenant.active:
            raise Forbidden(f"App not active. [{id}]", details={"rule": "active", "actor": actor, "right": right})
        if tenant.read_only and action == "write":
            details = {"rule": "readOnly", "actor": actor, "right": right}
            raise Forbidden(f"App is in read-only mode. [{id}]", details=details)

    async def guest(self, key: str) -> Principal | None:
        """The guest of the app that an access key names; None if there is no such app."""
        identifier = identifier_of(key)
        try:
            await self._tenants.get(identifier)
        except AppNotFound:
            return None
        return Principal("guest", identifier)


_KNOWN: Final = "everybody who is known"


def _name(principal: Principal) -> str:
    return principal.id or principal.kind
