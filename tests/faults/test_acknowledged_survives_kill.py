"""Acknowledged means stored: what REST writers and MQTT devices were told survives SIGKILL at any moment, whole.

The writers live in the test's process and note each acknowledgement. After each kill the server starts over the same
data, and every noted write is there by id, in search, in the thing's state and among its readings; what is there
without an acknowledgement is whole. THINGSTEAD_KILL_ROUNDS sets how often it is killed (25), THINGSTEAD_KILL_SEED
repeats the moments of another run.
"""

import hashlib
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from support.server import Server, forgetful
from support.sign import Signer

ROUNDS = int(os.environ.get("THINGSTEAD_KILL_ROUNDS", "25"))
SEED = int(os.environ.get("THINGSTEAD_KILL_SEED") or random.SystemRandom().randrange(10**9))
LOAD_SECONDS = (0.2, 0.8)  # from the first acknowledgement to the kill
WINDOW = 20  # unacknowledged publishes of a device

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60 + 12 * ROUNDS)]


def content(number: int) -> dict[str, Any]:
    """What is written: parts that belong together, of many sizes."""
    text = "x" * (number * 37 % 900)
    return {"number": number, "twice": 2 * number, "text": text, "check": checksum(number, text)}


def checksum(number: int, text: str) -> str:
    return hashlib.sha256(f"{number} {text}".encode()).hexdigest()[:16]


def whole(found: Mapping[str, Any]) -> bool:
    """Nothing of it is missing or from another write."""
    return found["twice"] == 2 * found["number"] and found["check"] == checksum(found["number"], found["text"])


