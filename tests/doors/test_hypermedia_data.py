"""Readings through hypermedia: both ways of paging, replacing, late data, aggregates, and who else sees them (8, 9)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.chain import Chain, chain, href, id_of
from support.stages import Stage

START = 1_700_000_000
ORDER = [*range(1, 1200, 2), *range(0, 1200, 2)]  # so that a half of it is every other minute


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with chain(tmp_path_factory.mktemp("data"), chain_max_points=700) as started:
        yield started


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.fixture(scope="module")
def history(api: Chain, stage: Stage) -> str:
    """A sensor of 1200 readings, one a minute: value n at START + 60 n. The href of its history."""
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        api.data(sensor, [{"value": n, "timestamp": iso(START + 60 * n)} for n in ORDER])
    return href(sensor, "ch:dataHistory")


def values(page: Any) -> list[float]:
    return [point["value"] for point in page["data"]]


def between(low: int, high: int) -> list[float]:
    return [float(n) for n in range(low, high)]


COUNT: list[tuple[str, list[float], set[str]]] = [
    ("", between(700, 1200), {"first", "previous"}),
    ("&limit=20", between(1180, 1200), {"first", "previous"}),
    ("&limit=0", between(700, 1200), {"first", "previous"}),
    ("&offset=0", between(0, 500), {"next", "last"}),
    ("&offset=300&limit=200", between(300, 500), {"first", "previous", "next", "last"}),
    ("&limit=200&offset=1000", between(1000, 1200), {"first", "previous"}),
    ("&offset=5000", [], {"first", "previous"}),
    ("&offset=99999999999999999999999&limit=99999999999999999999999", [], {"first", "previous"}),
]


@pytest.mark.parametrize(("query", "shown", "rels"), COUNT)
def test_pages_by_count(api: Chain, history: str, query: str, shown: list[float], rels: set[str]) -> None:
    page = api.get(history + query)
    assert values(page) == shown
    assert page["totalCount"] == 1200
    assert set(page["_links"]) == {"self", "curies", "createForm", *rels}
    assert href(page) == history


WINDOWS: list[tuple[str, list[float], int]] = [
    (f"timestamp__gte={START}&timestamp__lt={START + 600}", between(0, 10), 10),
    (f"timestamp__gte={START + 1}&timestamp__lt={START + 600.5}", between(1, 11), 10),
    (f"timestamp__gte={START + 40 * 1000}", between(667, 1200), 533),
    (f"timestamp__lt={START + 600}", [], 0),
    (f"timestamp__gte={START + 600}&timestamp__lt={START}", [], 0),
    (f"timestamp__gte={START}&timestamp__lt={START + 600}&limit=3", between(7, 10), 10),
    (f"timestamp__gte={START}&timestamp__lt={START + 600}&limit=3&offset=3", between(3, 6), 10),
    (f"timestamp__gte={START}&timestamp__lt={START + 600}&offset=8", between(8, 10), 10),
    (f"timestamp__gte={START}&limit=2", between(1198, 1200), 1200),
]


@pytest.mark.parametrize(("query", "shown", "total"), WINDOWS)
def test_pages_by_window(api: Chain, history: str, query: str, shown: list[float], total: int) -> None:
    page = api.get(f"{history}&{query}")
    assert values(page) == shown
    assert page["totalCount"] == total
    if "limit" not in query and "offset" not in query:
        assert {"previous", "next"} < set(page["_links"])
        assert not {"first", "last"} & set(page["_links"])


def test_windows_followed_backwards_and_forwards_meet(api: Chain, history: str) -> None:
    page = api.get(f"{history}&timestamp__gte={START + 36000}&timestamp__lt={START + 48000}")
    assert values(page) == between(600, 800)
    assert values(api.get(href(page, "previous"))) == between(400, 600)
    assert values(api.get(href(page, "next"))) == between(800, 1000)
    assert values(api.get(href(page))) == values(page)


def test_a_window_is_never_cut(api: Chain, history: str) -> None:
    answer = api.request("GET", f"{history}&timestamp__gte=0")
    assert answer.status_code == 400
    assert "ch:aggregateData" in answer.json()["message"]
    assert len(api.get(f"{history}&limit=1000")["data"]) == 700


def test_unknown_parameters_are_carried_along(api: Chain, history: str) -> None:
    page = api.get(f"{history}&colour=red&limit=10")
    assert href(page) == f"{history}&colour=red"
    assert href(page, "previous") == f"{history}&colour=red&limit=10&offset=1180"
    assert href(page, "createForm").endswith(history.rpartition("?")[2])


def test_the_last_hours_when_only_an_open_window_is_asked(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    now = datetime.now(UTC)
    times = [now - timedelta(hours=hours) for hours in (7, 5, 1)]
    with api.written(stage):
        api.data(sensor, [{"value": n, "timestamp": time.isoformat()} for n, time in enumerate(times)])
    ahead = now + timedelta(seconds=60)
    page = api.get(f"{href(sensor, 'ch:dataHistory')}&timestamp__lt={ahead.timestamp()}")
    assert values(page) == [1.0, 2.0]


def test_the_same_moment_again_replaces(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        for value in (1, 2, 2):
            api.data(sensor, {"value": value, "timestamp": iso(START)})
    page = api.get(href(sensor, "ch:dataHistory"))
    assert values(page) == [2.0]
    assert page["totalCount"] == 1


def test_a_late_reading_does_not_change_the_value(api: Chain, stage: Stage) -> None:
    device = api.device(api.site())
    sensor = api.sensor(device)
    with api.written(stage):
        api.data(sensor, {"value": 5, "timestamp": iso(START)})
        api.data(sensor, {"value": 6, "timestamp": iso(START - 60)})
    found = api.get(href(sensor))
    assert (found["value"], found["updated"]) == (5.0, iso(START))
    shadow = api.server.run(api.server.backend.things.shadow("para", id_of(device)))
    assert shadow.reported == {"temperature": 5}
    assert values(api.get(href(sensor, "ch:dataHistory"))) == [6.0, 5.0]


def test_a_time_far_ahead_becomes_the_present(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site()))
    ahead = datetime.now(UTC) + timedelta(hours=1)
    made = api.data(sensor, {"value": 5, "timestamp": ahead.isoformat()})
    assert datetime.fromisoformat(made["timestamp"]) < ahead - timedelta(minutes=50)
    assert api.get(href(sensor))["updated"] == made["timestamp"]


def test_untimed_readings_of_one_list_are_kept_apart(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    with api.written(stage):
        made = api.data(sensor, [{"value": n} for n in range(7)])
    assert len({point["timestamp"] for point in made}) == 7
    assert values(api.get(href(sensor, "ch:dataHistory"))) == between(0, 7)


def test_readings_of_inactive_devices_are_accepted(api: Chain) -> None:
    sensor = api.sensor(api.device(api.site(), active=False), active=False)
    assert sensor["active"] is False
    assert api.data(sensor, {"value": True})["value"] == 1.0


@pytest.mark.parametrize("metric", ["wind speed, max", "wind.speed", "a\\b", "größe", "{x}", "a/b?c#d"])
def test_a_metric_is_one_literal_key(api: Chain, metric: str) -> None:
    device = api.device(api.site(name=metric))
    sensor = api.sensor(device, metric=metric)
    api.data(sensor, {"value": 1.5})
    assert api.get(href(sensor))["value"] == 1.5
    shadow = api.server.run(api.server.backend.things.shadow("para", id_of(device)))
    assert shadow.reported == {metric: 1.5}
    assert len(api.get(href(device, "ch:sensors"))["_links"]["items"]) == 1


def test_other_names_of_the_same_resources(api: Chain, history: str) -> None:
    id = history.rpartition("=")[2]
    assert api.get(f"/scalar_data/?sensor_id={id}") == api.get(history)
    assert api.get(f"/sensordata/?sensor={id}")["data"] == api.get(history)["data"]
    for other in (f"/scalar_sensors/{id}", f"/sensor/{id}", f"//sensors//{id}"):
        assert href(api.get(other)) == f"{api.url}/sensors/{id}"
    assert api.post(f"/scalar_data/create?sensor_id={id}", [], 201) == []
    assert api.post(f"/sensordata/?sensor_id={id}", {"value": 1, "timestamp": iso(START)})["value"] == 1.0
    api.post(f"/sensordata/?sensor_id={id}", {"value": 0, "timestamp": iso(START)})


def test_days_and_weeks_agree_with_hours(api: Chain, history: str) -> None:
    href_of = history.replace("/sensordata/", "/aggregate_data/")
    found = {
        aggtime: api.get(f"{href_of}&aggtime={aggtime}&timestamp__gte={START - 700_000}")["data"]
        for aggtime in ("1h", "1d", "1w")
    }
    assert [sum(bucket["count"] for bucket in buckets) for buckets in found.values()] == [1200, 1200, 1200]
    assert len(found["1h"]) == 21
    assert len(found["1d"]) == 2
    for day in found["1d"]:
        hours = [hour for hour in found["1h"] if hour["timestamp"][:10] == day["timestamp"][:10]]
        assert day["count"] == sum(hour["count"] for hour in hours)
        assert day["max"] == max(hour["max"] for hour in hours)
        assert day["mean"] == pytest.approx(sum(h["mean"] * h["count"] for h in hours) / day["count"])


def test_aggregates_without_a_lower_bound_reach_500_buckets_back(api: Chain, stage: Stage) -> None:
    sensor = api.sensor(api.device(api.site()))
    now = datetime.now(UTC)
    with api.written(stage):
        api.data(sensor, [{"value": 1, "timestamp": (now - timedelta(hours=h)).isoformat()} for h in (510, 490, 0)])
    template = href(sensor, "ch:aggregateData")
    assert len(api.get(template.replace("{&aggtime}", "&aggtime=1h"))["data"]) == 2
    assert sum(b["count"] for b in api.get(template.replace("{&aggtime}", "&aggtime=1d"))["data"]) == 3
