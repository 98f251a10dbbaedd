"""Users and guests at the doors beside `/v1`: a closed door decides as the matching path at `/v1`
(doors.md 28; identity.md 10)."""

import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from support.agent_doors import TENANT, open_doors
from support.aio import run
from support.backend import owner
from support.chain import Chain, chain
from support.devices import site
from support.people import granted, sign_in
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.kinds.base import Draft
from thingstead.model.errors import Forbidden

SECONDS = 5
WRITES = ["POST", "PUT", "PATCH", "DELETE"]


class _Streaming(NamedTuple):
    """An app with a thing, and the stream of that."""

    api: Chain
    url: str
    thing: str
    secret: str

    def listen(self, **headers: str) -> ClientConnection:
        return connect(self.url, additional_headers=headers, open_timeout=SECONDS, close_timeout=SECONDS)

    def report(self, temp: float) -> None:
        report = Report(app="farm", thing=self.thing, reported={"temp": temp})
        self.api.server.run(self.api.server.backend.ingest.report(report))


async def made(backend: Backend, app: str, type: str, **body: Any) -> str:
    return (await backend.objects.create(app, Draft(type=type, body=body), owner(app))).object.id


async def revoked(backend: Backend, app: str) -> None:
    for subject in list((await backend.tenants.get(app)).permissions.stored):
        await backend.tenants.revoke(app, subject)


def test_hypermedia(tmp_path: Path) -> None:
    with chain(tmp_path) as api:
        backend, do = api.server.backend, api.server.run
        do(backend.tenants.create("farm"))
        jane = do(sign_in(backend, "farm", "jane"))
        place = do(made(backend, "farm", "site", name="Marsh"))
        thing = do(made(backend, "farm", "thing", name="kit", parentid=place, serviceBroker="Local"))
        do(backend.ingest.report(Report(app="farm", thing=thing, reported={"temp": 20.5})))
        sensor = do(backend.things.shadow("farm", thing)).leaves["temp"].sensor

        def status(method: str, path: str, body: object = None) -> int:
            return api.request(method, f"/chain/farm{path}", body, Authorization=f"Bearer {jane.token}").status_code

        reads = {
            "/sites/": "site",
            f"/sites/{place}": f"site__{place}",
            f"/sites/{place}/edit": f"site__{place}",
            f"/devices/?site_id={place}": "thing",
            f"/devices/{thing}": f"thing__{thing}",
            f"/sensors/?device_id={thing}": f"thing__{thing}__sensors",
            "/sensors/": "sensor",
            f"/sensors/{sensor}": f"sensor__{sensor}",
            f"/sensordata/?sensor_id={sensor}": f"thing__{thing}__readings",
            f"/metadata/?content_type_id=11&object_id={thing}": "metadata",
        }
        assert status("GET", "/") == 200
        for path, resource in reads.items():
            assert status("GET", path) == 403, path
            do(granted(backend, "farm", jane.user.id, **{resource: ["GET"]}))
            assert status("GET", path) == 200, path
            do(revoked(backend, "farm"))
        writes: list[tuple[str, object, str, str]] = [
            ("/sites/create", {"name": "Bog"}, "site", "POST"),
            (f"/sites/{place}/edit", {"name": "Fen"}, f"site__{place}", "PATCH"),
            (f"/devices/create?site_id={place}", {"name": "0x1"}, "thing", "POST"),
            (f"/sensordata/create?sensor_id={sensor}", {"value": 21}, f"thing__{thing}__shadow", "POST"),
        ]
        for path, body, resource, method in writes:
            do(granted(backend, "farm", jane.user.id, **{resource: ["GET"], "*": ["GET"]}))
            assert status("POST", path, body) == 403, path
            do(granted(backend, "farm", jane.user.id, **{resource: [method]}))
            assert status("POST", path, body) in (200, 201), path
            do(revoked(backend, "farm"))
        do(granted(backend, "farm", jane.user.id, site=["GET"], sensor=["GET"]))
        assert status("GET", f"/sites/{place}/summary") == 403  # which shows devices, too
        do(granted(backend, "farm", jane.user.id, thing=["GET"]))
        assert status("GET", f"/sites/{place}/summary") == 200
        refusal = api.request("POST", "/chain/farm/sites/create", {}, Authorization=f"Bearer {jane.token}").json()
        assert refusal["errors"][0]["rule"] == f"hypermedia.write=auth; {jane.user.id}'s own list on site caps it"
        assert refusal["errors"][0]["right"] == "POST site"
        assert _elsewhere(api, jane.token) == 403


