"""Promise: whatever is sent to `/v2`, the answer is Orion's, never a 500, and nothing has changed; what is not
supported yet is said to be so, never ignored.
"""

from pathlib import Path
from typing import Any

from support.agent_doors import TENANT, TEXT, open_doors
from support.aio import run

UPSERT = "/v2/entities?options=upsert"
NEW = {"fiware-service": "new", "fiware-servicepath": "/"}
URL = "Service not found. Check your URL as probably it is wrong."
JSON = {"content-type": "application/json", **NEW}

TABLE: list[tuple[str, str, Any, dict[str, str], int, str, str]] = [
    ("GET", "/v2/entities?limit=0", None, TENANT, 400, "BadRequest", "Bad pagination limit: /0/ [must be a positive"),
    ("GET", "/v2/entities?limit=x", None, TENANT, 400, "BadRequest", "/x/ [must be a positive integer number]"),
    ("GET", "/v2/entities?limit=-1", None, TENANT, 400, "BadRequest", "Bad pagination limit"),
    ("GET", "/v2/entities?limit=1001", None, TENANT, 400, "BadRequest", "Bad pagination limit: /1001/ [max: 1000]"),
    ("GET", "/v2/entities?offset=x", None, TENANT, 400, "BadRequest", "/x/ [must be a decimal number]"),
    ("GET", "/v2/entities?options=nothing", None, TENANT, 400, "BadRequest", "options"),
    ("GET", "/v2/entities?q=a==1", None, TENANT, 501, "NotImplemented", "q"),
    ("GET", "/v2/entities?idPattern=.*", None, TENANT, 501, "NotImplemented", "idPattern"),
    ("GET", "/v2/entities?orderBy=a", None, TENANT, 501, "NotImplemented", "orderBy"),
    ("GET", "/v2/entities", None, {"fiware-service": "a b"}, 400, "BadRequest", "Fiware-Service"),
    ("GET", "/v2/entities", None, {"fiware-servicepath": "x"}, 400, "BadRequest", "Fiware-ServicePath"),
    ("GET", "/v2/entities", None, {**TENANT, "accept": "text/html"}, 406, "NotAcceptable", ""),
    ("GET", "/v2/entities/none", None, TENANT, 404, "NotFound",
     "The requested entity has not been found. Check type and id"),
    ("GET", "/v2/entities/none", None, {"fiware-service": "nobody"}, 404, "NotFound", ""),
    ("GET", "/v2/entities/E/attrs", None, TENANT, 501, "NotImplemented", ""),
    ("GET", "/v2/types", None, TENANT, 501, "NotImplemented", ""),
    ("POST", "/v2/op/update", {}, TENANT, 501, "NotImplemented", ""),
    ("POST", "/v2/subscriptions", {}, TENANT, 501, "NotImplemented", ""),
    ("GET", "/v3", None, TENANT, 400, "BadRequest", URL),
    ("GET", "/", None, {}, 400, "BadRequest", URL),
    ("PUT", "/v2/entities", {}, TENANT, 405, "MethodNotAllowed", "method not allowed"),
    ("DELETE", "/v2/entities/E", None, TENANT, 405, "MethodNotAllowed", "method not allowed"),
    ("POST", UPSERT, b"", JSON, 411, "ContentLengthRequired", "Zero/No Content-Length in PUT/POST/PATCH request"),
    ("POST", UPSERT, b"{}", {**NEW, **TEXT}, 415, "UnsupportedMediaType", "not supported content type: text/plain"),
    ("POST", UPSERT, b"{", JSON, 400, "ParseError", "Errors found in incoming JSON buffer"),
    ("POST", UPSERT, b"\xff", JSON, 400, "ParseError", ""),
    ("POST", UPSERT, b"[" * 5000 + b"]" * 5000, JSON, 400, "ParseError", ""),
    ("POST", UPSERT, b" " * 1_100_000, JSON, 413, "RequestEntityTooLarge", ""),
    ("POST", UPSERT, [], NEW, 400, "BadRequest", ""),
    ("POST", UPSERT, {}, NEW, 400, "BadRequest", "empty payload"),
    ("POST", UPSERT, {"type": "T"}, NEW, 400, "BadRequest", "id"),
    ("POST", UPSERT, {"id": "a b"}, NEW, 400, "BadRequest", "Invalid characters in entity id"),
    ("POST", UPSERT, {"id": 5}, NEW, 400, "BadRequest", "Invalid characters in entity id"),
    ("POST", UPSERT, {"id": "E", "type": "é"}, NEW, 400, "BadRequest", "Invalid characters in entity type"),
    ("POST", UPSERT, {"id": "E", "a b": {"value": 1}}, NEW, 400, "BadRequest", "attribute name"),
    ("POST", UPSERT, {"id": "E", "a": 1}, NEW, 400, "BadRequest", "keyValues"),
    ("POST", UPSERT, {"id": "E", "a": {"value": "<script>"}}, NEW, 400, "BadRequest", "Invalid characters"),
    ("POST", UPSERT, {"id": "E", "a": {"value": 1, "metadata": {"m": 1}}}, NEW, 400, "BadRequest", "a.metadata.m"),
    ("POST", UPSERT, b'{"id":"E","a":{"value":' + b"[" * 200 + b"]" * 200 + b"}}", JSON, 400, "BadRequest", "nests"),
    ("POST", UPSERT, {"id": "E"}, {**NEW, "fiware-servicepath": "/a,/b"}, 400, "BadRequest", "ServicePath"),
    ("POST", UPSERT, {"id": "E"}, {**NEW, "fiware-servicepath": "/#"}, 400, "BadRequest", "ServicePath"),
    ("POST", UPSERT, {"id": "E"}, {**NEW, "fiware-service": "a__b"}, 400, "BadRequest", ""),
    ("POST", "/v2/entities?options=append", {"id": "E"}, NEW, 400, "BadRequest", "options"),
]  # fmt: skip


def test_refusals(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await doors.measure({"a": 1})
            for method, path, body, headers, status, error, said in TABLE:
                before = await doors.totals("smartgondor", "new")
                reply = await doors.call("context", method, path, body, headers)
                assert (reply.status, set(reply.json)) == (status, {"error", "description"}), (
                    method,
                    path,
                    body,
                    reply,
                )
                assert reply.json["error"] == error, reply
                assert said in reply.json["description"], reply
                assert await doors.totals("smartgondor", "new") == before, (path, body)
                assert status != 405 or reply.headers["allow"]

    run(work(), 60)
