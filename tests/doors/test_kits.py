"""The kits API: three GETs with exact bodies, who may read, the optional parameters (things.md 10; doors.md 27-29)."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import requests

from support.devices import Device, Site, site
from support.stages import Stage

START = 1_700_000_000_000  # ms


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


@pytest.fixture
def public(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path, kits_access="open") as started:
        yield started


def kit(here: Site, points: int = 0, **body: Any) -> dict[str, Any]:
    """A thing that has reported `points` values of `light` (and one of `temp`), a second apart."""
    thing = here.thing(**body)
    if points:
        with Device(here.tls, thing["deviceDetails"]) as device:
            for n in range(points):
                device.publish(f"things/{device.name}/data", {"light": 500 + n, "ts": START // 1000 + n})
            device.publish(f"things/{device.name}/data", {"temp": 24, "ts": START // 1000})
    return thing


def test_the_three_bodies(here: Site, stage: Stage) -> None:
    """Exactly those of things.md 10.1."""
    with here.written(stage):
        kit(here, 2, kitId="001", description="Prototype 1", admin="a@example.org", ip="192.0.2.7")
    details = {"id": "001", "ip": "192.0.2.7", "admin": "a@example.org", "description": "Prototype 1"}
    light = [{"timestamp": START + 1000, "value": 501}, {"timestamp": START, "value": 500}]
    data = {"light": light, "temp": [{"timestamp": START, "value": 24}]}
    assert here.call("GET", "/kits").json() == [{"id": "001", "details": details}]
    assert here.call("GET", "/kits/").json() == [{"id": "001", "details": details}]
    assert here.call("GET", "/kits/001").json() == {"id": "001", "details": details}
    assert here.call("GET", "/kits/001/data").json() == {"id": "001", "data": data}
    whole = here.call("GET", "/kits/001?include=data")
    assert whole.json() == {"id": "001", "details": details, "data": data}
    assert whole.headers["Content-Type"] == "application/json"


def test_a_kit_without_anything(here: Site) -> None:
    thing = kit(here)
    details = {"id": thing["id"], "ip": None, "admin": None, "description": "greenhouse"}
    assert here.call("GET", f"/kits/{thing['id']}").json() == {"id": thing["id"], "details": details}
    assert here.call("GET", f"/kits/{thing['id']}/data").json() == {"id": thing["id"], "data": {}}


def test_ids(here: Site) -> None:
    """A `kitId` comes first, then the thing's id; it may hold what a path has to escape."""
    one, other = kit(here, kitId="a/b ü"), kit(here)
    assert here.call("GET", "/kits/a%2Fb%20%C3%BC").json()["id"] == "a/b ü"
    assert here.call("GET", f"/kits/{one['id']}").json()["id"] == "a/b ü"
    kit(here, kitId=other["id"], description="shadows it")
    assert here.call("GET", f"/kits/{other['id']}").json()["details"]["description"] == "shadows it"
    taken = here.call("POST", "/v1/things", {"name": "x", "kitId": "a/b ü"})
    assert taken.status_code == 409
    for path in ("/kits/nothing", "/kits/nothing/data", "/kits/a/b", "/kits//data", f"/kits/{one['id']}/data/x"):
        assert here.call("GET", path, auth=here.keys).status_code == 404, path
    assert here.call("GET", "/kits/%FF", auth=here.keys).status_code == 400


def test_another_object_is_no_kit(here: Site) -> None:
    cat = here.call("POST", "/v1/cats", {"name": "Tom", "kitId": "tom"}).json()
    assert here.call("GET", f"/kits/{cat['id']}").status_code == 404
    assert here.call("GET", "/kits/tom").status_code == 404
    assert here.call("GET", "/kits").json() == []


