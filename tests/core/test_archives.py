"""Promise: what one app exports another can import, and has equal objects then: hidden parts, Unicode, nesting."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft
from thingstead.model.errors import InvalidInput, StoreFailed
from thingstead.model.query.build import Limits, plan
from thingstead.model.values import JsonObject, parse_object
from thingstead.ports.store import Batch, Committed, Key

ONE, TWO = "one", "two"
LIMITS = Limits(30, 256, 1000)
DEVICE: JsonObject = {
    "device_id": "d/1",
    "apikey": "key",
    "entity_name": "Room 1",
    "entity_type": "Room",
    "transport": "HTTP",
    "attributes": [{"object_id": "t", "name": "temp", "type": "Number"}],
}
GROUP: JsonObject = {"resource": "/in", "apikey": "shared", "entity_type": "Room", "trust": "a trust"}
PLAIN: list[JsonObject] = [
    {
        "type": "cat",
        "id": "Tom",
        "name": "Tom",
        "tags": ["grey", "fast"],
        "creatorid": "x",
        "parentid": "y",
        "votes": 3,
    },
    {
        "type": "cat",
        "id": "ж/ü #?%:🐈",
        "age": 3.5,
        "deep": {"a": [{"b": [1, None, True]}, "x"], "ё": {}},
        "version": 4,
    },
    {"type": "cat", "id": "p", "properties": {"properties": "text", "shadow": 1, "keys": [1], "secret": "own"}},
    {"type": "tag", "id": "tag:c-++", "tag": "C ++", "count": 7},
    {"type": "address", "address": "Street 1", "country": "DE", "latlng": "1.5,2.5"},
    {"type": "webhook", "targetUrl": "https://example.org/x", "secret": "s", "create": True, "typeFilter": "cat"},
    {"type": "sensor", "id": "just-an-object", "path": "x", "parentid": "p"},
    {"type": "cat", "id": "hidden", "indexed": False, "timestamp": 7},
]


def objects_in(archive: bytes) -> list[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return [item for name in opened.namelist() for item in json.loads(opened.read(name))]


def archive_of(*parts: Sequence[Any] | bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for n, part in enumerate(parts):
            opened.writestr(f"part{n}.json", part if isinstance(part, bytes) else json.dumps(part))
    return file


async def exported(backend: Backend, app: str) -> bytes:
    return b"".join([piece async for piece in (await backend.archives.export(app)).pieces])


async def loaded(backend: Backend, app: str, *parts: Sequence[Any] | bytes) -> JsonObject:
    return await backend.archives.load(app, archive_of(*parts), None, owner(app))


async def shown(backend: Backend, app: str) -> dict[str, JsonObject]:
    found = await backend.objects.list(app)
    publics = await backend.objects.public_many(app, [obj.id for obj in found])
    return {obj["id"]: obj for obj in map(parse_object, publics) if obj["type"] != "paraimport"}  # pyright: ignore


async def found(backend: Backend, app: str, type: str, q: str) -> set[str]:
    return set((await backend.search.find(app, plan("", type, {"q": [q]}, LIMITS))).ids)


async def filled(backend: Backend, app: str) -> str:
    """An app with one of everything; the id of its thing."""
    me = owner(app)
    await backend.tenants.create(app)
    for body in PLAIN:
        await backend.objects.create(app, Draft(type=str(body["type"]), body=body), me)
    await backend.agents.add_groups(app, app, "/", [GROUP], me)
    await backend.agents.add_devices(app, app, "/barn", [DEVICE], me)
    draft = Draft(type="thing", body={"name": "Kit", "kitId": "k1", "sensorUnits": {"temp": "C"}}, credentials=True)
    thing = (await backend.objects.create(app, draft, me)).object.id
    report = Report(app=app, thing=thing, reported={"temp": 21.5, "pos": {"x": 1}}, desired={"fan": True})
    await backend.ingest.report(report)
    return thing


def test_an_exported_app_imported_into_another_gives_equal_objects(tmp_path: Path) -> None:
    """Of another server, so that what is unique over all apps is free."""

    async def work() -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        async with open_backend(tmp_path / "a") as here, open_backend(tmp_path / "b") as there:
            await filled(here, ONE)
            archive = await exported(here, ONE)
            await there.tenants.create(TWO)
            summary = await there.archives.load(TWO, io.BytesIO(archive), "a.zip", owner(TWO))
            before, after = await shown(here, ONE), await shown(there, TWO)
            assert summary["count"] == len(before)
            assert "skipped" not in summary
            assert {"name": "a.zip", "type": "paraimport", "appid": TWO, "creatorid": TWO}.items() <= summary.items()
            assert after == {id: {**obj, "appid": TWO} for id, obj in before.items()}
            again = {item["id"]: item for item in objects_in(await exported(there, TWO)) if item["id"] in before}
            for item in objects_in(archive):
                mine = again[item["id"]]
                if item["type"] == "sensor" and "series" in item:
                    assert mine.pop("series") != 0
                    item.pop("series")
                mine.pop("deviceMetadata", None), item.pop("deviceMetadata", None)  # names the app
                assert mine == {**item, "appid": TWO}
            assert await found(there, TWO, "cat", "Tom") == {"Tom"}
            assert await found(there, TWO, "cat", "*") == {"Tom", "ж/ü #?%:🐈", "p"}
            assert set((await there.tenants.get(TWO)).datatypes) == {"cats", "paraimports"}

    run(work())


def test_what_an_archive_looks_like(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, max_items_per_page=2) as backend:
            await filled(backend, ONE)
            export = await backend.archives.export(ONE)
            archive = b"".join([piece async for piece in export.pieces])
            name = export.name.removesuffix(".zip")
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                names = opened.namelist()
                assert names == [f"{name}_part{n}.json" for n in range(1, len(names) + 1)]
                sizes = [len(json.loads(opened.read(each))) for each in names]
            assert sizes[-1] == 0
            assert set(sizes[:-2]) == {2}
            assert sum(sizes) == export.total == len(await shown(backend, ONE))
            items = {item["id"]: item for item in objects_in(archive)}
            cat = items["ж/ü #?%:🐈"]
            assert cat["properties"] == {"age": 3.5, "deep": PLAIN[1]["deep"]}
            assert "age" not in cat
            assert cat["objectURI"].startswith("/cats/")
            group = next(
                item for item in items.values() if item["type"] == "service_group" and "claim" not in str(item)
            )
            assert (group["secrets"]["apikey"], group["secrets"]["trust"]) == ("shared", "a trust")
            device = next(item for item in items.values() if "agentSecrets" in item)
            assert device["agentSecrets"]["apikey"] == "key"
            root = {item["id"]: item for item in objects_in(await exported(backend, "para"))}
            app = await backend.tenants.get(ONE)
            assert root["app:one"]["secret"] == app.secret
            assert "cats" in root["app:one"]["datatypes"]

    run(work())


def test_a_thing_comes_back_as_it_was_without_surprises(tmp_path: Path) -> None:
    """Deleted and restored: credentials, state and entity are there, history begins anew, sensors keep their ids."""

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            thing = await filled(backend, ONE)
            archive = await exported(backend, ONE)
            before = await backend.objects.get(ONE, thing)
            shadow = await backend.things.shadow(ONE, thing)
            sensor = shadow.leaves["temp"].sensor
            await backend.objects.delete(ONE, thing, owner(ONE))
            summary = await backend.archives.load(ONE, io.BytesIO(archive), None, owner(ONE))
            assert "skipped" not in summary
            after = await backend.objects.get(ONE, thing)
            assert after.hidden["deviceMetadata"] == before.hidden["deviceMetadata"]
            held = await backend.store.objects.find(
                Key("certificate", str(before.hidden["deviceMetadata"]["clientCertId"]))
            )  # pyright: ignore
            assert held is not None
            assert held.id == thing
            again = await backend.things.shadow(ONE, thing)
            assert (again.reported, again.desired, again.version) == (shadow.reported, shadow.desired, shadow.version)
            assert (again.entity_id, again.shown) == (shadow.entity_id, True)
            await backend.ingest.report(Report(app=ONE, thing=thing, reported={"temp": 22}))
            leaf = (await backend.things.shadow(ONE, thing)).leaves["temp"]
            assert leaf.sensor == sensor
            assert leaf.series != shadow.leaves["temp"].series
            readings = await backend.store.readings.window(leaf.series, None, None)
            assert [reading.value for reading in readings] == [22]
            assert (await backend.objects.find(Key("kit", "k1", ONE))) is not None
            device = await backend.agents.find(ONE, "/barn", "key", "d/1")
            assert device is not None
            assert device.name == "Room 1"
            assert (await backend.agents.lone("key", "d/1")) == device
            group = await backend.agents.group_for("/in", "shared")
            assert group is not None
            assert group.trust == "a trust"

    run(work())


def test_a_thing_that_is_there_keeps_credentials_and_state(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            thing = await filled(backend, ONE)
            archive = await exported(backend, ONE)
            await backend.things.credentials(ONE, thing, owner(ONE))
            await backend.ingest.report(Report(app=ONE, thing=thing, reported={"temp": 99}))
            await backend.objects.patch(ONE, thing, {"name": "Renamed"}, owner(ONE))
            before = await backend.objects.get(ONE, thing)
            shadow = await backend.things.shadow(ONE, thing)
            await backend.archives.load(ONE, io.BytesIO(archive), None, owner(ONE))
            after = await backend.objects.get(ONE, thing)
            assert after.name == "Kit"
            assert after.hidden == before.hidden
            assert await backend.things.shadow(ONE, thing) == shadow
            await backend.ingest.report(Report(app=ONE, thing=thing, reported={"temp": 100}))
            series = shadow.leaves["temp"].series
            assert [r.value for r in await backend.store.readings.window(series, None, None)] == [21.5, 99, 100]

    run(work())


def test_an_archive_takes_nothing_from_another_tenant(tmp_path: Path) -> None:
    """Numbers of histories, certificates, cloud ids, apikeys: what an archive says of them is not believed."""

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            thing = await filled(backend, ONE)
            items = objects_in(await exported(backend, ONE))
            theirs = next(item for item in items if item["type"] == "sensor" and "series" in item)
            await backend.tenants.create(TWO)
            sensor = {**theirs, "id": "s", "parentid": "kit"}
            metadata = next(item for item in items if item["id"] == thing)["deviceMetadata"]
            await backend.objects.delete(ONE, thing, owner(ONE))  # its certificate is nobody's now
            stolen = {"id": "kit", "type": "thing", "name": "Kit", "deviceMetadata": metadata}
            forged = {**stolen, "id": "forged", "deviceMetadata": {**metadata, "cloudId": "two-forged"}}
            keyed = {**stolen, "id": "keyed", "deviceKeys": [["cloud", "one-x", ""], ["certificate", "f" * 64, ""]]}
            assert (await loaded(backend, TWO, [sensor, stolen, forged, keyed]))["count"] == 4
            made = await backend.objects.get(TWO, "s")
            assert made.hidden["series"] != theirs["series"]
            for id in ("kit", "forged", "keyed"):
                kept = (await backend.objects.get(TWO, id)).hidden["deviceMetadata"]
                assert kept["cloudId"] == f"two-{id}"  # pyright: ignore
                assert "clientCertId" not in kept  # pyright: ignore
            assert await backend.store.objects.find(Key("certificate", metadata["clientCertId"])) is None
            assert await backend.store.objects.find(Key("cloud", "one-x")) is None
            group = next(item for item in items if item["type"] == "service_group" and "config" in item["secrets"])
            refused = await loaded(backend, TWO, [{**group, "id": "mine"}])
            assert (refused["count"], refused["skippedReasons"]) == (0, {"key_taken": 1})

    run(work())


def test_an_archive_as_para_writes_it(tmp_path: Path) -> None:
    nulls = dict.fromkeys(("parentid", "creatorid", "tags", "updated"))
    cat = {
        **nulls,
        "id": "1420113370000199680",
        "timestamp": 1699999999999,
        "type": "cat",
        "appid": "theirs",
        "name": "Tom",
        "votes": 0,
        "version": 0,
        "stored": True,
        "indexed": True,
        "cached": True,
        "properties": {"age": 3, "nothing": None, "deep": {"list": [1, {"a": "b"}]}},
        "objectURI": "/cats/1420113370000199680",
        "plural": "cats",
        "class": "com.erudika.para.core.Sysprop",
    }
    flat = {"id": "flat", "type": "cat", "age": 4, "properties": None, "unknown": {"kept": [True]}}
    tag = {**nulls, "id": "tag:grey", "type": "tag", "tag": "grey", "count": 2, "description": None, "whatever": 1}
    thing = {"id": "t1", "type": "thing", "name": "T", "properties": {"deviceState": {"temp": 4}, "x": 1}}

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create(ONE)
            summary = await loaded(backend, ONE, [cat, flat], [], b"\xef\xbb\xbf" + json.dumps([tag, thing]).encode())
            assert summary["count"] == 4
            made = await shown(backend, ONE)
            tom = made[str(cat["id"])]
            assert tom == {
                "id": cat["id"],
                "timestamp": 1699999999999,
                "type": "cat",
                "appid": ONE,
                "name": "Tom",
                "votes": 0,
                "version": 0,
                "stored": True,
                "indexed": True,
                "cached": True,
                "age": 3,
                "deep": {"list": [1, {"a": "b"}]},
                "objectURI": "/cats/1420113370000199680",
                "plural": "cats",
            }
            assert (made["flat"]["age"], made["flat"]["unknown"]) == (4, {"kept": [True]})
            assert (made["tag:grey"]["count"], "whatever" in made["tag:grey"]) == (2, False)
            assert (made["t1"]["deviceState"], made["t1"]["x"]) == ({"temp": 4}, 1)
            assert (await backend.things.shadow(ONE, "t1")).desired == {}

    run(work())


def test_apps_are_restored_into_the_root_app_only(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            app, _ = await backend.tenants.create(ONE)
            root = await backend.tenants.get("para")
            archived: JsonObject = {
                "id": "app:old",
                "type": "app",
                "name": "Old",
                "secret": "the old secret",
                "settings": {"a": 1},
                "datatypes": {"cats": "cat"},
                "resourcePermissions": {"*": {"*": ["GET"]}},
            }
            items = [archived, {"id": "app:x", "type": "cat"}, {"id": "c", "type": "cat"}]
            refused = await loaded(backend, ONE, items)
            assert (refused["count"], refused["skipped"]) == (1, 2)
            taken = await loaded(
                backend, "para", [archived, {"id": "app:para", "type": "app", "secret": "x", "active": False}]
            )
            assert taken["count"] == 2
            old = await backend.tenants.get("old")
            assert (old.secret, old.settings, old.datatypes) == ("the old secret", {"a": 1}, {"cats": "cat"})
            assert (await backend.tenants.get("para")).secret == root.secret
            assert (await backend.tenants.get("para")).active
            await loaded(backend, "para", [{"id": "app:one", "type": "app", "name": "Renamed"}])
            one = await backend.tenants.get(ONE)
            assert (one.secret, one.object.name) == (app.secret, "Renamed")

    run(work())


AGENT = {
    "deviceId": "d",
    "service": "s",
    "servicePath": "/",
    "entityName": "n",
    "entityType": "t",
    "config": {"transport": "HTTP"},
}
SECRETS = {"agentSecrets": {"apikey": "k"}}


def test_what_cannot_be_stored_is_skipped_and_said(tmp_path: Path) -> None:
    items: list[Any] = [
        {"id": "ok", "type": "cat"},
        {"id": "ok", "type": "cat", "name": "the last counts"},
        {"id": 17, "type": "cat"},
        {"type": "cat"},
        {"id": {"a": 1}, "type": "cat"},
        {"id": "a\\b", "type": "cat"},
        {"id": "x" * 2000, "type": "cat"},
        {"id": "adr", "type": "address", "address": "no country"},
        {"id": "no name", "type": "thing"},
        {"id": "e", "type": "entity", "entity": {}, "deviceShadow": {"reported": 7}},
        {"id": "t", "type": "thing", "name": "t", "deviceShadow": {"version": -1}},
        {"id": "bad1", "type": "thing", "name": "t", "agent": {**AGENT, "config": {"attributes": 7}}, **SECRETS},
        {"id": "bad2", "type": "thing", "name": "t", "agent": {**AGENT, "servicePath": 7}, **SECRETS},
        {"id": "bad3", "type": "service_group", "secrets": {"apikey": "k", "config": [], "resource": ""}},
        {"id": "big", "type": "thing", "name": "t", "deviceShadow": {"lastSeen": 1 << 70}},
    ]

    async def work() -> None:
        async with open_backend(tmp_path, import_batch_size=3) as backend:
            await backend.tenants.create(ONE)
            summary = await loaded(backend, ONE, items)
            made = await shown(backend, ONE)
            assert made["ok"]["name"] == "the last counts"
            assert {"17", "ok"} <= set(made)
            reasons = summary["skippedReasons"]
            assert isinstance(reasons, dict)
            assert summary["skipped"] == sum(reasons.values())  # pyright: ignore
            assert int(str(summary["count"])) + int(str(summary["skipped"])) == len(items)
            assert not {"a\\b", "adr", "no name", "t", "big", "bad1", "bad2", "bad3"} & set(made)

    run(work())


DEEP = b'[{"a":' + b"[" * 90 + b"]" * 90 + b"}]"
BAD: list[tuple[str, bytes]] = [
    ("garbage", b"this is no zip at all"),
    ("nothing", b""),
    ("cut", archive_of([{"id": "a"}]).getvalue()[:-30]),
    ("no json", archive_of(b"hello").getvalue()),
    ("no array", archive_of({"id": "a"}).getvalue()),
    ("numbers", archive_of([1, 2]).getvalue()),
    ("no end", archive_of(b'[{"id":"a"}').getvalue()),
    ("not utf-8", archive_of(b'[{"id":"\xff"}]').getvalue()),
    ("nan", archive_of(b'[{"id":NaN}]').getvalue()),
    ("deep", archive_of(DEEP).getvalue()),
    ("good then bad", archive_of([{"id": "a", "type": "cat"}], b"[{]").getvalue()),
    ("bomb", archive_of(b"[" + b" " * 30_000_000 + b"]").getvalue()),
    ("large object", archive_of(b'[{"a":"' + b"x" * 17_000_000 + b'"}]').getvalue()),
    ("entries", archive_of(*[[]] * 21).getvalue()),
]


def named(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, "[]")
    return file.getvalue()


BAD += [(name, named(name)) for name in ("../x.json", "/x.json", "a\\b.json", "a\nb.json", "x" * 300 + ".json")]


@pytest.mark.parametrize("archive", [pytest.param(data, id=name) for name, data in BAD])
def test_a_bad_archive_is_refused_and_changes_nothing(tmp_path: Path, archive: bytes) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, max_import_entries=20) as backend:
            before = await backend.store.journal.last()
            with pytest.raises(InvalidInput):
                await backend.archives.load("para", io.BytesIO(archive), None, owner("para"))
            assert await backend.store.journal.last() == before

    run(work())


def test_an_import_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            before = await backend.store.journal.last()
            for archive in (archive_of([]), io.BytesIO(named("readme.txt", "a.json"))):
                summary = await backend.archives.load("para", archive, None, owner("para"))
                assert (summary["count"], summary["type"], "id" in summary) == (0, "paraimport", False)
                assert summary["name"] == "para_backup.zip"
            assert await backend.store.journal.last() == before

    run(work())


def test_an_import_that_the_disk_ends_says_how_far_it_got(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            commit, left = backend.store.commit, 3

            async def failing(batch: Batch) -> Committed:
                nonlocal left
                left -= 1
                if left < 0:
                    raise StoreFailed("the commit failed: disk full")
                return await commit(batch)

            await loaded(backend, "para", [{"id": "first", "type": "cat"}])  # so that nothing is left to register
            monkeypatch.setattr(backend.store, "commit", failing)
            with pytest.raises(StoreFailed, match="disk full; 300 objects were imported before"):
                await loaded(backend, "para", [{"id": f"c{n}", "type": "cat"} for n in range(500)])
            assert len(await shown(backend, "para")) == 302

    run(work())


def test_an_export_beside_writers_holds_every_old_object_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create(ONE)
            drafts = [Draft(type="cat", body={"id": f"c{n}", "n": 0}) for n in range(1000)]
            await backend.objects.create_many(ONE, drafts, owner(ONE))
            pieces: list[bytes] = []
            async for piece in (await backend.archives.export(ONE)).pieces:
                pieces.append(piece)
                await backend.objects.create(ONE, Draft(type="cat", body={"id": f"new{len(pieces)}"}), owner(ONE))
                await backend.objects.patch(ONE, "c999", {"n": len(pieces)}, owner(ONE))
            ids = [item["id"] for item in objects_in(b"".join(pieces))]
            assert len(ids) == len(set(ids))
            assert {f"c{n}" for n in range(1000)} == set(ids)

    run(work())


def test_an_apps_constraints_keep_nothing_out_and_links_come_with_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create(ONE)
            await backend.tenants.add_constraint(ONE, "cat", "paws", "required", {})
            link: JsonObject = {"type": "linker", "id1": "a", "type1": "cat", "id2": "b", "type2": "dog"}
            mirror: JsonObject = {"type": "linker", "id1": "b", "type1": "dog", "id2": "a", "type2": "cat"}
            items = [{"type": "cat", "id": "a"}, {"type": "dog", "id": "b"}, {"id": "cat:a:dog:b", **link}, mirror]
            summary = await loaded(backend, ONE, items)
            assert (summary["count"], "skipped" in summary) == (4, False)
            assert set(await shown(backend, ONE)) == {"a", "b", "cat:a:dog:b"}

    run(work())


def test_settings_of_a_restored_app_are_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            tenants = backend.tenants
            await tenants.create(ONE)
            await tenants.put_settings(ONE, {"kept": 1, "gone": 2})
            told: list[tuple[str, object]] = []
            tenants.on_setting_added.append(lambda app, key, value: told.append((key, value)))
            tenants.on_setting_removed.append(lambda app, key: told.append((key, None)))
            item = {"type": "app", "id": "app:one", "name": "one", "settings": {"kept": 3, "none": None}}
            assert (await loaded(backend, tenants.root, [item]))["count"] == 1
            assert told == [("gone", None), ("kept", 3)]
            assert (await tenants.get(ONE)).settings == {"kept": 3}

    run(work())
