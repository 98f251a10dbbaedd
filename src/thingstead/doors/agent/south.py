"""The south port: measures over HTTP, JSON and UltraLight 2.0 (agent.md 13.1-13.3). Plain ASGI: the hot path.

The apikey and the device id are the credential (doors.md 28). Not there yet: commands and their results, configuration
requests, `application/soap+xml`.
"""

from typing import Final

import structlog

from thingstead.core.backend import Backend
from thingstead.core.measures import Measures, Source
from thingstead.doors.agent.errors import crashed, missing_params, refused, wrong_type
from thingstead.doors.agent.request import content_type, query_of
from thingstead.doors.fiware import CORRELATOR, Refusal, correlator
from thingstead.doors.gate import Gate
from thingstead.model.agent import payload, schema, ultralight
from thingstead.model.errors import InvalidInput, MalformedBody, MethodNotAllowed, NotSupported, ThingsteadError
from thingstead.model.values import JsonObject
from thingstead.transports.http import AsgiApp, Disconnected, Receive, Scope, Send, read_body, send_answer

JSON: Final = "/iot/json"
ULTRALIGHT: Final = "/iot/d"
PROTOCOLS: Final = {"json": "IoTA-JSON", "ul": "PDI-IoTA-UltraLight"}
"""What `protocol` of an autoprovisioned device says (agent.md 4.1)."""
_ATTRS: Final = JSON + "/attrs/"
_LATER: Final = (JSON + "/commands", JSON + "/configuration")
_JSON_TYPES: Final = frozenset({"", "application/json", "text/plain", "application/octet-stream"})
_UL_TYPES: Final = frozenset({"", "text/plain"})
_SECRETS: Final = ("group", "device")  # what an apikey or a device id that nobody has is an error of
_TEXT_HEADER: Final = (b"content-type", b"text/plain")

_log = structlog.get_logger()


def south(backend: Backend) -> AsgiApp:
    """The app of port 7896."""
    door = _South(backend.measures)
    gate = Gate(backend, "south", guessed=_SECRETS)
    clock, entropy = backend.clock, backend.entropy

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began = clock.now()
        mark = (CORRELATOR, correlator(scope, entropy))
        try:
            gate.enter(scope)
            protocol = await door.take(scope, receive)
            status, body = 200, b"{}" if protocol == "json" else b""
            headers = (mark,) if protocol == "json" else (mark, _TEXT_HEADER)
        except Disconnected:
            return
        except (ThingsteadError, Refusal) as error:
            no = refused(error if isinstance(error, Refusal) else gate.refused(scope, error))
            status, body, headers = no.status, no.body, (mark, *no.headers)
        except Exception:
            _log.exception("agent south failed", path=scope.get("path"))
            no = crashed()
            status, body, headers = no.status, no.body, (mark,)
        took = (b"x-processing-time", b"%d" % ((clock.now() - began) // 1000))
        await send_answer(send, status, body, headers=(*headers, took))

    return app


class _South:
    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    async def take(self, scope: Scope, receive: Receive) -> str:
        """Take the measures of a request; returns the protocol that it spoke."""
        path: str = scope["path"]
        if path in (JSON + "/", ULTRALIGHT + "/"):
            path = path[:-1]
        method: str = scope["method"]
        query = query_of(scope)
        apikey, device_id = query.get("k", ""), query.get("i", "")
        known = path in (JSON, ULTRALIGHT) or path.startswith(_ATTRS)
        if path in _LATER:
            raise NotSupported(f"{path} is not supported")
        if not known and not apikey and not device_id:
            raise Refusal(404, "NOT_FOUND", f"There is nothing at {path}")
        if method not in ("GET", "POST") or (method == "GET" and path.startswith(_ATTRS)):
            allow = "POST" if path.startswith(_ATTRS) else "GET, POST"
            raise MethodNotAllowed(f"{method} is not known here", details={"allow": allow})
        posted = await read_body(receive, payload.MAX_BYTES) if method == "POST" else None
        missing = [name for name, value in (("API Key", apikey), ("Device Id", device_id)) if not value]
        text: bytes | str | None = posted if posted is not None else query.get("d")
        if not text and "getCmd" not in query and (path != ULTRALIGHT or posted is None):
            missing.append("Payload")
        if missing:
            raise missing_params(missing)
        if len(device_id) > schema.MAX_KEY:
            raise InvalidInput(f"a device id has at most {schema.MAX_KEY} characters", field="i")
        stated = content_type(scope) if posted is not None else ""
        source = Source(apikey, device_id, JSON if path.startswith(_ATTRS) else path)
        protocol = await self._protocol(path, source, stated, text or "")
        found = _single(path, stated, text) if path.startswith(_ATTRS) else _parsed(protocol, stated, text, posted)
        await self._measures.take(source, found, instant=query.get("t"), transport="HTTP", protocol=PROTOCOLS[protocol])
        return protocol

    async def _protocol(self, path: str, source: Source, stated: str, text: bytes | str) -> str:
        if path == ULTRALIGHT:
            return "ul"
        if path == JSON or path.startswith(_ATTRS):
            return "json"
        target = await self._measures.target(source)
        if path.startswith((JSON + "/", ULTRALIGHT + "/")) and target.resource != path:
            raise Refusal(404, "NOT_FOUND", f"There is nothing at {path}")  # no route of a protocol is a wrong resource
        return protocol_of(target.protocol, text, stated)


def protocol_of(named: str | None, text: bytes | str, stated: str = "") -> str:
    """The protocol of a path or topic that does not name one: as stated, else as the payload looks."""
    if named is not None and "json" in named:
        return "json"
    if named is not None and "ul" in named:
        return "ul"
    start = text[:1] if isinstance(text, str) else text[:1].decode("latin-1")
    return "json" if stated == "application/json" or start in ("{", "[") else "ul"


def _parsed(protocol: str, stated: str, text: bytes | str | None, posted: bytes | None) -> list[JsonObject]:
    if protocol == "ul":
        if stated not in _UL_TYPES or posted == b"":
            raise wrong_type(stated or "none", "text/plain")
        return ultralight_of(text) if text else []
    if stated not in _JSON_TYPES:
        raise wrong_type(stated, "application/json, text/plain, application/octet-stream, application/soap+xml")
    return json_of(text) if text else []


def json_of(text: bytes | str) -> list[JsonObject]:
    """The measures of a JSON payload; SyntaxError if it is none."""
    try:
        return payload.measures(text)
    except MalformedBody as error:
        raise Refusal(400, "SyntaxError", error.message) from None


def ultralight_of(text: bytes | str) -> list[JsonObject]:
    """The measures of an UltraLight payload; PARSE_ERROR if it is none."""
    try:
        return ultralight.measures(text)
    except MalformedBody as error:
        raise Refusal(400, "PARSE_ERROR", error.message) from None


def _single(path: str, stated: str, text: bytes | str | None) -> list[JsonObject]:
    name = path[len(_ATTRS) :]
    if not name or "/" in name:
        raise Refusal(404, "NOT_FOUND", f"There is nothing at {path}")
    if stated not in _JSON_TYPES:
        raise wrong_type(stated, "application/json, text/plain, application/octet-stream, application/soap+xml")
    raw = text.encode() if isinstance(text, str) else text or b""
    try:
        return [{name: payload.single(raw, content_type=stated or "application/json")}]
    except MalformedBody as error:
        raise Refusal(400, "SyntaxError", error.message) from None