def test_streams(tmp_path: Path) -> None:
    with chain(tmp_path) as api:
        backend, do = api.server.backend, api.server.run
        do(backend.tenants.create("farm"))
        jane = do(sign_in(backend, "farm", "jane"))
        thing = do(made(backend, "farm", "thing", name="kit", serviceBroker="Local"))
        do(backend.ingest.report(Report(app="farm", thing=thing, reported={"temp": 20.5})))
        sensor = do(backend.things.shadow("farm", thing)).leaves["temp"].sensor
        bearer = {"Authorization": f"Bearer {jane.token}"}
        for name in (f"device-{thing}", f"sensor-{sensor}"):
            url = f"{api.url.replace('http', 'ws')}/chain/farm/ws/{name}"
            with pytest.raises(InvalidStatus) as refused:
                connect(url, additional_headers=bearer, open_timeout=10)
            assert refused.value.response.status_code == 403
            do(granted(backend, "farm", jane.user.id, **{f"thing__{thing}__readings": ["GET"]}))
            with connect(url, additional_headers=bearer, open_timeout=10, close_timeout=10):
                pass
            do(revoked(backend, "farm"))


@contextmanager
def _streaming(tmp_path: Path) -> Iterator[_Streaming]:
    with chain(tmp_path) as api:
        backend, do = api.server.backend, api.server.run
        _, secret = do(backend.tenants.create("farm"))
        thing = do(made(backend, "farm", "thing", name="kit", serviceBroker="Local"))
        yield _Streaming(api, f"{api.url.replace('http', 'ws')}/chain/farm/ws/device-{thing}", thing, secret)


ENDS: dict[str, Callable[[Backend, str], Awaitable[Any]]] = {
    "grant": lambda backend, user: backend.tenants.revoke("farm", user),
    "another grant": lambda backend, user: backend.tenants.grant("farm", user, "thing", ["POST"]),
    "token": lambda backend, user: backend.users.replace_token_secret("farm", user),
    "account": lambda backend, user: backend.objects.patch("farm", user, {"active": False}, owner("farm")),
    "user": lambda backend, user: backend.objects.delete("farm", user, owner("farm")),
    "app's keys": lambda backend, _: backend.tenants.new_keys("farm"),
    "app": lambda backend, _: backend.objects.patch("para", "app:farm", {"active": False}, owner("para")),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_stream_ends_with_the_right_to_it(tmp_path: Path, end: str) -> None:
    """Nothing that happens later is heard, though it was accepted before the stream was closed."""
    with _streaming(tmp_path) as here:
        backend, do = here.api.server.backend, here.api.server.run
        jane = do(sign_in(backend, "farm", "jane"))
        do(granted(backend, "farm", jane.user.id, thing=["GET"]))
        with here.listen(Authorization=f"Bearer {jane.token}") as stream:
            here.report(1)
            assert json.loads(stream.recv(SECONDS))["value"] == 1

            async def ended() -> None:
                await ENDS[end](backend, jane.user.id)
                with suppress(Forbidden):
                    await backend.ingest.report(Report(app="farm", thing=here.thing, reported={"temp": 2}))

            do(ended())
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus):
            here.listen(Authorization=f"Bearer {jane.token}")


