"""Promise: `para.search_enabled=false` indexes and finds nothing and is no fault; what was written meanwhile is found
once it is on again. `para.read_from_index` shows what is found as the index keeps it (objects.md 6.3, 14, 20).
"""

from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft
from thingstead.model.query.build import ById, Limits, Plan, plan
from thingstead.model.values import JsonObject, parse_object
from thingstead.ports.store import Batch, Remove

APP = "para"
ME = owner(APP)
CATS = plan("", "cat", {"q": ["*"]}, Limits(30, 256, 1000))


async def make(backend: Backend, id: str, **body: str | bool | int) -> None:
    await backend.objects.create(APP, Draft(type="cat", body={"id": id, **body}), ME)


async def found(backend: Backend, what: Plan = CATS) -> dict[str, JsonObject]:
    page = await backend.search.find(APP, what)
    assert len(page.ids) == page.total
    return {id: parse_object(item) for id, item in zip(page.ids, page.items, strict=True)}


def test_off_nothing_is_found_and_all_is_well(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await make(backend, "before")
        async with open_backend(tmp_path, search_enabled=False, search="NoSuchEngine") as backend:
            assert backend.health.healthy
            assert "search" not in backend.health.parts
            for id in ("tom", "kit"):
                await make(backend, id)
                assert await found(backend) == {}
            await backend.search.flush()
            assert await found(backend) == {}
            assert set(await found(backend, ById(("tom",)))) == {"tom"}, "by id is the store's"
            await backend.objects.delete(APP, "before", ME)
            assert len(await backend.objects.public_many(APP, ["tom", "kit"])) == 2
        async with open_backend(tmp_path) as backend:
            assert set(await found(backend)) == {"tom", "kit"}
            assert "search" in backend.health.parts

    run(work())


@pytest.mark.parametrize("committed", [True, False])
def test_found_objects_are_shown_from_the_index(tmp_path: Path, committed: bool) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, read_from_index=True) as backend:
            await make(backend, "tom", name="Tom", age=5)
            await make(backend, "kit", name="Kit")
            if committed:
                await backend.search.flush()
            normal = {each["id"]: each for each in map(parse_object, await backend.objects.public_many(APP, ["tom"]))}
            # Behind the back of core: the store has lost it.
            await backend.store.commit(Batch(changes=[Remove(APP, "kit")]))
            shown = await found(backend)
            assert shown["tom"] == normal["tom"]
            assert shown["kit"]["name"] == "Kit"
            assert await backend.objects.public_many(APP, ["kit"]) == []

    run(work())


def test_it_is_the_store_otherwise(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await make(backend, "kit", name="Kit")
            await backend.store.commit(Batch(changes=[Remove(APP, "kit")]))
            assert (await backend.search.find(APP, CATS)).items == []

    run(work())
