"""The classic shadow over MQTT with a stock client and the credentials that create returned (things.md 7)."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.devices import Device, Site, site


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


@pytest.fixture
def device(here: Site) -> Generator[Device]:
    """A device that listens to every answer about it."""
    with Device(here.tls, here.thing()["deviceDetails"]) as started:
        started.subscribe(f"$aws/things/{started.name}/shadow/+/+")
        yield started


def test_the_worked_sequence(here: Site, device: Device) -> None:
    """things.md 7.5, the app over REST, the device over MQTT."""
    thing = device.name.removeprefix("para-")
    path = f"/v1/things/{thing}/shadow"
    wanted = {"temp": 26, "fan": {"on": True, "rpm": 900}}
    assert here.call("POST", path, {"state": {"desired": wanted}}).json()["version"] == 1
    assert [device.next()[0] for _ in range(2)] == ["update/documents", "update/delta"]

    device.ask("update", {"state": {"reported": {"temp": 24, "fan": {"on": True}}}, "clientToken": "t2"})
    topic, accepted = device.next()
    assert (topic, accepted["version"], accepted["clientToken"]) == ("update/accepted", 2, "t2")
    assert accepted["state"] == {"reported": {"temp": 24, "fan": {"on": True}}}
    now = accepted["timestamp"]
    assert abs(now - time.time()) < 60
    stamp = {"timestamp": now}
    assert accepted["metadata"] == {"reported": {"temp": stamp, "fan": {"on": stamp}}}
    topic, documents = device.next()
    assert (topic, documents["clientToken"]) == ("update/documents", "t2")
    assert documents["previous"]["version"] == 1
    assert documents["previous"]["state"] == {"desired": wanted}
    assert documents["current"]["version"] == 2
    assert documents["current"]["state"] == {"desired": wanted, "reported": {"temp": 24, "fan": {"on": True}}}
    assert documents["current"]["metadata"]["reported"] == {"temp": stamp, "fan": {"on": stamp}}
    assert set(documents) == {"previous", "current", "timestamp", "clientToken"}
    topic, delta = device.next()
    assert (topic, delta["version"], delta["clientToken"]) == ("update/delta", 2, "t2")
    assert delta["state"] == {"temp": 26, "fan": {"rpm": 900}}
    assert set(delta["metadata"]) == {"temp", "fan"}
    assert set(delta) == {"state", "metadata", "version", "timestamp", "clientToken"}

    refused = here.call("POST", path, {"state": {"desired": {"temp": 22}}, "version": 1})
    assert (refused.status_code, refused.json()["message"]) == (409, "Version conflict")

    device.ask("update", {"state": {"reported": {"temp": 26, "fan": {"rpm": 900}}, "desired": None}})
    assert device.next()[1]["version"] == 3
    assert device.next()[1]["current"]["state"] == {"reported": {"temp": 26, "fan": {"on": True, "rpm": 900}}}

    device.ask("update", {"state": {"reported": {"fan": None}}})
    topic, accepted = device.next()
    assert (topic, accepted["version"], accepted["state"]) == ("update/accepted", 4, {"reported": {"fan": None}})
    assert accepted["metadata"] == {"reported": {}}
    assert device.next()[0] == "update/documents"

    device.ask("get", {"clientToken": "g"})
    topic, document = device.next()
    assert topic == "get/accepted"
    assert document["state"] == {"reported": {"temp": 26}}
    assert (document["version"], document["clientToken"]) == (4, "g")


def test_get_shows_both_sections_and_the_difference(here: Site, device: Device) -> None:
    device.ask("update", {"state": {"desired": {"a": 1, "l": [1, 2]}, "reported": {"a": 2, "b": "x"}}})
    while device.next()[0] != "update/delta":
        pass
    device.ask("get")
    topic, document = device.next()
    assert topic == "get/accepted"
    assert document["state"] == {
        "desired": {"a": 1, "l": [1, 2]},
        "reported": {"a": 2, "b": "x"},
        "delta": {"a": 1, "l": [1, 2]},
    }
    stamp = {"timestamp": document["timestamp"]}
    assert set(document["metadata"]) == {"desired", "reported", "delta"}
    assert len(document["metadata"]["delta"]["l"]) == 2
    assert abs(document["metadata"]["reported"]["b"]["timestamp"] - stamp["timestamp"]) <= 2
    assert "clientToken" not in document


def test_a_get_shows_what_was_sent_before_it(device: Device) -> None:
    """Also when nobody waited for the update's answer."""
    client = device._client
    for step in range(20):
        client.publish(f"$aws/things/{device.name}/shadow/update", b'{"state":{"reported":{"n":%d}}}' % step, 1)
        client.publish(f"$aws/things/{device.name}/shadow/get", b"", 1)
    seen = -1
    answered = 0
    while answered < 20:
        topic, document = device.next()
        if topic == "update/accepted":
            seen = document["state"]["reported"]["n"]
        elif topic == "get/accepted":
            answered += 1
            assert document["state"]["reported"]["n"] >= answered - 1
    assert seen == 19


