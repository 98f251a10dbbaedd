"""Promise: the south port answers JSON and UltraLight as agent.md 13.1-13.3 say, and what it answers 200 is stored."""

import asyncio
from pathlib import Path
from typing import Any

from support.agent_doors import JSON, TEXT, open_doors
from support.aio import run
from support.backend import owner

Q = "k=123456&i=TestDevice"
TIME, SHOWN = "2024-05-01T10:00:00.5Z", "2024-05-01T10:00:00.500Z"
SPREAD: list[tuple[str, str, bytes | None, dict[str, str], dict[str, Any]]] = [
    ("POST", f"/iot/json?{Q}", b'{"a":1}', JSON, {"a": 1}),
    ("POST", f"/iot/json?{Q}", b'{"a":1}', {"content-type": "application/json; charset=utf-8"}, {"a": 1}),
    ("POST", f"/iot/json?{Q}", b'{"a":1}', TEXT, {"a": 1}),
    ("POST", f"/iot/json?{Q}", b'[{"a":1},{"a":2}]', JSON, {"a": 2}),
    ("POST", f"/iot/json?{Q}", b'[{"a":1}]', JSON, {"a": 1}),
    ("POST", "/iot/json?k=123456&i=Test%44evice", b'{"a":1}', JSON, {"a": 1}),
    ("GET", f"/iot/json?{Q}&d=%7B%22a%22%3A+5%7D", None, {}, {"a": 5}),
    ("GET", f"/iot/json?{Q}&getCmd=1", None, {}, {}),
    ("POST", f"/iot/json?{Q}&getCmd=1", b"", JSON, {}),
    ("POST", f"/iot/json?{Q}&t={TIME}", b'{"a":1}', JSON, {"a": 1, "TimeInstant": SHOWN}),
    ("POST", f"/iot/json?{Q}", b"[]", JSON, {}),
    ("POST", f"/iot/json?{Q}", b"null", JSON, {}),
    ("POST", f"/iot/json?{Q}", b"{}", JSON, {}),
    ("POST", f"/iot/json/attrs/x?{Q}", b"[1,2]", JSON, {"x": [1, 2]}),
    ("POST", f"/iot/json/attrs/x?{Q}", b"on", TEXT, {"x": "on"}),
    ("POST", f"/iot/json/attrs/x%20y?{Q}", b"5", TEXT, {"x%20y": "5"}),
    ("POST", f"/iot/json/attrs/x?{Q}", b"\x01\xff", {"content-type": "application/octet-stream"}, {"x": "01ff"}),
    ("POST", f"/iot/d?{Q}", b"t|15|k|abc", TEXT, {"t": 15, "k": "abc"}),
    ("POST", f"/iot/d?{Q}", b"t|15", {}, {"t": 15}),
    ("POST", f"/iot/d?{Q}", b"t|15#t|16", TEXT, {"t": 16}),
    ("POST", f"/iot/d?{Q}", TIME.encode() + b"|t|007", TEXT, {"t": "007", "TimeInstant": SHOWN}),
    ("POST", f"/iot/d?{Q}&t={TIME}", b"t|1", TEXT, {"t": 1, "TimeInstant": SHOWN}),
    ("GET", f"/iot/d?{Q}&d=t|15%23t|17", None, {}, {"t": 17}),
    ("GET", f"/iot/d?{Q}&getCmd=1", None, {}, {}),
]  # fmt: skip


