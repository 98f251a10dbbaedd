"""Promise: links are whole, of one object only, seen at once, and lose nothing to each other; what is deleted through
them is deleted whole (objects.md 7, doors.md 24)."""

import asyncio
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner, totals
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft
from thingstead.model import links as rules
from thingstead.model.errors import Conflict, InvalidInput, NotFound
from thingstead.model.query.build import Find, Limits, Pager
from thingstead.model.values import Json, JsonObject, parse_object

APP = "para"
ME = owner(APP)


async def made(backend: Backend, type: str, *ids: str, **body: Json) -> None:
    for id in ids:
        await backend.objects.create(APP, Draft(type=type, id=id, body={"name": id, **body}), ME)


async def linked(backend: Backend, id: str, type2: str, **params: str) -> tuple[list[str], int]:
    """Ids of the linked objects on one page, and the total."""
    find = rules.linked(id, type2, {name: [value] for name, value in params.items()}, Limits())
    page = await backend.links.linked(APP, id, find)
    assert [parse_object(item)["id"] for item in page.items] == page.ids
    return page.ids, page.total


async def count(backend: Backend, type: str) -> int:
    """Objects of a type that a search finds."""
    found = await backend.search.find(APP, Find(type=type, pager=Pager(limit=0), count=True))
    assert found.total == await backend.objects.count(APP, type=type)
    return found.total


def test_a_link_is_seen_from_both_ends_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            links = backend.links
            await made(backend, "sysprop", "111", "333", n=1)
            await made(backend, "tag", "tag:test")
            assert await links.link(APP, "tag:test", "111", ME) == "sysprop:111:tag:tag:test"
            assert await links.link(APP, "111", "333", ME) == "sysprop:111:sysprop:333"
            for a, b in (("111", "333"), ("333", "111")):
                assert await linked(backend, a, "sysprop") == ([b], 1)
                assert await links.is_linked(APP, a, "sysprop", b)
            assert await linked(backend, "111", "tag") == (["tag:test"], 1)
            assert await linked(backend, "tag:test", "sysprop") == (["111"], 1)
            assert await linked(backend, "333", "tag") == ([], 0)
            assert not await links.is_linked(APP, "333", "tag", "tag:test")
            assert not await links.is_linked(APP, "111", "tag", "tag:none")
            linker = (await backend.objects.get(APP, "sysprop:111:tag:tag:test")).wire()
            assert linker["name"] == "sysprop:tag"
            snapshots = linker["nstd"]
            assert isinstance(snapshots, list)
            assert [s["id"] for s in snapshots if isinstance(s, dict)] == ["111", "tag:test"]
            assert isinstance(snapshots[0], dict)
            assert snapshots[0]["properties"] == {"n": 1}
            await links.unlink(APP, "333", "sysprop", "111", ME)
            assert await linked(backend, "111", "sysprop") == ([], 0)
            await links.unlink(APP, "333", "sysprop", "111", ME)
            await links.unlink_all(APP, "111", ME)
            assert await count(backend, "linker") == 0

    run(work())


def test_ids_that_contain_each_other_keep_their_links_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            ids = ["test", "test 1", "1", "test:1", "x:test", "TEST"]
            await made(backend, "cat", *ids)
            await made(backend, "dog", "d")
            for id in ids:
                await backend.links.link(APP, id, "d", ME)
            for id in ids:
                assert await linked(backend, id, "dog") == (["d"], 1)
                assert (await linked(backend, "d", "cat", q=f'"{id}"', field="id"))[1] >= 1
            assert (await linked(backend, "d", "cat"))[1] == len(ids)
            await backend.links.unlink_all(APP, "test", ME)
            assert (await linked(backend, "d", "cat"))[1] == len(ids) - 1
            assert await linked(backend, "test 1", "dog") == (["d"], 1)

    run(work())


