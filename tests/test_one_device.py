"""Promise: one device is seen through every door, at once and with the same value, whoever made it, however it reports.

The end-to-end walk of the skeleton with real clients, and the three walks at the end of the cross-door contract.
"""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chainclient
import paho.mqtt.client as mqtt
import pytest
import requests
from joserfc import jwt
from joserfc.jwk import OctKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paraclient.paraclient import ParaClient
from paraclient.paraobject import ParaObject
from websockets.asyncio.client import ClientConnection, connect

from support.server import ROOT_SECRET, Server

ROOT = ("app:para", ROOT_SECRET)
WAIT = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all walks; each walk makes things of its own."""
    with Server(tmp_path_factory.mktemp("one-device")) as running:
        yield running


@pytest.fixture(scope="module")
def para(server: Server) -> ParaClient:
    """Para's own client, as root."""
    return para_client(server, *ROOT)


def para_client(server: Server, access_key: str, secret: str) -> ParaClient:
    client = ParaClient(access_key, secret)
    client.setEndpoint(server.http)
    return client


def get(url: str, *, auth: tuple[str, str] | None = ROOT, headers: dict[str, str] | None = None) -> Any:
    """The JSON of an answer that must be 200."""
    answer = requests.get(url, auth=auth, headers=headers, timeout=WAIT)
    assert answer.status_code == 200, (url, answer.status_code, answer.text)
    return answer.json()


def make(para: ParaClient, kind: str, name: str, **fields: Any) -> Any:
    """An object made through Para's client, as that client shows it."""
    draft = ParaObject(type_=kind)
    draft.setFields({"name": name, **fields})
    made = para.create(draft)
    assert made is not None, f"{kind} {name} was refused"
    return made


class Device:
    """A connected MQTT device that uses the credentials it was given."""

    def __init__(
        self, server: Server, details: dict[str, Any], transport: str, version: MQTTProtocolVersion, folder: Path
    ) -> None:
        self.name = details["thingName"]
        websocket = transport == "websocket"
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=details["clientId"],
            protocol=version,
            transport="websockets" if websocket else "tcp",
        )
        connected = threading.Event()
        self.client.on_connect = lambda *_: connected.set()
        if transport == "tls":
            context = ssl.create_default_context(cadata=details["caCert"])
            certificate, key = folder / "device.pem", folder / "device.key"
            certificate.write_text(details["clientCert"])
            key.write_text(details["privateKey"])
            context.load_cert_chain(certificate, key)
            self.client.tls_set_context(context)
            address = urlsplit(server.mqtts)
        else:
            self.client.username_pw_set(details["thingName"], details["secret"])
            address = urlsplit(server.http if websocket else server.mqtt)
        if websocket:
            self.client.ws_set_options("/mqtt")
        self.client.connect(str(address.hostname), int(address.port or 0))
        self.client.loop_start()
        assert connected.wait(WAIT)

    def report(self, reported: dict[str, Any]) -> None:
        """Report, and return once it was acknowledged."""
        document = json.dumps({"state": {"reported": reported}})
        self.client.publish(f"$aws/things/{self.name}/shadow/update", document, qos=1).wait_for_publish(WAIT)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def hypermedia(server: Server, site: str, device: str, base: str = "", auth: tuple[str, str] = ROOT) -> dict[str, Any]:
    """metric -> value of a device's sensors, found by Chain's own client from the entry, following links only."""
    entry = chainclient.get(f"{server.http}{base}/", auth=auth)
    (of_site,) = [found for found in entry.rels["ch:sites"].rels["items"] if found.name == site]
    (of_device,) = [found for found in of_site.rels["ch:devices"].rels["items"] if found.name == device]
    seen: dict[str, Any] = {}
    for sensor in of_device.rels["ch:sensors"].rels["items"]:
        seen[sensor.metric] = sensor.value
        assert sensor.rels["ch:dataHistory"].data[-1].value == sensor.value
    return seen


