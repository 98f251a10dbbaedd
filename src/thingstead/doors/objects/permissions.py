"""`_permissions`: who may do what in an app, and why (identity.md 10.6).

`_permissions/explain` with a parameter answers for a made-up request; without one it is the subject named `explain`.
"""

from urllib.parse import unquote

from thingstead.core.backend import Backend
from thingstead.core.tenants import App
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, grouped, json_body, parse_query, segments
from thingstead.doors.objects.render import Answer
from thingstead.model import permissions, types
from thingstead.model.errors import Forbidden, InvalidInput, MalformedBody
from thingstead.model.permissions import GUESTS, stripped
from thingstead.model.resource_names import resource_of
from thingstead.model.rights import Right
from thingstead.model.users import ADMINS
from thingstead.model.values import Json, JsonObject, dump, is_array

EXPLAIN = "explain"
_ASKED = frozenset({"subject", "resource", "path", "method"})


def explains(parts: tuple[str, ...], raw_query: str) -> bool:
    """Whether a GET asks to explain, and not for the grants of a subject of that name."""
    return parts == ("_permissions", EXPLAIN) and any(name in _ASKED for name, _ in parse_query(raw_query))


class Permitted:
    """The handlers of permissions."""

    def __init__(self, backend: Backend) -> None:
        self._tenants = backend.tenants
        self._access = backend.access
        self._audit = backend.audit

    async def read(self, call: Call) -> Answer:
        """GET _permissions: the whole map, without subjects that have nothing."""
        return render.json({who: what for who, what in call.app.permissions.stored.items() if what})

    async def of_subject(self, call: Call) -> Answer:
        """GET _permissions/{subject}; GET _permissions/explain?..."""
        if call.params() and explains(call.segments, call.raw_query):
            return await self._explain(call)
        return _shown(call.app, _subject(call))

    async def grant(self, call: Call) -> Answer:
        """PUT _permissions/{subject}/{resource}: the body lists what is allowed, in place of what was before."""
        subject, resource = _subject(call), _resource(call)
        given = json_body(call.body)
        if not is_array(given):
            raise MalformedBody("a JSON array of methods is expected", field="body")
        methods = permissions.methods_of(given, subject)
        app = await self._tenants.grant(call.app.identifier, subject, resource, methods)
        self._note(call, "permission_granted", subject, resource, " ".join(methods))
        return _shown(app, subject)

    async def revoke(self, call: Call) -> Answer:
        """DELETE _permissions/{subject}[/{resource}]."""
        subject, resource = _subject(call), _resource(call) if len(call.segments) > 2 else None
        app = await self._tenants.revoke(call.app.identifier, subject, resource)
        self._note(call, "permission_revoked", subject, resource or "", "")
        return _shown(app, subject)

    async def check(self, call: Call) -> Answer:
        """GET _permissions/{subject}/{resource}/{method}: `true` or `false` in bare text."""
        subject = await self._access.subject(call.app, _subject(call))
        right = Right(call.segments[3].strip().upper(), tuple(_resource(call).split("/")))
        if not right.method:
            return render.text("false")
        return render.text("true" if (await self._access.decide(subject, call.app, right)).allowed else "false")

    async def _explain(self, call: Call) -> Answer:
        """Whether a request would be allowed, by which rule, and which grants had a say.

        For apps, administrators, and users about themselves. Raises Forbidden, InvalidInput.
        """
        params = {name: values[0] for name, values in call.params().items()}
        asker = call.principal
        name = params.get("subject", "").strip() or asker.id
        if asker.kind != "app" and name != asker.id and asker.groups != ADMINS:
            details = {"rule": "users may ask about themselves", "actor": asker.id, "right": f"explain {name}"}
            raise Forbidden("You may ask about yourself only.", details=details)
        right = _made_up(params)
        decision = await self._access.explain(call.app, name, right)
        shown: list[Json] = []
        if decision.subject != call.app.object.id:
            of = permissions.EVERYBODY if decision.subject == GUESTS else decision.subject
            for grant in call.app.permissions.taking_part(of, decision.resource):
                shown.append({"subject": grant.subject, "resource": grant.resource, "methods": [*grant.methods]})
        answer: JsonObject = {
            "allowed": decision.allowed,
            "rule": decision.rule,
            "subject": decision.subject,
            "resource": decision.resource,
            "method": decision.method,
            "grants": shown,
            "missing": decision.missing,
        }
        return Answer(200, dump(answer), headers=render.NO_STORE)

    def _note(self, call: Call, event: str, subject: str, resource: str, methods: str) -> None:
        details = {"subject": subject, "resource": resource, "methods": methods}
        self._audit.note(event, call.app.identifier, call.principal.id, **{k: v for k, v in details.items() if v})


def _made_up(params: dict[str, str]) -> Right:
    """The right that the parameters speak of: `resource`, or `path` as it would be sent. Raises InvalidInput."""
    method = params.get("method", "").strip().upper() or "GET"
    path = params.get("path", "").strip()
    if path:
        bare, _, query = path.partition("?")
        parts = segments("/v1/" + bare.removeprefix("/").removeprefix("v1/"))
        return Right(method, parts, "childrenonly" in grouped(parse_query(query)), explains(parts, query))
    resource = stripped(unquote(params.get("resource", "")).strip())
    if not resource:
        raise InvalidInput("'resource' or 'path' is missing", field="resource")
    return Right(method, tuple(resource.split("/")))


def _subject(call: Call) -> str:
    subject = call.segments[1].strip()
    if not subject:
        raise InvalidInput("the subject is blank", field="subject")
    return subject


def _resource(call: Call) -> str:
    datatypes = call.app.datatypes
    known = {*types.LISTED, *types.LISTED.values(), *datatypes, *datatypes.values()}
    return resource_of(call.segments[2], known.__contains__)


def _shown(app: App, subject: str) -> Answer:
    return render.json(permissions.shown(app.permissions.stored, subject))
