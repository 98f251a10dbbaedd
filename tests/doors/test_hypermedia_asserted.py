"""What Chain's own tests assert of its API (hypermedia.md 16): one test a row, numbered as there, through real HTTP.

Left out: 34-35 of metadata are here, 19 and 26 (streams) in test_hypermedia_streams, 1 in test_hypermedia_chainclient,
40 and 42 belong to later issues.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.chain import Chain, chain, href, id_of
from support.stages import Stage

HAL = "application/hal+json"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with chain(tmp_path_factory.mktemp("asserted")) as started:
        yield started


def at(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def defaults(form: Any) -> dict[str, Any]:
    """An object made of all defaults of an edit form."""
    found: dict[str, Any] = {}
    for name, schema in form["properties"].items():
        if schema["type"] == "object":
            below = defaults(schema)
            if below:
                found[name] = below
        elif "default" in schema:
            found[name] = schema["default"]
    return found


def test_02_types_of_the_root_and_of_the_site_list(api: Chain) -> None:
    answer = api.request("GET", "/", Accept=HAL)
    assert (answer.status_code, answer.headers["content-type"]) == (200, HAL)
    answer = api.request("GET", "/sites/", Accept="")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_03_caching_headers(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    for resource in (href(site), href(device)):
        assert "cache-control" not in api.request("GET", resource).headers
    assert "max-age" in api.request("GET", href(site, "ch:siteSummary")).headers["cache-control"]
    for resource in ("/", "/sites/", href(site), href(device), href(site, "editForm"), "/sites/create"):
        assert api.request("GET", resource).headers["vary"] in "Accept"


def test_04_bodies_that_are_no_json(api: Chain) -> None:
    site = api.site()
    for where, body in ((href(site, "editForm"), b""), ("/sites/create", b"this is not json")):
        answer = api.request("POST", where, body, Accept=HAL)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")


def test_05_a_local_time_that_happens_twice(tmp_path: Path) -> None:
    with chain(tmp_path, chain_timezone="America/New_York") as here:
        sensor = here.sensor(here.device(here.site()))
        history = here.get(href(sensor, "ch:dataHistory"))
        body = {"value": 1, "timestamp": "2015-11-01T01:00:00"}
        answer = here.request("POST", href(history, "createForm"), body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
        assert "timestamp is ambiguous" in answer.json()["message"]
        assert here.get(href(sensor, "ch:dataHistory"))["totalCount"] == 0


def test_06_root(api: Chain) -> None:
    links = api.get("/")["_links"]
    assert set(links) == {"self", "curies", "ch:sites"}
    assert links["curies"][0]["name"] == "ch"
    assert links["curies"][0]["href"].startswith("http://")
    assert links["ch:sites"]["href"] == f"{api.url}/sites/"


def test_07_unknown_resources(api: Chain) -> None:
    device = api.device(api.site())
    for where in ("/sites/0", href(device) + "foobar", href(device) + "/foobar"):
        assert api.request("GET", where).status_code == 404


def test_08_site_list(tmp_path: Path) -> None:
    with chain(tmp_path) as here:
        names = ["one", "two", "three"]
        for name in names:
            here.site(name=name)
        found = here.get("/sites/")
        assert set(found["_links"]) == {"self", "curies", "createForm", "items"}
        assert found["_links"]["createForm"]["title"] == "Create Site"
        assert [item["title"] for item in found["_links"]["items"]] == names
        assert found["totalCount"] == 3


def test_09_site(api: Chain) -> None:
    place = {"latitude": 42.36, "longitude": -71.08, "elevation": 7.0}
    made = api.site(name="Lab", geoLocation=place, rawZMQStream="tcp://host:1305")
    for name in ("a", "b"):
        api.device(made, name=name)
    site = api.get(href(made))
    links = site["_links"]
    assert site["name"] == "Lab"
    assert site["geoLocation"] == place
    assert links["self"]["title"] == "Lab"
    assert links["ch:websocketStream"]["href"] == f"ws{api.url.removeprefix('http')}/ws/site-{id_of(site)}"
    assert links["rawZMQStream"]["href"] == "tcp://host:1305"
    assert {"curies", "editForm", "ch:siteSummary"} < set(links)
    assert api.get(links["ch:devices"]["href"])["totalCount"] == 2


def test_10_site_created(api: Chain) -> None:
    body = {
        "name": "Roof",
        "geoLocation": {"latitude": 42, "longitude": -71.5},
        "rawZMQStream": "tcp://example.com:8372",
    }
    answer = api.request("POST", "/sites/create", body, Accept=HAL)
    assert (answer.status_code, answer.headers["content-type"]) == (201, HAL)
    made = answer.json()
    assert answer.headers["location"] == href(made)
    assert api.get(href(made)) == made
    assert made["_links"]["self"]["title"] == "Roof"
    assert made["_links"]["rawZMQStream"]["href"] == "tcp://example.com:8372"
    assert made["geoLocation"] == {"latitude": 42.0, "longitude": -71.5, "elevation": None}
    assert '"latitude":42.0' in answer.text


def test_11_and_18_create_forms(api: Chain) -> None:
    form = api.get("/sites/create")
    assert form["type"] == "object"
    assert form["required"] == ["name"]
    assert form["properties"]["name"] == {"type": "string", "title": "name", "minLength": 1}
    devices = api.get(href(api.get(href(api.site(), "ch:devices")), "createForm"))
    assert devices["title"] == "Create Device"
    assert devices["properties"]["floor"] == {"type": "string", "title": "floor"}
    assert "_links" not in devices


def test_12_site_edit_form(api: Chain) -> None:
    site = api.site(geoLocation={"latitude": 1.5, "longitude": 2.5}, rawZMQStream="tcp://a:1")
    found = defaults(api.get(href(site, "editForm")))
    assert found == {
        "name": "Marsh",
        "rawZMQStream": "tcp://a:1",
        "geoLocation": {"latitude": 1.5, "longitude": 2.5},
    }


def test_13_site_edited_from_its_defaults(api: Chain) -> None:
    site = api.site(geoLocation={"latitude": 1.5, "longitude": 2.5})
    body = defaults(api.get(href(site, "editForm")))
    body |= {"name": "Moor", "rawZMQStream": "tcp://b:2"}
    answer = api.post(href(site, "editForm"), body, 200)
    assert answer == api.get(href(site))
    assert answer["name"] == "Moor"
    assert answer["_links"]["rawZMQStream"]["href"] == "tcp://b:2"
    assert answer["geoLocation"] == site["geoLocation"]


def test_14_a_first_place_by_an_edit(api: Chain) -> None:
    site = api.site()
    assert "geoLocation" not in site
    edited = api.post(href(site, "editForm"), {"geoLocation": {"latitude": 3, "longitude": 4}}, 200)
    assert edited["geoLocation"] == {"latitude": 3.0, "longitude": 4.0, "elevation": None}
    assert "geoLocation" not in api.post(href(site, "editForm"), {"geoLocation": None}, 200)


def test_15_summary(api: Chain) -> None:
    site = api.site()
    for name in ("b", "a"):
        device = api.device(site, name=name)
        api.sensor(device, metric="light", unit="lux")
        api.data(api.sensor(device), [{"value": 1, "timestamp": at(3)}, {"value": 2, "timestamp": at(5)}])
    summary = api.get(href(site, "ch:siteSummary"))
    assert [device["name"] for device in summary["devices"]] == ["a", "b"]
    for device in summary["devices"]:
        assert not {"_links", "_embedded"} & set(device)
        assert api.get(device["href"])["name"] == device["name"]
        light, temperature = device["sensors"]
        assert (light["metric"], light["data"]) == ("light", [])
        assert "value" not in light
        assert temperature["value"] == 1.0
        assert href(api.get(temperature["href"])) == temperature["href"]


def test_16_device(api: Chain) -> None:
    site = api.site(name="Yard")
    device = api.get(href(api.device(site)))
    assert device["_links"]["ch:sensors"]["title"] == "Sensors"
    assert device["_links"]["ch:site"] == {"href": href(site), "title": "Yard"}
    assert "curies" in device["_links"]
    assert "curies" in api.get(href(site, "ch:devices"))["_links"]


def test_17_device_created(api: Chain) -> None:
    site = api.site()
    body = {"name": "new", "description": "d", "building": "E14", "floor": 5, "room": "Cafe"}
    made = api.create(api.get(href(site, "ch:devices")), body)
    assert made["_links"]["self"]["title"] == "new"
    assert made["floor"] == "5"
    assert href(made, "ch:site") == href(site)
    assert api.get(href(made)) == made
    assert [item["title"] for item in api.get(href(site, "ch:devices"))["_links"]["items"]] == ["new"]


def test_20_whole_resources_posted_back(api: Chain) -> None:
    device = api.device(api.site(), geoLocation={"latitude": 1, "longitude": 2})
    for resource in (device, api.sensor(device)):
        fetched = api.get(href(resource))
        edited = api.post(href(fetched, "editForm"), {**fetched, "active": False}, 200)
        assert edited == {**fetched, "active": False}
        assert api.get(href(resource)) == edited


def test_21_sensor_created(api: Chain) -> None:
    device = api.device(api.site())
    made = api.create(api.get(href(device, "ch:sensors")), {"metric": "wing span", "unit": "Smoots"})
    assert (made["metric"], made["unit"]) == ("wing span", "Smoots")
    assert made["_links"]["self"]["title"] == "wing span"
    assert "value" not in made
    items = api.get(href(device, "ch:sensors"))["_links"]["items"]
    assert items == [{"href": href(made), "title": "wing span"}]


def test_22_sensor(api: Chain) -> None:
    device = api.device(api.site())
    made = api.sensor(device)
    api.data(made, {"value": 22.32, "timestamp": "2014-04-12T20:47:15.291305+00:00"})
    sensor = api.get(href(made))
    assert (sensor["dataType"], sensor["value"]) == ("float", 22.32)
    assert sensor["updated"] == "2014-04-12T20:47:15.291305+00:00"
    assert href(sensor, "ch:device") == href(device)
    assert "ch:dataHistory" in sensor["_links"]


def test_23_sensor_edited(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    body = defaults(api.get(href(sensor, "editForm")))
    edited = api.post(href(sensor, "editForm"), {**body, "metric": "humidity"}, 200)
    assert (edited["metric"], edited["unit"]) == ("humidity", "celsius")
    assert edited["_links"]["self"]["title"] == "humidity"


def test_24_history(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        for minutes in (2, 1):
            api.data(sensor, {"value": minutes, "timestamp": at(minutes)})
    found = api.get(href(sensor, "ch:dataHistory"))
    assert found["dataType"] == "float"
    assert [point["value"] for point in found["data"]] == [2.0, 1.0]
    assert set(found["data"][0]) == {"timestamp", "value"}


def test_25_old_readings_and_lists(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        old = api.data(sensor, {"value": 20, "timestamp": "2013-01-12T16:18:26+00:00"})
        several = api.data(sensor, [{"value": v, "timestamp": at(v)} for v in (3, 2, 1)])
    assert old == {"value": 20.0, "timestamp": "2013-01-12T16:18:26+00:00"}
    assert [point["value"] for point in several] == [3.0, 2.0, 1.0]
    assert [point["value"] for point in api.get(href(sensor, "ch:dataHistory"))["data"]] == [20.0, 3.0, 2.0, 1.0]


def test_27_text_becomes_a_float(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    api.data(sensor, {"value": "23"})
    answer = api.request("GET", href(sensor, "ch:dataHistory"))
    assert '"value":23.0' in answer.text


def test_28_the_link_to_history_is_bare(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    assert href(sensor, "ch:dataHistory").endswith(f"?sensor_id={id_of(sensor)}")


def test_29_large_pages(tmp_path: Path) -> None:
    with chain(tmp_path) as here:
        site = here.site()
        devices = here.get(href(site, "ch:devices"))
        made = here.create(devices, [{"name": f"d{n:04}"} for n in range(1500)])
        assert len(made) == 1500
        for limit in (20, 1000):
            found = here.get(f"{href(site, 'ch:devices')}&limit={limit}")
            names = [item["title"] for item in found["_links"]["items"]]
            assert names == [f"d{n:04}" for n in range(limit)]
            assert found["totalCount"] == 1500


@pytest.mark.parametrize("query", ["timestamp__gte=NaN", "timestamp__lt=NaN", "timestamp__gte=NaN&timestamp__lt=NaN"])
def test_30_bad_times_in_filters(api: Chain, query: str) -> None:
    sensor = api.sensor(api.device(api.site()))
    for bad in (query, query.replace("NaN", "hello")):
        answer = api.request("GET", f"{href(sensor, 'ch:dataHistory')}&{bad}")
        assert answer.status_code == 400
        assert "invalid timestamp format for" in answer.json()["message"]


def test_31_aggregates(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        api.data(sensor, [{"value": v, "timestamp": f"2023-11-14T23:{v}:00Z"} for v in (10, 20, 30)])
    template = href(sensor, "ch:aggregateData")
    assert template.endswith("{&aggtime}")
    for bad in ("", "&aggtime=1s"):
        assert api.request("GET", template.replace("{&aggtime}", bad)).status_code == 400
    assert api.request("GET", template).status_code == 400
    for aggtime, start in (("1h", "2023-11-14T23"), ("1d", "2023-11-14T00"), ("1w", "2023-11-09T00")):
        found = api.get(template.replace("{&aggtime}", f"&aggtime={aggtime}&timestamp__gte=1690000000"))
        assert found["dataType"] == "float"
        bucket = {"timestamp": f"{start}:00:00+00:00", "min": 10.0, "max": 30.0, "mean": 20.0, "count": 3}
        assert found["data"] == [bucket]


def test_32_to_35_metadata(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    sensor = api.sensor(device)
    for resource, kind in ((site, "10"), (device, "11"), (sensor, "12")):
        assert resource["_links"]["ch:metadata"]["title"] == "Metadata"
        metadata = api.get(href(resource, "ch:metadata"))
        assert href(metadata, "createForm").endswith(f"?content_type_id={kind}&object_id={id_of(resource)}")
        made = api.create(metadata, {"key": "calibration", "value": 123})
        assert (made["key"], made["value"]) == ("calibration", "123")
        assert id_of(made).isdecimal()
        assert "editForm" not in made["_links"]
        assert api.get(href(made)) == made
        answer = api.request("POST", href(made) + "/edit", {"value": "124"})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
        assert "metadata are immutable" in answer.json()["message"]
        pair = [{"key": "k", "value": v, "timestamp": t} for v, t in (("new", at(1)), ("old", at(9)))]
        assert len(api.create(metadata, pair)) == 2
        found = api.get(href(resource, "ch:metadata"))
        assert found["data"] == [{"key": "calibration", "value": "123"}, {"key": "k", "value": "new"}]
        assert found["totalCount"] == 2
        past = api.get(f"{href(resource, 'ch:metadata')}&timestamp__lte={at(5).replace('+', '%2B')}")
        assert past["data"] == [{"key": "k", "value": "old"}]


def test_36_the_spelling_of_a_filter_is_echoed(tmp_path: Path) -> None:
    with chain(tmp_path) as here:
        site, other = here.site(), here.site()
        for n in range(31):
            here.device(site if n else other, name=f"d{n}")
        found = here.get(f"/devices/?site={id_of(site)}")
        assert found["totalCount"] == 30
        assert href(found) == f"{here.url}/devices/?site={id_of(site)}"
        everything = here.get("/devices/")
        assert everything["totalCount"] == 31
        assert len(everything["_links"]["items"]) == 30


def test_37_first_and_second_page(tmp_path: Path) -> None:
    with chain(tmp_path) as here:
        here.post("/sites/create", [{"name": f"s{n}"} for n in range(40)])
        first = here.get("/sites/")
        assert "next" in first["_links"]
        assert "previous" not in first["_links"]
        second = here.get(href(first, "next"))
        assert "previous" in second["_links"]
        assert "next" not in second["_links"]
        assert [item["title"] for item in second["_links"]["items"]] == [f"s{n}" for n in range(30, 40)]
        assert href(second) == href(first)


def test_38_a_page_for_people(api: Chain) -> None:
    device = api.device(api.site(name="<script>alert(1)</script>"))
    for where in (
        "/",
        "/sites/",
        href(device),
        href(device, "ch:site"),
        href(device, "editForm"),
        "/rels/",
        "/rels/site",
    ):
        text = api.request("GET", where, Accept="text/html").text
        assert text.startswith("<!DOCTYPE html")
        assert text.endswith("</html>")
        assert "<script" not in text


def test_39_types_that_are_not_available(api: Chain) -> None:
    answer = api.request("GET", "/", Accept="foobar")
    assert (answer.status_code, answer.headers["content-type"]) == (406, HAL)
    assert set(answer.json()) == {"message"}
    answer = api.request("GET", "/", Accept="foobar, */*")
    assert (answer.status_code, answer.headers["content-type"]) == (200, HAL)
    answer = api.request("GET", "/foobar/", Accept=HAL)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert "message" in answer.json()


def test_41_a_long_history_opens_at_its_end(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    start = datetime(2020, 1, 1, tzinfo=UTC)
    points = [{"value": n, "timestamp": (start + timedelta(seconds=n)).isoformat()} for n in range(1500)]
    with api.written(stage):
        assert len(api.data(sensor, points)) == 1500
    found = api.get(href(sensor, "ch:dataHistory"))
    assert {"previous", "first"} < set(found["_links"])
    assert not {"next", "last"} & set(found["_links"])
    assert [point["value"] for point in found["data"]] == [float(n) for n in range(1000, 1500)]
    for limit in (20, 1000):
        page = api.get(f"{href(sensor, 'ch:dataHistory')}&limit={limit}")
        assert len(page["data"]) == limit
        assert page["totalCount"] == 1500
    walked: list[float] = []
    page = api.get(href(found, "first"))
    while True:
        walked += [point["value"] for point in page["data"]]
        if "next" not in page["_links"]:
            break
        page = api.get(href(page, "next"))
    assert walked == [float(n) for n in range(1500)]
