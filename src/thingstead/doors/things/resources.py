"""What `/v1/things/{ref}` has below it: shadow, credentials, connection, sensors, readings (things.md 1.2, 2, 7.1, 9).

The objects door routes here and authenticates; a thing reaches itself only. Promises: credentials are shown once, to an
app or the thing's creator; shadow errors have AWS's shape, all others the objects door's.
"""

from typing import Final

from msgspec import UNSET

from thingstead.core import history
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.resources import Entry, ResourceAnswer, ResourceRequest, Resources
from thingstead.doors.things import read, render
from thingstead.doors.things.errors import shown
from thingstead.model.errors import (
    ConstraintViolation,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    NotSupported,
    ThingsteadError,
)
from thingstead.model.grants import cloud_id
from thingstead.model.objects import Object
from thingstead.model.users import ADMINS
from thingstead.model.values import Json, JsonObject, dump, parse_object

_NO_STORE: Final = (("Cache-Control", "no-store"),)


def resources(backend: Backend) -> Resources:
    """The custom resources of the objects door."""
    door = _Resources(backend)
    return {
        ("things", None, "shadow"): Entry(
            frozenset({"GET", "POST", "DELETE"}),
            door.shadow,
            own=frozenset({"GET", "POST", "DELETE"}),
            summary="The classic shadow",
            query={"name": "a named shadow; there are none"},
        ),
        ("things", None, "credentials"): Entry(
            frozenset({"POST"}), door.credentials, own=frozenset(), summary="New credentials; the old ones end"
        ),
        ("things", None, "connection"): Entry(
            frozenset({"GET"}), door.connection, summary="Where and as whom to connect"
        ),
        ("things", None, "sensors"): Entry(
            frozenset({"GET"}), door.sensors, summary="Sensors and their newest reading"
        ),
        ("things", None, "readings"): Entry(
            frozenset({"GET"}), door.readings, summary="Readings", query=history.PARAMETERS
        ),
    }