def test_who_keeps_the_right_to_a_stream_misses_nothing(tmp_path: Path) -> None:
    """The app itself, an administrator and another user, while grants come and go around them."""
    with _streaming(tmp_path) as here:
        backend, do = here.api.server.backend, here.api.server.run
        boss = do(sign_in(backend, "farm", "boss", "admins"))
        joe = do(sign_in(backend, "farm", "joe"))
        do(granted(backend, "farm", joe.user.id, thing=["GET"]))
        secret = f"app:farm:{here.secret}".encode()
        ways = [f"Bearer {boss.token}", f"Bearer {joe.token}", f"Basic {base64.b64encode(secret).decode()}"]
        with ExitStack() as stack:
            streams = [stack.enter_context(here.listen(Authorization=way)) for way in ways]

            async def busy() -> None:
                for n in range(1, 21):
                    await backend.tenants.grant("farm", f"u{n}", "thing", ["GET"])
                    await backend.ingest.report(Report(app="farm", thing=here.thing, reported={"temp": n}))

            do(busy())
            for stream in streams:
                got = [json.loads(stream.recv(SECONDS))["value"] for _ in range(20)]
                assert got == list(range(1, 21))


def test_streams_of_apps_and_strangers_end(tmp_path: Path) -> None:
    """An app's when its keys are replaced, a thing's when its credentials are, a stranger's when the door is closed."""
    with _streaming(tmp_path) as here:
        backend, do = here.api.server.backend, here.api.server.run
        do(backend.tenants.put_setting("farm", "hypermedia.read", "open"))
        details = do(backend.things.credentials("farm", here.thing, owner("farm")))
        device = f"{details['thingName']}:{details['secret']}"
        app = f"app:farm:{here.secret}"
        basic = {
            name: f"Basic {base64.b64encode(text.encode()).decode()}" for name, text in (("d", device), ("a", app))
        }

        def ends(stream: ClientConnection) -> None:
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008

        with here.listen() as stranger, here.listen(Authorization=basic["d"]) as thing:
            do(backend.things.credentials("farm", here.thing, owner("farm")))
            ends(thing)
            do(backend.tenants.put_setting("farm", "hypermedia.read", "auth"))
            ends(stranger)
        with here.listen(Authorization=basic["a"]) as stream:
            do(backend.tenants.new_keys("farm"))
            ends(stream)


def _elsewhere(api: Chain, token: str) -> int:
    """A user of one app asks in another one."""
    api.server.run(api.server.backend.tenants.create("other"))
    return api.request("GET", "/chain/other/sites/", Authorization=f"Bearer {token}").status_code


def test_hypermedia_for_guests_and_administrators(tmp_path: Path) -> None:
    with chain(tmp_path) as api:
        backend, do = api.server.backend, api.server.run
        do(backend.tenants.create("farm"))
        boss = do(sign_in(backend, "farm", "boss", "admins"))

        def guest(path: str, key: str = "app:farm") -> int:
            return api.request("GET", f"/chain/farm{path}", Authorization=f"Anonymous {key}").status_code

        assert guest("/sites/") == 401
        do(granted(backend, "farm", "*", site=["GET", "?"]))
        assert guest("/sites/") == 200
        assert guest("/sites/", "app:other") == 401
        assert guest("/devices/") == 401
        for path in ("/sites/", "/devices/", "/sensors/"):
            assert api.request("GET", f"/chain/farm{path}", Authorization=f"Bearer {boss.token}").status_code == 200
        do(backend.objects.patch("para", "app:farm", {"readOnly": False, "active": False}, owner("para")))
        assert guest("/sites/") in (401, 403)
        answer = api.request("GET", "/chain/farm/sites/", Authorization=f"Bearer {boss.token}")
        assert answer.status_code in (401, 403)


