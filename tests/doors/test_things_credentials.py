"""Credentials: shown once, stored nowhere, rotated on demand (things.md 1.2, 1.3, 2; doors.md 23)."""

import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from support.devices import Device, Site, site
from thingstead.conformance.broker import SECRETS, make_csr


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


def test_create_shows_them_once(here: Site) -> None:
    thing = here.thing(kitId="k1")
    details = thing["deviceDetails"]
    assert details["thingName"] == f"para-{thing['id']}"
    assert details["port"] == here.tls
    assert details["wsUrl"].startswith("ws://127.0.0.1:")
    for path in (f"/v1/things/{thing['id']}", "/v1/things", f"/v1/_id/{thing['id']}", "/v1/search?q=*"):
        text = here.call("GET", path).text
        assert thing["id"] in text
        assert "deviceDetails" not in text
        assert "deviceMetadata" not in text
        assert not any(details[name] in text for name in SECRETS if name in details)
    again = here.call("PATCH", f"/v1/things/{thing['id']}", {"name": "y"})
    assert "deviceDetails" not in again.json()


def test_no_secret_is_on_disk_or_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with site(tmp_path) as here:
        thing = here.thing()
        rotated = here.call("POST", f"/v1/things/{thing['id']}/credentials").json()
    for details in (thing["deviceDetails"], rotated):
        # one line of a PEM: its line breaks are escaped wherever JSON would hold it
        private = details["privateKey"].splitlines()[1]
        for file in tmp_path.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                assert details["secret"].encode() not in data, file
                assert private.encode() not in data, file
        assert details["secret"] not in caplog.text
        assert private not in caplog.text


def test_connection_is_the_non_secret_half(here: Site) -> None:
    thing = here.thing()
    shown = here.call("GET", f"/v1/things/{thing['id']}/connection").json()
    assert shown == {name: value for name, value in thing["deviceDetails"].items() if name not in SECRETS}


def test_a_certificate_request(here: Site) -> None:
    csr, _ = make_csr()
    details = here.thing(csr=csr)["deviceDetails"]
    assert "privateKey" not in details
    bad = here.call("POST", "/v1/things", {"name": "x", "csr": "nonsense"})
    assert bad.status_code == 400
    assert "csr" in bad.json()["message"]


def test_rotation(here: Site) -> None:
    thing = here.thing()
    csr, _ = make_csr()
    path = f"/v1/things/para:{thing['id']}/credentials"
    first = here.call("POST", path, {"csr": csr})
    assert first.status_code == 201
    assert first.headers["Cache-Control"] == "no-store"
    assert "privateKey" not in first.json()
    second = here.call("POST", path).json()
    ids = {thing["deviceDetails"]["clientCertId"], first.json()["clientCertId"], second["clientCertId"]}
    assert len(ids) == 3
    with Device(here.tls, second) as device:
        device.publish(f"things/{device.name}/data", {"a": 1})


def test_a_thing_of_another_door_gets_credentials(here: Site) -> None:
    """Only `/v1` provisions on create; a thing made elsewhere can be given credentials later (doors.md 23)."""
    from support.backend import owner
    from thingstead.core.objects import Draft

    made = here.inner.run(here.backend.objects.create("para", Draft(type="thing", body={"name": "x"}), owner("para")))
    assert made.once == {}
    id = made.object.id
    shown = here.call("GET", f"/v1/things/{id}/connection").json()
    assert "clientCert" not in shown
    assert shown["thingName"] == f"para-{id}"
    details = here.call("POST", f"/v1/things/{id}/credentials").json()
    with Device(here.tls, details) as device:
        device.publish(f"things/{device.name}/data", {"a": 1})


def test_a_device_may_not_rotate_itself(here: Site) -> None:
    thing = here.thing()
    auth = (thing["deviceDetails"]["thingName"], thing["deviceDetails"]["secret"])
    assert here.call("POST", f"/v1/things/{thing['id']}/credentials", auth=auth).status_code == 403
    assert here.call("GET", f"/v1/things/{thing['id']}/connection", auth=auth).status_code == 200


def test_a_refused_create_leaves_nothing(here: Site) -> None:
    before = here.totals()
    for body in ({"name": " "}, {"name": "x", "serviceBroker": "Other"}, {"name": "x", "csr": "nonsense"}):
        assert here.call("POST", "/v1/things", body).status_code == 400
    assert here.totals() == before