def test_closed_by_default(here: Site) -> None:
    thing = kit(here, 1, kitId="001")
    other = kit(here, kitId="002")
    details = thing["deviceDetails"]
    itself = (details["thingName"], details["secret"])
    keys = here.call("GET", "/v1/_setup/garden").json()
    garden = (keys["accessKey"], keys["secretKey"])
    for path in ("/kits", "/kits/001", "/kits/001/data", "/kits/nothing"):
        answer = here.call("GET", path, auth=None)
        assert answer.status_code == 401
        assert answer.json()["code"] == 401
        assert answer.headers["WWW-Authenticate"] == "Basic"
        assert here.call("GET", path, auth=("app:para", "wrong")).status_code == 401
    assert here.call("GET", "/kits", auth=here.keys).status_code == 200
    assert [k["id"] for k in here.call("GET", "/kits", auth=itself).json()] == ["001"]
    assert here.call("GET", "/kits/001", auth=itself).status_code == 200
    assert here.call("GET", "/kits/001/data", auth=itself).json()["data"]["temp"][0]["value"] == 24
    assert here.call("GET", "/kits/002", auth=itself).status_code == 403
    assert here.call("GET", f"/kits/{other['id']}", auth=itself).status_code == 403
    assert here.call("GET", "/kits", auth=garden).json() == []
    assert here.call("GET", "/kits/001", auth=garden).status_code == 404


def test_the_app_of_the_credentials(here: Site) -> None:
    keys = here.call("GET", "/v1/_setup/garden").json()
    garden = (keys["accessKey"], keys["secretKey"])
    here.call("POST", "/v1/things", {"name": "theirs", "kitId": "001"}, auth=garden)
    kit(here, kitId="001", description="ours")
    assert here.call("GET", "/kits/001", auth=garden).json()["details"]["description"] == "theirs"
    assert here.call("GET", "/kits/001").json()["details"]["description"] == "ours"


def test_open_to_strangers_without_personal_data(public: Site) -> None:
    here = public
    kit(here, 1, kitId="001", admin="a@example.org", ip="192.0.2.7")
    kit(here, kitId="002", privacyShowOnMap=False)
    kit(here, kitId="003", privacyPublicDashboard=False)
    shown = here.call("GET", "/kits", auth=None).json()
    assert [k["id"] for k in shown] == ["001", "003"]
    assert {k["details"]["ip"] for k in shown} == {None}
    assert {k["details"]["admin"] for k in shown} == {None}
    assert here.call("GET", "/kits/001", auth=None).json()["details"]["admin"] is None
    assert here.call("GET", "/kits/001/data", auth=None).json()["data"]["temp"][0]["value"] == 24
    assert here.call("GET", "/kits/002", auth=None).status_code == 200
    assert here.call("GET", "/kits/003", auth=None).status_code == 401
    assert here.call("GET", "/kits/003/data", auth=None).status_code == 401
    assert here.call("GET", "/kits/nothing", auth=None).status_code == 404
    assert here.call("GET", "/kits/001").json()["details"]["admin"] == "a@example.org"
    assert here.call("GET", "/kits/003").status_code == 200


def test_strangers_see_the_default_app(tmp_path: Path) -> None:
    with site(tmp_path, kits_access="open", default_app="garden") as here:
        keys = here.call("GET", "/v1/_setup/garden").json()
        kit(here, kitId="001")
        assert here.call("GET", "/kits", auth=None).json() == []
        auth = (keys["accessKey"], keys["secretKey"])
        here.call("POST", "/v1/things", {"name": "x", "kitId": "002"}, auth=auth)
        assert [k["id"] for k in here.call("GET", "/kits", auth=None).json()] == ["002"]
        assert [k["id"] for k in here.call("GET", "/kits").json()] == ["001"]


