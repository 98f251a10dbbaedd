"""Promise: things and entities read and write at `/v2` as agent.md 17.1, 17.2 and doors.md 14-18 say."""

import asyncio
from pathlib import Path
from typing import Any

from support.agent_doors import TENANT, Doors, open_doors
from support.aio import run
from support.backend import owner
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft

PARA: dict[str, str] = {}


async def thing(doors: Doors, name: str, **reported: Any) -> str:
    """A thing of the root app, as `/v1` makes it, that has reported."""
    backend = doors.backend
    made = await backend.objects.create("para", Draft(type="thing", body={"name": name}), owner("para"))
    if reported:
        await backend.ingest.report(Report(app="para", thing=made.object.id, reported=reported))
    return made.object.id


def test_a_thing_is_an_entity_once_it_has_reported(tmp_path: Path) -> None:
    """doors.md's first walk, as the context broker sees it."""

    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            silent = await thing(doors, "silent")
            assert await doors.entities(headers=PARA) == []
            assert (await doors.call("context", "GET", f"/v2/entities/Thing:{silent}", headers=PARA)).status == 404
            id = await thing(doors, "t1", temp=24.5, label="x", nested={"a": 1}, **{"wind speed": 3})
            expected = {
                "id": f"Thing:{id}",
                "type": "Thing",
                "temp": {"type": "Number", "value": 24.5, "metadata": {}},
                "label": {"type": "Text", "value": "x", "metadata": {}},
                "nested": {"type": "StructuredValue", "value": {"a": 1}, "metadata": {}},
                "wind%20speed": {"type": "Number", "value": 3, "metadata": {}},
            }
            assert await doors.entity(f"Thing:{id}", PARA) == expected
            assert await doors.entities(headers=PARA) == [expected]
            plain = await doors.call(
                "context", "GET", f"/v2/entities/Thing:{id}?options=keyValues&attrs=temp,wind%2520speed", headers=PARA
            )
            assert plain.json == {"id": f"Thing:{id}", "type": "Thing", "temp": 24.5, "wind%20speed": 3}
            # another tenant sees nothing of it
            assert await doors.entities(headers=TENANT) == []

    run(work())


