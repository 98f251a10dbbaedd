"""Streams (hypermedia.md 12): what comes, on which stream, in which order, and how they end; rows 19 and 26 of 16."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from support.backend import owner
from support.chain import Chain, chain, href, id_of
from thingstead.core.ingest import Report
from thingstead.core.kinds.base import Draft
from thingstead.model.events import Point, Reported, subject
from thingstead.model.values import JsonObject

SECONDS = 10


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Chain]:
    with chain(tmp_path) as started:
        yield started


def stream(resource: Any) -> ClientConnection:
    return connect(href(resource, "ch:websocketStream"), open_timeout=SECONDS, close_timeout=SECONDS)


def take(connection: ClientConnection, count: int = 1) -> list[Any]:
    return [json.loads(connection.recv(SECONDS)) for _ in range(count)]


def thing(api: Chain, **body: Any) -> str:
    draft = Draft(type="thing", body={"name": "made elsewhere", **body})
    return api.server.run(api.server.backend.objects.create("para", draft, owner("para"))).object.id


def report(api: Chain, id: str, reported: JsonObject) -> None:
    api.server.run(api.server.backend.ingest.report(Report(app="para", thing=id, reported=reported)))


def test_19_a_new_device_and_its_sensor_are_told(api: Chain) -> None:
    site, other = api.site(), api.site()
    with stream(site) as on_site, stream(other) as on_other:
        device = api.device(site, name="new")
        assert take(on_site) == [device]
        with stream(device) as on_device:
            sensor = api.sensor(device)
            assert take(on_site) == take(on_device) == [sensor]
            with stream(sensor) as on_sensor:
                edited = api.post(href(sensor, "editForm"), {"unit": "K"}, 200)
                assert take(on_site) == take(on_device) == take(on_sensor) == [edited]
                assert edited == api.get(href(sensor))
            edited = api.post(href(device, "editForm"), {"name": "older"}, 200)
            assert take(on_site) == take(on_device) == [edited]
        edited = api.post(href(site, "editForm"), {"name": "Moor"}, 200)
        assert take(on_site) == [edited]
        api.device(other)
        assert take(on_other)[0]["name"] == "0x8123"


def test_26_a_reading_on_sensor_device_and_site(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    sensor, sibling = api.sensor(device), api.sensor(device, metric="light")
    with stream(site) as on_site, stream(device) as on_device, stream(sensor) as on_sensor:
        made = api.data(sensor, {"value": 22.4})
        messages = [take(connection)[0] for connection in (on_site, on_device, on_sensor)]
        assert messages[0] == messages[1] == messages[2]
        assert messages[0] == {**made, "_links": {"ch:sensor": {"href": href(sensor)}}}
        api.data(sibling, {"value": 1})
        api.data(sensor, {"value": 2})
        assert [m["value"] for m in take(on_site, 2)] == [1.0, 2.0]
        assert [m["value"] for m in take(on_device, 2)] == [1.0, 2.0]
        assert [m["value"] for m in take(on_sensor)] == [2.0]


def test_a_list_is_told_point_by_point_in_its_order(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    times = [f"2024-05-01T10:00:{n:02}Z" for n in (5, 3, 9, 1)]
    with stream(sensor) as connection:
        api.data(sensor, [{"value": n, "timestamp": time} for n, time in enumerate(times)])
        assert [m["value"] for m in take(connection, 4)] == [0.0, 1.0, 2.0, 3.0]


def test_readings_of_every_door_appear_and_only_numbers(api: Chain) -> None:
    site = api.site()
    made = thing(api, parentid=id_of(site))
    with stream(site) as connection:
        report(api, made, {"temp": 24, "label": "x", "nested": {"on": True}})
        found = {m["_links"]["ch:sensor"]["href"]: m["value"] for m in take(connection, 2)}
        items = api.get(f"/sensors/?device_id={made}")["_links"]["items"]
        assert found == {item["href"]: {"temp": 24.0, "nested.on": 1.0}[item["title"]] for item in items}
        report(api, made, {"label": "y"})
        report(api, made, {"temp": 25})
        assert take(connection)[0]["value"] == 25.0


def test_the_default_site_has_what_hangs_under_no_other(api: Chain) -> None:
    loose = thing(api, name="loose")
    default = api.get(href(api.get(f"/devices/{loose}"), "ch:site"))
    site = api.site()
    with stream(default) as connection:
        api.device(site, name="not here")
        users = thing(api, name="of a user", parentid="some-user")
        assert take(connection)[0]["name"] == "of a user"
        for value, id in enumerate((loose, users)):
            report(api, id, {"temp": value})
            assert take(connection)[0]["value"] == float(value)
        placed = api.create(api.get(href(default, "ch:devices")), {"name": "placed"})
        assert take(connection) == [placed]


def test_no_events_of_metadata_and_deletion(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    entry = api.create(api.get(href(site, "ch:metadata")), {"key": "k", "value": "v"})
    with stream(site) as connection, stream(device) as below, stream(entry):
        api.create(api.get(href(site, "ch:metadata")), {"key": "k", "value": "w"})
        api.create(api.get(href(device, "ch:metadata")), {"key": "k", "value": "w"})
        api.server.run(api.server.backend.objects.delete("para", id_of(device), owner("para")))
        api.post(href(site, "editForm"), {"name": "last"}, 200)
        assert take(connection)[0]["name"] == "last"
        with pytest.raises(TimeoutError):
            below.recv(0.1)


def test_names_must_match_exactly(api: Chain) -> None:
    site = api.site()
    base = href(site, "ch:websocketStream")
    for bad in (
        base[:-1],
        base + "0",
        base.replace("site-", "device-"),
        base.replace("/site-", "/nothing-"),
        base + "/x",
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(bad, open_timeout=SECONDS)
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"{}")["status"] == 404


def test_the_alias_of_sensor_streams(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    with connect(href(sensor, "ch:websocketStream").replace("/sensor-", "/scalar_sensor-")) as connection:
        api.data(sensor, {"value": 7})
        assert take(connection)[0]["value"] == 7.0


def test_subprotocols_origins_and_client_frames_are_ignored(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    url = href(sensor, "ch:websocketStream")
    with connect(url, subprotocols=["chain-protocol"], origin="https://viewer.example") as connection:  # type: ignore[list-item,arg-type]
        assert connection.subprotocol is None
        for text in ("hello", "{}", "x" * 10_000):
            connection.send(text)
        connection.send(b"\x00")
        api.data(sensor, {"value": 7})
        assert take(connection)[0]["value"] == 7.0


def test_hrefs_are_those_of_the_subscriber(api: Chain) -> None:
    """The poster comes by another name than the viewers, who come by two; each one's keys must match."""
    sensor = api.sensor(api.device(api.site()))
    here = api.url.replace("127.0.0.1", "localhost")
    other = api.get(href(sensor).replace(api.url, here))
    with stream(sensor) as first, stream(other) as second, stream(sensor) as third:
        api.request("POST", f"/sensordata/create?sensor_id={id_of(sensor)}", {"value": 1}, Host="collector.example")
        for connection, key in ((first, href(sensor)), (second, href(other)), (third, href(sensor))):
            assert take(connection)[0]["_links"]["ch:sensor"]["href"] == key
    assert href(other) == f"{here}/sensors/{id_of(sensor)}"


