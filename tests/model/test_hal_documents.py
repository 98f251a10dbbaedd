"""Documents keep the HAL rules of hypermedia.md 2 and the shapes of 3-10 and 12.3, whatever is in them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.hypermedia import documents, links
from thingstead.model.hypermedia.buckets import Bucket
from thingstead.model.hypermedia.documents import Device, Entry, Place, Sensor, Site
from thingstead.model.hypermedia.pages import Page, Window
from thingstead.model.hypermedia.rels import RELATIONS

BASE = links.base("http", "chain.example", "")
UPDATED = 1_397_335_635_291_305


def wire(document: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


def test_sensor_of_the_seed() -> None:
    shown = wire(
        documents.sensor(BASE, Sensor("263", "temperature", "celsius", "32", "0x8123", value=22.32, updated=UPDATED))
    )
    own = shown.pop("_links")
    assert shown == {
        "metric": "temperature",
        "unit": "celsius",
        "dataType": "float",
        "sensor-type": "scalar",
        "active": True,
        "value": 22.32,
        "updated": "2014-04-12T20:47:15.291305+00:00",
    }
    assert own == {
        "self": {"href": "http://chain.example/sensors/263", "title": "temperature"},
        "ch:device": {"href": "http://chain.example/devices/32", "title": "0x8123"},
        "ch:dataHistory": {"href": "http://chain.example/sensordata/?sensor_id=263", "title": "Data"},
        "ch:aggregateData": {
            "href": "http://chain.example/aggregate_data/?sensor_id=263{&aggtime}",
            "title": "Aggregate Data",
            "templated": True,
        },
        "ch:metadata": {
            "href": "http://chain.example/metadata/?content_type_id=12&object_id=263",
            "title": "Metadata",
        },
        "ch:websocketStream": {"href": "ws://chain.example/ws/sensor-263", "title": "Websocket Stream"},
        "editForm": {"href": "http://chain.example/sensors/263/edit", "title": "Edit Sensor"},
        "curies": [{"name": "ch", "href": "http://chain.example/rels/{rel}", "templated": True}],
    }


def test_data_of_the_seed() -> None:
    shown = wire(documents.data(BASE, "263", [], 69148, [(UPDATED, 22.0)], at=Page(500, 68648), newest=True))
    own = shown.pop("_links")
    assert shown == {
        "dataType": "float",
        "totalCount": 69148,
        "data": [{"timestamp": "2014-04-12T20:47:15.291305+00:00", "value": 22.0}],
    }
    assert list(own) == ["self", "first", "previous", "curies", "createForm"]
    assert own["self"] == {"href": "http://chain.example/sensordata/?sensor_id=263"}
    assert own["createForm"] == {"href": "http://chain.example/sensordata/create?sensor_id=263", "title": "Add Data"}


def test_a_window_cut_by_a_limit_is_paged_inside_the_window() -> None:
    at = Window(10_000_000, 20_000_000)
    own = wire(documents.data(BASE, "1", [], 9, [], at=Page(5, 0), within=at))["_links"]
    assert {"next", "last"} < set(own)
    assert not {"previous", "first"} & set(own)
    assert own["next"]["href"].endswith("?sensor_id=1&timestamp__gte=10&timestamp__lt=20&limit=5&offset=5")
    assert own["self"]["href"].endswith("?sensor_id=1&timestamp__gte=10&timestamp__lt=20")


def test_ids_and_filters_are_encoded() -> None:
    own = wire(documents.device(BASE, Device("a/b ?#{é}", "n", "s", "t")))["_links"]
    assert own["self"]["href"] == "http://chain.example/devices/a%2Fb%20%3F%23%7B%C3%A9%7D"
    assert own["ch:sensors"]["href"].endswith("/sensors/?device_id=a%2Fb%20%3F%23%7B%C3%A9%7D")
    found = wire(documents.collection(BASE, "devices", [("room", "a&b=c")], Page(30, 0), 0, []))["_links"]
    assert found["self"]["href"] == "http://chain.example/devices/?room=a%26b%3Dc"
    assert found["createForm"]["href"] == "http://chain.example/devices/create?room=a%26b%3Dc"


def test_an_unfiltered_collection_can_be_extended_as_text() -> None:
    own = wire(documents.collection(BASE, "sites", [], Page(30, 0), 1, [("5", "Marsh")]))["_links"]
    assert own["self"]["href"] == "http://chain.example/sites/?"
    assert own["createForm"] == {"href": "http://chain.example/sites/create", "title": "Create Site"}
    assert own["items"] == [{"href": "http://chain.example/sites/5", "title": "Marsh"}]


def test_https_and_a_prefix() -> None:
    base = links.base("wss", "chain.example:8443", "/chain/my-app")
    own = wire(documents.site(base, Site("5", "x", "tcp://host:1305")))["_links"]
    assert own["self"]["href"] == "https://chain.example:8443/chain/my-app/sites/5"
    assert own["ch:websocketStream"]["href"] == "wss://chain.example:8443/chain/my-app/ws/site-5"
    assert own["rawZMQStream"] == {"href": "tcp://host:1305", "title": "Raw ZMQ Stream"}
    assert documents.entry_point(base)["_links"] == {
        "self": {"href": "https://chain.example:8443/chain/my-app/"},
        "curies": links.curies(base),
        "ch:sites": {"href": "https://chain.example:8443/chain/my-app/sites/", "title": "Sites"},
    }


def test_summary_items_have_href_and_never_links() -> None:
    sensor = Sensor("263", "temperature", "celsius", "32", "0x8123", value=22.0, updated=UPDATED)
    silent = Sensor("264", "light", "lux", "32", "0x8123")
    shown = wire(documents.summary(BASE, "5", [(Device("32", "0x8123", "5", "Marsh"), [sensor, silent])]))
    assert shown["_links"] == {"self": {"href": "http://chain.example/sites/5/summary"}}
    device = shown["devices"][0]
    assert device["href"] == "http://chain.example/devices/32"
    first, second = device["sensors"]
    assert first["href"] == "http://chain.example/sensors/263"
    assert (first["value"], first["data"]) == (22.0, [])
    assert not {"value", "updated"} & set(second)
    assert not any(name in item for item in (device, first, second) for name in ("_links", "_embedded"))


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(floats, st.integers(0, 2**50))
def test_floats_always_have_a_fraction_or_an_exponent(value: float, time: int) -> None:
    text = msgspec.json.encode(documents.reading(BASE, "1", value, time)).decode()
    literal = text.removeprefix('{"value":').partition(",")[0]
    assert any(c in literal for c in ".e")
    assert float(literal) == value


def test_integers_of_a_place_become_floats() -> None:
    text = msgspec.json.encode(Place(float(42), float(-71), None).wire())
    assert text == b'{"latitude":42.0,"longitude":-71.0,"elevation":null}'


def test_a_bucket_counts_in_integers() -> None:
    made = documents.aggregates(BASE, "1", "1h", [], Window(0, 10), [Bucket(0, 1.0, 3.0, 4.0, 2)])
    assert b'{"timestamp":"1970-01-01T00:00:00+00:00","min":1.0,"max":3.0,"mean":2.0,"count":2}' in msgspec.json.encode(
        made
    )
    assert "totalCount" not in wire(made)
    assert set(wire(made)["_links"]) == {"self", "previous", "next", "curies"}


texts = st.text(max_size=12)
places = st.none() | st.builds(Place, floats, floats, st.none() | floats)
sites = st.builds(Site, texts, texts, texts, places)
devices = st.builds(Device, texts, texts, texts, texts, texts, texts, texts, texts, st.booleans(), places)
sensors = st.builds(Sensor, texts, texts, texts, texts, texts, st.booleans(), places, floats, st.integers(0, 2**50))
entries = st.builds(Entry, texts, texts, texts, st.integers(0, 2**50), st.integers())


def all_links(document: Any) -> Iterator[tuple[str, Any]]:
    for rel, link in document["_links"].items():
        for one in link if isinstance(link, list) else [link]:
            yield rel, one


@given(
    sites.map(lambda v: documents.site(BASE, v))
    | devices.map(lambda v: documents.device(BASE, v))
    | sensors.map(lambda v: documents.sensor(BASE, v))
    | entries.map(lambda v: documents.entry(BASE, v))
)
def test_hal_rules_of_single_resources(document: Any) -> None:
    shown = wire(document)
    assert {"self", "curies", "ch:websocketStream"} <= set(shown["_links"])
    assert isinstance(shown["_links"]["curies"], list)
    for rel, link in all_links(shown):
        assert "href" in link
        assert rel == "curies" or "title" in link
        if rel.startswith("ch:"):
            assert rel.removeprefix("ch:") in RELATIONS
    reserved = {"links", "rels", "embedded", "create", "embed_resource", *dir(dict)}
    assert not reserved & set(shown)
    assert "_embedded" not in shown


@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        ([("a", "1", 10, 1), ("a", "2", 20, 2)], [("a", "2")]),
        ([("a", "2", 20, 1), ("a", "1", 10, 2)], [("a", "2")]),
        ([("a", "1", 10, 1), ("a", "2", 10, 2)], [("a", "2")]),
        ([("b", "1", 10, 1), ("a", "2", 10, 2)], [("a", "2"), ("b", "1")]),
        ([], []),
    ],
)
def test_a_newer_entry_shadows_an_older_one(
    entries: list[tuple[str, str, int, int]], shown: list[tuple[str, str]]
) -> None:
    found = documents.shadowed(Entry(str(order), key, value, time, order) for key, value, time, order in entries)
    assert [(entry.key, entry.value) for entry in found] == shown
