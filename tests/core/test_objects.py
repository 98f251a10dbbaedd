"""Promise: a write of an object is validated, durable, told to search and listeners, and never lost to a neighbour."""

import asyncio
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner, totals
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft, Written
from thingstead.model.errors import ConstraintViolation, InvalidInput, KeyTaken, NotFound, VersionMismatch
from thingstead.model.events import Event, ObjectChanged, everything
from thingstead.model.values import Json, JsonObject, parse_object
from thingstead.ports.store import Key

APP = "para"
ME = owner(APP)


def test_twenty_patches_of_one_tick_lose_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            made = await backend.objects.create(APP, Draft(type="cat", body={"name": "Tom"}), ME)
            await asyncio.gather(*(backend.objects.patch(APP, made.object.id, {f"k{n}": n}, ME) for n in range(20)))
            shown = parse_object(await backend.objects.public(APP, made.object.id))
            assert {key: shown[key] for key in shown if key[0] == "k"} == {f"k{n}": n for n in range(20)}

    run(work())


PATCHES: list[tuple[int, JsonObject, int | None]] = [
    (1, {"version": 1, "a": 1}, 2),
    (4, {"version": 3, "a": 1}, None),
    (0, {"version": 3, "a": 1}, None),
    (4, {"a": 1}, 5),
    (0, {"a": 1}, 0),
    (4, {"version": 0, "a": 1}, 0),
    (4, {"version": -1, "a": 1}, 0),
]


@pytest.mark.parametrize(("stored", "patch", "after"), PATCHES)
def test_optimistic_locking(tmp_path: Path, stored: int, patch: JsonObject, after: int | None) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            made = await backend.objects.create(APP, Draft(type="cat", body={"name": "T", "version": stored}), ME)
            before = await totals(backend)
            if after is None:
                with pytest.raises(VersionMismatch):
                    await backend.objects.patch(APP, made.object.id, patch, ME)
                assert await totals(backend) == before
            else:
                assert (await backend.objects.patch(APP, made.object.id, patch, ME)).object.version == after

    run(work())


REFUSED: list[tuple[str, JsonObject, type[Exception]]] = [
    ("address", {"address": "a street"}, ConstraintViolation),
    ("app", {"id": "app:x"}, InvalidInput),
    ("thing", {"name": " "}, ConstraintViolation),
    ("thing", {"name": "x", "serviceBroker": "Nobody"}, ConstraintViolation),
    ("thing", {"name": "x", "deviceState": [1]}, ConstraintViolation),
    ("cat", {"id": {"a": 1}}, ConstraintViolation),
]


@pytest.mark.parametrize(("kind", "body", "error"), REFUSED)
def test_refused_creates_change_nothing(tmp_path: Path, kind: str, body: JsonObject, error: type[Exception]) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            before = await totals(backend)
            with pytest.raises(error):
                await backend.objects.create(APP, Draft(type=kind, body=body, credentials=True), ME)
            assert await totals(backend) == before

    run(work())


def test_a_taken_key_refuses_only_its_change(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            key = Key("kit", "k1", APP)
            outcomes = await backend.objects.create_many(
                APP, [Draft(type="cat", body={"name": n}, keys=(key,)) for n in "ab"], ME
            )
            assert [type(o) for o in outcomes] == [Written, KeyTaken]
            holder = await backend.objects.find(key)
            assert holder is not None
            assert holder.name == "a"

    run(work())


def test_a_refused_thing_of_a_batch_leaves_no_shadow(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            drafts = [Draft(type="thing", body={"name": name, "kitId": "k"}) for name in "ab"]
            drafts.append(Draft(type="cat", body={"name": "c"}))
            outcomes = await backend.objects.create_many(APP, drafts, ME)
            assert [type(o) for o in outcomes] == [Written, KeyTaken, Written]
            (kit,) = await backend.objects.list(APP, type="thing")
            numbers = [str(n) for n in range(int(kit.id) - 5, int(kit.id) + 50)]
            assert list(await backend.things.shadows(APP, numbers)) == [kit.id]

    run(work())


def test_custom_fields_merge_flat_and_null_removes(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            body: JsonObject = {"name": "T", "unit": "F", "class": "x", "objectURI": "y", "properties": {"max": 1}}
            made = await backend.objects.create(APP, Draft(type="sensorx", body=body), ME)
            assert made.object.custom == {"max": 1, "unit": "F"}
            patched = await backend.objects.patch(APP, made.object.id, {"unit": None, "min": 2, "parentid": "p"}, ME)
            assert patched.object.custom == {"max": 1, "min": 2}
            assert patched.object.parentid is None
            assert patched.object.updated is not None

    run(work())


def test_deleting_a_thing_takes_all_that_belongs_to_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            revoked: list[tuple[str, str]] = []
            backend.things.on_revoked(lambda app, thing: revoked.append((app, thing)))
            empty = await totals(backend)
            made = await backend.objects.create(
                APP, Draft(type="thing", body={"name": "kit", "kitId": "k"}, credentials=True), ME
            )
            id = made.object.id
            reported: JsonObject = {"a": 1, "b": {"c": 2}}
            await backend.ingest.report(Report(app=APP, thing=id, reported=reported))
            note: dict[str, Json] = {"parentid": id, "key": "k", "value": "v"}
            await backend.objects.create(APP, Draft(type="metadata", body=note), ME)
            await backend.objects.delete(APP, id, ME)
            assert (await totals(backend))[2:] == empty[2:]
            assert revoked == [(APP, id)]
            assert await backend.objects.find(Key("kit", "k", APP)) is None
            with pytest.raises(NotFound):
                await backend.things.shadow(APP, id)

    run(work())


def test_listeners_hear_of_writes_in_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            heard: list[Event] = []
            backend.hub.tap([everything(APP)], heard.append)
            made = await backend.objects.create(APP, Draft(type="site", body={"name": "a"}), ME)
            await backend.objects.patch(APP, made.object.id, {"name": "b"}, ME)
            await backend.objects.delete(APP, made.object.id, ME)
            assert [e.op for e in heard if isinstance(e, ObjectChanged)] == ["create", "update", "delete"]

    run(work())