def test_two_links_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "a", "x", "x:b:y")
            await made(backend, "b", "y:b:z", "z")
            assert await backend.links.link(APP, "x", "y:b:z", ME) == "a:x:b:y:b:z"
            before = await totals(backend)
            with pytest.raises(Conflict):
                await backend.links.link(APP, "x:b:y", "z", ME)
            assert await totals(backend) == before
            assert not await backend.links.is_linked(APP, "x:b:y", "b", "z")
            await backend.links.unlink(APP, "x:b:y", "b", "z", ME)
            assert await backend.links.is_linked(APP, "x", "b", "y:b:z")

    run(work())


def test_linking_again_from_any_end_and_at_once_leaves_one_link(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "cat", "1", "2")
            pairs = [("1", "2"), ("2", "1")] * 10
            told = await asyncio.gather(*(backend.links.link(APP, a, b, ME) for a, b in pairs))
            assert told == [f"cat:{a}:cat:{b}" for a, b in pairs]
            assert await linked(backend, "1", "cat") == (["2"], 1)
            assert await linked(backend, "2", "cat") == (["1"], 1)
            assert await count(backend, "linker") == 1
            assert await backend.links.link(APP, "1", "1", ME) == "cat:1:cat:1"
            assert await linked(backend, "1", "cat", sort="_docid") == (["1", "2"], 2)
            await backend.links.delete_linked(APP, "1", "cat", ME)
            assert (await backend.objects.get(APP, "1")).id == "1"
            assert await count(backend, "cat") == 1

    run(work())


def test_many_links_at_once_are_all_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            ids = [f"c{n}" for n in range(50)]
            await made(backend, "dog", "d")
            await asyncio.gather(*(made(backend, "cat", id) for id in ids))
            await asyncio.gather(*(backend.links.link(APP, "d", id, ME) for id in ids))
            assert (await linked(backend, "d", "cat", count=""))[1] == 50

    run(work())


def test_pages_of_linked_objects_and_those_that_are_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "dog", "d")
            ids = [f"c{n}" for n in range(5)]
            await made(backend, "cat", *ids)
            for id in ids:
                await backend.links.link(APP, "d", id, ME)
            await backend.objects.patch(APP, "c1", {"name": "renamed"}, ME)
            await backend.objects.delete(APP, "c3", ME)
            assert await linked(backend, "d", "cat", sort="_docid", desc="false") == (["c0", "c1", "c2", "c4"], 5)
            assert await linked(backend, "d", "cat", sort="_docid", desc="false", limit="2", page="2") == (["c2"], 5)
            page = await backend.links.linked(
                APP, "d", rules.linked("d", "cat", {"limit": ["2"], "sort": ["_docid"], "desc": ["false"]}, Limits())
            )
            assert page.last_key is not None
            assert await linked(backend, "d", "cat", desc="false", lastKey=page.last_key) == (["c2", "c4"], 5)
            live = await backend.links.linked(APP, "d", rules.linked("d", "cat", {"q": ["c1"]}, Limits()))
            assert [parse_object(item)["name"] for item in live.items] == ["renamed"]  # found by its snapshot
            await backend.links.link(APP, "d", "c1", ME)
            assert await linked(backend, "d", "cat", q="renamed", field="name") == (["c1"], 1)
            assert await backend.links.is_linked(APP, "d", "cat", "c3")

    run(work())


def test_a_search_of_links_gives_the_same_from_memory_and_from_the_index(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "dog", "hello", "other")
            await made(backend, "cat", "gordon", text="hello kitty")
            await made(backend, "cat", "kitty", text="hello")
            for id in ("gordon", "kitty"):
                await backend.links.link(APP, "hello", id, ME)
            await backend.links.link(APP, "other", "kitty", ME)
            for _ in range(2):
                for field, q, found in (
                    ("name", "gord*", 1),
                    ("properties.text", "kitt*", 1),
                    ("properties.text", "hello", 2),
                    ("", "hello", 2),
                    ("name", "hello", 0),
                    ("name", "dog", 0),
                ):
                    assert (await linked(backend, "hello", "cat", field=field, q=q))[1] == found, (field, q)
                assert await linked(backend, "other", "cat", field="name", q="*") == (["kitty"], 1)
                assert (await linked(backend, "hello", "cat", count="", q="gord*"))[1] == 2
                await backend.search.flush()
        async with open_backend(tmp_path) as backend:
            assert (await linked(backend, "hello", "cat"))[1] == 2

    run(work())


