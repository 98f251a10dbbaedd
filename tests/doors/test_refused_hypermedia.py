"""Untrusted input gets a clear error in the door's own shape, never a 500, and changes nothing (1.3, 1.4)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.chain import Chain, chain, href, id_of

LIMIT = 20_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with chain(tmp_path_factory.mktemp("refused"), chain_max_body=LIMIT) as started:
        yield started


@pytest.fixture(scope="module")
def places(api: Chain) -> dict[str, str]:
    """The URLs that rows of the table name."""
    site = api.site()
    device = api.device(site)
    sensor = api.sensor(device)
    api.data(sensor, {"value": 1})
    entry = api.create(api.get(href(site, "ch:metadata")), {"key": "k", "value": "v"})
    forms = {
        "sites": "/sites/create",
        "devices": href(api.get(href(site, "ch:devices")), "createForm"),
        "sensors": href(api.get(href(device, "ch:sensors")), "createForm"),
        "data": href(api.get(href(sensor, "ch:dataHistory")), "createForm"),
        "metadata": href(api.get(href(site, "ch:metadata")), "createForm"),
        "site/edit": href(site, "editForm"),
        "device/edit": href(device, "editForm"),
        "sensor/edit": href(sensor, "editForm"),
        "entry/edit": href(entry) + "/edit",
    }
    return forms | {
        f"{name}/id": id_of(what) for name, what in (("site", site), ("device", device), ("sensor", sensor))
    }


NAN = b'{"value": NaN}'
DEEP = b"[" * 5000 + b"]" * 5000
BODIES: list[tuple[str, object, int, str | None]] = [
    ("sites", b"", 400, None),
    ("sites", b"not json", 400, None),
    ("sites", b'{"name": "x"', 400, None),
    ("sites", b'{"name": "\xff"}', 400, None),
    ("sites", b'{"name": "\\ud800"}', 400, None),
    ("sites", DEEP, 400, None),
    ("sites", b"name=x", 400, None),
    ("sites", "text", 400, None),
    ("sites", 5, 400, None),
    ("sites", None, 400, None),
    ("sites", {}, 400, "name"),
    ("sites", {"name": ""}, 400, "name"),
    ("sites", {"name": None}, 400, "name"),
    ("sites", {"name": {"first": "x"}}, 400, "name"),
    ("sites", {"name": "x", "geoLocation": "here"}, 400, "geoLocation"),
    ("sites", {"name": "x", "geoLocation": {"latitude": 1}}, 400, "geoLocation.longitude"),
    ("sites", {"name": "x", "geoLocation": {"latitude": "a", "longitude": 1}}, 400, "geoLocation.latitude"),
    ("sites", b'{"name": "x", "geoLocation": {"latitude": 1e999, "longitude": 1}}', 400, None),
    ("sites", {"name": "x", "rawZMQStream": ["tcp"]}, 400, "rawZMQStream"),
    ("sites", [{"name": "x"}, {}], 400, "name"),
    ("sites", [{"name": "x"}, 5], 400, None),
    ("sites", {"name": "x" * LIMIT}, 413, "body"),
    ("devices", {}, 400, "name"),
    ("devices", {"name": " "}, 400, "name"),
    ("devices", {"name": "x", "active": "perhaps"}, 400, "active"),
    ("devices", {"name": "0x8123"}, 400, "name"),
    ("devices", [{"name": "x"}, {"name": "x"}], 400, "name"),
    ("devices", [{"name": "x"}, {"name": "0x8123"}], 400, "name"),
    ("sensors", {"unit": "x"}, 400, "metric"),
    ("sensors", {"metric": "x"}, 400, "unit"),
    ("sensors", {"metric": "x", "unit": "u", "sensor-type": "presence"}, 400, "sensor-type"),
    ("sensors", {"metric": "temperature", "unit": "u"}, 400, "metric"),
    ("sensors", [{"metric": "x", "unit": "u"}, {"metric": "x", "unit": "u"}], 400, "metric"),
    ("sensors", [{"metric": "x", "unit": "u"}, {"metric": "y"}], 400, "unit"),
    ("data", {}, 400, "value"),
    ("data", {"value": None}, 400, "value"),
    ("data", {"value": "high"}, 400, "value"),
    ("data", {"value": "NaN"}, 400, "value"),
    ("data", {"value": "Infinity"}, 400, "value"),
    ("data", {"value": {"v": 1}}, 400, "value"),
    ("data", NAN, 400, None),
    ("data", b'{"value": 1e999}', 400, None),
    ("data", {"value": 1, "timestamp": "yesterday"}, 400, "timestamp"),
    ("data", {"value": 1, "timestamp": 1700000000}, 400, "timestamp"),
    ("data", {"value": 1, "timestamp": "2024-13-01T00:00:00Z"}, 400, "timestamp"),
    ("data", [{"value": 1}, {"value": 2}, {"value": "x"}], 400, "value"),
    ("data", [{"value": 1}, [{"value": 2}]], 400, None),
    ("data", [{"value": n} for n in range(5000)], 413, "body"),
    ("metadata", {"key": "", "value": "x"}, 400, "key"),
    ("metadata", {"key": "k"}, 400, "value"),
    ("metadata", {"key": "k", "value": None}, 400, "value"),
    ("metadata", {"key": "k", "value": "x", "timestamp": "now"}, 400, "timestamp"),
    ("metadata", [{"key": "k", "value": "x"}, {"key": "k"}], 400, "value"),
    ("site/edit", b"", 400, None),
    ("site/edit", [], 400, None),
    ("site/edit", {"name": ""}, 400, "name"),
    ("site/edit", {"geoLocation": {"latitude": 1}}, 400, "geoLocation.longitude"),
    ("device/edit", {"name": None}, 400, "name"),
    ("device/edit", {"active": []}, 400, "active"),
    ("device/edit", {"name": "   "}, 400, "name"),
    ("sensor/edit", {"metric": ""}, 400, "metric"),
    ("sensor/edit", {"unit": ["K"]}, 400, "unit"),
    ("entry/edit", {"value": "x"}, 400, "metadata"),
    ("/sites/0/edit", {"name": "x"}, 404, None),
    ("/devices/0/edit", {"name": "x"}, 404, None),
    ("/sensors/0/edit", {"unit": "x"}, 404, None),
    ("/devices/create", {"name": "x"}, 400, "site_id"),
    ("/devices/create?site_id=", {"name": "x"}, 400, "site_id"),
    ("/devices/create?site_id=0", {"name": "x"}, 400, "site_id"),
    ("/devices/create?site_id={device/id}", {"name": "x"}, 400, "site_id"),
    ("/sensors/create", {"metric": "x", "unit": "u"}, 400, "device_id"),
    ("/sensors/create?device_id={site/id}", {"metric": "x", "unit": "u"}, 400, "device_id"),
    ("/sensordata/create", {"value": 1}, 400, "sensor_id"),
    ("/sensordata/create?sensor_id=0", {"value": 1}, 400, "sensor_id"),
    ("/sensordata/create?sensor_id={device/id}", {"value": 1}, 400, "sensor_id"),
    ("/metadata/create", {"key": "k", "value": "x"}, 400, "content_type_id"),
    ("/metadata/create?content_type_id=99&object_id={site/id}", {"key": "k", "value": "x"}, 400, "content_type_id"),
    ("/metadata/create?content_type_id=11&object_id={site/id}", {"key": "k", "value": "x"}, 400, "object_id"),
    ("/metadata/create?content_type_id=10", {"key": "k", "value": "x"}, 400, "object_id"),
    ("/nowhere/create", {"name": "x"}, 404, None),
    ("/aggregate_data/create", {"name": "x"}, 404, None),
    ("/chain/nowhere/sites/", {"name": "x"}, 404, None),
    ("/sites/{site/id}", {"name": "x"}, 405, None),
]


@pytest.mark.parametrize(("where", "body", "status", "field"), BODIES)
def test_refused_posts(
    api: Chain, places: dict[str, str], where: str, body: Any, status: int, field: str | None
) -> None:
    url = places.get(where) or where
    for name, value in places.items():
        url = url.replace(f"{{{name}}}", value)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = api.server.totals()
    answer = api.request("POST", url, sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert shown["status"] == status
    assert shown["message"]
    assert shown["errors"][0].get("field") == field
    if isinstance(body, list) and status == 400 and "create" in url:
        assert shown["errors"][0]["index"] == len(body) - 1
    assert api.server.totals() == before


READS: list[tuple[str, int]] = [
    ("/sites/0", 404),
    ("/sites/%00", 404),
    ("/sites/%ff", 404),
    ("/sites/..%2F..%2Fetc", 404),
    ("/devices/{site/id}", 404),
    ("/sensors/{device/id}", 404),
    ("/metadata/{site/id}", 404),
    ("/sites/{device/id}/summary", 404),
    ("/devices/{device/id}/summary", 404),
    ("/sites/{site/id}/nothing", 404),
    ("/ws/site-{site/id}", 404),
    ("/nowhere", 404),
    ("/chain/", 404),
    ("/chain/nowhere/", 404),
    ("/chain/%2e%2e/sites/", 404),
    ("/devices/?colour=red", 400),
    ("/devices/?active=perhaps", 400),
    ("/sensors/?name__regex=x", 400),
    ("/sites/?" + "&".join("name=x" for _ in range(2000)), 400),
    ("/sensordata/", 400),
    ("/sensordata/?sensor_id=", 400),
    ("/sensordata/?sensor_id=0", 404),
    ("/sensordata/?sensor_id={sensor/id}&timestamp__gte=words", 400),
    ("/sensordata/?sensor_id={sensor/id}&timestamp__lt=1e300", 400),
    ("/sensordata/?sensor_id={sensor/id}&timestamp__lt=", 400),
    ("/aggregate_data/?sensor_id={sensor/id}", 400),
    ("/aggregate_data/?sensor_id={sensor/id}&aggtime=1s", 400),
    ("/aggregate_data/?sensor_id={sensor/id}&aggtime=1h&timestamp__gte=NaN", 400),
    ("/aggregate_data/?sensor_id=0&aggtime=1h", 404),
    ("/metadata/", 400),
    ("/metadata/?content_type_id=10", 400),
    ("/metadata/?content_type_id=10&object_id={site/id}&timestamp__lte=noon", 400),
    ("/metadata/0/edit", 400),
]


@pytest.mark.parametrize(("where", "status"), READS)
def test_refused_reads(api: Chain, places: dict[str, str], where: str, status: int) -> None:
    for name, value in places.items():
        where = where.replace(f"{{{name}}}", value)
    answer = api.request("GET", where, Accept="text/html")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == status
    assert answer.json()["message"]


AWS4 = "AWS4-HMAC-SHA256 Credential=app:nobody/20240501/us-east-1/para/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic !!!", "Basic Og==", "Bearer x", "AWS4-HMAC-SHA256 Credential=", AWS4, "Digest x", "x"],
)
def test_credentials_that_prove_nothing(api: Chain, authorization: str) -> None:
    before = api.server.totals()
    answer = api.request("POST", "/sites/create", {"name": "x"}, Authorization=authorization)
    assert answer.status_code == 401, answer.text
    assert answer.json()["status"] == answer.status_code
    assert api.server.totals() == before
    assert api.request("GET", "/sites/", Authorization=authorization).status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["name", "metric", "unit", "value", "timestamp", "key", "geoLocation", "active", "sensor-type"])
FORMS = ["sites", "devices", "sensors", "data", "metadata", "site/edit", "device/edit", "sensor/edit"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FORMS), st.dictionaries(names, json_values, max_size=6) | json_values)
def test_no_body_is_ever_a_500(api: Chain, places: dict[str, str], where: str, body: Any) -> None:
    before = api.server.totals()
    answer = api.request("POST", places[where], body)
    assert answer.status_code in (200, 201, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["message"]
        assert api.server.totals() == before


TIMES = ["timestamp__gte", "timestamp__lt", "timestamp__lte"]
PARAMETERS = ["limit", "offset", "aggtime", "name", "active", "{x}", *TIMES]
LISTS = ["/sites/", "/devices/", "/sensors/", "/sensordata/", "/aggregate_data/", "/metadata/"]
given_values = st.sampled_from(["1h", "true", "{", "%7B"])
query_values = st.text(max_size=8) | st.integers().map(str) | st.floats().map(str) | given_values
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), query_values), max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/sites/", "/devices/", "/sensors/", "/sensordata/", "/aggregate_data/", "/metadata/"]), queries
)
def test_no_query_is_ever_a_500(api: Chain, places: dict[str, str], where: str, query: list[tuple[str, str]]) -> None:
    id = places["sensor/id"]
    fixed = {"/sensordata/": f"sensor_id={id}&", "/aggregate_data/": f"sensor_id={id}&"}
    fixed["/metadata/"] = f"content_type_id=12&object_id={id}&"
    text = "&".join(f"{name}={value}" for name, value in query).encode("utf-8", "ignore").decode()
    answer = api.request("GET", f"{where}?{fixed.get(where, '')}{text}")
    assert answer.status_code in (200, 400), answer.text
