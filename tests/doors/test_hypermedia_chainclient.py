"""The published client of Chain (`chainclient` 0.5.0) walks from the entry point by links alone, creates, and pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chainclient
import pytest

from support.chain import ROOT, Chain, chain


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Chain]:
    with chain(tmp_path) as started:
        yield started


def enter(api: Chain) -> Any:
    return chainclient.get(api.url + "/", auth=ROOT)


def test_01_the_client_itself_refuses_a_link_without_href() -> None:
    with pytest.raises(ValueError, match="href"):
        chainclient.HALDoc({"_links": {"self": {"title": "x"}}})
    doc = chainclient.HALDoc({"a": 1, "_links": {"items": [{"href": "x"}]}})
    assert (doc.a, doc.links["items"][0].href) == (1, "x")


def test_from_the_entry_point_to_a_reading(api: Chain) -> None:
    site = enter(api).rels["ch:sites"].create({"name": "Marsh"}, auth=ROOT)
    device = site.rels["ch:devices"].create({"name": "0x8123"}, auth=ROOT)
    sensor = device.rels["ch:sensors"].create({"metric": "temperature", "unit": "celsius"}, auth=ROOT)
    history = sensor.rels["ch:dataHistory"]
    made = history.create({"value": 22.4, "timestamp": "2024-05-01T10:00:00.25Z"}, auth=ROOT)
    assert (made.value, made.timestamp) == (22.4, "2024-05-01T10:00:00.250000+00:00")
    several = history.create([{"value": n} for n in range(3)], auth=ROOT)
    assert [point.value for point in several] == [0.0, 1.0, 2.0]

    sites = enter(api).rels["ch:sites"]
    assert sites.totalCount == 1
    found = sites.rels["items"][0]
    assert found.name == "Marsh"
    (device,) = found.rels["ch:devices"].rels["items"]
    assert device.rels["ch:site"].name == "Marsh"
    (sensor,) = device.rels["ch:sensors"].rels["items"]
    assert (sensor.metric, sensor.value) == ("temperature", 2.0)
    assert [point.value for point in sensor.rels["ch:dataHistory"].data] == [22.4, 0.0, 1.0, 2.0]
    summary = found.rels["ch:siteSummary"]
    assert summary.devices[0].sensors[0].href == sensor.links.self.href


def test_paging_over_35_devices(api: Chain) -> None:
    site = enter(api).rels["ch:sites"].create({"name": "Marsh"}, auth=ROOT)
    names = [f"d{n:02}" for n in range(35)]
    made = site.rels["ch:devices"].create([{"name": name} for name in names], auth=ROOT)
    assert [device.name for device in made] == names
    fresh = chainclient.get(site.links["ch:devices"].href, auth=ROOT)
    assert len(fresh.rels["items"]) == 30
    assert [device.name for device in fresh.rels["items"]] == names


def test_a_created_device_extends_the_collection_in_hand(api: Chain) -> None:
    devices = enter(api).rels["ch:sites"].create({"name": "Marsh"}, auth=ROOT).rels["ch:devices"]
    devices.create({"name": "a"}, auth=ROOT)
    devices.create([{"name": "b"}, {"name": "c"}], auth=ROOT)
    assert [device.name for device in devices.rels["items"]] == ["a", "b", "c"]


def test_metadata(api: Chain) -> None:
    site = enter(api).rels["ch:sites"].create({"name": "Marsh"}, auth=ROOT)
    entry = site.rels["ch:metadata"].create({"key": "altitude", "value": 17}, auth=ROOT)
    assert (entry.key, entry.value) == ("altitude", "17")
    found = chainclient.get(site.links["ch:metadata"].href)
    assert [(item.key, item.value) for item in found.data] == [("altitude", "17")]


def test_writes_without_credentials_or_with_wrong_ones(api: Chain) -> None:
    sites = chainclient.get(api.url + "/sites/")
    for auth in (None, ("app:para", "wrong"), ("somebody", "else")):
        with pytest.raises(chainclient.ChainException, match="Unauthorized"):
            sites.create({"name": "Marsh"}, auth=auth)
    assert chainclient.get(api.url + "/sites/").totalCount == 0


def test_a_refusal_reaches_the_caller(api: Chain) -> None:
    with pytest.raises(chainclient.ChainException, match="name is missing"):
        enter(api).rels["ch:sites"].create({"title": "Marsh"}, auth=ROOT)


def test_the_template_link_is_followed_bare(api: Chain) -> None:
    site = enter(api).rels["ch:sites"].create({"name": "Marsh"}, auth=ROOT)
    device = site.rels["ch:devices"].create({"name": "a"}, auth=ROOT)
    sensor = device.rels["ch:sensors"].create({"metric": "t", "unit": "u"}, auth=ROOT)
    with pytest.raises(chainclient.ChainException, match="aggtime must be 1h, 1d or 1w"):
        _ = sensor.rels["ch:aggregateData"]
    href = sensor.links["ch:aggregateData"].href.replace("{&aggtime}", "&aggtime=1d")
    assert chainclient.get(href).data == []
