"""`GET /v1/_openapi` describes the routes of `/v1`, all of them and no others, and whoever reads it can believe it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import validator_for

from support.client import Client
from support.listening import Listening, listening
from thingstead.core.resources import Entry, ResourceAnswer, ResourceRequest
from thingstead.doors import objects
from thingstead.doors.objects.openapi import document
from thingstead.doors.objects.table import OPEN, ROUTES, SIGN_IN
from thingstead.doors.things import resources as things

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory = tmp_path_factory.mktemp("data")
    with listening(directory, lambda backend: objects.app(backend, things.resources(backend))) as opened:
        yield opened


@pytest.fixture(scope="module")
def told(door: Listening) -> Any:
    reply = Client(door.url).send("GET", "/v1/_openapi")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    return reply.json()


def operations(told: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield method.upper(), path, operation


def test_every_route_is_told_and_nothing_else(told: Any) -> None:
    table = {(route.method, f"/v1/{route.path}") for route in ROUTES}
    assert len(table) == len(ROUTES)
    table |= {("GET", each.path) for each in OPEN} | {(each.method, "/jwt_auth") for each in SIGN_IN}
    custom = things.resources(None)  # pyright: ignore[reportArgumentType]  # handlers are not called
    for (first, _, last), entry in custom.items():
        table |= {(method, f"/v1/{first}/{{id}}/{last}") for method in entry.methods}
    assert {(method, path) for method, path, _ in operations(told)} == table


def test_each_operation_says_what_it_takes_and_gives(told: Any) -> None:
    names: set[str] = set()
    for method, path, operation in operations(told):
        assert operation["summary"], path
        assert operation["operationId"] not in names, path
        names.add(operation["operationId"])
        given = [(each["in"], each["name"]) for each in operation.get("parameters", ())]
        assert len(given) == len(set(given)), path
        inside = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {name for where, name in given if where == "path"} == inside
        assert operation["responses"]["4XX"] == {"$ref": "#/components/responses/Error"}
        assert ("requestBody" in operation) <= (method in ("POST", "PUT", "PATCH")), path
    assert told["components"]["securitySchemes"].keys() == {"signature", "bearer", "basic"}
    for _, path, operation in operations(told):
        public = path == "/jwt_auth" or path in {each.path for each in OPEN}
        assert (operation.get("security") == []) is public, path


def test_references_lead_somewhere_and_schemas_are_schemas(told: Any) -> None:
    seen = 0

    def walk(value: Any) -> None:
        nonlocal seen
        if isinstance(value, dict):
            if "$ref" in value:
                found: Any = told
                for part in value["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
                seen += 1
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(told)
    assert seen > 50
    schemas = told["components"]["schemas"]
    for name in schemas:
        validator_for({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})


def test_only_what_is_told_is_routed(door: Listening, told: Any) -> None:
    """Each path of the document, with every method that it does not tell: 405, and `Allow` says the same."""
    client = Client(door.url, door.root)
    before = door.totals()
    for path, methods in told["paths"].items():
        for method in METHODS:
            # `{type}/search` is an object too, with the id `search`.
            if method not in methods and path != "/v1/{type}/search":
                reply = client.send(method.upper(), path.replace("{", "").replace("}", ""), b"")
                assert reply.status_code == 405, (method, path, reply.content)
                assert set(reply.headers["Allow"].split(", ")) == {name.upper() for name in methods}, path
    assert door.totals() == before


def test_it_takes_no_credentials_and_only_get(door: Listening) -> None:
    client = Client(door.url)
    assert client.send("HEAD", "/v1/_openapi").status_code == 200
    reply = client.send("POST", "/v1/_openapi", {})
    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET")
    assert client.send("GET", "/v1/_openapi/x").status_code == 401


def test_resources_of_programs_are_told_as_well() -> None:
    async def answer(request: ResourceRequest) -> ResourceAnswer:
        return ResourceAnswer()

    entry = Entry(frozenset({"GET", "PUT"}), answer, summary="Pets of an owner", query={"age": "in years"})
    told = json.loads(document([{("owners", None, "pets", None): entry}]))
    found = told["paths"]["/v1/owners/{id}/pets/{part2}"]
    assert found.keys() == {"get", "put"}
    assert found["get"]["summary"] == "Pets of an owner"
    assert [each["name"] for each in found["get"]["parameters"]] == ["id", "part2", "age"]
    assert "requestBody" in found["put"]