def test_measures(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            for n, (method, path, body, headers, expected) in enumerate(SPREAD):
                tenant = {"fiware-service": f"t{n}", "fiware-servicepath": "/"}
                resource = "/iot/d" if path.startswith("/iot/d") else "/iot/json"
                assert (await doors.group(tenant, resource=resource, apikey=f"k{n}")).status == 200
                place = path.replace("k=123456", f"k=k{n}")
                reply = await doors.call("south", method, place, body, {"fiware-correlator": "c", **headers})
                assert reply.status == 200, (path, reply)
                if resource == "/iot/d":
                    assert (reply.body, reply.headers["content-type"]) == (b"", "text/plain")
                else:
                    assert (reply.body, reply.headers["content-type"]) == (b"{}", "application/json")
                assert reply.headers["fiware-correlator"] == "c"
                assert int(reply.headers["x-processing-time"]) >= 0
                (entity,) = await doors.entities("?options=keyValues", tenant)
                assert entity == {"id": "TestType:TestDevice", "type": "TestType", **expected}, path

    run(work(), 60)


ERRORS: list[tuple[str, str, bytes | None, dict[str, str], int, str, str]] = [
    ("POST", "/iot/json?i=x", b"{}", JSON, 400, "MANDATORY_PARAMS_NOT_FOUND", '["API Key"]'),
    ("POST", "/iot/json?k=&i=x", b"{}", JSON, 400, "MANDATORY_PARAMS_NOT_FOUND", '["API Key"]'),
    ("POST", "/iot/json", b"", JSON, 400, "MANDATORY_PARAMS_NOT_FOUND", '["API Key","Device Id","Payload"]'),
    ("GET", f"/iot/json?{Q}", None, {}, 400, "MANDATORY_PARAMS_NOT_FOUND", '["Payload"]'),
    ("GET", f"/iot/d?{Q}&d=", None, {}, 400, "MANDATORY_PARAMS_NOT_FOUND", '["Payload"]'),
    ("POST", f"/iot/json?{Q}", b"{", JSON, 400, "SyntaxError", ""),
    ("GET", f"/iot/json?{Q}&d=%7B", None, {}, 400, "SyntaxError", ""),
    ("POST", f"/iot/json?{Q}", b"5", JSON, 400, "SyntaxError", ""),
    ("POST", f"/iot/json?{Q}", b'{"a":1}', {"content-type": "text/html"}, 400, "UNSUPPORTED_TYPE", "application/json"),
    ("POST", f"/iot/d?{Q}", b"t|1", JSON, 400, "UNSUPPORTED_TYPE", "[text/plain ]"),
    ("POST", f"/iot/d?{Q}", b"", TEXT, 400, "UNSUPPORTED_TYPE", "[text/plain ]"),
    ("POST", f"/iot/d?{Q}", b"t", TEXT, 400, "PARSE_ERROR", "There was a syntax error in the Ultralight request: "),
    ("POST", f"/iot/d?{Q}", b"t||k|1", TEXT, 400, "PARSE_ERROR", ""),
    ("POST", f"/iot/d?{Q}", b"p7@start|done", TEXT, 501, "METHOD_NOT_IMPLEMENTED", "commands"),
    ("POST", f"/iot/json/commands?{Q}", b"{}", JSON, 501, "METHOD_NOT_IMPLEMENTED", ""),
    ("POST", f"/iot/json/attrs/x?{Q}", b"{", JSON, 400, "SyntaxError", ""),
    ("POST", f"/iot/json/attrs/x?{Q}", b"<a/>", {"content-type": "application/soap+xml"}, 400, "UNSUPPORTED_TYPE", ""),
    ("POST", f"/iot/json/attrs/?{Q}", b"1", JSON, 404, "NOT_FOUND", ""),
    ("GET", f"/iot/json/attrs/x?{Q}", None, {}, 405, "METHOD_NOT_ALLOWED", ""),
    ("PUT", f"/iot/json?{Q}", b"{}", JSON, 405, "METHOD_NOT_ALLOWED", ""),
    ("GET", "/", None, {}, 404, "NOT_FOUND", ""),
    ("POST", "/iot/json/commands/?k=lone&i=x", b'{"c":1}', JSON, 404, "NOT_FOUND", ""),
    ("POST", "/iot/d/x?k=lone&i=x", b"c|1", TEXT, 404, "NOT_FOUND", ""),
    ("POST", "/iot/services", b"{}", JSON, 404, "NOT_FOUND", ""),
    ("POST", "/iot/json?k=zzz&i=x", b'{"a":1}', JSON, 404, "DEVICE_GROUP_NOT_FOUND", "/iot/json,zzz"),
    ("POST", "/iot/json?k=closed&i=x", b'{"a":1}', JSON, 404, "DEVICE_NOT_FOUND", "No device was found with id:x"),
    ("POST", f"/iot/json?k=123456&i={'x' * 300}", b'{"a":1}', JSON, 400, "WRONG_SYNTAX", "256"),
    ("POST", f"/iot/json?{Q}", b'{"":1}', JSON, 400, "WRONG_SYNTAX", ""),
    ("POST", f"/iot/json?{Q}", b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", JSON, 400, "WRONG_SYNTAX", "nesting"),
    ("POST", f"/iot/json?{Q}", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", JSON, 400, "SyntaxError", ""),
    ("POST", f"/iot/json?{Q}", b"[" + b"{}," * 1000 + b"{}]", JSON, 413, "PAYLOAD_TOO_LARGE", "1000"),
    ("POST", f"/iot/json?{Q}", b" " * 1_100_000, JSON, 413, "PAYLOAD_TOO_LARGE", ""),
    ("POST", "/iot/json?k=timed&i=x", b'{"a":1,"TimeInstant":"soon"}', JSON, 400, "BAD_TIMESTAMP", ""),
    ("POST", "/iot/json?k=timed&i=x", b'[{"a":1},{"a":1,"TimeInstant":5}]', JSON, 400, "BAD_TIMESTAMP", ""),
    ("POST", "/iot/json?k=timed&i=x&t=soon", b'{"a":1}', JSON, 400, "BAD_TIMESTAMP", ""),
    ("POST", "/iot/json?k=ngsi&i=x", b'{"id":"E","type":"T"}', JSON, 501, "METHOD_NOT_IMPLEMENTED", "payloadType"),
]  # fmt: skip


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await doors.group(resource="/iot/d")
            await doors.group(apikey="lone", resource="")
            await doors.group(apikey="closed", autoprovision=False)
            await doors.group(apikey="timed", timestamp=True)
            await doors.group(apikey="ngsi", payloadType="ngsiv2")
            for method, path, body, headers, status, name, said in ERRORS:
                before = await doors.totals("smartgondor")
                reply = await doors.call("south", method, path, body, headers)
                assert (reply.status, set(reply.json)) == (status, {"name", "message"}), (path, reply)
                assert reply.json["name"] == name
                assert said in reply.json["message"]
                assert await doors.totals("smartgondor") == before, path

    run(work(), 60)


def test_an_inactive_app_takes_no_measures(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            assert (await doors.measure({"a": 1})).status == 200
            backend = doors.backend
            await backend.objects.patch("para", "app:smartgondor", {"active": False}, owner("para"))
            reply = await doors.measure({"a": 2})
            assert (reply.status, reply.json["name"]) == (403, "ACCESS_FORBIDDEN")
            await doors.publish(("/json/123456/TestDevice/attrs", b'{"a":3}'))
            thing = (await backend.objects.list("smartgondor", type="thing"))[0]
            assert (await backend.things.shadow("smartgondor", thing.id)).reported == {"a": 1}

    run(work())


def test_acknowledged_measures_are_in_the_store(tmp_path: Path) -> None:
    """The answer comes after the commit: every reading answered for can be read at once."""

    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await asyncio.gather(*(doors.measure({"n": n}, i=f"d{n % 4}") for n in range(80)))
            assert await doors.backend.store.readings.head() >= 80
            entities = await doors.entities("?options=keyValues")
            assert len(entities) == 4
            assert {entity["n"] % 4 for entity in entities} == {0, 1, 2, 3}

    run(work())
