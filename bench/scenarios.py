"""What is measured against thingstead over HTTP and MQTT, what it needs beforehand, and what must be there afterwards.

A scenario gives requests for the driver and checks the server when the load is over: everything that was acknowledged
is counted where the server keeps count (objects of the type, versions of the shadows), and a sample is compared.
"""

import json
import random
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from joserfc import jwt
from joserfc.jwk import OctKey

from bench.http_load import Api, Load, raw
from bench.mqtt_load import Device, MqttLoad
from support.server import Server
from support.sign import Signer

OBJECTS = 1000
GROUPS = 50  # so that a search for one group has 20 hits
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


def _body(random_: random.Random, seq: int) -> dict[str, Any]:
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


def _make_app(root: Api, name: str) -> Signer:
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
        self.objects = Api(server.http, _make_app(root, "bench"))
        self.measures = Api(server.http, _make_app(root, "bench-agent"))
        self.posted = 0
        for first in range(0, OBJECTS, 100):
            batch = [{"type": "bench", "id": f"bench{n}", **_body(self.random, n)} for n in range(first, first + 100)]
            status, answer = self.objects.call("POST", "/v1/_batch", batch)
            if status != 200 or len(answer) != 100:
                raise RuntimeError(f"_batch: {status} {answer}")

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
        """Query strings that find 20 of 1,000 objects; signed."""
        queries = [quote(f"properties.group:g{n % GROUPS}", safe="") for n in range(200)]
        return [raw("GET", f"{self.server.http}/v1/bench/search?q={q}", signer=self._signer()) for q in queries]

    def writes(self) -> list[bytes]:
        """New objects, signed; the server makes up the ids."""
        bodies = [json.dumps(_body(self.random, n), separators=(",", ":")).encode() for n in range(500)]
        return [raw("POST", f"{self.server.http}/v1/posted", body, self._signer()) for body in bodies]

    def found_once(self) -> None:
        """One search does find what the scenario claims: 20 hits, all of the group."""
        page = self.objects.get("/v1/bench/search?q=properties.group%3Ag7")
        groups = [item["group"] for item in page["items"]]
        if page["totalHits"] != OBJECTS // GROUPS or groups != ["g7"] * (OBJECTS // GROUPS):
            raise Lost(f"a search for 20 objects found {page['totalHits']}: {groups}")

    def check_writes(self, load: Load) -> None:
        """Every object that was acknowledged is counted; the sample is there by id and by search, whole."""
        self.posted += load.acknowledged
        stored = self.objects.get("/v1/posted/search/count")["totalHits"]
        if stored < self.posted:
            raise Lost(f"{self.posted} objects were acknowledged, a search counts {stored}")
        if load.acknowledged > 1000 and not load.sample:
            raise Lost("no sample was taken")
        for id, seq in load.sample[-100:]:
            read = self.objects.get(f"/v1/posted/{id}")
            if (read["seq"], read["group"], read["owner"]["level"]) != (seq, f"g{seq % GROUPS}", seq % 7):
                raise Lost(f"object {id} is not what was written: {read}")
            page = self.objects.get(f"/v1/posted/search/terms?terms={quote(f'id:{id}')}")
            if [item["seq"] for item in page["items"]] != [seq]:
                raise Lost(f"object {id} is not found by search: {page}")

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