class Client:
    """Signed calls over one connection, which is made anew after it broke."""

    def __init__(self, base: str, signer: Signer) -> None:
        self._base = base
        self._signer = signer
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON; OSError or HTTPException if the connection breaks."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = self._signer.headers(method, self._base + path, data, {"Content-Type": "application/json"})
        try:
            self._connection.request(method, path, data or None, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return answer.status, json.loads(text) if text else None

    def get(self, path: str) -> Any:
        """The JSON of a GET that must succeed."""
        status, answer = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def close(self) -> None:
        self._connection.close()

    def search(self, type: str, q: str) -> list[dict[str, Any]]:
        """All hits, page by page; their number is what each page says."""
        items: list[dict[str, Any]] = []
        last = ""
        while True:
            wanted = {"q": q, "limit": 256, "sort": "_docid", "desc": "false", "page": 1, "lastKey": last}
            page = self.get(f"/v1/{type}/search?{urlencode(wanted, quote_via=quote)}")
            if not page["items"]:
                assert len(items) == page["totalHits"], "the index and the store disagree"
                return items
            items += page["items"]
            last = page["lastKey"]


class Numbers:
    """Numbers for the writers of all rounds; no number is used twice."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last += 1
            return self._last


class Writer(threading.Thread):
    """Writes until the connection breaks, and notes what was acknowledged. Subclasses say what a step is."""

    def __init__(self, server: Server, numbers: Numbers, round: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(server.http, server.root)
        self.numbers = numbers
        self.round = round
        self.stopping = threading.Event()
        self.acknowledged: list[Any] = []
        self.refused: list[Any] = []

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            self.client.close()

    def step(self) -> None:
        raise NotImplementedError

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer of a write that must be taken."""
        status, answer = self.client.call(method, path, body)
        if status not in (200, 201):
            self.refused.append((method, path, status, answer))
            raise http.client.HTTPException
        return answer

    def body(self) -> dict[str, Any]:
        return {"round": self.round, **content(self.numbers.next())}


class Creator(Writer):
    """(id, number) of new objects."""

    def step(self) -> None:
        body = self.body()
        self.acknowledged.append((self.ask("POST", "/v1/row", body)["id"], body["number"]))


class BatchCreator(Writer):
    """The same, five at a time."""

    def step(self) -> None:
        made = self.ask("POST", "/v1/_batch", [{"type": "row", **self.body()} for _ in range(5)])
        assert len(made) == 5
        self.acknowledged += [(one["id"], one["number"]) for one in made]


class Changer(Writer):
    """Numbers that one object had in turn."""

    def step(self) -> None:
        body = self.body()
        self.sent = body["number"]
        self.ask("PATCH", "/v1/changing/changed", body)
        self.acknowledged.append(body["number"])


class Remover(Writer):
    """Ids of objects that were made and deleted."""

    def step(self) -> None:
        id = self.ask("POST", "/v1/row", self.body())["id"]
        self.ask("DELETE", f"/v1/row/{id}")
        self.acknowledged.append(id)


class Device:
    """A thing that reports over MQTT with QoS 1; `reports` are (number, packet identifier) of this round."""

    def __init__(self, client: Client, name: str) -> None:
        status, thing = client.call("POST", "/v1/things", {"name": name})
        assert status == 201, thing
        self.thing: str = thing["id"]
        self._name: str = thing["deviceDetails"]["clientId"]
        self._secret: str = thing["deviceDetails"]["secret"]
        self.version = 0  # of the shadow, as last seen
        self.reports: list[tuple[int, int]] = []
        self._told: set[int] = set()

    def start(self, server: Server, numbers: Numbers) -> None:
        """Connects and reports from a thread until `stop`."""
        self.reports = []
        self._told = set()
        self._stopping = threading.Event()
        self._mqtt = paho.Client(CallbackAPIVersion.VERSION2, self._name, reconnect_on_failure=False)
        self._mqtt.username_pw_set(self._name, self._secret)
        self._mqtt.on_publish = self._published
        self._mqtt.max_inflight_messages_set(WINDOW)
        parts = urlsplit(server.mqtt)
        self._mqtt.connect(parts.hostname or "", parts.port or 0)
        self._mqtt.loop_start()
        self._thread = threading.Thread(target=self._report, args=(numbers,), daemon=True)
        self._thread.start()

    def _published(self, client: paho.Client, data: object, packet: int, *rest: object) -> None:
        """A PUBACK came."""
        self._told.add(packet)

    def _report(self, numbers: Numbers) -> None:
        topic = f"$aws/things/{self._name}/shadow/update"
        while not self._stopping.is_set():
            if len(self.reports) >= WINDOW and self.reports[-WINDOW][1] not in self._told:
                self._stopping.wait(0.001)
                continue
            number = numbers.next()
            payload = json.dumps({"state": {"reported": content(number)}})
            self.reports.append((number, self._mqtt.publish(topic, payload, qos=1).mid))

    def stop(self) -> None:
        """After the kill: no acknowledgement is noted any more."""
        self._stopping.set()
        self._thread.join(10)
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    @property
    def acknowledged(self) -> list[int]:
        return [number for number, packet in self.reports if packet in self._told]


def play(server: Server, numbers: Numbers, devices: list[Device], round: int, seconds: float) -> list[Writer]:
    """Load, SIGKILL, restart."""
    writers: list[Writer] = [
        kind(server, numbers, round) for kind in (Creator, Creator, BatchCreator, Changer, Remover)
    ]
    for device in devices:
        device.start(server, numbers)
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 10
    while not all(one.acknowledged for one in (*writers, *devices)):
        assert time.monotonic() < deadline, [writer.refused for writer in writers]
        time.sleep(0.005)
    time.sleep(seconds)
    server.kill()
    for writer in writers:
        writer.stopping.set()
    for device in devices:
        device.stop()
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()
        assert not writer.refused
    server.restart()
    return writers


def check_objects(client: Client, writers: Iterable[Writer], round: int) -> None:
    """Created, changed and deleted objects, by id and by search."""
    created: dict[str, int] = {}
    deleted: set[str] = set()
    for writer in writers:
        if isinstance(writer, (Creator, BatchCreator)):
            created |= dict(writer.acknowledged)
        elif isinstance(writer, Remover):
            deleted |= set(writer.acknowledged)
        elif isinstance(writer, Changer):
            changed = client.get("/v1/changing/changed")
            assert whole(changed)
            assert writer.acknowledged[-1] <= changed["number"] <= writer.sent
            [found] = client.search("changing", f"properties.number:{changed['number']}")
            assert found == changed
    ids = list(created)
    by_id: dict[str, dict[str, Any]] = {}
    for first in range(0, len(ids), 50):
        query = "&".join(f"ids={id}" for id in ids[first : first + 50])
        by_id |= {one["id"]: one for one in client.get(f"/v1/_batch?{query}")}
    assert {id: one["number"] for id, one in by_id.items()} == created
    found = {one["id"]: one for one in client.search("row", f"properties.round:{round}")}
    assert created.keys() <= found.keys()
    assert {id: found[id] for id in created} == by_id
    assert all(whole(one) for one in found.values())
    assert not deleted & found.keys()
    for id in list(deleted)[-20:]:
        assert client.call("GET", f"/v1/row/{id}")[0] == 404


def check_device(client: Client, device: Device, since_ms: int) -> None:
    """The thing's state, and one reading of each sensor for each report."""
    sent, acknowledged = [number for number, _ in device.reports], device.acknowledged
    state = client.get(f"/v1/things/{device.thing}")["deviceState"]
    assert whole(state)
    assert acknowledged[-1] <= state["number"] <= sent[-1]
    readings = readings_of(client, device.thing, since_ms)
    numbers = readings["number"]
    assert set(acknowledged) <= set(numbers) <= set(sent)
    assert readings["twice"] == [2 * number for number in numbers]
    assert readings["check"] == [content(int(number))["check"] for number in numbers]
    version = client.get(f"/v1/things/{device.thing}/shadow")["version"]
    assert version - device.version == len(numbers), "the shadow and the readings tell of different reports"
    device.version = version


def readings_of(client: Client, thing: str, since_ms: int) -> dict[str, list[Any]]:
    """Sensor -> values since then, oldest first."""
    found: dict[str, list[Any]] = {"number": [], "twice": [], "check": []}
    for sensor, values in found.items():
        cursor = ""
        while True:
            wanted = {"sensor": sensor, "from": since_ms, "limit": 1000, "order": "asc"} | (
                {"cursor": cursor} if cursor else {}
            )
            page = client.get(f"/v1/things/{thing}/readings?{urlencode(wanted)}")
            values += [item["value"] for item in page["items"]]
            cursor = page.get("cursor", "")
            if not cursor:
                break
    return found


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power lost"])
def test_what_was_acknowledged_is_there_after_each_kill(tmp_path: Path, power: bool) -> None:
    """SIGKILL keeps the page cache; over the forgetful VFS it also loses what was not synced."""
    print(f"THINGSTEAD_KILL_SEED={SEED}")
    moments = random.Random(SEED)
    numbers = Numbers()
    rounds = max(1, ROUNDS // 2) if power else ROUNDS
    launcher = forgetful(tmp_path / "fault") if power else ("-m", "thingstead")
    with Server(tmp_path, launcher=launcher) as server:
        client = Client(server.http, server.root)
        devices = [Device(client, f"device {n}") for n in range(2)]
        status, answer = client.call("POST", "/v1/changing", {"id": "changed", **content(0)})
        assert status == 201, answer
        client.close()
        for round in range(rounds):
            since = time.time_ns() // 1_000_000
            writers = play(server, numbers, devices, round, moments.uniform(*LOAD_SECONDS))
            check_objects(client, writers, round)
            for device in devices:
                check_device(client, device, since)
            client.close()
            objects = sum(len(writer.acknowledged) for writer in writers)
            reports = sum(len(device.acknowledged) for device in devices)
            print(f"round {round}: {objects} writes and {reports} reports were acknowledged, all are there")