class _Resources:
    """See the module's docstring."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def shadow(self, request: ResourceRequest) -> ResourceAnswer:
        """GET, POST and DELETE of the shadow document (things.md 7)."""
        thing = await self._thing(request)
        name = dict(request.query).get("name", "")
        status, body = await shadow_call(self._backend, request.method, request.app, thing.id, name, request.body)
        return ResourceAnswer(status, body)

    async def credentials(self, request: ResourceRequest) -> ResourceAnswer:
        """Fresh `deviceDetails`; the old credentials end (things.md 1.2)."""
        thing = await self._thing(request)
        actor = request.principal
        owns = actor.kind == "user" and (actor.id == thing.creatorid or actor.groups == ADMINS)
        if actor.kind != "app" and not owns:
            details = {"rule": "app keys or owner", "actor": actor.id, "right": "credentials"}
            raise Forbidden("Only the app or the thing's owner may make its credentials.", details=details)
        body: JsonObject = parse_object(request.body) if request.body.strip() else {}
        csr = body.get("csr")
        if csr is not None and not isinstance(csr, str):
            raise ConstraintViolation("'csr' must be a certificate request in PEM", field="csr")
        if body.get("overlapSeconds") not in (None, 0):
            raise NotSupported("old credentials end at once; overlapSeconds must be 0", field="overlapSeconds")
        made = await self._backend.things.credentials(request.app, thing.id, actor, csr=csr)
        self._backend.audit.note("credentials_made", request.app, actor.id, resource=f"thing/{thing.id}")
        return ResourceAnswer(201, dump(made), _NO_STORE)

    async def connection(self, request: ResourceRequest) -> ResourceAnswer:
        """The non-secret half of `deviceDetails`."""
        thing = await self._thing(request)
        return ResourceAnswer(200, dump(await self._backend.things.connection(request.app, thing.id)))

    async def sensors(self, request: ResourceRequest) -> ResourceAnswer:
        """A thing's sensors with their newest reading; `updated` in ms."""
        thing = await self._thing(request)
        shadow = await self._backend.things.shadow(request.app, thing.id)
        found: list[Json] = []
        for sensor in await self._backend.objects.list(request.app, type="sensor", parent=thing.id):
            path = str(sensor.custom.get("path", ""))
            leaf = shadow.leaves.get(path)
            shown: JsonObject = {
                "id": sensor.id,
                "path": path,
                "unit": sensor.custom.get("unit"),
                "dataType": sensor.custom.get("dataType"),
                "updated": leaf.time // 1000 if leaf is not None and leaf.time else None,
                "value": leaf.value if leaf is not None else None,
            }
            found.append(shown)
        return ResourceAnswer(200, dump(found))

    async def readings(self, request: ResourceRequest) -> ResourceAnswer:
        """A thing's readings, in the order asked for; times in ms."""
        thing = await self._thing(request)
        window = history.window_of(request.query)
        shadow = await self._backend.things.shadow(request.app, thing.id)
        found = await history.read(self._backend.store.readings, shadow, window)
        rows = [(time, path, value) for path, points in found.points.items() for time, value in points]
        rows.sort(key=lambda row: (-row[0] if window.newest else row[0], row[1]))
        items: list[Json] = [{"sensor": path, "timestamp": time // 1000, "value": value} for time, path, value in rows]
        body: JsonObject = {"items": items}
        if found.cursor:
            body["cursor"] = found.cursor
        return ResourceAnswer(200, dump(body))

    async def _thing(self, request: ResourceRequest) -> Object:
        """The thing of `/things/{ref}`: its id, or `{app}:{id}` (things.md 1.1)."""
        ref = request.segments[1]
        app, separator, id = ref.partition(":")
        if not separator:
            id = ref
        elif app != request.app:
            raise NotFound("Thing not found", field="thing")
        thing = await self._backend.objects.get(request.app, id)
        if thing.type != "thing":
            raise NotFound("Thing not found", field="thing")
        return thing


async def shadow_call(backend: Backend, method: str, app: str, thing: str, name: str, body: bytes) -> tuple[int, bytes]:
    """One REST call of the shadow; (status, document). Named shadows do not exist yet."""
    try:
        return 200, await _shadow(backend, method, app, thing, name, body)
    except ThingsteadError as error:
        return refusal(backend, error, name or cloud_id(app, thing), body)


def refusal(backend: Backend, error: ThingsteadError, name: str, body: bytes) -> tuple[int, bytes]:
    """An error of a shadow call; (status, document). `name` is that of the shadow."""
    code, message = shown(error)
    if isinstance(error, NotFound) and error.field == "shadow":
        message = f"No shadow exists with name: '{name}'"
    return code, render.rejected(code, message, backend.clock.now(), read.readable_token(body))


async def _shadow(backend: Backend, method: str, app: str, thing: str, name: str, body: bytes) -> bytes:
    if name:
        if method == "POST":
            raise NotSupported("named shadows are not supported")
        raise NotFound("No shadow exists", field="shadow")
    if method == "POST":
        request = read.update(body)
        outcome = await backend.ingest.report(
            Report(
                app=app,
                thing=thing,
                reported=request.sections.get("reported", UNSET),
                desired=request.sections.get("desired", UNSET),
                version=request.version,
                token=request.token,
                size=len(body),
            )
        )
        return render.accepted(request.sections, outcome.version, outcome.time, request.token)
    if method == "DELETE":
        outcome = await backend.ingest.delete_shadow(app, thing)
        return render.deleted(outcome.version, outcome.time, None)
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed("Method not allowed", details={"allow": "GET, POST, DELETE"})
    shadow = await backend.things.shadow(app, thing)
    if not shadow.reported and not shadow.desired:
        raise NotFound("No shadow exists", field="shadow")
    return render.current(shadow, backend.clock.now(), None)