def test_before_the_first_update_there_is_no_shadow(device: Device) -> None:
    for verb in ("get", "delete"):
        device.ask(verb, {"clientToken": "x"})
        topic, refused = device.next()
        assert topic == f"{verb}/rejected"
        assert refused["code"] == 404
        assert refused["message"] == f"No shadow exists with name: '{device.name}'"
        assert refused["clientToken"] == "x"


def test_delete_keeps_counting(here: Site, device: Device) -> None:
    device.ask("update", {"state": {"reported": {"a": 1}, "desired": {"b": 2}}})
    assert [device.next()[0] for _ in range(3)] == ["update/accepted", "update/documents", "update/delta"]
    device.ask("delete", {"clientToken": "d", "anything": 1})
    topic, deleted = device.next()
    assert topic == "delete/accepted"
    assert set(deleted) == {"version", "timestamp", "clientToken"}
    assert (deleted["version"], deleted["clientToken"]) == (2, "d")
    device.ask("get")
    assert device.next()[0] == "get/rejected"
    device.ask("update", {"state": {"reported": {"a": 1}}})
    assert device.next()[1]["version"] == 3


def test_an_empty_state_and_equal_values_count_too(device: Device) -> None:
    for version, state in enumerate([{}, {"reported": {}}, {"reported": {"a": 1}}, {"reported": {"a": 1}}], 1):
        device.ask("update", {"state": state, "ignored": {"x": 1}})
        topic, accepted = device.next()
        assert (topic, accepted["version"], accepted["state"]) == ("update/accepted", version, state)
        assert device.next()[0] == "update/documents"


def test_unknown_members_are_not_stored(here: Site, device: Device) -> None:
    device.ask("update", {"state": {"reported": {"a": 1}, "other": {"b": 2}}, "extra": 3})
    topic, accepted = device.next()
    assert (topic, accepted["state"]) == ("update/accepted", {"reported": {"a": 1}})


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"k": value}
    return value


REFUSED: list[tuple[Any, int, str]] = [
    (b"", 400, "Invalid JSON"),
    (b"{", 400, "Invalid JSON"),
    (b"[]", 400, "Invalid JSON"),
    (b'"x"', 400, "Invalid JSON"),
    (b'{"state":{"reported":{"a":NaN}}}', 400, "Invalid JSON"),
    (b'{"state":{"reported":{"a":1e999}}}', 400, "Invalid JSON"),
    (b"[" * 2000, 400, "Invalid JSON"),
    (b"\xff\xfe", 415, "Unsupported documented encoding; supported encoding is UTF-8"),
    ({}, 400, "Missing required node: state"),
    ({"state": None}, 400, "State node must be an object"),
    ({"state": [1]}, 400, "State node must be an object"),
    ({"state": {"desired": 1}}, 400, "Desired node must be an object"),
    ({"state": {"reported": [1]}}, 400, "Reported node must be an object"),
    ({"state": {}, "version": "1"}, 400, "Invalid version"),
    ({"state": {}, "version": 1.5}, 400, "Invalid version"),
    ({"state": {}, "version": True}, 400, "Invalid version"),
    ({"state": {}, "version": -1}, 400, "Invalid version"),
    ({"state": {}, "version": 7}, 409, "Version conflict"),
    ({"state": {}, "clientToken": 1}, 400, "Invalid clientToken"),
    ({"state": {}, "clientToken": "x" * 65}, 400, "Invalid clientToken"),
    ({"state": {"reported": deep(7)}}, 400, "JSON contains too many levels of nesting; maximum is 6"),
    ({"state": {"reported": deep(500)}}, 400, "JSON contains too many levels of nesting; maximum is 6"),
    ({"state": {"reported": {"": 1}}}, 400, "State contains an invalid node"),
    ({"state": {"reported": {"a": {"b\x00": 1}}}}, 400, "State contains an invalid node"),
    ({"state": {"reported": {"a": "x" * 8300}}}, 413, "The payload exceeds the maximum size allowed"),
]


