"""Doors beside `/v1` show a user under `OWN` what `/v1` would (doors.md 28; identity.md 10.5): hypermedia and kits only
what is its own, the agent and the context broker, which join objects, nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from support.client import Client
from support.listening import Listening, listening
from support.members import Member
from support.sign import Signer
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.doors import agent, context, hypermedia, kits, objects
from thingstead.doors import things as things_door
from thingstead.server.main_port import main_port
from thingstead.server.sessions import StoredSessions
from thingstead.transports.http import AsgiApp
from thingstead.transports.mqtt.broker import Broker

TENANT = {"fiware-service": "plant", "fiware-servicepath": "/"}
GRANTS = ("thing", "sensor", "site", "metadata", "entity", "service_group")


def doors(backend: Backend) -> AsgiApp:
    sessions, allow = StoredSessions(backend.store), things_door.authenticate(backend)
    broker = Broker(clock=backend.clock, entropy=backend.entropy, authenticate=allow, sessions=sessions)
    shadows = things_door.Door(backend, broker)
    plain = objects.app(backend, shadows.resources())
    named = {"v1": plain, "jwt_auth": plain, "kits": kits.app(backend), "things": shadows.app()}
    return main_port({**named, "iot": agent.north(backend), "v2": context.app(backend)}, hypermedia.app(backend))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), doors) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create("plant"))
    return Client(door.url, Signer("app:plant", secret))


def grant(door: Listening, *methods: str) -> None:
    for resource in GRANTS:
        own = methods if resource in ("thing", "entity") else [m for m in methods if m != "OWN"]
        door.run(door.backend.tenants.grant("plant", "*", resource, [*own]))


@pytest.fixture(scope="module")
def ann(door: Listening, app: Client) -> Member:
    return Member(door.url, app, "ann")


@pytest.fixture(scope="module")
def bob(door: Listening, app: Client) -> Member:
    return Member(door.url, app, "bob")


def call(door: Listening, who: Member, path: str, method: str = "GET", body: Any = None) -> requests.Response:
    headers = {"Authorization": who.bearer, **TENANT}
    data = None if body is None else json.dumps(body)
    return requests.request(method, door.url + path, headers=headers, data=data, timeout=30, allow_redirects=False)


@pytest.fixture(scope="module")
def things(door: Listening, app: Client, ann: Member, bob: Member) -> dict[Member, str]:
    """A thing of each, under one site of the app, which has reported a number."""
    grant(door, "*")
    site = app.send("POST", "/v1/sites", {"name": "Hall"}).json()["id"]
    made: dict[Member, str] = {}
    for who in (ann, bob):
        body = {"name": who.identifier, "parentid": site, "kitId": f"kit of {who.identifier}"}
        made[who] = who.send("POST", "/v1/things", body).json()["id"]
        report(door, made[who], 1.0)
    return made


def report(door: Listening, thing: str, value: float) -> None:
    door.run(door.backend.ingest.report(Report(app="plant", thing=thing, reported={"temp": value})))


def titles(answer: requests.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["_links"]["items"]]


def test_hypermedia(door: Listening, ann: Member, bob: Member, things: dict[Member, str]) -> None:
    base = "/chain/plant"
    grant(door, "*")
    assert titles(call(door, ann, f"{base}/devices/")) == [ann.identifier, bob.identifier]
    sensors = door.run(door.backend.objects.list("plant", type="sensor"))
    of_bob = next(obj.id for obj in sensors if obj.parentid == things[bob])
    grant(door, "*", "OWN")
    assert titles(call(door, ann, f"{base}/devices/")) == [ann.identifier]
    assert titles(call(door, ann, f"{base}/sites/")) == ["Hall"]
    assert len(titles(call(door, ann, f"{base}/sensors/"))) == 1
    for path in (f"devices/{things[bob]}", f"sensors/{of_bob}", f"sensordata/?sensor_id={of_bob}"):
        assert call(door, ann, f"{base}/{path}").status_code in (400, 404), path
        assert call(door, bob, f"{base}/{path}").status_code == 200, path
    edit = call(door, ann, f"{base}/devices/{things[bob]}/edit", "POST", {"name": "mine"})
    assert edit.status_code == 404
    data = call(door, ann, f"{base}/sensordata/create?sensor_id={of_bob}", "POST", {"value": 9})
    assert data.status_code in (400, 404)
    made = call(door, ann, f"{base}/sensors/create?device_id={things[bob]}", "POST", {"metric": "m", "unit": "u"})
    assert made.status_code == 400
    site = door.run(door.backend.objects.list("plant", type="site"))[0].id
    summary = call(door, ann, f"{base}/sites/{site}/summary")
    assert ann.identifier in summary.text
    assert bob.identifier not in summary.text
    taken = call(door, ann, f"{base}/devices/create?site_id={site}", "POST", {"name": "new"})
    assert taken.status_code == 201, taken.text
    assert door.run(door.backend.objects.get("plant", things[bob])).name == bob.identifier
    again = call(door, bob, f"{base}/devices/create?site_id={site}", "POST", {"name": "new"})
    assert again.status_code == 400


def test_streams(door: Listening, ann: Member, bob: Member, things: dict[Member, str]) -> None:
    grant(door, "*", "OWN")
    site = door.run(door.backend.objects.list("plant", type="site"))[0].id
    url = door.url.replace("http", "ws") + f"/chain/plant/ws/site-{site}"
    with connect(url, additional_headers={"Authorization": ann.bearer}) as stream:
        report(door, things[bob], 666.0)
        report(door, things[ann], 42.0)
        assert "42.0" in str(stream.recv(timeout=20))


def test_kits(door: Listening, app: Client, ann: Member, bob: Member, things: dict[Member, str]) -> None:
    grant(door, "*", "OWN")
    ids = [kit["id"] for kit in call(door, ann, "/kits").json() if kit["id"].startswith("kit")]
    assert ids == [f"kit of {ann.identifier}"]
    assert call(door, ann, f"/kits/kit of {ann.identifier}/data").status_code == 200
    assert call(door, ann, f"/kits/kit of {bob.identifier}").status_code == 404
    assert call(door, ann, f"/kits/{things[bob]}/data").status_code == 404


def test_the_agent_and_the_context_broker(door: Listening, ann: Member, things: dict[Member, str]) -> None:
    reads = ("/iot/devices", "/iot/services", "/v2/entities", f"/v2/entities/Thing:{things[ann]}")
    grant(door, "*")
    for path in reads:
        assert call(door, ann, path).status_code == 200, path
    grant(door, "*", "OWN")
    for path in reads:
        assert call(door, ann, path).status_code == 403, path


def test_shadows_and_below_a_thing(door: Listening, ann: Member, bob: Member, things: dict[Member, str]) -> None:
    grant(door, "*", "OWN")
    theirs = things[bob]
    for path in (f"/things/plant-{theirs}/shadow", f"/v1/things/{theirs}/shadow", f"/v1/things/{theirs}/readings"):
        assert call(door, bob, path).status_code == 200, path
        assert call(door, ann, path).status_code == 404, path
    state = {"state": {"reported": {"temp": 9}}}
    assert call(door, ann, f"/things/plant-{theirs}/shadow", "POST", state).status_code == 404
    assert call(door, ann, f"/v1/things/{theirs}/shadow", "POST", state).status_code == 400
    assert call(door, ann, f"/v1/things/{theirs}/credentials", "POST").status_code == 400
    assert call(door, bob, f"/things/plant-{theirs}/shadow", "POST", state).status_code == 200
