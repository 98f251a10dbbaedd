"""Things of any door are devices here, with their sensors, for whom it may concern (doors.md 6-10, 27-29)."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.backend import owner
from support.chain import Chain, chain, href, id_of
from support.stages import Stage
from thingstead.core.ingest import Report
from thingstead.core.kinds.base import Draft
from thingstead.core.objects import Written
from thingstead.model.values import JsonObject


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Chain]:
    with chain(tmp_path) as started:
        yield started


def thing(api: Chain, app: str = "para", *, credentials: bool = False, **body: Any) -> Written:
    """A thing as `/v1` makes it."""
    draft = Draft(type="thing", body={"name": "made elsewhere", **body}, credentials=credentials)
    return api.server.run(api.server.backend.objects.create(app, draft, owner(app)))


def report(api: Chain, id: str, reported: JsonObject, app: str = "para", time: int | None = None) -> None:
    api.server.run(api.server.backend.ingest.report(Report(app=app, thing=id, reported=reported, time=time)))


def shadow(api: Chain, id: str) -> JsonObject:
    return api.server.run(api.server.backend.things.shadow("para", id)).reported


def titles(page: Any) -> list[str]:
    return [item["title"] for item in page["_links"]["items"]]


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def test_a_thing_of_another_door(api: Chain) -> None:
    site = api.site()
    made = thing(api, parentid=id_of(site), room=5, active="no").object.id
    report(api, made, {"temp": 24.5, "label": "x", "nested": {"a": 1}, "on": True, "list": [1]})
    device = api.get(f"/devices/{made}")
    assert (device["name"], device["room"], device["active"]) == ("made elsewhere", "5", False)
    assert titles(api.get(href(site, "ch:devices"))) == ["made elsewhere"]
    found = api.get(href(device, "ch:sensors"))
    assert sorted(titles(found)) == ["nested.a", "on", "temp"]
    assert found["totalCount"] == 3
    sensors = {s["metric"]: s for s in (api.get(item["href"]) for item in found["_links"]["items"])}
    assert {metric: s["value"] for metric, s in sensors.items()} == {"temp": 24.5, "nested.a": 1.0, "on": 1.0}
    assert sensors["temp"]["unit"] == ""
    summary = api.get(href(site, "ch:siteSummary"))
    assert sorted(s["metric"] for s in summary["devices"][0]["sensors"]) == ["nested.a", "on", "temp"]

    api.data(sensors["nested.a"], [{"value": 2}, {"value": 3.5}])
    assert shadow(api, made) == {"temp": 24.5, "label": "x", "nested": {"a": 3.5}, "on": True, "list": [1]}
    edited = api.post(href(sensors["temp"], "editForm"), {**sensors["temp"], "unit": "°C"}, 200)
    assert edited["unit"] == "°C"


def test_a_text_that_becomes_a_number_appears_and_stays(api: Chain, stage: Stage) -> None:
    made = thing(api).object.id
    report(api, made, {"level": "low"})
    assert titles(api.get(f"/sensors/?device_id={made}")) == []
    hidden = api.server.run(api.server.backend.things.shadow("para", made)).leaves["level"].sensor
    assert api.request("GET", f"/sensors/{hidden}").status_code == 404
    for value in (5, "high"):
        with api.written(stage):
            report(api, made, {"level": value})
        sensor = api.get(f"/sensors/{hidden}")
        assert sensor["value"] == 5.0
        history = api.get(href(sensor, "ch:dataHistory"))
        assert [point["value"] for point in history["data"]] == [5.0]
        assert history["totalCount"] == 1


def test_texts_between_the_numbers_are_not_counted(api: Chain, stage: Stage) -> None:
    """Pages, windows, totals, buckets and the value of a sensor that began as a number, and of one that did not."""
    made = thing(api).object.id
    start = 1_700_000_000
    values: list[float | bool | str] = [n if n % 3 else "text" for n in range(30)]
    with api.written(stage):
        for first in (0, "text"):
            for n, value in enumerate([first, *values[1:-1], True, *["text"] * 40]):
                report(api, made, {f"began with {first}": value}, time=(start + 60 * n) * 1_000_000)
        report(api, made, {"began with 0": "text"}, time=(start + 60) * 1_000_000)  # a number once, replaced
        report(api, made, {"began with 0": 3}, time=(start + 180) * 1_000_000)  # and a text that became one
    shown = {
        "began with 0": [0.0, 2.0, 3.0, *(float(n) for n in range(4, 29) if n % 3), 1.0],
        "began with text": [*(float(n) for n in range(29) if n % 3), 1.0],
    }
    found = api.get(f"/sensors/?device_id={made}")
    for sensor in (api.get(item["href"]) for item in found["_links"]["items"]):
        wanted = shown.pop(sensor["metric"])
        assert (sensor["value"], sensor["dataType"]) == (1.0, "float")
        history = href(sensor, "ch:dataHistory")
        within = f"&timestamp__gte={start}&timestamp__lt={start + 100_000}"
        whole = f"&timestamp__gte={start - 3600}&timestamp__lt={start + 100_000}"
        for query, part in (
            ("", wanted),
            ("&limit=4", wanted[-4:]),
            ("&limit=4&offset=3", wanted[3:7]),
            (within, wanted),
            (f"{within}&limit=4", wanted[-4:]),
            (f"{within}&limit=4&offset=3", wanted[3:7]),
        ):
            page = api.get(history + query)
            assert ([point["value"] for point in page["data"]], page["totalCount"]) == (part, len(wanted)), query
        buckets = api.get(history.replace("/sensordata/", "/aggregate_data/") + f"&aggtime=1h{whole}")["data"]
        assert sum(bucket["count"] for bucket in buckets) == len(wanted)
    assert shown == {}


def test_things_without_a_site_hang_under_the_default_one(api: Chain) -> None:
    nobodys = thing(api, name="a").object.id
    users = thing(api, name="b", parentid="some-user").object.id
    placed = api.device(api.site(), name="c")
    sites = api.get("/sites/")  # from the entry point every thing can be reached
    assert sorted(titles(sites)) == ["Default site", "Marsh"]
    default = api.get(href(api.get(f"/devices/{nobodys}"), "ch:site"))
    assert href(api.get(f"/devices/{users}"), "ch:site") == href(default)
    assert titles(api.get(href(default, "ch:devices"))) == ["a", "b"]
    assert [d["name"] for d in api.get(href(default, "ch:siteSummary"))["devices"]] == ["a", "b"]
    assert titles(api.get("/devices/")) == ["a", "b", "c"]
    assert href(default) in [item["href"] for item in sites["_links"]["items"]]
    assert api.get("/sites/") == sites
    assert href(placed, "ch:site") != href(default)
    under = api.create(api.get(href(default, "ch:devices")), {"name": "d"})
    assert href(under, "ch:site") == href(default)


def test_natural_keys_bind_forms_only(api: Chain) -> None:
    site = api.site()
    first = api.device(site, name="x", room="1")
    for again in ({"name": "x", "room": "1"}, {"name": "x", "room": 1}):
        answer = api.request("POST", f"/devices/create?site_id={id_of(site)}", again)
        assert answer.status_code == 400
        assert "already exists" in answer.json()["message"]
    second = api.device(site, name="x", room="2")
    api.device(api.site(), name="x", room="1")
    thing(api, name="x", room="1", parentid=id_of(site))

    assert api.request("POST", href(second, "editForm"), {"room": "1"}).status_code == 400
    assert api.get(href(second))["room"] == "2"
    api.post(href(first, "editForm"), {"room": "3"}, 200)  # and so 1 is free
    api.post(href(second, "editForm"), {"room": "1"}, 200)
    assert api.request("POST", f"/devices/create?site_id={id_of(site)}", {"name": "x", "room": "1"}).status_code == 400
    api.device(site, name="x", room="2")


@pytest.mark.parametrize("collection", ["devices", "sensors"])
def test_of_racing_creators_one_wins(api: Chain, collection: str) -> None:
    site = api.site()
    parent = site if collection == "devices" else api.device(site)
    form = href(api.get(href(parent, f"ch:{collection}")), "createForm")
    with ThreadPoolExecutor(8) as pool:
        body = {"name": "x", "metric": "m", "unit": "u"}
        answers = list(pool.map(lambda _: api.request("POST", form, body).status_code, range(16)))
    assert sorted(answers) == [201] + [400] * 15
    assert api.get(href(parent, f"ch:{collection}"))["totalCount"] == 1


def test_a_name_that_another_door_changed_is_free_again(api: Chain) -> None:
    site = api.site()
    device = api.device(site, name="x")
    api.server.run(api.server.backend.objects.patch("para", id_of(device), {"name": "y"}, owner("para")))
    api.device(site, name="x")
    assert sorted(titles(api.get(href(site, "ch:devices")))) == ["x", "y"]
    api.post(href(device, "editForm"), {"description": "still editable"}, 200)


def test_a_metric_is_unique_on_its_device(api: Chain) -> None:
    device = api.device(api.site())
    report(api, id_of(device), {"a": {"b": 1}, "c": 2})
    api.sensor(device, metric="t")
    for metric in ("t", "c", "a.b"):
        answer = api.request("POST", f"/sensors/create?device_id={id_of(device)}", {"metric": metric, "unit": "u"})
        assert answer.status_code == 400
        assert "already exists" in answer.json()["message"]
    api.sensor(api.device(api.site()), metric="t")
    other = api.sensor(device, metric="u")
    assert api.request("POST", href(other, "editForm"), {"metric": "t"}).status_code == 400
    assert api.post(href(other, "editForm"), {"metric": "v"}, 200)["metric"] == "v"
    api.data(other, {"value": 1})
    assert shadow(api, id_of(device))["u"] == 1  # the path stays


def test_at_most_as_many_sensors_as_a_thing_may_have(api: Chain) -> None:
    device = api.device(api.site())
    form = href(api.get(href(device, "ch:sensors")), "createForm")
    assert len(api.post(form, [{"metric": f"m{n}", "unit": "u"} for n in range(200)])) == 200
    answer = api.request("POST", form, {"metric": "one more", "unit": "u"})
    assert answer.status_code == 400
    assert api.get(href(device, "ch:sensors"))["totalCount"] == 200


def test_a_deleted_device_is_gone(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    sensor = api.sensor(device)
    api.data(sensor, {"value": 1})
    assert api.server.run(api.server.backend.objects.delete("para", id_of(device), owner("para")))
    for resource in (device, sensor):
        assert api.request("GET", href(resource)).status_code == 404
    assert api.request("GET", href(sensor, "ch:dataHistory")).status_code == 404
    assert api.get(href(site, "ch:siteSummary"))["devices"] == []
    assert api.get(href(device, "ch:sensors"))["totalCount"] == 0
    api.device(site)


def test_filters(api: Chain) -> None:
    site = api.site(name="North")
    for name, room, active in (("a", "1", True), ("b", "2", False), ("c", "2", True)):
        api.sensor(api.device(site, name=name, room=room, active=active), metric=f"m{name}")
    thing(api, name="d")
    found = api.get(f"/devices/?site_id={id_of(site)}&room=2&limit=1")
    assert (titles(found), found["totalCount"]) == (["b"], 2)
    assert href(found, "next").endswith(f"/devices/?site_id={id_of(site)}&room=2&limit=1&offset=1")
    assert href(found, "createForm").endswith(f"/devices/create?site_id={id_of(site)}&room=2")
    assert "room" not in api.get(href(found, "createForm"))["properties"]
    assert api.create(found, {"name": "e"})["room"] == "2"
    assert titles(api.get("/devices/?active=True&site__name=North")) == ["a", "c", "e"]
    assert titles(api.get("/sites/?name__icontains=NOR")) == ["North"]
    assert titles(api.get("/sensors/?metric__name=ma")) == ["ma"]
    assert titles(api.get(f"/sensors/?device__site_id={id_of(site)}&unit=celsius")) == ["ma", "mb", "mc"]
    assert api.get("/devices/?site_id=nowhere")["totalCount"] == 0
    assert api.get("/sensors/?device=nowhere")["totalCount"] == 0


def test_apps_never_meet(api: Chain) -> None:
    backend = api.server.backend
    app, secret = api.server.run(backend.tenants.create("smart-farm"))
    here = f"{api.url}/chain/smart-farm"
    own = basic("app:smart-farm", secret)
    assert api.request("GET", f"{here}/sites/", auth="none").status_code == 401
    answer = api.request("POST", f"{here}/sites/create", {"name": "Barn"}, Authorization=own)
    assert answer.status_code == 201
    site = answer.json()
    assert href(site).startswith(f"{here}/sites/")
    assert href(site, "ch:devices").startswith(f"{here}/devices/")
    assert href(site, "ch:websocketStream").startswith(f"ws{here.removeprefix('http')}/ws/site-")
    assert site["_links"]["curies"][0]["href"] == f"{here}/rels/{{rel}}"
    assert titles(api.get(f"{here}/sites/", Authorization=own)) == ["Barn"]
    assert api.get("/sites/")["totalCount"] == 0
    assert api.request("GET", f"/sites/{id_of(site)}").status_code == 404
    assert api.request("POST", "/sites/create", {"name": "x"}, Authorization=own).status_code == 403
    assert api.request("GET", f"{here}/sites/").status_code == 403  # root's keys are not the farm's
    assert api.request("GET", "/chain/nowhere/sites/").status_code == 404
    answer = api.request("GET", "/chain/smart-farm")
    assert (answer.status_code, answer.headers["location"]) == (301, f"{here}/")
    assert href(api.get(f"{here}/", Authorization=own), "ch:sites") == f"{here}/sites/"
    assert app.identifier == "smart-farm"


def test_a_thing_reads_and_reports_itself_alone(tmp_path: Path) -> None:
    with chain(tmp_path, hypermedia_read="auth") as api:
        site = api.site()
        made = thing(api, credentials=True, parentid=id_of(site))
        details = made.once["deviceDetails"]
        assert isinstance(details, dict)
        own = basic(str(details["clientId"]), str(details["secret"]))
        id = made.object.id
        mine = api.sensor(api.get(f"/devices/{id}"))
        others = api.sensor(api.device(site))
        form = f"/sensordata/create?sensor_id={id_of(mine)}"
        assert api.request("POST", form, {"value": 1}, Authorization=own).status_code == 201
        for allowed in (f"/devices/{id}", f"/sensors/?device_id={id}", href(mine), href(mine, "ch:dataHistory")):
            assert api.request("GET", allowed, Authorization=own).status_code == 200
        for refused in ("/", "/sites/", "/devices/", "/sensors/", href(others), href(site)):
            assert api.request("GET", refused, Authorization=own).status_code == 403
        form = f"/sensordata/create?sensor_id={id_of(others)}"
        assert api.request("POST", form, {"value": 1}, Authorization=own).status_code == 403
        assert api.get(href(others, "ch:dataHistory"))["totalCount"] == 0


def test_who_may_read(tmp_path: Path) -> None:
    with chain(tmp_path) as api:
        assert api.request("GET", "/sites/", auth="none").status_code == 200
        assert api.request("GET", "/sites/", Authorization=basic("some", "body")).status_code == 200
        assert api.request("GET", "/sites/create", auth="none").status_code == 200
        answer = api.request("POST", "/sites/create", {"name": "x"}, auth="none")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="Restricted"'
        assert answer.headers["access-control-allow-origin"] == "*"
    with chain(tmp_path, hypermedia_read="auth", hypermedia_write="open") as api:
        assert api.request("GET", "/sites/", auth="none").status_code == 401
        assert api.request("GET", "/sites/").status_code == 200
        assert api.request("POST", "/sites/create", {"name": "x"}, auth="none").status_code == 201


def test_a_device_of_a_form_can_be_given_credentials_and_edited_after(api: Chain) -> None:
    device = api.device(api.site(), name="x")
    backend = api.server.backend
    details = api.server.run(backend.things.credentials("para", id_of(device), owner("para")))
    api.post(href(device, "editForm"), {"name": "y"}, 200)
    principal = api.server.run(
        backend.identity.device(fingerprint=None, username=str(details["clientId"]), password=str(details["secret"]))
    )
    assert principal.id == id_of(device)
