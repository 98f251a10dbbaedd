"""Promise: `/iot/services` and `/iot/devices` answer as agent.md 2-5 say: shapes, statuses, uniqueness, matching."""

import asyncio
from pathlib import Path
from typing import Any

from support.agent_doors import JSON, TENANT, Doors, open_doors
from support.aio import run, until
from support.backend import owner

ROOT = {"fiware-service": "smartgondor", "fiware-servicepath": "/"}


def test_groups(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            listed = await doors.call("north", "GET", "/iot/services")
            assert (listed.status, listed.json) == (200, {"count": 0, "services": []})
            made = await doors.group(trust="secret", timestamp=True, mine={"x": 1}, attributes=[])
            assert (made.status, made.body) == (200, b"")
            again = await doors.group()
            assert (again.status, again.json["name"]) == (409, "DUPLICATE_GROUP")
            elsewhere = await doors.group({**TENANT, "fiware-service": "other"})
            assert (elsewhere.status, elsewhere.json["name"]) == (409, "DUPLICATE_GROUP")
            assert (await doors.group(ROOT, apikey="k2", type="Light", entity_type="L")).status == 200
            here = (await doors.call("north", "GET", "/iot/groups")).json
            assert here["count"] == 1
            group = here["groups"][0]
            assert group.pop("_id")
            assert group.pop("creationDate").endswith("Z")
            assert group == {
                "service": "smartgondor",
                "subservice": "/gardens",
                "resource": "/iot/json",
                "apikey": "123456",
                "entity_type": "TestType",
                "trust": "secret",
                "timestamp": True,
                "mine": {"x": 1},
                "attributes": [],
            }
            everywhere = {**TENANT, "fiware-servicepath": "/*"}
            found = (await doors.call("north", "GET", "/iot/services?limit=1&offset=1", headers=everywhere)).json
            assert (found["count"], [g["apikey"] for g in found["services"]]) == (2, ["k2"])
            found = (await doors.call("north", "GET", "/iot/services?limit=x", headers=everywhere)).json
            assert (found["count"], len(found["services"])) == (2, 2)
            mixed = (
                await doors.call("north", "GET", "/iot/services", headers={**TENANT, "fiware-service": "SmartGondor"})
            ).json
            assert mixed["count"] == 1
            for tenant in ("smartgondor", "other"):
                objects = await doors.backend.objects.list(tenant, type="service_group")
                shown = b"".join([await doors.backend.objects.public(tenant, o.id) for o in objects])
                assert b"123456" not in shown
                assert b"secret" not in shown
                stored = [
                    row.private or b"" for row in await doors.backend.store.objects.scan(tenant, type="service_group")
                ]
                assert not any(b"123456" in private for private in stored)

    run(work())


def test_devices(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            assert (await doors.group(defaultEntityNameConjunction="_")).status == 200
            body: Any = {
                "devices": [
                    {"device_id": "d1", "apikey": "123456", "attributes": [{"name": "t", "type": "Number"}], "mine": 1},
                    {"device_id": "d2", "entity_name": "Named", "entity_type": "Own"},
                ]
            }
            made = await doors.call("north", "POST", "/iot/devices", body)
            assert (made.status, made.body) == (200, b"")
            again = await doors.call(
                "north", "POST", "/iot/devices", {"devices": [*body["devices"], {"device_id": "d3"}]}
            )
            assert (again.status, again.json["name"]) == (409, "DUPLICATE_DEVICE_ID")
            listed = (await doors.call("north", "GET", "/iot/devices?limit=2")).json
            assert (listed["count"], [d["device_id"] for d in listed["devices"]]) == (3, ["d1", "d2"])
            assert listed["devices"][0] == {
                "device_id": "d1",
                "apikey": "123456",
                "service": "smartgondor",
                "service_path": "/gardens",
                "entity_name": "TestType_d1",
                "entity_type": "TestType",
                "attributes": [{"name": "t", "type": "Number"}],
                "lazy": [],
                "commands": [],
                "static_attributes": [],
                "internal_attributes": [],
                "mine": 1,
            }
            offset = (await doors.call("north", "GET", "/iot/devices?offset=2&limit=0")).json
            assert (offset["count"], [d["device_id"] for d in offset["devices"]]) == (3, ["d3"])
            one = await doors.call("north", "GET", "/iot/devices/d2")
            assert (one.status, one.json["entity_name"], one.json["entity_type"]) == (200, "Named", "Own")
            assert "apikey" not in one.json
            assert (await doors.call("north", "GET", "/iot/devices/d1?apikey=123456")).status == 200
            for missing in ("/iot/devices/d9", "/iot/devices/d1?apikey=x"):
                reply = await doors.call("north", "GET", missing)
                assert (reply.status, reply.json["name"]) == (404, "DEVICE_NOT_FOUND")
            other = await doors.call("north", "GET", "/iot/devices", headers={**TENANT, "fiware-servicepath": "/x"})
            assert other.json == {"count": 0, "devices": []}
            assert (await doors.call("north", "POST", "/iot/devices", {"devices": []})).status == 200
            # a device without measures has an entity (doors.md 14)
            assert (await doors.entity("Named")) == {"id": "Named", "type": "Own"}

    run(work())


def test_upstream_statuses_and_small_endpoints(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path, agent_status_codes="upstream") as doors:
            made = await doors.group()
            assert (made.status, made.body) == (201, b"{}")
            made = await doors.device(device_id="d")
            assert (made.status, made.body) == (201, b"{}")
            for path in ("/iot/about", "/version"):
                about = await doors.call("north", "GET", path, headers={"fiware-correlator": "abc"})
                port = doors.urls["north"].rpartition(":")[2]
                assert (about.status, about.json) == (200, {"libVersion": "2.26.0", "port": port, "baseRoot": "/"})
                assert about.headers["fiware-correlator"] == "abc"
            ready = await doors.call("north", "GET", "/ready", headers={})
            assert (ready.status, ready.body) == (200, b"{}")
            assert len(ready.headers["fiware-correlator"]) == 36

    run(work())


async def _kind(doors: Doors, device: str, key: str) -> tuple[str, str]:
    found = (await doors.call("north", "GET", f"/iot/devices/{device}?apikey={key}")).json
    return found["entity_type"], found["apikey"]


def test_the_four_matches(tmp_path: Path) -> None:
    """agent.md 5.1: by apikey, then by type; what matches inherits."""

    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            static: Any = [{"name": "owner", "type": "Text", "value": "coop"}]
            await doors.group(apikey="111", entity_type="X", static_attributes=static)
            assert (await doors.measure({"a": 1}, i="m", k="111")).status == 200
            for device, kind, key in (("p", "Y", "111"), ("q", "X", "222"), ("r", "Y", "222")):
                assert (await doors.device(device_id=device, entity_type=kind, apikey=key)).status == 200
                assert (await doors.measure({"a": 1}, i=device, k=key)).status == 200, device
            expected = {
                "m": ("X", "111", True),
                "p": ("Y", "111", True),
                "q": ("X", "222", True),
                "r": ("Y", "222", False),
            }
            for device, (kind, key, inherits) in expected.items():
                assert await _kind(doors, device, key) == (kind, key)
                entity = await doors.entity(f"{kind}:{device}")
                assert ("owner" in entity) is inherits
                assert entity["a"]["value"] == 1

    run(work())


def test_from_a_measure_to_a_device(tmp_path: Path) -> None:
    """agent.md 5.2: fallbacks of the resource, devices without apikey, autoprovision off, the default key."""

    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group(resource="/mine", apikey="only")
            await doors.group(resource="", apikey="any", autoprovision=False)
            assert (await doors.measure({"a": 1}, k="only")).status == 200  # a wrong path, the only group with that key
            custom = await doors.call("south", "POST", "/mine?k=only&i=TestDevice", {"a": 2}, JSON)
            assert custom.status == 200
            custom = await doors.call(
                "south", "POST", "/mine?k=only&i=TestDevice", b"b|3", {"content-type": "text/plain"}
            )
            assert (custom.status, custom.body) == (200, b"")
            assert (await doors.call("north", "GET", "/iot/devices")).json["count"] == 1
            await doors.group(resource="/iot/json/own", apikey="below")
            for path in ("/iot/json/own", "/iot/json/"):
                below = await doors.call("south", "POST", f"{path}?k=below&i=below", {"a": 2}, JSON)
                assert below.status == 200
            entity = await doors.entity()
            assert (entity["a"]["value"], entity["b"]["value"]) == (2, 3)
            refused = await doors.measure({"a": 1}, k="any")
            assert (refused.status, refused.json["name"]) == (404, "DEVICE_NOT_FOUND")
            await doors.device(device_id="keyless", entity_type="K")
            assert (await doors.measure({"a": 1}, i="keyless", k="any")).status == 200
            assert (await doors.entity("K:keyless"))["a"]["value"] == 1
            unknown = await doors.measure({"a": 1}, k="nobody")
            assert (unknown.status, unknown.json["name"]) == (404, "DEVICE_GROUP_NOT_FOUND")
            assert (await doors.measure({"a": 7}, i="keyless", k="1234")).status == 200
            assert (await doors.entity("K:keyless"))["a"]["value"] == 7
            await doors.device({**TENANT, "fiware-service": "second"}, device_id="keyless")
            assert (await doors.measure({"a": 8}, i="keyless", k="1234")).status == 404  # no longer the only one
            assert (await doors.entity("K:keyless"))["a"]["value"] == 7

    run(work())


def test_first_measures_at_once_make_one_device(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            replies = await asyncio.gather(*(doors.measure({"a": n}) for n in range(16)))
            assert {reply.status for reply in replies} == {200}
            assert (await doors.call("north", "GET", "/iot/devices")).json["count"] == 1
            assert await doors.backend.objects.count("smartgondor", type="thing") == 1
            sensors = await doors.backend.objects.list("smartgondor", type="sensor")
            assert len(sensors) == 1
            series = sensors[0].hidden["series"]
            assert isinstance(series, int)
            assert await doors.backend.store.readings.count(series) == 16

    run(work())


def test_changes_of_groups_and_things_act_at_once(tmp_path: Path) -> None:
    """A group made or deleted, a thing deleted through another door: the next measures see it."""

    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group(resource="", apikey="k")
            await doors.measure({"a": 1}, k="k")
            await doors.group(resource="/iot/json", apikey="k", entity_type="Nearer")
            await doors.measure({"a": 2}, k="k", i="second")
            assert (await doors.entity("Nearer:second"))["a"]["value"] == 2
            things = await doors.backend.objects.list("smartgondor", type="thing")
            first = next(t for t in things if t.name == "TestType:TestDevice")
            assert await doors.backend.objects.delete("smartgondor", first.id, owner("smartgondor"))
            assert (await doors.measure({"a": 3}, k="k")).status == 200
            assert (await doors.entity("Nearer:TestDevice"))["a"]["value"] == 3
            for group in await doors.backend.objects.list("smartgondor", type="service_group"):
                await doors.backend.objects.delete("smartgondor", group.id, owner("smartgondor"))

            async def refused() -> str | None:
                reply = await doors.measure({"a": 4}, k="k")
                return reply.json["name"] if reply.status == 404 else None

            assert await until(refused) == "DEVICE_GROUP_NOT_FOUND"

    run(work())