def test_an_inactive_app(here: Site) -> None:
    keys = here.call("GET", "/v1/_setup/garden").json()
    auth = (keys["accessKey"], keys["secretKey"])
    assert here.call("GET", "/kits", auth=auth).status_code == 200
    here.call("PATCH", "/v1/apps/app:garden", {"active": False})
    assert here.call("GET", "/kits", auth=auth).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_reads(here: Site, method: str) -> None:
    for path in ("/kits", "/kits/001", "/kits/001/data"):
        answer = here.call(method, path, {"a": 1})
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_head_and_preflight(here: Site) -> None:
    kit(here, kitId="001")
    assert here.call("HEAD", "/kits/001").status_code == 200
    answer = requests.options(f"{here.url}/kits", headers={"Origin": "https://a.example"}, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    read = here.call("GET", "/kits", headers={"Origin": "https://a.example"})
    assert read.headers["Access-Control-Allow-Origin"] == "*"


QUERIES: list[tuple[str, dict[str, list[int]]]] = [
    ("", {"light": [505, 504, 503, 502, 501, 500], "temp": [24]}),
    ("limit=2", {"light": [505, 504], "temp": [24]}),
    ("limit=2&order=asc", {"light": [500, 501], "temp": [24]}),
    ("sensor=light&limit=1", {"light": [505]}),
    ("sensor=light&sensor=none&limit=1", {"light": [505], "none": []}),
    (f"from={START + 4000}", {"light": [505, 504]}),
    (f"from={START + 4000}&sensor=temp", {"temp": []}),
    (f"from={START + 1000}&to={START + 3000}", {"light": [502, 501]}),
    ("from=2023-11-14T22:13:24Z", {"light": [505, 504]}),
    ("agg=max&bucket=3s&sensor=light", {"light": [505, 503, 500]}),
    ("agg=count&bucket=1d&sensor=light", {"light": [6]}),
]


def test_parameters(here: Site, stage: Stage) -> None:
    with here.written(stage):
        kit(here, 6, kitId="001")
    for query, values in QUERIES:
        answer = here.call("GET", f"/kits/001/data?{query}")
        assert answer.status_code == 200, (query, answer.text)
        found = {path: [point["value"] for point in points] for path, points in answer.json()["data"].items()}
        assert found == values, query
    point = here.call("GET", "/kits/001/data?agg=max&bucket=3s&sensor=light&limit=1").json()["data"]["light"]
    assert point == [{"timestamp": (START + 5000) // 3000 * 3000, "value": 505}]


def test_pages_of_data(here: Site, stage: Stage) -> None:
    with here.written(stage):
        kit(here, 7, kitId="001")
    seen: list[int] = []
    path = "/kits/001/data?limit=3"
    while path:
        answer = here.call("GET", path)
        seen += [point["value"] for point in answer.json()["data"].get("light", [])]
        path = answer.headers.get("x-next", "")
        assert ("Link" in answer.headers) == bool(path)
        if path:
            assert f'<{path}>; rel="next"' == answer.headers["Link"]
    assert seen == [506, 505, 504, 503, 502, 501, 500]


def test_pages_of_kits(here: Site) -> None:
    for n in range(5):
        kit(here, kitId=f"k{n}")
    seen: list[str] = []
    path = "/kits?limit=2"
    while path:
        answer = here.call("GET", path)
        seen += [k["id"] for k in answer.json()]
        path = answer.headers.get("x-next", "")
    assert seen == ["k0", "k1", "k2", "k3", "k4"]
    assert here.call("GET", "/kits?after=nothing").status_code == 404


def test_last_seen(here: Site) -> None:
    kit(here, 1, kitId="001")
    kit(here, kitId="002")
    assert [k["id"] for k in here.call("GET", f"/kits?lastSeenSince={START}").json()] == ["001"]
    assert here.call("GET", "/kits?lastSeenSince=9999-01-01T00:00:00Z").json() == []


REFUSED: list[tuple[str, str]] = [
    *((f"limit={bad}", "limit") for bad in ("0", "-1", "x", "", "1.5", "%C2%B2")),
    *((f"from={bad}", "from") for bad in ("x", "", "2023-11-14T22:13:24", "99999999999999999", "-")),
    *((f"to={bad}", "to") for bad in ("2023-11-14", "1e3", "2023-13-14T00:00:00Z")),
    ("order=up", "order"),
    ("bucket=1h", "agg"),
    ("agg=mean&bucket=1h", "agg"),
    *((f"agg=avg{bad}", "bucket") for bad in ("", "&bucket=0s", "&bucket=1w", "&bucket=s", "&bucket=9999999d")),
    *((f"cursor={bad}", "cursor") for bad in ("x", "e30x", "eyJhIjoieCJ9", "eyJhIjoxZTMwMH0", "%C3%BC")),
    ("sensor=%FF", "query"),
]


def test_refused_parameters(here: Site) -> None:
    """400 that names the parameter, never 500; nothing changes."""
    thing = kit(here, 1, kitId="001")
    before = here.totals()
    for query, field in REFUSED:
        for path in ("/kits/001/data?", "/kits/001?include=data&", f"/v1/things/{thing['id']}/readings?"):
            answer = here.call("GET", path + query, auth=here.keys)
            assert answer.status_code == 400, (path, query, answer.text)
            assert set(answer.json()) == {"code", "message"}
            assert path.startswith("/v1") or field in answer.json()["message"]
    assert here.totals() == before
