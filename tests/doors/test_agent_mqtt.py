"""Promise: measures over MQTT end as over HTTP, on every form of topic, in order; what is no measure is dropped."""

from pathlib import Path
from typing import Any

from support.agent_doors import TENANT, open_doors
from support.aio import run
from support.backend import owner

FORMS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("/json/{k}/{i}/attrs", b'{"a":1}', {"a": 1}),
    ("json/{k}/{i}/attrs", b'[{"a":1},{"a":2}]', {"a": 2}),
    ("/json/{k}/{i}/attrs", b'[{"a":1}]', {"a": 1}),
    ("/json/{k}/{i}/attrs/x", b"[1,2]", {"x": [1, 2]}),
    ("json/{k}/{i}/attrs/x", b"\x01\xff", {"x": "01ff"}),
    ("/ul/{k}/{i}/attrs", b"t|1#t|2", {"t": 2}),
    ("ul/{k}/{i}/attrs", b"2024-05-01T10:00:00Z|t|1", {"t": 1, "TimeInstant": "2024-05-01T10:00:00.000Z"}),
    ("/ul/{k}/{i}/attrs/t", b"a|b", {"t": "a|b"}),
    ("/{k}/{i}/attrs", b'{"a":1}', {"a": 1}),
    ("{k}/{i}/attrs", b"t|1", {"t": 1}),
    ("/{k}/{i}/attrs/t", b"5", {"t": 5}),
    ("{k}/{i}/attrs/t", b'{"b":1}', {"t": {"b": 1}}),
    ("/json/{k}/attrs/attrs", b'{"a":1}', {"a": 1}),
]


def test_every_form_of_topic(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            for n, (topic, payload, expected) in enumerate(FORMS):
                tenant = {"fiware-service": f"t{n}", "fiware-servicepath": "/"}
                assert (await doors.group(tenant, apikey=f"k{n}")).status == 200
                device = "attrs" if "attrs/attrs" in topic else "d"
                await doors.publish((topic.format(k=f"k{n}", i="d"), payload))
                (entity,) = await doors.entities("?options=keyValues", tenant)
                assert entity == {"id": f"TestType:{device}", "type": "TestType", **expected}, topic
                (shown,) = (await doors.call("north", "GET", "/iot/devices", headers=tenant)).json["devices"]
                assert (shown["transport"], shown["polling"]) == ("MQTT", False)

    run(work(), 60)


def test_the_protocol_that_a_group_states_counts_on_bare_topics(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group(protocol="PDI-IoTA-UltraLight")
            await doors.publish(("/123456/d/attrs", b"a|[1]"))
            assert (await doors.entity("TestType:d"))["a"]["value"] == [1]

    run(work())


def test_first_messages_of_a_connection_keep_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            messages = [("/json/123456/TestDevice/attrs", b'{"a":%d}' % n) for n in range(60)]
            await doors.publish(*messages)
            assert (await doors.entity())["a"]["value"] == 59
            (sensor,) = await doors.backend.objects.list("smartgondor", type="sensor")
            series = sensor.hidden["series"]
            assert isinstance(series, int)
            found = await doors.backend.store.readings.window(series, None, None)
            assert [reading.value for reading in found] == list(range(60))

    run(work())


def test_connections_at_once_make_one_device(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await doors.publish(*[("/json/123456/TestDevice/attrs", b'{"a":1}')] * 10, count=6)
            assert await doors.backend.objects.count("smartgondor", type="thing") == 1
            (sensor,) = await doors.backend.objects.list("smartgondor", type="sensor")
            series = sensor.hidden["series"]
            assert isinstance(series, int)
            assert await doors.backend.store.readings.count(series) == 60

    run(work())


def test_a_deleted_device_is_made_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            topic = "/json/123456/TestDevice/attrs"
            await doors.publish((topic, b'{"a":1}'))
            (thing,) = await doors.backend.objects.list("smartgondor", type="thing")
            await doors.backend.objects.delete("smartgondor", thing.id, owner("smartgondor"))
            await doors.publish((topic, b'{"a":2}'), (topic, b'{"b":3}'))
            (again,) = await doors.backend.objects.list("smartgondor", type="thing")
            assert again.id != thing.id
            shadow = await doors.backend.things.shadow("smartgondor", again.id)
            assert shadow.reported == {"a": 2, "b": 3}

    run(work())


DROPPED: list[tuple[str, bytes]] = [
    ("/json/nobody/d/attrs", b'{"a":1}'),
    ("/json/closed/d/attrs", b'{"a":1}'),
    ("/json/123456/d/attrs", b"{"),
    ("/json/123456/d/attrs", b""),
    ("/json/123456/d/attrs", b"[1]"),
    ("/json/123456/d/attrs", b'{"":1}'),
    ("/ul/123456/d/attrs", b"t"),
    ("/ul/123456/d/attrs", b"\xff\xfe|1"),
    ("/ul/123456/d/attrs", b"d@cmd|done"),
    ("/json//d/attrs", b'{"a":1}'),
    ("/json/123456//attrs", b'{"a":1}'),
    ("/json/123456/d/attrs/", b"1"),
    ("things/x/attrs", b'{"a":1}'),
    ("json/x/attrs", b'{"a":1}'),
    ("/json/123456/" + "d" * 300 + "/attrs", b'{"a":1}'),
    ("/json/timed/d/attrs", b'{"a":1,"TimeInstant":"soon"}'),
    ("/json/123456/d/attrs", b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"),
]


def test_what_is_no_measure_is_acknowledged_and_dropped(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            await doors.group()
            await doors.group(apikey="closed", autoprovision=False)
            await doors.group(apikey="timed", timestamp=True)
            before = await doors.totals("smartgondor")
            await doors.publish(*DROPPED)
            assert await doors.totals("smartgondor") == before
            for payload in (b'{"a":1}', b'{"a":2}'):  # both ways: making the device, and with the device known
                await doors.publish(*DROPPED[:3], ("/json/123456/d/attrs", payload), *DROPPED[3:])
            assert (await doors.entity("TestType:d"))["a"]["value"] == 2
            assert (await doors.call("north", "GET", "/iot/devices", headers=TENANT)).json["count"] == 1

    run(work())