def test_the_agent_and_the_context_broker(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_doors(tmp_path) as here:
            backend = here.backend
            await here.group()
            await here.device(device_id="d1", entity_name="Room:1", entity_type="Room")
            await here.device(device_id="d2", entity_name="Room:2", entity_type="Room")
            for device in ("d1", "d2"):
                await here.measure({"t": 21}, i=device)
            settings = {"agent.access": "auth", "context.access": "auth"}
            await backend.tenants.put_settings("smartgondor", settings)
            jane = await sign_in(backend, "smartgondor", "jane")
            things = {t.name: t.id for t in await backend.objects.list("smartgondor", type="thing")}
            first = (await backend.agents.device("smartgondor", "/gardens", "d1")).thing
            assert len(things) == 2
            who = {**TENANT, "X-Auth-Token": jane.token}
            entity = {"id": "Hall:1", "type": "Hall", "x": {"value": 1, "type": "Number"}}
            room = {"id": "Room:1", "type": "Room", "x": {"value": 1, "type": "Number"}}
            group = {"services": [{"resource": "/iot/json", "apikey": "9", "entity_type": "T"}]}
            cases: list[tuple[str, str, str, Any, dict[str, list[str]]]] = [
                ("north", "GET", "/iot/services", None, {"service_group": ["GET"]}),
                ("north", "POST", "/iot/services", group, {"service_group": ["POST"]}),
                ("north", "GET", "/iot/devices", None, {"thing": ["GET"]}),
                ("north", "GET", "/iot/devices/d1", None, {f"thing__{first}": ["GET"]}),
                ("north", "POST", "/iot/devices", {"devices": [{"device_id": "d3"}]}, {"thing": ["POST"]}),
                ("context", "GET", "/v2/entities", None, {"thing": ["GET"], "entity": ["GET"]}),
                ("context", "GET", "/v2/entities/Room:1", None, {f"thing__{first}": ["GET"]}),
                ("context", "POST", "/v2/entities", entity, {"entity": ["POST"]}),
                ("context", "POST", "/v2/entities?options=upsert", room, {f"thing__{first}__shadow": ["POST"]}),
            ]
            for port, method, path, body, grants in cases:
                no = await here.call(port, method, path, body, who)
                assert no.status == 403, (path, no)
                await granted(backend, "smartgondor", jane.user.id, **grants)
                yes = await here.call(port, method, path, body, who)
                assert yes.status in (200, 201, 204), (path, yes)
                await revoked(backend, "smartgondor")
            await granted(backend, "smartgondor", jane.user.id, thing=["GET"])
            assert (await here.call("context", "GET", "/v2/entities", None, who)).status == 403
            other = {"fiware-service": "elsewhere", "fiware-servicepath": "/gardens", "X-Auth-Token": jane.token}
            await backend.tenants.create("elsewhere")
            assert (await here.call("north", "GET", "/iot/devices", None, other)).status == 403

    run(main())


def test_kits_and_shadows(tmp_path: Path) -> None:
    with site(tmp_path) as here:
        backend, do = here.inner.backend, here.inner.run
        do(backend.tenants.create("farm"))
        jane = do(sign_in(backend, "farm", "jane"))
        private = {"privacyPublicDashboard": False, "privacyShowOnMap": False, "ip": "192.0.2.7"}
        thing = do(made(backend, "farm", "thing", name="kit", kitId="k1", **private))
        other = do(made(backend, "farm", "thing", name="other"))

        def get(path: str) -> Any:
            return here.call("GET", path, headers={"Authorization": f"Bearer {jane.token}"}, auth=None)

        cases = [
            ("/kits", "thing"),
            ("/kits/k1", f"thing__{thing}"),
            (f"/kits/{thing}", f"thing__{thing}"),
            (f"/things/farm-{thing}/shadow", f"thing__{thing}__shadow"),
        ]
        for path, resource in cases:
            assert get(path).status_code == 403, path
            do(granted(backend, "farm", jane.user.id, **{resource: ["GET"]}))
            assert get(path).status_code in (200, 404), path
            do(revoked(backend, "farm"))
        do(granted(backend, "farm", jane.user.id, **{f"thing__{thing}": ["GET"]}))
        assert get("/kits/k1").json()["details"]["ip"] == "192.0.2.7"  # she is no stranger to it
        assert get("/kits/k1/data").status_code == 200
        assert get(f"/kits/{other}").status_code == 403
        do(granted(backend, "farm", jane.user.id, **{f"thing__{thing}__readings": ["-"]}))
        assert get("/kits/k1/data").status_code == 200  # granted above it
