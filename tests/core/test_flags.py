"""Promise: `stored`, `indexed` and `cached` mean what objects.md 4 says, through every way an object is written.

An unstored object is in no row, is found by search, and is read by id while the cache has it; it goes with a deletion
whether the cache still has it or not, and a restart neither brings it back nor makes it win over what came later.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.backend import open_backend, owner
from support.environment import ManualClock
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft, Written
from thingstead.model.errors import ConstraintViolation, NotFound, VersionMismatch
from thingstead.model.query.build import ById, Limits, plan
from thingstead.model.values import JsonObject, parse_object

APP = "para"
ME = owner(APP)
LIMITS = Limits(30, 256, 1000)
CACHE = pytest.mark.parametrize("cache", [True, False])


async def make(backend: Backend, id: str, **body: Any) -> Written:
    return await backend.objects.create(APP, Draft(type="cat", body={"id": id, **body}), ME)


async def shown(backend: Backend, id: str) -> JsonObject | None:
    """By id, as GET shows it; the ways of reading agree."""
    many = await backend.objects.public_many(APP, [id])
    try:
        public = await backend.objects.public(APP, id)
    except NotFound:
        assert many == []
        return None
    assert many == [public]
    return parse_object(public)


async def found(backend: Backend, q: str = "*", type: str = "cat") -> dict[str, JsonObject]:
    """By search: what it shows, by id."""
    page = await backend.search.find(APP, plan("", type, {"q": [q], "limit": ["200"]}, LIMITS))
    assert len(page.items) == len(page.ids) == page.total, page
    return {id: parse_object(item) for id, item in zip(page.ids, page.items, strict=True)}


async def by_id(backend: Backend, *ids: str) -> list[str]:
    return sorted((await backend.search.find(APP, ById(ids))).ids)


async def rows(backend: Backend) -> set[str]:
    return {row.id for row in await backend.store.objects.scan(APP, type="cat")}


@CACHE
def test_an_unstored_object_lives_in_cache_and_index(tmp_path: Path, cache: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, cache_enabled=cache) as backend:
            made = await make(backend, "c", stored=False, colour="red", parentid="p", tags=["x"])
            assert made.created
            for commit in (False, True):
                if commit:
                    await backend.search.flush()
                assert await rows(backend) == set()
                whole = await shown(backend, "c")
                assert whole == parse_object(made.public)
                assert whole["stored"] is False
                assert await found(backend) == {"c": whole}
                assert list(await found(backend, "properties.colour:red")) == ["c"]
                assert list(await found(backend, "parentid:p")) == ["c"]
                assert await by_id(backend, "c") == ["c"]

            merged = await backend.objects.patch(APP, "c", {"colour": "blue", "version": 0}, ME)
            assert await shown(backend, "c") == parse_object(merged.public)
            assert list(await found(backend, "properties.colour:red")) == []
            assert list(await found(backend, "properties.colour:blue")) == ["c"]
            assert merged.object.docid == made.object.docid, "its place in the order stays (D14)"

            put = await backend.objects.overwrite(APP, Draft(type="cat", id="c", body={"stored": False, "n": 1}), ME)
            assert not put.created
            assert (await shown(backend, "c") or {}).get("colour") is None
            assert await found(backend) == {"c": parse_object(put.public)}

            assert await backend.objects.delete(APP, "c", ME)
            assert not await backend.objects.delete(APP, "c", ME)
            assert await shown(backend, "c") is None
            assert await found(backend) == {}
            await backend.search.flush()
            assert await found(backend) == {}

    run(work())


@CACHE
def test_into_the_store_and_out_of_it(tmp_path: Path, cache: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, cache_enabled=cache) as backend:
            await make(backend, "c", n=1)
            for n, stored in enumerate([False, False, True, True, False, True], 2):
                written = await backend.objects.patch(APP, "c", {"n": n, "stored": stored}, ME)
                assert await rows(backend) == ({"c"} if stored else set())
                assert await shown(backend, "c") == parse_object(written.public)
                if n % 2:
                    await backend.search.flush()
                assert (await found(backend))["c"]["n"] == n
            written = await make(backend, "c", stored=False, n=0)
            assert not written.created
            assert await rows(backend) == set()
            again = await make(backend, "c", n=9)
            assert await rows(backend) == {"c"}
            assert await found(backend) == {"c": parse_object(again.public)}
            await backend.search.flush()
            assert await found(backend) == {"c": parse_object(again.public)}
            assert await backend.objects.delete(APP, "c", ME)
            assert await shown(backend, "c") is None
            assert await found(backend) == {}

    run(work())


def test_evicted_it_is_found_and_deleted_but_not_read(tmp_path: Path) -> None:
    async def work() -> None:
        clock = ManualClock()
        async with open_backend(tmp_path, clock=clock) as backend:
            made = await make(backend, "c", stored=False, colour="red")
            clock.advance(601)
            assert await shown(backend, "c") is None
            assert await found(backend, "properties.colour:red") == {"c": parse_object(made.public)}
            await backend.search.flush()
            assert await found(backend, "properties.colour:red") == {"c": parse_object(made.public)}
            assert await by_id(backend, "c", "nobody") == ["c"]
            with pytest.raises(NotFound):
                await backend.objects.patch(APP, "c", {"colour": "blue"}, ME)
            stored = await make(backend, "c", colour="green")
            await backend.search.flush()
            assert await found(backend) == {"c": parse_object(stored.public)}
            await make(backend, "c", stored=False, colour="grey")
            clock.advance(601)
            assert await backend.objects.delete(APP, "c", ME)
            assert await found(backend) == {}
            assert not await backend.objects.delete(APP, "c", ME)

    run(work())


@pytest.mark.parametrize("flushed", [True, False])
def test_a_restart_shows_what_was_there(tmp_path: Path, flushed: bool) -> None:
    """The index's own commit or the journal's line: the same is found, and nothing that had gone."""

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            kept = await make(backend, "kept", stored=False, n=2)
            await make(backend, "gone", stored=False)
            await make(backend, "now stored", stored=False, n=1)
            await make(backend, "no more", n=1)
            await make(backend, "unindexed", stored=False, indexed=False)
            await backend.objects.delete(APP, "gone", ME)
            await backend.objects.patch(APP, "now stored", {"stored": True, "n": 2}, ME)
            await backend.objects.patch(APP, "no more", {"stored": False, "n": 2}, ME)
            await backend.objects.delete(APP, "no more", ME)
            before = await found(backend)
            if not flushed:  # as after a kill: the index knows nothing of it
                await backend.search._index.clear()
                await backend.store.passed("search", 0)
                backend.search._order.clear()
                backend.search._overlays.clear()
                backend.search._seen = 0
        async with open_backend(tmp_path) as backend:
            again = await found(backend)
            assert set(again) == {"kept", "now stored"} == set(before)
            assert again["kept"] == parse_object(kept.public)
            assert again["now stored"]["n"] == 2
            assert await shown(backend, "kept") is None, "no cache survives a restart"
            assert await rows(backend) == {"now stored"}
            await make(backend, "kept", n=3)
            await backend.search.flush()
            assert (await found(backend))["kept"]["n"] == 3
            assert await backend.objects.delete(APP, "kept", ME)
            assert set(await found(backend)) == {"now stored"}

    run(work())


def test_indexed_off_and_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await make(backend, "stored", n=1, indexed=False)
            await make(backend, "loose", n=1, indexed=False, stored=False)
            for n in range(2):
                assert await found(backend) == {}
                assert await by_id(backend, "stored", "loose") == []
                assert (await shown(backend, "stored") or {})["n"] == 1 + n
                assert (await shown(backend, "loose") or {})["n"] == 1 + n
                for id in ("stored", "loose"):
                    await backend.objects.patch(APP, id, {"indexed": True, "n": 2}, ME)
                assert set(await found(backend, "properties.n:2")) == {"stored", "loose"}
                await backend.search.flush()
                assert await by_id(backend, "stored", "loose") == ["loose", "stored"]
                for id in ("stored", "loose"):
                    await backend.objects.patch(APP, id, {"indexed": False}, ME)
                assert await found(backend) == {}
                await backend.search.flush()
            assert await backend.objects.delete(APP, "stored", ME)
            assert await backend.objects.delete(APP, "loose", ME)
            assert await shown(backend, "loose") is None

    run(work())


@CACHE
def test_cached_off_and_on(tmp_path: Path, cache: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, cache_enabled=cache) as backend:
            await make(backend, "c", n=1, cached=False)
            await shown(backend, "c")
            assert await backend.cache.get(APP, "c") is None
            await backend.objects.patch(APP, "c", {"cached": True}, ME)
            await shown(backend, "c")
            assert (await backend.cache.get(APP, "c") is not None) is cache
            await backend.objects.patch(APP, "c", {"cached": False}, ME)
            assert (await shown(backend, "c") or {})["cached"] is False
            assert await backend.cache.get(APP, "c") is None
            await make(backend, "loose", stored=False, cached=False)
            assert await shown(backend, "loose") is None, "neither stored nor cached: search alone has it"
            assert set(await found(backend)) == {"c", "loose"}
            assert await backend.objects.delete(APP, "loose", ME)
            assert set(await found(backend)) == {"c"}

    run(work())


def test_batches_and_versions(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            bodies: list[JsonObject] = [{"id": f"{n}", "stored": n % 2 == 0, "version": 1} for n in range(10)]
            made = await backend.objects.create_many(APP, [Draft(type="cat", body=body) for body in bodies], ME)
            assert all(isinstance(each, Written) and each.created for each in made)
            assert await rows(backend) == {"0", "2", "4", "6", "8"}
            items: list[tuple[str, JsonObject]] = [(f"{n}", {"n": n, "version": 1 + n // 8}) for n in range(10)]
            merged = await backend.objects.patch_many(APP, items, ME)
            assert [type(each) for each in merged] == [Written] * 8 + [VersionMismatch] * 2
            assert {id: one.get("n") for id, one in (await found(backend)).items()} == {
                **{f"{n}": n for n in range(8)},
                "8": None,
                "9": None,
            }
            assert len(await backend.objects.public_many(APP, [f"{n}" for n in range(10)])) == 10
            twice = await backend.objects.patch_many(APP, [("0", {"a": 1}), ("0", {"b": 2}), ("1", {"a": 1})], ME)
            assert all(isinstance(each, Written) for each in twice)
            whole = await shown(backend, "0") or {}
            assert (whole["a"], whole["b"], whole["version"]) == (1, 2, 4)
            await backend.objects.delete_many(APP, [f"{n}" for n in range(10)], ME)
            assert await found(backend) == {}

    run(work())


@CACHE
def test_patches_of_one_tick_lose_nothing(tmp_path: Path, cache: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, cache_enabled=cache) as backend:
            for id, stored in (("loose", False), ("stored", True)):
                await make(backend, id, stored=stored)
                await asyncio.gather(*(backend.objects.patch(APP, id, {f"k{n}": n}, ME) for n in range(20)))
                whole = await shown(backend, id) or {}
                assert {key: whole[key] for key in whole if key[0] == "k"} == {f"k{n}": n for n in range(20)}

    run(work())


@pytest.mark.parametrize("type", ["thing", "sensor"])
def test_what_has_state_must_be_stored(tmp_path: Path, type: str) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            with pytest.raises(ConstraintViolation) as caught:
                await backend.objects.create(APP, Draft(type=type, body={"name": "x", "stored": False}), ME)
            assert caught.value.field == "stored"

    run(work())


def test_other_apps_pay_nothing_and_see_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create("other")
            await make(backend, "c", stored=False)
            with pytest.raises(NotFound):
                await backend.objects.public("other", "c")
            journal = await backend.store.journal.last()
            assert not await backend.objects.delete("other", "c", owner("other"))
            assert await backend.store.journal.last() == journal
            assert set(await found(backend)) == {"c"}

    run(work())
