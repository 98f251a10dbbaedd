"""Plain data topics, readings and sensors, and one device through the doors (things.md 6.5, 9; doors.md, the walks)."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.devices import Device, Site, site
from support.environment import NOON, ManualClock
from support.stages import Stage


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


def state(here: Site, thing: dict[str, Any]) -> Any:
    return here.call("GET", f"/v1/things/{thing['id']}").json()["deviceState"]


def test_the_first_walk(here: Site, stage: Stage) -> None:
    """doors.md: a thing made at `/v1`, its report as state, as readings, as sensors and as a kit's data."""
    thing = here.thing(kitId="walk", sensorUnits={"temp": "celsius"})
    report = {"temp": 24.5, "label": "x", "nested": {"a": 1}}
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        device.ask("update", {"state": {"reported": report}})
    assert state(here, thing) == report
    sensors = here.call("GET", f"/v1/things/{thing['id']}/sensors").json()
    assert [(s["path"], s["dataType"], s["value"], s["unit"]) for s in sensors] == [
        ("temp", "float", 24.5, "celsius"),
        ("label", "string", "x", ""),
        ("nested.a", "float", 1, ""),
    ]
    assert len({s["updated"] for s in sensors}) == 1
    kit = here.call("GET", "/kits/walk/data").json()
    assert {path: points[0]["value"] for path, points in kit["data"].items()} == {
        "temp": 24.5,
        "label": "x",
        "nested.a": 1,
    }
    readings = here.call("GET", f"/v1/things/{thing['id']}/readings").json()["items"]
    assert {(r["sensor"], r["value"], r["timestamp"]) for r in readings} == {
        (s["path"], s["value"], s["updated"]) for s in sensors
    }


VALUES = [
    (b"21", 21),
    (b"21.5", 21.5),
    (b"true", True),
    (b'"on"', "on"),
    (b"on", "on"),
    (b" warm \n", "warm"),
    (b"[1,2]", [1, 2]),
    (b"21,5", "21,5"),
    (b"0", 0),
]


def test_single_values(here: Site, stage: Stage) -> None:
    thing = here.thing()
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        for payload, value in VALUES:
            device.publish(f"things/{device.name}/data/t.1", payload)
            assert state(here, thing) == {"t.1": value}
    found = here.call("GET", f"/v1/things/{thing['id']}/readings?order=asc").json()["items"]
    assert [item["value"] for item in found] == [value for _, value in VALUES]
    assert {item["sensor"] for item in found} == {"t\\.1"}


def test_a_single_object_and_a_removal(here: Site) -> None:
    thing = here.thing()
    with Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data/fan", {"on": True})
        device.publish(f"things/{device.name}/data/fan", {"rpm": 900})
        assert state(here, thing) == {"fan": {"on": True, "rpm": 900}}
        device.publish(f"things/{device.name}/data/fan", b"null")
    assert state(here, thing) == {}


def test_data_is_a_patch(here: Site) -> None:
    thing = here.thing()
    with Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data", {"a": 1, "b": {"c": 2}})
        device.publish(f"things/{device.name}/data", {"b": {"d": 3}, "a": None})
    assert state(here, thing) == {"b": {"c": 2, "d": 3}}
    assert here.call("GET", f"/v1/things/{thing['id']}/shadow").json()["version"] == 2


TIMES = [
    ("timestamp", 1_700_000_000, 1_700_000_000_000),
    ("timestamp", 1_700_000_000.25, 1_700_000_000_250),
    ("ts", 1_700_000_100_123, 1_700_000_100_123),
]


@pytest.mark.parametrize(("name", "given", "milliseconds"), TIMES)
def test_a_devices_own_time(here: Site, name: str, given: float, milliseconds: int, stage: Stage) -> None:
    thing = here.thing()
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data", {"a": 1, name: given})
    assert state(here, thing) == {"a": 1}
    items = here.call("GET", f"/v1/things/{thing['id']}/readings").json()["items"]
    assert items == [{"sensor": "a", "timestamp": milliseconds, "value": 1}]


