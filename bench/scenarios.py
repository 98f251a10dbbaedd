"""What is measured against thingstead over HTTP and MQTT, what it needs beforehand, and what must be there afterwards.

A `Scenario` gives requests for the driver and checks the server when the load is over: everything that was acknowledged
is counted where the server keeps count (objects of the type, versions of the shadows), and a sample is compared.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from joserfc import jwt
from joserfc.jwk import OctKey

from bench.http_load import Api, Load, raw
from bench.mqtt_load import Device, MqttLoad
from support.server import Server
from support.sign import Signer

OBJECTS = 35_000
HITS = 20  # of a search for one group
GROUPS = OBJECTS // HITS
LISTED = 100
BATCH = 100  # objects of one request
POSTED = "posted"
BATCHED = "batched"
FOUND_SECONDS = 60
MIXES = 40
DEVICES = 64
APIKEY = "bench-key"
REPORTED = {"temp": 24.5, "hum": 41}
WORDS = [
    "roof",
    "attic",
    "cellar",
    "sensor",
    "humid",
    "warm",
    "cold",
    "north",
    "south",
    "east",
    "west",
    "garden",
    "pump",
    "valve",
    "light",
    "soil",
    "pressure",
    "series",
    "battery",
]


class Lost(Exception):
    """Something that was acknowledged is missing or different."""


@dataclass(frozen=True)
class Scenario:
    """HTTP requests to one listener, and what must be there afterwards."""

    name: str
    base: str
    requests: Callable[[], list[bytes]]
    check: Callable[[Load], None]
    sample: int = 0  # one answer in so many is read back
    until_found: str = ""  # the clock runs until a search counts all objects of this type; operations are objects
    stretch: int = 1  # its load is so much longer than those of others


def object_body(random_: random.Random, seq: int) -> dict[str, Any]:
    """An object of about 500 bytes."""
    return {
        "name": f"Sensor {seq} {random_.choice(WORDS)}",
        "tags": random_.sample(WORDS, 3),
        "group": f"g{seq % GROUPS}",
        "seq": seq,
        "temp": round(random_.random() * 40, 3),
        "active": bool(seq % 2),
        "note": " ".join(random_.choice(WORDS) for _ in range(30)),
        "owner": {"name": random_.choice(WORDS), "level": seq % 7},
    }


def make_app(root: Api, name: str) -> Signer:
    status, answer = root.call("GET", f"/v1/_setup/{name}")
    if status != 200 or "secretKey" not in answer:
        raise RuntimeError(f"_setup/{name}: {status} {answer}")
    return Signer(answer["accessKey"], answer["secretKey"])


class Bench:
    """A server with an app for objects and MQTT things, and one for what comes in through the agent."""

    def __init__(self, server: Server) -> None:
        """Fills it. RuntimeError if the server refuses something."""
        self.server = server
        self.random = random.Random(7)  # the same objects in every run
        root = Api(server.http, server.root)
        self.objects = Api(server.http, make_app(root, "bench"))
        self.measures = Api(server.http, make_app(root, "bench-agent"))
        self._counted: dict[str, int] = {POSTED: 0, BATCHED: 0}  # objects of these types that were found so far
        self._filled = False

    def scenarios(self) -> list[Scenario]:
        """All over HTTP."""
        http, south = self.server.http, self.server.south
        return [
            Scenario("read", http, self.signed_reads, self.read_once),
            Scenario("token", http, self.token_reads, self.read_once),
            Scenario("search", http, self.searches, self.found_once),
            Scenario("list", http, self.lists, self.listed_once),
            Scenario("write", http, self.writes, self.check_writes, sample=50),
            Scenario("batch", http, self.batches, self.check_batches, sample=1, until_found=BATCHED, stretch=2),
            Scenario("measure", south, self.sent_measures, self.check_measures),
        ]

    def fill(self) -> None:
        """The objects that reads and searches want."""
        if self._filled:
            return
        for first in range(0, OBJECTS, BATCH):
            numbers = range(first, first + BATCH)
            batch = [{"type": "bench", "id": f"bench{n}", **object_body(self.random, n)} for n in numbers]
            status, answer = self.objects.call("POST", "/v1/_batch", batch)
            if status != 200 or len(answer) != BATCH:
                raise RuntimeError(f"_batch: {status} {answer}")
        self._filled = True

    # --- objects

    def _signer(self) -> Signer:
        assert self.objects.signer is not None
        return self.objects.signer

    def hello(self) -> list[bytes]:
        """The yardstick's request; hello does not look at the host."""
        return [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]

    def _some_objects(self) -> list[str]:
        return [f"{self.server.http}/v1/bench/bench{self.random.randrange(OBJECTS)}" for _ in range(500)]

    def signed_reads(self) -> list[bytes]:
        """One object by type and id, signed as Para's clients do."""
        return [raw("GET", url, signer=self._signer()) for url in self._some_objects()]

    def token_reads(self) -> list[bytes]:
        """The same with a super token."""
        now = int(time.time())
        signer = self._signer()
        claims = {"appid": signer.access_key, "iat": now, "exp": now + 900}
        token = jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(signer.secret))
        headers = {"Authorization": f"Bearer {token}"}
        return [raw("GET", url, headers=headers) for url in self._some_objects()]

    def searches(self) -> list[bytes]:
        """Query strings that find 20 objects; signed."""
        queries = [quote(f"properties.group:g{n % GROUPS}", safe="") for n in range(200)]
        return [raw("GET", f"{self.server.http}/v1/bench/search?q={q}", signer=self._signer()) for q in queries]

    def lists(self) -> list[bytes]:
        """The newest 100 objects of the type; signed."""
        return [raw("GET", f"{self.server.http}/v1/bench?limit={LISTED}", signer=self._signer())]

    def writes(self) -> list[bytes]:
        """New objects, signed; the server makes up the ids."""
        bodies = [json.dumps(object_body(self.random, n), separators=(",", ":")).encode() for n in range(500)]
        return [raw("POST", f"{self.server.http}/v1/{POSTED}", body, self._signer()) for body in bodies]

    def batches(self) -> list[bytes]:
        """New objects, 100 a request; signed."""
        url, found = f"{self.server.http}/v1/_batch", list[bytes]()
        for first in range(0, 40 * BATCH, BATCH):
            batch = [{"type": BATCHED, **object_body(self.random, n)} for n in range(first, first + BATCH)]
            found.append(raw("POST", url, json.dumps(batch, separators=(",", ":")).encode(), self._signer()))
        return found

    def read_once(self, load: Load) -> None:
        """A read does give the object that was asked for."""
        read = self.objects.get("/v1/bench/bench77")
        if (read["id"], read["seq"]) != ("bench77", 77):
            raise Lost(f"bench77 reads as {read}")

    def found_once(self, load: Load) -> None:
        """One search does find what the scenario claims: 20 hits, all of the group."""
        page = self.objects.get("/v1/bench/search?q=properties.group%3Ag7")
        groups = [item["group"] for item in page["items"]]
        if page["totalHits"] != HITS or groups != ["g7"] * HITS:
            raise Lost(f"a search for {HITS} objects found {page['totalHits']}: {groups}")

    def listed_once(self, load: Load) -> None:
        """One list has 100 different objects, newest first, and counts them all."""
        page = self.objects.get(f"/v1/bench?limit={LISTED}")
        times = [item["timestamp"] for item in page["items"]]
        ids = {item["id"] for item in page["items"]}
        if page["totalHits"] != OBJECTS or len(ids) != LISTED or times != sorted(times, reverse=True):
            raise Lost(f"a list of {LISTED} of {OBJECTS} objects has {len(ids)} of {page['totalHits']}: {times}")

    def until_found(self, scenario: Scenario, load: Load) -> Load:
        """The load with objects for operations, and with the time until a search counts them all.

        Lost if that takes too long.
        """
        objects = load.acknowledged * BATCH
        began = time.monotonic()
        while self._count(scenario.until_found) < self._counted[scenario.until_found] + objects:
            if time.monotonic() - began > FOUND_SECONDS:
                raise Lost(f"{objects} objects were acknowledged, a search does not count them in {FOUND_SECONDS} s")
        seconds = load.seconds + time.monotonic() - began
        return replace(load, acknowledged=objects, seconds=seconds, per_second=objects / seconds)

    def check_writes(self, load: Load) -> None:
        """See `_check_new`."""
        self._check_new(load, POSTED)

    def check_batches(self, load: Load) -> None:
        """See `_check_new`."""
        self._check_new(load, BATCHED)

    def _count(self, type: str) -> int:
        return self.objects.get(f"/v1/{type}/search/count")["totalHits"]

    def _check_new(self, load: Load, type: str) -> None:
        """Every object that was acknowledged is counted; the sample is there by id and by search, whole."""
        stored = self._count(type)
        if stored < self._counted[type] + load.acknowledged:
            raise Lost(f"{load.acknowledged} objects were acknowledged, a search counts {stored - self._counted[type]}")
        self._counted[type] = stored  # with those that were under way at the end
        if load.acknowledged > 1000 and not load.sample:
            raise Lost("no sample was taken")
        for id, seq in load.sample[-100:]:
            read = self.objects.get(f"/v1/{type}/{id}")
            if (read["seq"], read["group"], read["owner"]["level"]) != (seq, f"g{seq % GROUPS}", seq % 7):
                raise Lost(f"object {id} is not what was written: {read}")
            page = self.objects.get(f"/v1/{type}/search/terms?terms={quote(f'id:{id}')}")
            if [item["seq"] for item in page["items"]] != [seq]:
                raise Lost(f"object {id} is not found by search: {page}")

    # --- the mix of a soak

    def mixed(self) -> list[bytes]:
        """Of 20 requests 11 reads, 3 searches, a list, 4 changes of an object and a new one; signed."""
        reads, searches, writes = self.signed_reads(), self.searches(), self.writes()
        found: list[bytes] = []
        for n in range(MIXES):
            found += (
                reads[11 * n : 11 * n + 11] + searches[3 * n : 3 * n + 3] + self.lists() + self._changes() + [writes[n]]
            )
        return found

    def _changes(self) -> list[bytes]:
        body = json.dumps({"temp": round(self.random.random() * 40, 3)}).encode()
        return [raw("PATCH", url, body, self._signer()) for url in self._some_objects()[:4]]

    def check_mixed(self, load: Load, conns: int) -> None:
        """The new objects among the requests are counted, and a sample of what was read or written is unchanged."""
        stored = self._count(POSTED)
        sent = load.acknowledged // 20 - conns  # at least: a connection may end with one that was not answered
        if stored - self._counted[POSTED] < sent:
            raise Lost(f"{sent} new objects were acknowledged, a search counts {stored - self._counted[POSTED]}")
        self._counted[POSTED] = stored
        for id, seq in load.sample[-100:]:
            read = self.objects.get(f"/v1/_id/{id}")
            if (read["seq"], read["group"], read["owner"]["level"]) != (seq, f"g{seq % GROUPS}", seq % 7):
                raise Lost(f"object {id} is not what was written: {read}")

    # --- measures

    def provision(self) -> None:
        """A service group for the devices; they come into being with their first measure."""
        signer = self.measures.signer
        assert signer is not None
        group = {"resource": "/iot/json", "apikey": APIKEY, "entity_type": "Probe"}
        headers = {"fiware-service": "bench-agent", "fiware-servicepath": "/"}
        status, answer = Api(self.server.agent, signer).call("POST", "/iot/services", {"services": [group]}, headers)
        if status not in (200, 201):
            raise RuntimeError(f"POST /iot/services: {status} {answer}")
        south = Api(self.server.south)
        for n in range(DEVICES):
            status, answer = south.call("POST", f"/iot/json?k={APIKEY}&i=probe{n}", REPORTED)
            if status != 200:
                raise RuntimeError(f"first measure: {status} {answer}")
        self._measured = sum(self._versions(self.measures, self._things(self.measures)).values())

    def sent_measures(self) -> list[bytes]:
        """Measures of 64 devices in turn, two attributes each."""
        body = json.dumps(REPORTED).encode()
        return [raw("POST", f"{self.server.south}/iot/json?k={APIKEY}&i=probe{n}", body) for n in range(DEVICES)]

    def check_measures(self, load: Load) -> None:
        """The shadows have counted every measure; all devices show the state that they sent."""
        things = self._things(self.measures)
        if len(things) != DEVICES:
            raise Lost(f"{DEVICES} devices measured, {len(things)} things are there")
        counted = sum(self._versions(self.measures, things).values())
        if counted - self._measured < load.acknowledged:
            raise Lost(f"{load.acknowledged} measures were acknowledged, the shadows count {counted - self._measured}")
        self._measured = counted
        self._check_states(self.measures, things)

    # --- things

    def connect_devices(self) -> None:
        """Things with credentials, as their owner makes them."""
        self.devices: list[Device] = []
        self.things: list[str] = []
        for n in range(DEVICES):
            status, thing = self.objects.call("POST", "/v1/things", {"name": f"device {n}"})
            if status != 201:
                raise RuntimeError(f"POST /v1/things: {status} {thing}")
            details = thing["deviceDetails"]
            topic = f"$aws/things/{details['clientId']}/shadow/update"
            payload = json.dumps({"state": {"reported": REPORTED}}, separators=(",", ":")).encode()
            self.devices.append(Device(details["clientId"], details["secret"], topic, payload))
            self.things.append(thing["id"])
        self._reported = self._versions(self.objects, self.things)

    def check_reports(self, load: MqttLoad) -> None:
        """Each shadow has counted exactly the reports that were acknowledged, and shows the last."""
        used = self.things[: len(load.by_device)]
        versions = self._versions(self.objects, used)
        for id, acknowledged in zip(used, load.by_device, strict=True):
            if versions[id] - self._reported[id] != acknowledged:
                raise Lost(
                    f"thing {id}: {acknowledged} reports were acknowledged, "
                    f"its shadow counts {versions[id] - self._reported[id]}"
                )
            self._reported[id] = versions[id]
        self._check_states(self.objects, used)

    def _things(self, api: Api) -> list[str]:
        page = api.get("/v1/things?limit=256")
        return [item["id"] for item in page["items"]]

    def _versions(self, api: Api, things: Sequence[str]) -> dict[str, int]:
        found = {id: api.call("GET", f"/v1/things/{id}/shadow") for id in things}
        if bad := [status for status, _ in found.values() if status not in (200, 404)]:  # 404: no report yet
            raise RuntimeError(f"GET shadow: {bad}")
        return {id: shadow["version"] if status == 200 else 0 for id, (status, shadow) in found.items()}

    def _check_states(self, api: Api, things: Sequence[str]) -> None:
        for id in things:
            state = api.get(f"/v1/things/{id}")["deviceState"]
            if state != REPORTED:
                raise Lost(f"thing {id} reported {REPORTED}, its state is {state}")