def test_refused_updates_are_answered_and_change_nothing(here: Site, device: Device) -> None:
    """Every refusal is acknowledged and answered on `rejected`; journal, readings and objects stay as they were."""
    device.ask("update", {"state": {"reported": {"a": 1}}})
    assert [device.next()[0] for _ in range(2)] == ["update/accepted", "update/documents"]
    before = here.totals()
    for request, code, message in REFUSED:
        if isinstance(request, dict) and "clientToken" not in request:
            request = {**request, "clientToken": "mine"}
        device.ask("update", request)
        topic, refused = device.next()
        assert (topic, refused["code"], refused["message"]) == ("update/rejected", code, message), request
        if isinstance(request, dict) and request["clientToken"] == "mine":
            assert refused["clientToken"] == "mine"
        assert abs(refused["timestamp"] - time.time()) < 60
    assert here.totals() == before
    device.ask("get")
    document = device.next()[1]
    assert (document["version"], document["state"]) == (1, {"reported": {"a": 1}})


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_refused_gets_and_deletes(here: Site, device: Device, verb: str) -> None:
    device.ask("update", {"state": {"reported": {"a": 1}}})
    assert [device.next()[0] for _ in range(2)] == ["update/accepted", "update/documents"]
    before = here.totals()
    for payload, code in ((b"{", 400), (b"\xff", 415), (b"[1]", 400), (b'{"clientToken":1}', 400)):
        device.ask(verb, payload)
        topic, refused = device.next()
        assert (topic, refused["code"]) == (f"{verb}/rejected", code)
    assert here.totals() == before


def test_size_is_judged_on_the_merged_document(device: Device) -> None:
    device.ask("update", {"state": {"reported": {"a": "x" * 4000}}})
    assert device.next()[0] == "update/accepted"
    assert device.next()[0] == "update/documents"
    device.ask("update", {"state": {"desired": {"a": "z" * 4000}}})
    assert [device.next()[0] for _ in range(3)] == ["update/accepted", "update/documents", "update/delta"]
    device.ask("update", {"state": {"reported": {"b": "y" * 300}}})
    topic, refused = device.next()
    assert (topic, refused["code"]) == ("update/rejected", 413)


def test_many_at_once_are_answered_in_order(device: Device) -> None:
    count = 300
    for n in range(count):
        payload = b'{"state":{"reported":{"n":%d}},"clientToken":"%d"}' % (n, n)
        if n % 10 == 9:
            payload = b'{"clientToken":"%d"}' % n
        device._client.publish(f"$aws/things/{device.name}/shadow/update", payload, 1)
    tokens = []
    versions = []
    while len(tokens) < count:
        topic, document = device.next()
        if topic in ("update/accepted", "update/rejected"):
            tokens.append(int(document["clientToken"]))
            versions += [document["version"]] if topic == "update/accepted" else []
    assert tokens == list(range(count))
    assert versions == list(range(1, count - count // 10 + 1))


def test_a_rest_update_is_told_without_accepted(here: Site, device: Device) -> None:
    """And a REST error is told to nobody (things.md 7.1)."""
    path = f"/v1/things/{device.name.removeprefix('para-')}/shadow"
    assert here.call("POST", path, {"state": {"desired": 1}}).status_code == 400
    assert here.call("POST", path, {"state": {"desired": {"a": 1}}, "clientToken": "r"}).status_code == 200
    topic, documents = device.next()
    assert (topic, documents["clientToken"]) == ("update/documents", "r")
    assert device.next()[0] == "update/delta"


def test_a_patch_at_v1_is_a_delta(here: Site, device: Device) -> None:
    thing = device.name.removeprefix("para-")
    answer = here.call("PATCH", f"/v1/things/{thing}", {"deviceState": {"temp": 26}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["deviceState"] == {"temp": 26}
    assert device.next()[0] == "update/documents"
    topic, delta = device.next()
    assert (topic, delta["state"]) == ("update/delta", {"temp": 26})


def test_acknowledged_reports_are_there_afterwards(tmp_path: Path) -> None:
    with site(tmp_path) as first:
        details = first.thing()["deviceDetails"]
        with Device(first.tls, details) as device:
            device.ask("update", {"state": {"reported": {"a": 1}}})
    with site(tmp_path) as again, Device(again.tls, details) as device:
        device.subscribe(f"$aws/things/{device.name}/shadow/get/+")
        device.ask("get")
        assert device.next()[1]["state"] == {"reported": {"a": 1}}
