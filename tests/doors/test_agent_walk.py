"""Promise: doors.md's second walk. A device made by its first measure belongs to its tenant alone, under its default
site; the same device id under another apikey or path is another thing.
"""

from pathlib import Path

from support.agent_doors import TENANT, open_doors
from support.aio import run


def test_a_device_made_by_its_first_measure(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            backend = doors.backend
            assert (await doors.group()).status == 200
            assert (await doors.measure({"temp": 21.5, "label": "x", "nested": {"a": 1}})).status == 200
            app = await backend.tenants.get("smartgondor")
            assert app.object.creatorid == "app:para"
            assert app.autocreated
            (thing,) = await backend.objects.list("smartgondor", type="thing")
            site = await backend.things.default_site("smartgondor")
            assert (thing.name, thing.parentid) == ("TestType:TestDevice", site.id)
            assert await backend.objects.list("para", type="thing") == []
            assert await doors.entities(headers={}) == []
            (entity,) = await doors.entities()
            assert entity == {
                "id": "TestType:TestDevice",
                "type": "TestType",
                "temp": {"type": "Text", "value": 21.5, "metadata": {}},
                "label": {"type": "Text", "value": "x", "metadata": {}},
                "nested": {"type": "Text", "value": {"a": 1}, "metadata": {}},
            }
            sensors = await backend.objects.list("smartgondor", type="sensor")
            assert sorted((str(s.custom["path"]), str(s.custom["dataType"])) for s in sensors) == [
                ("label", "string"),
                ("nested.a", "float"),
                ("temp", "float"),
            ]
            shadow = await backend.things.shadow("smartgondor", thing.id)
            assert shadow.reported == {"temp": 21.5, "label": "x", "nested": {"a": 1}}

    run(work())


def test_another_apikey_or_path_is_another_thing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            other_path = {**TENANT, "fiware-servicepath": "/parks"}
            await doors.group()
            await doors.group(apikey="k2")
            await doors.group(other_path, apikey="k3")
            for n, key in enumerate(("123456", "k2", "k3", "123456")):
                assert (await doors.measure({"a": n}, k=key)).status == 200
            things = await doors.backend.objects.list("smartgondor", type="thing")
            assert len({thing.id for thing in things}) == 3
            shadows = await doors.backend.things.shadows("smartgondor", [thing.id for thing in things])
            assert sorted(shadow.reported["a"] for shadow in shadows.values()) == [1, 2, 3]
            # two things of one path name one entity: shown joined, the newest state wins (doors.md 16)
            assert (await doors.entity())["a"]["value"] == 3
            assert (await doors.entity(headers=other_path))["a"]["value"] == 2
            whole = {"fiware-service": "smartgondor"}
            reply = await doors.call("context", "GET", "/v2/entities?options=count", headers=whole)
            assert (reply.headers["fiware-total-count"], len(reply.json)) == ("2", 2)

    run(work())