def test_streams_of_an_app_carry_its_prefix_and_rights(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    url = href(sensor, "ch:websocketStream").replace("/ws/", "/chain/para/ws/")
    with connect(url) as connection:
        api.data(sensor, {"value": 1})
        assert take(connection)[0]["_links"]["ch:sensor"]["href"] == f"{api.url}/chain/para/sensors/{id_of(sensor)}"
    api.server.run(api.server.backend.tenants.create("farm"))
    with pytest.raises(InvalidStatus) as refused:
        connect(url.replace("/para/", "/farm/"))
    assert refused.value.response.status_code == 401


def test_a_private_stream_needs_credentials(tmp_path: Path) -> None:
    with chain(tmp_path, hypermedia_read="auth") as api:
        site = api.site()
        with pytest.raises(InvalidStatus) as refused:
            connect(href(site, "ch:websocketStream"))
        assert refused.value.response.status_code == 401
        authorization = str(api.request("GET", "/").request.headers["Authorization"])
        with connect(href(site, "ch:websocketStream"), additional_headers={"Authorization": authorization}) as open_one:
            device = api.device(site)
            assert take(open_one) == [device]


def test_a_slow_listener_is_cut_off_with_1013(tmp_path: Path) -> None:
    """The bound is on what waits for one client; nobody else waits, and nothing is lost to the others."""
    with chain(tmp_path, chain_ws_queue=20) as api:
        sensor = api.sensor(api.device(api.site()))
        with stream(sensor) as connection:
            event = Reported("para", "thing", "", 1, (Point("temperature", id_of(sensor), 0.0, 0),))

            async def burst() -> None:
                for _ in range(21):
                    api.server.backend.hub.publish([subject("para", id_of(sensor))], event)

            api.server.run(burst())
            assert [m["value"] for m in take(connection, 20)] == [0.0] * 20
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        with stream(sensor) as connection:
            api.data(sensor, {"value": 1})
            assert take(connection)[0]["value"] == 1.0


def test_the_end_of_the_server_closes_with_1001_after_what_is_queued(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    with stream(sensor) as connection:
        api.data(sensor, [{"value": n} for n in range(50)])
        api.server.run(api.door.close())
        assert [m["value"] for m in take(connection, 50)] == [float(n) for n in range(50)]
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    with pytest.raises(InvalidStatus) as refused:
        stream(sensor)
    assert refused.value.response.status_code == 503


def test_a_client_that_leaves_is_forgotten(api: Chain) -> None:
    site = api.site()
    with stream(site):
        assert not api.server.backend.hub.quiet
    quiet = False
    for _ in range(200):
        quiet = api.server.backend.hub.quiet
        if quiet:
            break
        api.get("/")
    assert quiet
