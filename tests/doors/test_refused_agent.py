"""Promise: whatever is sent to the north port, the answer names what is wrong, is no 500, and nothing has changed."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.agent_doors import TENANT, open_doors
from support.aio import run

GROUP: dict[str, Any] = {"resource": "/r", "apikey": "new", "entity_type": "T"}
TAKEN: dict[str, Any] = {"resource": "/iot/json", "apikey": "123456", "entity_type": "T"}
SYNTAX = "Wrong syntax in request: Errors found validating request."
NEW = {"fiware-service": "new", "fiware-servicepath": "/"}

TABLE: list[tuple[str, str, Any, dict[str, str], int, str, str]] = [
    ("GET", "/iot/services", None, {}, 400, "MISSING_HEADERS",
     'Some headers were missing from the request: ["fiware-service","fiware-servicepath"]'),
    ("POST", "/iot/services", b"{", {"fiware-service": "x"}, 400, "MISSING_HEADERS",
     'Some headers were missing from the request: ["fiware-servicepath"]'),
    ("GET", "/iot/devices/x", None, {"fiware-servicepath": "/"}, 400, "MISSING_HEADERS", '["fiware-service"]'),
    ("GET", "/iot/devices", None, {**TENANT, "fiware-service": "a b"}, 400, "WRONG_SYNTAX", "Fiware-Service"),
    ("GET", "/iot/devices", None, {**TENANT, "fiware-servicepath": "x"}, 400, "WRONG_SYNTAX", "Fiware-ServicePath"),
    ("GET", "/iot/devices", None, {**TENANT, "fiware-servicepath": "/é"}, 400, "WRONG_SYNTAX", ""),
    ("POST", "/iot/services", {"services": [GROUP]}, {**TENANT, "fiware-servicepath": "/*"}, 400, "WRONG_SYNTAX", ""),
    ("POST", "/iot/services", {"services": [GROUP]}, {**NEW, "fiware-service": "_"}, 400, "WRONG_SYNTAX", ""),
    ("POST", "/iot/services", {"services": [GROUP]}, {**NEW, "fiware-service": "a__b"}, 400, "WRONG_SYNTAX", ""),
    ("POST", "/iot/services", b"", NEW, 400, "WRONG_SYNTAX", SYNTAX),
    ("POST", "/iot/services", b"{", NEW, 400, "WRONG_SYNTAX", SYNTAX),
    ("POST", "/iot/services", b"\xff", NEW, 400, "WRONG_SYNTAX", SYNTAX),
    ("POST", "/iot/services", b"[" * 5000 + b"]" * 5000, NEW, 400, "WRONG_SYNTAX", SYNTAX),
    ("POST", "/iot/services", [], NEW, 400, "WRONG_SYNTAX", "services"),
    ("POST", "/iot/services", {"groups": []}, NEW, 400, "WRONG_SYNTAX", "services"),
    ("POST", "/iot/groups", {"services": []}, NEW, 400, "WRONG_SYNTAX", "groups"),
    ("POST", "/iot/services", {"services": [GROUP], "x": 1}, NEW, 400, "WRONG_SYNTAX", SYNTAX),
    ("POST", "/iot/services", {"services": [{"apikey": "k"}]}, NEW, 400, "WRONG_SYNTAX", "services[0].resource"),
    ("POST", "/iot/services", {"services": [GROUP, {**GROUP, "attributes": 5}]}, NEW, 400, "WRONG_SYNTAX",
     "services[1].attributes"),
    ("POST", "/iot/services", {"services": [{**GROUP, "apikey": "json"}]}, NEW, 400, "WRONG_SYNTAX", "reserved"),
    ("POST", "/iot/services", {"services": [{"resource": "", "apikey": "k"}]}, NEW, 400, "MISSING_CONFIG_PARAMS",
     'The following mandatory configuration parameters were missing: ["type"]'),
    ("POST", "/iot/services", {"services": [TAKEN]}, NEW, 409, "DUPLICATE_GROUP",
     "A device configuration already exists for resource /iot/json and API Key 123456"),
    ("POST", "/iot/services", b" " * 1_100_000, NEW, 413, "PAYLOAD_TOO_LARGE", ""),
    ("POST", "/iot/devices", {"devices": [{}]}, NEW, 400, "MISSING_ATTRIBUTES",
     'The request was not well formed:Missing attributes: ["device_id"] with: {}'),
    ("POST", "/iot/devices", {"devices": [{"device_id": "x"}, {"device_id": 5}]}, NEW, 400, "WRONG_SYNTAX",
     "device_id"),
    ("POST", "/iot/devices", {"devices": [{"device_id": "x", "entity_name": "<"}]}, NEW, 400, "WRONG_SYNTAX",
     "entity_name"),
    ("POST", "/iot/devices", {"devices": [{"device_id": "TestDevice", "apikey": "123456"}]}, TENANT, 409,
     "DUPLICATE_DEVICE_ID",
     "A device with the same info (DeviceId, ApiKey, Service, Subservice) was found:TestDevice and "),
    ("GET", "/iot/devices/none", None, TENANT, 404, "DEVICE_NOT_FOUND", "No device was found with id:none and {"),
    ("PUT", "/iot/services", {"x": 1}, TENANT, 405, "METHOD_NOT_ALLOWED", ""),
    ("GET", "/iot/nothing", None, TENANT, 404, "NOT_FOUND", ""),
    ("GET", "/", None, {}, 404, "NOT_FOUND", ""),
]  # fmt: skip


def test_refusals(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await doors.measure({"a": 1})
            for method, path, body, headers, status, name, said in TABLE:
                before = await doors.totals("smartgondor", "new")
                reply = await doors.call("north", method, path, body, headers)
                assert (reply.status, set(reply.json)) == (status, {"name", "message"}), (path, reply)
                assert reply.json["name"] == name, reply
                assert said in reply.json["message"], reply
                assert reply.headers["fiware-correlator"]
                assert await doors.totals("smartgondor", "new") == before, (path, body)

    run(work(), 60)


def test_tenants_are_not_made_where_the_setting_forbids_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path, agent_autocreate_tenants=False) as doors:
            before = await doors.totals("new")
            bodies: Any = {"services": {"services": [GROUP]}, "devices": {"devices": [{"device_id": "d"}]}}
            for name, body in bodies.items():
                reply = await doors.call("north", "POST", f"/iot/{name}", body, NEW)
                assert (reply.status, reply.json["name"]) == (403, "ACCESS_FORBIDDEN")
            reply = await doors.call("context", "POST", "/v2/entities?options=upsert", {"id": "E", "type": "T"}, NEW)
            assert (reply.status, reply.json["error"]) == (403, "Forbidden")
            assert await doors.totals("new") == before

    run(work())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["device_id", "apikey", "resource", "entity_type", "type", "entity_name", "attributes", "static_attributes", "lazy",
     "commands", "timestamp", "explicitAttrs", "timezone", "payloadType", "protocol", "transport", "id", "name"]
)  # fmt: skip
items = st.dictionaries(names, json_values, max_size=5)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(items, json_values), min_size=5, max_size=25))
def test_never_500(tmp_path_factory: Any, batches: list[tuple[dict[str, Any], Any]]) -> None:
    async def work() -> None:
        async with open_doors(tmp_path_factory.mktemp("fuzz")) as doors:
            await doors.group()
            for n, (item, measure) in enumerate(batches):
                for path, body in (
                    ("/iot/services", {"services": [{**GROUP, "apikey": f"k{n}", **item}]}),
                    ("/iot/devices", {"devices": [{"device_id": f"d{n}", **item}]}),
                ):
                    reply = await doors.call("north", "POST", path, body)
                    assert reply.status < 500, (path, body, reply)
                reply = await doors.measure(measure, i=f"m{n}")
                assert reply.status < 500, (measure, reply)
                reply = await doors.call(
                    "context", "POST", "/v2/entities?options=upsert,keyValues", {"id": "E", **item}
                )
                assert reply.status < 500, (item, reply)
            for path in ("/iot/services", "/iot/devices"):
                assert (await doors.call("north", "GET", path)).status == 200
            await doors.entities()

    run(work(), 60)
