"""The shadow over HTTP as AWS's data plane has it (things.md 7.1), on the main port:

`GET`, `POST`, `DELETE /things/{thingName}/shadow[?name=]` and
`GET /api/things/shadow/ListNamedShadowsForThing/{thingName}`, with an app's keys or the thing's cloud id and secret.
"""

from urllib.parse import parse_qsl, unquote_to_bytes

import structlog

from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.things import render
from thingstead.doors.things.resources import refusal, shadow_call
from thingstead.model.errors import Forbidden, MethodNotAllowed, NotFound, ThingsteadError, Unauthenticated
from thingstead.model.principals import Principal
from thingstead.model.rights import Right
from thingstead.ports.store import Key
from thingstead.transports.http import AsgiApp, Disconnected, Receive, Scope, Send, read_body, retry_after, send_answer

_log = structlog.get_logger()


def app(backend: Backend) -> AsgiApp:
    """The ASGI callable for the paths `/things/...` and `/api/...`."""

    gate = Gate(backend, "things")

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        body = b""
        headers: list[tuple[bytes, bytes]] = []
        try:
            gate.enter(scope)
            body = await read_body(receive, backend.settings.max_entity_size)
            status, answer = await _answer(backend, gate, scope, body)
        except Disconnected:
            return
        except ThingsteadError as error:
            error = gate.refused(scope, error)
            status, answer = refusal(backend, error, "", body)
            headers += retry_after(error)
            if status == 401:
                headers.append((b"www-authenticate", b"Basic"))
            if "allow" in error.details:
                headers.append((b"allow", error.details["allow"].encode()))
        except Exception:
            _log.exception("shadow_call_failed", method=scope["method"], path=scope["path"])
            status, answer = refusal(backend, ThingsteadError(), "", body)
        await send_answer(send, status, b"" if scope["method"] == "HEAD" else answer, headers=headers)

    return serve


async def _answer(backend: Backend, gate: Gate, scope: Scope, body: bytes) -> tuple[int, bytes]:
    method: str = scope["method"]
    raw_path: bytes = scope["raw_path"]
    raw_query: bytes = scope["query_string"]
    try:
        segments = [unquote_to_bytes(part).decode() for part in raw_path.split(b"/")[1:]]
        query = dict(parse_qsl(raw_query.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise NotFound("Not found") from None
    match segments:
        case ["api", "things", "shadow", "ListNamedShadowsForThing", name]:
            listing = True
        case ["things", name, "shadow"]:
            listing = False
        case _:
            raise NotFound("Not found")
    allowed = ("GET", "HEAD") if listing else ("GET", "HEAD", "POST", "DELETE")
    if method not in allowed:
        raise MethodNotAllowed("Method not allowed", details={"allow": ", ".join(allowed)})
    principal = await backend.access.principal(
        {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])},
        method=method,
        raw_path=raw_path.decode("latin-1"),
        raw_query=raw_query.decode("latin-1"),
        body=body,
    )
    gate.known(scope, principal)
    thing = await _thing(backend, principal, name, method)
    if listing:
        return 200, render.names(backend.clock.now())
    return await shadow_call(backend, method, principal.app, thing, query.get("name", ""), body)


async def _thing(backend: Backend, principal: Principal, name: str, method: str) -> str:
    """The id of the thing of that name, if the caller may reach it: an app its own things, a thing itself, a user as
    `/v1/things/{id}/shadow` would have it."""
    if principal.kind == "nobody":
        raise Unauthenticated("Unauthorized")
    app = await backend.tenants.get(principal.app)
    backend.identity.check_method(app, method)
    found = await backend.objects.find(Key("cloud", name))
    if principal.kind == "thing" and (found is None or (found.app, found.id) != (principal.app, principal.id)):
        raise Forbidden("Forbidden", details={"rule": "a thing reaches itself", "actor": principal.id})
    if found is None or found.app != principal.app or found.type != "thing":
        found = None
    if principal.kind in ("user", "guest"):
        asked = Right("GET" if method == "HEAD" else method, ("thing", found.id if found else name, "shadow"))
        await backend.access.require(principal, app, asked, f"/things/{name}/shadow")
    scope = app.scope(principal)
    if found is None or (scope is not None and not scope.sees(found)):  # under OWN another's is not there
        raise NotFound("Thing not found", field="thing")
    return found.id
