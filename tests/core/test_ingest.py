"""Promise: a report is one durable transaction of readings, shadow and new sensors, in order, told only then."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner, totals
from support.environment import NOON, ManualClock
from thingstead.core.backend import Backend
from thingstead.core.backlog import Backlog
from thingstead.core.ingest import Ingest, Outcome, Report
from thingstead.core.objects import Draft
from thingstead.core.outbox import Outbox
from thingstead.model.errors import InvalidInput, NotFound, StoreFailed, TooLarge, VersionMismatch
from thingstead.model.events import Event, Reported, subject
from thingstead.model.readings import AHEAD, value_of
from thingstead.model.shadow import MAX_SENSORS, Attribute
from thingstead.model.values import Json, JsonObject
from thingstead.ports.store import Batch, Committed, Store

APP = "para"


async def thing(backend: Backend, **body: Json) -> str:
    """A new thing's id."""
    return (await backend.objects.create(APP, Draft(type="thing", body={"name": "kit", **body}), owner(APP))).object.id


def report(id: str, reported: JsonObject, **more: object) -> Report:
    return Report(app=APP, thing=id, reported=reported, **more)  # pyright: ignore[reportArgumentType]


async def history(backend: Backend, id: str, path: str) -> list[tuple[int, Json]]:
    """(time, value) of a leaf's readings, oldest first."""
    series = (await backend.things.shadow(APP, id)).leaves[path].series
    return [(r.time, value_of(r.value, r.text)) for r in await backend.store.readings.window(series, None, None)]


def test_every_leaf_of_any_kind_becomes_a_sensor_and_a_reading(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend, sensorUnits={"temp": "celsius"})
            sent: JsonObject = {"temp": 24.5, "label": "x", "on": True, "nested": {"a": 1}, "l": [1, 2], "w.s": 3}
            outcome = await backend.ingest.report(report(id, sent))
            assert outcome.version == 1
            sensors = {s.custom["path"]: s for s in await backend.objects.list(APP, type="sensor", parent=id)}
            kinds = {path: (s.custom["metric"], s.custom["dataType"]) for path, s in sensors.items()}
            assert kinds == {
                "temp": ("temp", "float"),
                "label": ("label", "string"),
                "on": ("on", "bool"),
                "nested.a": ("nested.a", "float"),
                "l": ("l", "json"),
                "w\\.s": ("w.s", "float"),
            }
            assert sensors["temp"].custom["unit"] == "celsius"
            for path, value in (("temp", 24.5), ("label", "x"), ("on", True), ("nested.a", 1), ("l", [1, 2])):
                assert await history(backend, id, path) == [(outcome.time, value)]
            shown = await backend.objects.get(APP, id)
            assert shown.version == 0
            assert b'"deviceState":{"temp":24.5' in await backend.objects.public(APP, id)

    run(work())


def test_a_report_leaves_object_index_and_journal_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            await backend.ingest.report(report(id, {"temp": 1}))
            journal, head, _, _ = await totals(backend)
            await backend.ingest.accept([report(id, {"temp": n}) for n in range(50)])
            assert await backend.store.journal.last() == journal
            assert await backend.store.readings.head() == head + 50

    run(work())


def test_stamps_grow_strictly_although_the_clock_stands_still(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, clock=ManualClock()) as backend:
            id = await thing(backend)
            await backend.ingest.accept([report(id, {"temp": n}) for n in range(7)])
            assert [v for _, v in await history(backend, id, "temp")] == list(range(7))

    run(work())


@pytest.mark.parametrize(
    ("offset", "kept"), [(-3_600_000_000, True), (AHEAD, True), (AHEAD + 1, False)], ids=["past", "ahead", "too far"]
)
def test_device_time_counts_unless_it_is_too_far_ahead(tmp_path: Path, offset: int, kept: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, clock=ManualClock()) as backend:
            id = await thing(backend)
            outcome = await backend.ingest.report(report(id, {"temp": 1}, time=NOON + offset))
            assert (await history(backend, id, "temp"))[0][0] == (NOON + offset if kept else outcome.time)

    run(work())


def test_an_older_event_makes_a_reading_but_no_state(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, clock=ManualClock()) as backend:
            id = await thing(backend)
            for value, back in ((2, 10), (1, 20)):
                await backend.ingest.report(
                    report(id, {"temp": value}, time=NOON - back * 1_000_000, state_by_time=True)
                )
            assert (await backend.things.shadow(APP, id)).reported == {"temp": 2}
            assert [v for _, v in await history(backend, id, "temp")] == [1, 2]
            leaf = (await backend.things.shadow(APP, id)).leaves["temp"]
            assert (leaf.time, leaf.value) == (NOON - 10_000_000, 2)

    run(work())