async def next_reading(socket: ClientConnection) -> dict[str, Any]:
    """The next message of a stream that is a reading (hypermedia.md 12.3)."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), WAIT))
        if "ch:sensor" in message["_links"]:
            return message


def kit(server: Server, thing: str, auth: tuple[str, str] = ROOT) -> dict[str, Any]:
    """sensor -> newest value at the kits door."""
    data = get(f"{server.http}/kits/{thing}/data", auth=auth)["data"]
    return {sensor: points[0]["value"] for sensor, points in data.items()}


TRANSPORTS = [
    (transport, version)
    for transport in ("tls", "websocket", "plain")
    for version in (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)
]


@pytest.mark.parametrize(("transport", "version"), TRANSPORTS, ids=lambda v: str(getattr(v, "name", v)))
def test_a_report_is_read_at_once_through_every_door(
    server: Server, para: ParaClient, tmp_path: Path, transport: str, version: MQTTProtocolVersion
) -> None:
    name = f"{transport} {version.name}"
    site = make(para, "site", f"Site {name}")
    thing = make(para, "thing", f"Kit {name}", parentid=site.id, serviceBroker="Local")

    def report_and_read() -> None:
        device = Device(server, thing.deviceDetails, transport, version, tmp_path)
        device.report({"temp": 24.5})
        assert para.read("thing", thing.id).deviceState == {"temp": 24.5}
        assert hypermedia(server, site.name, thing.name) == {"temp": 24.5}
        entity = get(f"{server.context}/v2/entities/Thing:{thing.id}")
        assert entity["temp"] == {"type": "Number", "value": 24.5, "metadata": {}}
        assert kit(server, thing.id) == {"temp": 24.5}
        device.close()

    async def walk() -> dict[str, Any]:
        async with connect(f"{server.http.replace('http', 'ws', 1)}/ws/site-{site.id}") as socket:
            await asyncio.to_thread(report_and_read)
            return await next_reading(socket)

    message = asyncio.run(walk())
    assert message["value"] == 24.5
    sensor = get(message["_links"]["ch:sensor"]["href"])
    assert sensor["_links"]["self"]["href"] == message["_links"]["ch:sensor"]["href"]
    assert sensor["metric"] == "temp"


def test_a_thing_made_at_v1(server: Server, para: ParaClient, tmp_path: Path) -> None:
    """doors.md, first walk."""
    site = make(para, "site", "Walk 1")
    thing = make(para, "thing", "Walker 1", parentid=site.id)
    reported = {"temp": 24.5, "label": "x", "nested": {"a": 1}}
    device = Device(server, thing.deviceDetails, "tls", MQTTProtocolVersion.MQTTv5, tmp_path)
    device.report(reported)
    device.close()
    sensors = get(f"{server.http}/v1/things/{thing.id}/sensors")
    listed = sensors["items"] if isinstance(sensors, dict) else sensors
    assert {s["path"]: s["dataType"] for s in listed} == {"temp": "float", "label": "string", "nested.a": "float"}
    assert hypermedia(server, site.name, thing.name) == {"temp": 24.5, "nested.a": 1.0}
    entity = get(f"{server.context}/v2/entities/Thing:{thing.id}")
    types = {name: value["type"] for name, value in entity.items() if isinstance(value, dict)}
    assert types == {"temp": "Number", "label": "Text", "nested": "StructuredValue"}
    assert kit(server, thing.id) == {"temp": 24.5, "label": "x", "nested.a": 1}
    assert para.read("thing", thing.id).deviceState == reported


def test_a_device_made_by_its_first_measure(server: Server, para: ParaClient) -> None:
    """doors.md, second walk; and a measure sent through the agent is seen by all the other doors."""
    tenant = {"fiware-service": "smartgondor", "fiware-servicepath": "/gardens"}
    group = {"resource": "/iot/json", "apikey": "123456", "entity_type": "TestType"}
    other = {"resource": "/iot/json", "apikey": "654321", "entity_type": "TestType"}
    made = requests.post(
        f"{server.agent}/iot/services", json={"services": [group, other]}, headers=tenant, timeout=WAIT
    )
    assert made.status_code == 200, made.text

    def measure(key: str, body: Any) -> None:
        answer = requests.post(f"{server.south}/iot/json?k={key}&i=TestDevice", json=body, timeout=WAIT)
        assert (answer.status_code, answer.json()) == (200, {})

    measure("123456", {"a": 10})
    keys = para.invokeGet("_setup/smartgondor").json()
    assert "secretKey" not in keys  # the app exists, and belongs to root
    child = get(f"{server.http}/v1/apps/app:smartgondor")
    assert child["creatorid"] == "app:para"
    secret = credentials(server)
    mine = ("app:smartgondor", secret)
    (thing,) = para_client(server, *mine).findQuery("thing", "*")
    assert thing.deviceState == {"a": 10}
    assert thing.type == "thing"
    entity = get(f"{server.context}/v2/entities/TestType:TestDevice", headers=tenant)
    assert (entity["id"], entity["type"], entity["a"]["value"]) == ("TestType:TestDevice", "TestType", 10)
    assert hypermedia(server, "Default site", thing.name, "/chain/smartgondor", mine) == {"a": 10.0}
    assert kit(server, thing.id, mine) == {"a": 10}

    assert thing.id not in json.dumps(get(f"{server.http}/kits"))
    assert requests.get(f"{server.http}/devices/{thing.id}", timeout=WAIT).status_code == 404
    assert requests.get(f"{server.context}/v2/entities/TestType:TestDevice", timeout=WAIT).status_code == 404

    measure("654321", {"a": 1})
    assert len(para_client(server, *mine).findQuery("thing", "*")) == 2


def credentials(server: Server) -> str:
    """The secret of an autocreated app, as root gets it (identity.md 6.4)."""
    now = int(time.time())
    claims = {"appid": "app:para", "iat": now, "exp": now + 10, "getCredentials": "app:smartgondor"}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(ROOT_SECRET))
    answer = requests.get(f"{server.http}/v1/_me", headers={"Authorization": f"Bearer {token}"}, timeout=WAIT)
    assert answer.status_code == 200, answer.text
    return answer.json()["credentials"]["secretKey"]


def test_a_device_sensor_and_data_point_posted_in_hypermedia(server: Server, para: ParaClient) -> None:
    """doors.md, third walk, with Chain's own client."""
    entry = chainclient.get(f"{server.http}/", auth=ROOT)
    site = entry.rels["ch:sites"].create({"name": "Walk 3"}, auth=ROOT)
    device = site.rels["ch:devices"].create({"name": "Walker 3"}, auth=ROOT)
    sensor = device.rels["ch:sensors"].create({"metric": "wind.speed", "unit": "m/s"}, auth=ROOT)
    thing = device.links["self"].href.rpartition("/")[2]
    assert requests.get(f"{server.context}/v2/entities/Thing:{thing}", auth=ROOT, timeout=WAIT).status_code == 404
    sensor.rels["ch:dataHistory"].create({"value": 3.5}, auth=ROOT)
    assert para.read("thing", thing).deviceState == {"wind.speed": 3.5}
    entity = get(f"{server.context}/v2/entities/Thing:{thing}")
    assert entity["wind.speed"]["value"] == 3.5
    assert kit(server, thing) == {"wind\\.speed": 3.5}
    (stored,) = [s for s in para.findQuery("sensor", "*") if getattr(s, "parentid", "") == thing]
    assert stored.path == "wind\\.speed"
