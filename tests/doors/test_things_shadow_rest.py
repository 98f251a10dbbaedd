"""The shadow over HTTP: below `/v1/things`, and as AWS's data plane has it (things.md 2, 7.1)."""

from collections.abc import Generator
from pathlib import Path

import pytest

from support.backend import ROOT_SECRET
from support.devices import Site, site

Auth = tuple[str, str]


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


def paths(here: Site) -> tuple[list[tuple[str, Auth | bool]], str]:
    """Every way to one new thing's shadow, with who may take it; and its cloud id."""
    thing = here.thing()
    details = thing["deviceDetails"]
    name = details["thingName"]
    itself, app = (name, details["secret"]), ("app:para", ROOT_SECRET)
    ways: list[tuple[str, Auth | bool]] = [
        (f"/v1/things/{thing['id']}/shadow", True),
        (f"/v1/things/para:{thing['id']}/shadow", True),
        (f"/v1/thing/{thing['id']}/shadow", app),
        (f"/v1/things/{thing['id']}/shadow", itself),
        (f"/things/{name}/shadow", True),
        (f"/things/{name}/shadow", app),
        (f"/things/{name}/shadow", itself),
    ]
    return ways, name


def test_the_worked_sequence_by_every_way(here: Site) -> None:
    """things.md 7.5, each row by another way, over and over."""
    ways, name = paths(here)
    turn = 0

    def call(method: str, body: object = None) -> tuple[int, dict[str, object]]:
        nonlocal turn
        path, auth = ways[turn % len(ways)]
        turn += 1
        answer = here.call(method, path, body, auth=auth)
        return answer.status_code, answer.json()

    version = 0
    for _ in range(3):
        status, body = call("GET")
        assert (status, body["code"]) == (404, 404)
        assert body["message"] == f"No shadow exists with name: '{name}'"
        wanted = {"temp": 26, "fan": {"on": True, "rpm": 900}}
        status, body = call("POST", {"state": {"desired": wanted}, "clientToken": "t"})
        assert (status, body["version"], body["state"]) == (200, version + 1, {"desired": wanted})
        assert body["clientToken"] == "t"
        status, body = call("POST", {"state": {"reported": {"temp": 24, "fan": {"on": True}}}})
        assert (status, body["version"]) == (200, version + 2)
        status, body = call("POST", {"state": {"desired": {"temp": 22}}, "version": version + 1})
        assert (status, body["code"], body["message"]) == (409, 409, "Version conflict")
        status, body = call("GET")
        assert status == 200
        assert body["state"] == {
            "desired": wanted,
            "reported": {"temp": 24, "fan": {"on": True}},
            "delta": {"temp": 26, "fan": {"rpm": 900}},
        }
        status, body = call("POST", {"state": {"reported": {"temp": 26, "fan": {"rpm": 900}}, "desired": None}})
        assert (status, body["version"]) == (200, version + 3)
        status, body = call("POST", {"state": {"reported": {"fan": None}}})
        assert (status, body["version"]) == (200, version + 4)
        status, body = call("GET")
        assert body["state"] == {"reported": {"temp": 26}}
        status, body = call("DELETE")
        assert (status, body["version"]) == (200, version + 5)
        assert set(body) == {"version", "timestamp"}
        version += 5


def test_who_may(here: Site) -> None:
    thing, other = here.thing(), here.thing()
    name, details = thing["deviceDetails"]["thingName"], other["deviceDetails"]
    stranger = (details["thingName"], details["secret"])
    keys = here.call("GET", "/v1/_setup/garden").json()
    garden = (keys["accessKey"], keys["secretKey"])
    before = here.totals()
    body = {"state": {"reported": {"a": 1}}}
    for method in ("GET", "POST", "DELETE"):
        expected = [(None, 401), (stranger, 403), (garden, 404), (("app:para", "wrong"), 401), ((name, "wrong"), 401)]
        for auth, status in expected:
            answer = here.call(method, f"/things/{name}/shadow", body, auth=auth)
            assert answer.status_code == status, (method, auth)
            assert answer.json()["code"] == status
        assert here.call(method, f"/v1/things/{thing['id']}/shadow", body, auth=None).status_code == 401
        assert here.call(method, f"/v1/things/{thing['id']}/shadow", body, auth=stranger).status_code == 403
        assert here.call(method, f"/v1/things/{thing['id']}/shadow", body, auth=garden).status_code == 404
        assert here.call(method, f"/v1/things/garden:{thing['id']}/shadow", body).status_code == 404
    assert here.totals() == before


def test_named_shadows_are_not_there_yet(here: Site) -> None:
    thing = here.thing()
    name = thing["deviceDetails"]["thingName"]
    for path in (f"/v1/things/{thing['id']}/shadow", f"/things/{name}/shadow"):
        answer = here.call("GET", f"{path}?name=n")
        assert (answer.status_code, answer.json()["message"]) == (404, "No shadow exists with name: 'n'")
        assert here.call("DELETE", f"{path}?name=n").status_code == 404
        assert here.call("POST", f"{path}?name=n", {"state": {"reported": {"a": 1}}}).status_code == 501
    answer = here.call("GET", f"/api/things/shadow/ListNamedShadowsForThing/{name}")
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    assert here.call("GET", "/api/things/shadow/ListNamedShadowsForThing/para-0").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/things/{name}/shadow", 405),
        ("PATCH", "/things/{name}/shadow", 405),
        ("POST", "/api/things/shadow/ListNamedShadowsForThing/{name}", 405),
        ("GET", "/things", 404),
        ("GET", "/things/", 404),
        ("GET", "/things/{name}", 404),
        ("GET", "/things/{name}/shadow/more", 404),
        ("GET", "/things/para-0/shadow", 404),
        ("GET", "/things/%FF/shadow", 404),
        ("GET", "/api/anything", 404),
        ("PUT", "/v1/things/{id}/shadow", 405),
        ("GET", "/v1/things/0/shadow", 404),
    ],
)
def test_what_is_not_there(here: Site, method: str, path: str, status: int) -> None:
    thing = here.thing()
    answer = here.call(method, path.format(name=thing["deviceDetails"]["thingName"], id=thing["id"]))
    assert answer.status_code == status
    assert answer.json()["code"] == status
    if status == 405:
        assert "GET" in answer.headers["Allow"]


def test_an_entity_or_another_object_has_no_shadow_here(here: Site) -> None:
    made = here.call("POST", "/v1/cats", {"name": "Tom"}).json()
    assert here.call("GET", f"/v1/things/{made['id']}/shadow").status_code == 404


def test_head(here: Site) -> None:
    thing = here.thing()
    name = thing["deviceDetails"]["thingName"]
    here.call("POST", f"/things/{name}/shadow", {"state": {"reported": {"a": 1}}})
    for path in (f"/things/{name}/shadow", f"/v1/things/{thing['id']}/shadow"):
        answer = here.call("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")