def test_an_older_time_makes_a_reading_and_no_state(here: Site, stage: Stage) -> None:
    thing = here.thing()
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data", {"a": "new", "ts": 1_700_000_200})
        device.publish(f"things/{device.name}/data", {"a": "old", "ts": 1_700_000_100})
    assert state(here, thing) == {"a": "new"}
    items = here.call("GET", f"/v1/things/{thing['id']}/readings").json()["items"]
    assert [item["value"] for item in items] == ["new", "old"]


def test_a_time_ahead_becomes_receive_time(tmp_path: Path, stage: Stage) -> None:
    """More than five minutes ahead is a wrong clock (doors.md 13)."""
    clock = ManualClock()
    with site(tmp_path, clock=clock) as here:
        thing = here.thing()
        details = thing["deviceDetails"]
        with (
            here.written(stage),
            Device(here.plain, username=details["thingName"], password=details["secret"]) as device,
        ):
            device.publish(f"things/{details['thingName']}/data", {"a": 1, "ts": NOON // 1000 + 299_000})
            device.publish(f"things/{details['thingName']}/data", {"b": 1, "ts": NOON // 1000 + 301_000})
        items = here.call("GET", f"/v1/things/{thing['id']}/readings", auth=here.keys).json()
    times = {item["sensor"]: item["timestamp"] for item in items["items"]}
    assert times == {"a": NOON // 1000 + 299_000, "b": NOON // 1000}


DROPPED = [
    ("data", b""),
    ("data", b"{"),
    ("data", b"21"),
    ("data", b"[1]"),
    ("data", b'{"a":NaN}'),
    ("data", b"\xff"),
    ("data", b'{"":1}'),
    ("data", b'{"a":{"b":{"c":{"d":{"e":{"f":{"g":1}}}}}}}'),
    ("data", b'{"a":"' + b"x" * 9000 + b'"}'),
    ("data/", b"1"),
    ("data/t", b""),
    ("data/t", b"\xff"),
    ("data/t", b"[" * 2000 + b"\xff"),
    ("data/t", b'{"":1}'),
]


def test_data_that_cannot_be_accepted_is_acknowledged_and_dropped(here: Site) -> None:
    """A plain topic has no way to say no; the connection goes on and nothing is stored."""
    thing = here.thing()
    before = here.totals()
    with Device(here.tls, thing["deviceDetails"]) as device:
        for topic, payload in DROPPED:
            device.publish(f"things/{device.name}/{topic}", payload)
        assert here.totals() == before
        assert here.door.shadows._dropped.count == len(DROPPED)
        device.publish(f"things/{device.name}/data", {"a": 1})
    assert state(here, thing) == {"a": 1}


def test_plain_data_is_also_told_to_subscribers(here: Site) -> None:
    thing = here.thing()
    with Device(here.tls, thing["deviceDetails"]) as device:
        device.subscribe(f"things/{device.name}/#", f"$aws/things/{device.name}/shadow/update/documents")
        device.publish(f"things/{device.name}/data", {"a": 1})
        topics = {device.received.get(timeout=10)[0] for _ in range(2)}
    assert topics == {f"things/{device.name}/data", f"$aws/things/{device.name}/shadow/update/documents"}


def test_every_report_is_its_own_reading(here: Site, stage: Stage) -> None:
    """Many untimed reports at once: stamps grow strictly, nothing is lost (doors.md 12)."""
    thing = here.thing()
    count = 500
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        for n in range(count):
            device._client.publish(f"things/{device.name}/data", b'{"n":%d}' % n, 1)
        device.publish(f"things/{device.name}/data", {"last": 1})
        items = here.call("GET", f"/v1/things/{thing['id']}/readings?sensor=n&limit=1000&order=asc").json()["items"]
        deadline = 100
        while len(items) < count and deadline:
            deadline -= 1
            items = here.call("GET", f"/v1/things/{thing['id']}/readings?sensor=n&limit=1000&order=asc").json()["items"]
    assert [item["value"] for item in items] == list(range(count))
    assert here.call("GET", f"/v1/things/{thing['id']}/readings?sensor=n&limit=1000&order=asc").json()["items"] == items


def test_readings_in_pages(here: Site, stage: Stage) -> None:
    thing = here.thing()
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        for n in range(10):
            device.publish(f"things/{device.name}/data", {"a": n, "b": -n, "ts": 1_700_000_000 + n})
    path = f"/v1/things/{thing['id']}/readings"
    for order in ("asc", "desc"):
        seen = []
        url = f"{path}?limit=4&order={order}"
        while True:
            page = here.call("GET", url).json()
            assert all(len([i for i in page["items"] if i["sensor"] == s]) <= 4 for s in "ab")
            seen += page["items"]
            if "cursor" not in page:
                break
            url = f"{path}?limit=4&order={order}&cursor={page['cursor']}"
        for sensor, sign in (("a", 1), ("b", -1)):
            values = [item["value"] for item in seen if item["sensor"] == sensor]
            assert values == [sign * n for n in (range(10) if order == "asc" else range(9, -1, -1))]
    ordered = [item["timestamp"] for item in here.call("GET", path).json()["items"]]
    assert ordered == sorted(ordered, reverse=True)


WINDOWS: list[tuple[str, list[int]]] = [
    ("from=1700000003000&to=1700000006000&order=asc", [3, 4, 5]),
    ("from=2023-11-14T22:13:23Z&to=2023-11-14T22:13:26Z&order=asc", [3, 4, 5]),
    ("from=2023-11-14T23:13:23%2B01:00&to=2023-11-14T22:13:26Z&order=asc", [3, 4, 5]),
    ("to=1700000002000", [1, 0]),
    ("limit=2", [9, 8]),
    ("limit=99999", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ("sensor=a&sensor=nothing&limit=1", [9]),
    ("sensor=nothing", []),
    ("agg=avg&bucket=5s", [7, 2]),
    ("agg=sum&bucket=5s&order=asc", [10, 35]),
    ("agg=count&bucket=1h", [10]),
    ("agg=min&bucket=1d", [0]),
    ("agg=max&bucket=1d", [9]),
    ("agg=first&bucket=5s&order=asc", [0, 5]),
    ("agg=last&bucket=5s&order=asc&limit=1", [4]),
]


def test_windows_and_aggregates(here: Site, stage: Stage) -> None:
    thing = here.thing()
    with here.written(stage), Device(here.tls, thing["deviceDetails"]) as device:
        for n in range(10):
            device.publish(f"things/{device.name}/data", {"a": n, "ts": 1_700_000_000 + n})
    for query, values in WINDOWS:
        answer = here.call("GET", f"/v1/things/{thing['id']}/readings?{query}")
        assert answer.status_code == 200, (query, answer.text)
        assert [item["value"] for item in answer.json()["items"]] == values, query


def test_a_failed_store_acknowledges_nothing(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection closes, the report is not there; after a reconnect it can be sent again."""
    from thingstead.model.errors import StoreFailed

    thing = here.thing()
    ingest = here.backend.ingest

    async def broken(_group: object) -> bool:
        raise StoreFailed("the disk is full")

    with Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data", {"a": 1})
        with monkeypatch.context() as patched:
            patched.setattr(ingest, "_commit", broken)
            device._client.publish(f"things/{device.name}/data", b'{"a":2}', 1)
            device.closed()
            assert device._acknowledged.qsize() == 0
    assert state(here, thing) == {"a": 1}
    with Device(here.tls, thing["deviceDetails"]) as device:
        device.publish(f"things/{device.name}/data", {"a": 3})
    assert state(here, thing) == {"a": 3}