def test_set_replaces_a_name_whole_and_keeps_null_and_empty(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            first: JsonObject = {"a": {"x": 1, "y": 2}, "b": 5}
            await backend.ingest.report(report(id, first, mode="set", attributes={"b": Attribute("Number")}))
            await backend.ingest.report(report(id, {"a": {"y": 3}, "n": None, "e": {}}, mode="set"))
            shadow = await backend.things.shadow(APP, id)
            assert shadow.reported == {"a": {"y": 3}, "b": 5, "n": None, "e": {}}
            assert shadow.attributes["b"].type == "Number"
            assert set(shadow.leaves) == {"a.x", "a.y", "b"}
            assert [v for _, v in await history(backend, id, "a.y")] == [2, 3]

    run(work())


REFUSED = [
    (report("", {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}), InvalidInput),
    (report("", {"a": "x" * 9000}, size=9100), TooLarge),
    (report("", {"a": 1}, version=7), VersionMismatch),
    (Report(app=APP, thing="", reported=[1]), InvalidInput),  # pyright: ignore[reportArgumentType]
]


@pytest.mark.parametrize(("bad", "error"), REFUSED, ids=["deep", "large", "version", "no object"])
def test_a_refused_report_changes_nothing_and_spares_its_neighbours(
    tmp_path: Path, bad: Report, error: type[Exception]
) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            bad.thing = id
            await backend.ingest.report(report(id, {"temp": 1}))
            before = await totals(backend)
            with pytest.raises(error):
                await backend.ingest.report(bad)
            assert await totals(backend) == before
            assert (await backend.things.shadow(APP, id)).reported == {"temp": 1}
            outcomes = await backend.ingest.accept([report(id, {"temp": 2}), bad, report(id, {"temp": 3})])
            assert [type(o.error) for o in outcomes] == [type(None), error, type(None)]
            assert (await backend.things.shadow(APP, id)).version == 3

    run(work())


def test_an_unknown_thing_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            with pytest.raises(NotFound):
                await backend.ingest.report(report("nobody", {"a": 1}))
            id = await thing(backend)
            assert (await backend.ingest.accept([Report(app="other", thing=id, reported={"a": 1})]))[0].error

    run(work())


def test_beyond_the_cap_of_sensors_leaves_are_state_only(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            names: JsonObject = {f"s{n}": n for n in range(MAX_SENSORS + 5)}
            await backend.ingest.report(report(id, names))
            assert len((await backend.things.shadow(APP, id)).reported) == MAX_SENSORS + 5
            assert await backend.objects.count(APP, type="sensor", parent=id) == MAX_SENSORS
            assert await backend.store.readings.head() == MAX_SENSORS

    run(work())


def test_a_deleted_sensor_that_reports_again_gets_a_new_id(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            await backend.ingest.report(report(id, {"temp": 1}))
            (old,) = await backend.objects.list(APP, type="sensor", parent=id)
            await backend.objects.delete(APP, old.id, owner(APP))
            await backend.ingest.report(report(id, {"temp": 2}))
            (new,) = await backend.objects.list(APP, type="sensor", parent=id)
            assert new.id != old.id
            assert [v for _, v in await history(backend, id, "temp")] == [2]

    run(work())


def test_a_form_and_a_first_report_make_one_sensor(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            made, reported = await asyncio.gather(
                backend.things.add_sensors(APP, id, [{"metric": "temp", "unit": "celsius"}], owner(APP)),
                backend.ingest.report(report(id, {"temp": 1})),
                return_exceptions=True,
            )
            assert isinstance(reported, Outcome), made
            assert await backend.objects.count(APP, type="sensor", parent=id) == 1
            await backend.ingest.report(report(id, {"temp": 2}))
            assert [v for _, v in await history(backend, id, "temp")] == [1, 2]

    run(work())


class _Failing:
    """A store whose commits fail while `broken`; everything else is the real one's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Committed:
        if self.broken:
            raise StoreFailed("disk full")
        return await self._store.commit(batch)


def test_a_failed_commit_acknowledges_nothing_and_forgets_what_it_computed(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            await backend.ingest.report(report(id, {"temp": 1}))
            store = _Failing(backend.store)
            outbox = Outbox(backend.store, backend.clock, Backlog(backend.store.queue, 1), enabled=False)
            ingest = Ingest(store, backend.clock, backend.ids, backend.hub, backend.search, outbox)  # pyright: ignore[reportArgumentType]
            got: list[Sequence[Outcome] | BaseException] = []
            ingest.submit([report(id, {"temp": 2})], got.append)
            ingest.submit([report(id, {"other": 2})], got.append)
            await ingest.close()
            assert [type(g) for g in got] == [StoreFailed, StoreFailed]
            store.broken = False
            outcome = await ingest.report(report(id, {"temp": 3}))
            assert outcome.version == 2
            assert (await backend.things.shadow(APP, id)).reported == {"temp": 3}

    run(work())


def test_listeners_hear_of_a_report_after_it_is_durable_in_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            site = await backend.objects.create(APP, Draft(type="site", body={"name": "s"}), owner(APP))
            id = await thing(backend, parentid=site.object.id)
            heard: list[Event] = []
            backend.hub.tap([subject(APP, site.object.id)], heard.append)
            await backend.ingest.accept([report(id, {"temp": n, "label": "x"}) for n in range(3)])
            readings = [e for e in heard if isinstance(e, Reported)]
            assert [p.value for e in readings for p in e.points if p.path == "temp"] == [0, 1, 2]
            assert {e.parent for e in readings} == {site.object.id}
            (sensor,) = [s for s in await backend.objects.list(APP, type="sensor", parent=id) if s.name == "temp"]
            assert readings[0].points[0].sensor == sensor.id

    run(work())


def test_patch_of_state_commands_only_what_changes(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await thing(backend)
            await backend.ingest.report(report(id, {"temp": 24, "label": "x", "deep": {"a": 1, "b": 2}}))
            patch: JsonObject = {"deviceState": {"temp": 26, "label": None, "deep": {"a": 1}}}
            await backend.objects.patch(APP, id, patch, owner(APP))
            shadow = await backend.things.shadow(APP, id)
            assert shadow.desired == {"temp": 26}
            assert shadow.reported == {"temp": 24, "deep": {"a": 1, "b": 2}}
            assert b'"deviceState":{"temp":26,"deep":{"a":1,"b":2}}' in await backend.objects.public(APP, id)
            await backend.ingest.report(report(id, {"temp": 25}))
            assert b'"deviceState":{"temp":25,' in await backend.objects.public(APP, id)
            version = (await backend.things.shadow(APP, id)).version
            await backend.objects.patch(APP, id, {"deviceState": {"temp": 25}}, owner(APP))
            assert (await backend.things.shadow(APP, id)).version == version

    run(work())