def test_all_children_go_and_all_that_belongs_to_things(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            revoked: list[str] = []
            backend.things.on_revoked(lambda app, thing: revoked.append(thing))
            await made(backend, "room", "r1", "r2")
            drafts = [Draft(type="lamp", body={"parentid": f"r{1 + n % 2}"}) for n in range(470)]
            drafts.append(Draft(type="lamp", body={"parentid": "r1", "indexed": False}))
            await backend.objects.create_many(APP, drafts, ME)
            thing = Draft(type="thing", body={"name": "kit", "parentid": "r1"}, credentials=True)
            id = (await backend.objects.create(APP, thing, ME)).object.id
            await backend.ingest.report(Report(app=APP, thing=id, reported={"t": 1}))
            await backend.links.delete_children(APP, "r1", "lamp", ME)
            assert await count(backend, "lamp") == 235
            assert await backend.objects.count(APP, parent="r1") == 1
            await backend.links.delete_children(APP, "r1", "thing", ME)
            assert revoked == [id]
            assert await count(backend, "sensor") == 0
            with pytest.raises(NotFound):
                await backend.things.shadow(APP, id)

    run(work(), 60)


def test_all_linked_objects_go_with_their_links(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "dog", "d", "e")
            await made(backend, "bird", "b")
            ids = [f"c{n}" for n in range(250)]
            await backend.objects.create_many(APP, [Draft(type="cat", id=id, body={"name": id}) for id in ids], ME)
            await asyncio.gather(*(backend.links.link(APP, "d", id, ME) for id in ids[:-5]))
            await backend.links.link(APP, "d", "b", ME)
            await backend.links.link(APP, "e", "c249", ME)
            await backend.links.delete_linked(APP, "d", "cat", ME)
            assert await count(backend, "cat") == 5
            assert await count(backend, "linker") == 2
            assert await linked(backend, "d", "bird") == (["b"], 1)
            await backend.links.unlink_all(APP, "d", ME)
            assert await count(backend, "bird") == 1
            assert await linked(backend, "e", "cat") == (["c249"], 1)

    run(work(), 60)


def test_apps_are_not_deleted_through_links(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create("child")
            await made(backend, "cat", "c")
            await backend.links.link(APP, "c", "app:child", ME)
            await backend.links.delete_linked(APP, "c", "app", ME)
            assert (await backend.tenants.get("child")).identifier == "child"
            assert await linked(backend, "c", "app") == ([], 0)

    run(work())


def test_links_need_both_objects(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            links = backend.links
            await made(backend, "cat", "c")
            before = await totals(backend)
            with pytest.raises(InvalidInput, match=r"Failed to create link\."):
                await links.link(APP, "c", "nobody", ME)
            for attempt in (
                links.link(APP, "nobody", "c", ME),
                links.is_linked(APP, "nobody", "cat", "c"),
                links.unlink(APP, "nobody", "cat", "c", ME),
                links.unlink_all(APP, "nobody", ME),
                links.delete_children(APP, "nobody", "cat", ME),
                links.delete_linked(APP, "nobody", "cat", ME),
                linked(backend, "nobody", "cat"),
            ):
                with pytest.raises(NotFound, match="Object not found: nobody"):
                    await attempt
            assert await totals(backend) == before

    run(work())


def test_a_linker_made_as_an_object_is_a_link(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await made(backend, "cat", "c")
            await made(backend, "dog", "d")
            body: JsonObject = {"type1": "dog", "id1": "d", "type2": "cat", "id2": "c"}
            written = await backend.objects.create(APP, Draft(type="linker", body=body), ME)
            assert (written.object.id, written.object.name) == ("cat:c:dog:d", "cat:dog")
            assert await backend.links.is_linked(APP, "c", "dog", "d")
            assert await linked(backend, "d", "cat", field="name", q="*") == (["c"], 1)
            with pytest.raises(InvalidInput):
                await backend.objects.create(APP, Draft(type="linker", body={"type1": "dog", "id1": "d"}), ME)

    run(work())