def test_an_attribute_written_here_is_state_and_a_reading(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            id = await thing(doors, "t1", temp=20, **{"wind speed": 3})
            body: Any = {
                "id": f"Thing:{id}",
                "type": "Thing",
                "temp": {"value": 21, "type": "Celsius", "metadata": {"by": {"value": "me"}}},
                "wind%20speed": {"value": 4},
                "gone": {"value": None},
                "many": {"value": {"x": 1, "y": [1]}},
            }
            reply = await doors.call("context", "POST", "/v2/entities?options=upsert", body, PARA)
            assert (reply.status, reply.body) == (204, b"")
            assert reply.headers["location"] == f"/v2/entities/Thing:{id}?type=Thing"
            shadow = await doors.backend.things.shadow("para", id)
            assert shadow.reported == {"temp": 21, "wind speed": 4, "gone": None, "many": {"x": 1, "y": [1]}}
            readings = doors.backend.store.readings
            assert [r.value for r in await readings.window(shadow.leaves["temp"].series, None, None)] == [20, 21]
            assert [r.value for r in await readings.window(shadow.leaves["many.x"].series, None, None)] == [1]
            entity = await doors.entity(f"Thing:{id}", PARA)
            by = {"by": {"type": "Text", "value": "me"}}
            assert entity["temp"] == {"type": "Celsius", "value": 21, "metadata": by}
            assert entity["gone"] == {"type": "None", "value": None, "metadata": {}}
            # a value alone keeps type and metadata; empty metadata clears them (17.1)
            for given, metadata in (({"value": 22}, by), ({"value": 23, "metadata": {}}, {})):
                entity_body: Any = {"id": f"Thing:{id}", "type": "Thing", "temp": given}
                assert (
                    await doors.call("context", "POST", "/v2/entities?options=upsert", entity_body, PARA)
                ).status == 204
                shown = (await doors.entity(f"Thing:{id}", PARA))["temp"]
                assert shown == {"type": "Celsius", "value": given["value"], "metadata": metadata}
            assert await doors.backend.objects.count("para", type="entity") == 0

    run(work())


def test_an_entity_that_is_no_thing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            body: Any = {"id": "Room1", "type": "Room", "temp": {"value": 20}}
            made = await doors.call("context", "POST", "/v2/entities", body)
            assert (made.status, made.headers["location"]) == (201, "/v2/entities/Room1?type=Room")
            again = await doors.call("context", "POST", "/v2/entities", body)
            assert (again.status, again.json) == (422, {"error": "Unprocessable", "description": "Already Exists"})
            plain: Any = {"id": "Room1", "type": "Room", "label": "x"}
            assert (await doors.call("context", "POST", "/v2/entities?options=upsert,keyValues", plain)).status == 204
            assert await doors.entities("?options=keyValues") == [
                {"id": "Room1", "type": "Room", "temp": 20, "label": "x"}
            ]
            assert (await doors.backend.tenants.get("smartgondor")).autocreated
            (entity,) = await doors.backend.objects.list("smartgondor", type="entity")
            assert entity.own["entity"] == {"id": "Room1", "type": "Room", "path": "/gardens"}
            other = {**TENANT, "fiware-servicepath": "/parks"}
            assert (await doors.call("context", "POST", "/v2/entities", body, other)).status == 201
            typed = {**body, "type": "Hall"}
            assert (await doors.call("context", "POST", "/v2/entities", typed)).status == 201
            assert (await doors.call("context", "POST", "/v2/entities", {"id": "Bare"})).status == 201
            assert (await doors.entity("Bare")) == {"id": "Bare", "type": "Thing"}
            many = await doors.call("context", "GET", "/v2/entities/Room1")
            assert (many.status, many.json["error"]) == (409, "TooManyResults")
            assert (await doors.entity("Room1?type=Hall"))["type"] == "Hall"

    run(work())


def test_upserts_at_once_make_one_entity(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:

            async def put(n: int) -> int:
                body: Any = {"id": "E", "type": "T", f"a{n}": n}
                return (await doors.call("context", "POST", "/v2/entities?options=upsert,keyValues", body)).status

            assert set(await asyncio.gather(*(put(n) for n in range(12)))) == {204}
            assert await doors.backend.objects.count("smartgondor", type="entity") == 1
            (entity,) = await doors.entities("?options=keyValues")
            assert entity == {"id": "E", "type": "T", **{f"a{n}": n for n in range(12)}}

    run(work())


def test_lists(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            for n in range(25):
                tenant = {**TENANT, "fiware-servicepath": "/a" if n % 2 else "/a/b"}
                body: Any = {"id": f"E{n}", "type": f"T{n % 3}", "n": n}
                assert (
                    await doors.call("context", "POST", "/v2/entities?options=keyValues", body, tenant)
                ).status == 201
            whole = {"fiware-service": "smartgondor"}

            async def ids(query: str, path: str | None = None) -> list[int]:
                headers = {**whole, **({"fiware-servicepath": path} if path else {})}
                return [int(e["id"][1:]) for e in await doors.entities(query, headers)]

            assert await ids("") == list(range(20))
            assert await ids("?limit=1000") == list(range(25))
            assert await ids("?limit=3&offset=23") == [23, 24]
            assert await ids("?offset=30") == []
            assert await ids("?type=T1") == list(range(1, 25, 3))
            assert await ids("?type=T1,T2&limit=4") == [1, 2, 4, 5]
            assert await ids("?id=E7,E3,E3,none") == [3, 7]
            assert await ids("?id=E7,E3&type=T1") == [7]
            assert await ids("?limit=1000", "/a") == list(range(1, 25, 2))
            assert await ids("?limit=1000", "/a/#") == list(range(25))
            assert await ids("?limit=1000", "/a/b,/x") == list(range(0, 25, 2))
            assert await ids("", "/x/#") == []
            counted = await doors.call("context", "GET", "/v2/entities?options=count&limit=1&type=T0", headers=whole)
            assert (counted.headers["fiware-total-count"], len(counted.json)) == ("9", 1)
            seen: list[int] = []
            for offset in range(0, 25, 7):
                seen += await ids(f"?limit=7&offset={offset}")
            assert seen == list(range(25))

    run(work())


def test_things_of_one_identity_are_shown_joined(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group(apikey="k1")
            await doors.group(apikey="k2")
            await doors.measure({"a": 1, "b": 1}, k="k1")
            await doors.measure({"b": 2, "c": 2}, k="k2")
            assert await doors.entities("?options=keyValues,count") == [
                {"id": "TestType:TestDevice", "type": "TestType", "a": 1, "b": 2, "c": 2}
            ]
            await doors.measure({"b": 3}, k="k1")
            assert (await doors.entity())["b"]["value"] == 3

    run(work())


def test_small_endpoints(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            entry = await doors.call("context", "GET", "/v2", headers={"fiware-correlator": "abc"})
            assert entry.json == {
                "entities_url": "/v2/entities",
                "types_url": "/v2/types",
                "subscriptions_url": "/v2/subscriptions",
                "registrations_url": "/v2/registrations",
            }
            assert entry.headers["fiware-correlator"] == "abc"
            version = await doors.call("context", "GET", "/version", headers={})
            assert version.json["orion"]["version"].startswith("thingstead ")
            assert len(version.headers["fiware-correlator"]) == 36

    run(work())
