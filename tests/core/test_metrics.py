"""Promise: every call is timed for its app and for all, whoever asks; plug-ins time and count the same way."""

from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner
from support.environment import ManualClock
from thingstead.core.metrics import MOST_APPS, NAMES, SYSTEM, Metrics
from thingstead.core.objects import Draft
from thingstead.model import links
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Limits, Pager

ME = owner("para")


class Stopwatch:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def counts(metrics: Metrics, app: str) -> dict[str, float]:
    metrics.settle()
    return {name: found["count"] for _, name, found in metrics.registry(app).values(0) if found["count"]}


def test_the_store_and_search_are_timed(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, cache_enabled=True) as backend:
            backend.metrics.settle()
            before = counts(backend.metrics, "para")
            await backend.tenants.create("other")
            await backend.objects.create("para", Draft(type="cat", body={"id": "1"}), ME)
            await backend.objects.create("para", Draft(type="cat", body={"id": "1"}), ME)
            await backend.objects.patch("para", "1", {"a": 1}, ME)
            await backend.objects.create_many("para", [Draft(type="cat", body={"id": f"{n}"}) for n in (2, 3)], ME)
            await backend.objects.public("para", "1")
            await backend.objects.list("para")
            await backend.objects.delete("para", "2", ME)
            after = counts(backend.metrics, "para")
            new = {name: after[name] - before.get(name, 0) for name in after}
            assert new["DAO.create"] >= 1
            assert new["DAO.update"] >= 2
            assert (new["DAO.createAll"], new["DAO.delete"], new["DAO.readPage"]) == (1, 1, 1)
            assert new["DAO.readAll"] >= 1
            assert (new["Search.indexAll"], new["Search.unindex"]) == (1, 1)
            assert new["Cache.get"] >= 1
            assert set(after) <= set(NAMES)
            assert "DAO.create" not in counts(backend.metrics, "other"), "the app's object is root's"

    run(work())


def test_every_search_is_timed_whichever_door_asks(tmp_path: Path) -> None:
    """Linked objects and children count as findQuery, counts as getCount; a re-index is one call."""

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            for id in ("a", "b"):
                await backend.objects.create("para", Draft(type="cat", body={"id": id}), ME)
            backend.metrics.settle()
            before = counts(backend.metrics, "para")
            limits = Limits(30, 256, 1000)
            await backend.links.linked("para", "a", links.linked("a", "cat", {}, limits))
            await backend.links.children("para", "a", links.children("a", "cat", {}, limits))
            await backend.search.find("para", Find(ast.ALL, "cat", Pager(), count=True), name="getCount")
            await backend.reindexer.run("para")
            after = counts(backend.metrics, "para")
            new = {name: after[name] - before.get(name, 0) for name in after}
            assert (new["Search.findQuery"], new["Search.getCount"], new["Search.rebuildIndex"]) == (2, 1, 1)

    run(work())


def test_all_apps_are_the_system() -> None:
    watch, clock = Stopwatch(), ManualClock()
    metrics = Metrics(clock, watch)
    for app, seconds in (("a", 1.0), ("b", 3.0), ("a", 2.0)):
        start = metrics.now()
        watch.seconds += seconds
        metrics.record(app, "DAO.read", start)
    assert counts(metrics, "a") == {"DAO.read": 2}
    assert counts(metrics, SYSTEM) == {"DAO.read": 3}
    found = metrics.system.timer("DAO.read").attributes(clock.now())
    assert (found["min"], found["max"], found["mean"]) == (1000, 3000, 2000)


def test_every_name_is_there_from_the_start() -> None:
    metrics = Metrics(ManualClock(), Stopwatch())
    for app in (SYSTEM, "new"):
        found = list(metrics.registry(app).values(0))
        assert [name for _, name, _ in found] == sorted(NAMES)
        assert all(not any(attributes.values()) for _, _, attributes in found)
    for name in (
        "RestUtils.crud.overwrite",
        "RestUtils.search.terms",
        "DAO.readPage",
        "Search.getCount",
        "Cache.putAll",
    ):
        assert name in NAMES


def test_plug_ins() -> None:
    watch = Stopwatch()
    metrics = Metrics(ManualClock(), watch)
    metrics.counter("a", "my.Plugin", "seen").inc()
    metrics.counter("a", "my.Plugin", "seen").inc(2)
    with metrics.time("a", "my.Plugin", "work", "hard"):
        watch.seconds += 2
    with pytest.raises(KeyError), metrics.time("a", "my.Plugin", "work", "hard"):
        raise KeyError
    assert counts(metrics, "a") == {"my.Plugin.seen": 3, "my.Plugin.work.hard": 2}


def test_off_records_nothing_and_counts_still() -> None:
    metrics = Metrics(ManualClock(), Stopwatch(), enabled=False)
    with metrics.time("a", "x", "y"):
        pass
    metrics.counter(SYSTEM, "x", "dropped").inc()
    assert counts(metrics, "a") == {}
    assert counts(metrics, SYSTEM) == {"x.dropped": 1}


def test_memory_is_bounded() -> None:
    watch = Stopwatch()
    metrics = Metrics(ManualClock(), watch)
    for n in range(MOST_APPS + 50):
        metrics.record(f"app{n}", "DAO.read", 0)
    for n in range(3000):
        metrics.record("one", f"name{n}", 0)
    for _ in range(5000):
        metrics.record("one", "DAO.read", 0)
    assert max(map(len, metrics._pending.values())) <= 2001
    metrics.settle()
    assert len(metrics._apps) <= MOST_APPS
    assert len(metrics.registry("one").timers) <= 1000
    metrics.forget("one")
    assert counts(metrics, "one") == {}
