"""Promise: a re-index leaves the index as the store is, whatever it was before; searches and writes go on meanwhile."""

import asyncio
from pathlib import Path

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft
from thingstead.model.query.build import Limits, plan
from thingstead.ports.index import Document
from thingstead.ports.store import Batch, Put, Remove

ONE, TWO = "one", "two"
LIMITS = Limits(30, 2000, 1000)


async def found(backend: Backend, app: str, q: str = "*") -> set[str]:
    return set((await backend.search.find(app, plan("", "cat", {"q": [q], "limit": ["2000"]}, LIMITS))).ids)


async def cats(backend: Backend, app: str, count: int) -> None:
    await backend.tenants.create(app)
    drafts = [Draft(type="cat", body={"id": f"c{n}", "mood": "old"}) for n in range(count)]
    await backend.objects.create_many(app, drafts, owner(app))


def test_drift_of_every_kind_is_repaired_and_other_apps_are_left_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, reindex_batch_size=7) as backend:
            await cats(backend, ONE, 40)
            await cats(backend, TWO, 3)
            await backend.objects.create(ONE, Draft(type="cat", body={"id": "unseen", "indexed": False}), owner(ONE))
            await backend.search.flush()
            row = await backend.store.objects.get(ONE, "c1")
            assert row is not None
            # Behind its back: one changed, one gone, one new; and it holds one that never was, and an unseen one.
            lost = row.public.replace(b'"old"', b'"new"')
            await backend.store.commit(
                Batch(
                    changes=[
                        Put(ONE, "c1", "cat", row.docid, lost),
                        Remove(ONE, "c2"),
                        Put(ONE, "born", "cat", 1 << 60, lost.replace(b'"c1"', b'"born"')),
                    ]
                )
            )
            for app, id in ((ONE, "ghost"), (ONE, "unseen"), (TWO, "ghost")):
                document = Document(app, id, "cat", 5, 0, {"id": id, "type": "cat", "properties": {"mood": "new"}})
                backend.search._index.enqueue([document])
            await backend.search.flush()
            told: list[tuple[int, int]] = []
            done = await backend.reindexer.run(ONE, lambda at, total: told.append((at, total)))
            assert await found(backend, ONE) == {"born", *(f"c{n}" for n in range(40) if n != 2)}
            assert await found(backend, ONE, "properties.mood:new") == {"born", "c1"}
            assert (done.count, done.removed) == (40, 2)
            assert told[-1] == (41, 41)
            hits = await backend.search.indexed(ONE, 0, 100)
            assert {hit.id for hit in hits} == await found(backend, ONE)
            assert "ghost" in {hit.id for hit in await backend.search.indexed(TWO, 0, 100)}

    run(work())


def test_searches_and_writes_go_on_and_nothing_is_lost_between(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, reindex_batch_size=5) as backend:
            await cats(backend, ONE, 300)
            await backend.search.flush()
            running = asyncio.ensure_future(asyncio.gather(backend.reindexer.run(ONE), backend.reindexer.run(ONE)))
            n = 0
            while not running.done():
                await backend.objects.patch(ONE, f"c{n % 290}", {"mood": f"m{n}"}, owner(ONE))
                assert f"c{n % 290}" in await found(backend, ONE, f"properties.mood:m{n}")
                if n < 10:
                    await backend.objects.delete(ONE, f"c{290 + n}", owner(ONE))
                assert len(await found(backend, ONE)) == 300 - min(n + 1, 10)
                n += 1
            await running
            assert n > 1
            await backend.search.flush()
            for at in range(max(0, n - 290), n):
                assert await found(backend, ONE, f"properties.mood:m{at}") == {f"c{at % 290}"}
            assert len(await found(backend, ONE)) == 300 - min(n, 10)

    run(work())


def test_a_page_read_before_a_write_does_not_undo_it(tmp_path: Path) -> None:
    """The store may answer late: what was written since the question was asked is newer than the answer."""

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await cats(backend, ONE, 2)
            old = [
                Document(ONE, id, "cat", n + 1, 0, {"id": id, "type": "cat", "properties": {"mood": "stale"}})
                for n, id in enumerate(("c0", "c1"))
            ]

            async def late() -> list[Document]:
                await backend.objects.patch(ONE, "c0", {"mood": "fresh"}, owner(ONE))
                await backend.objects.delete(ONE, "c1", owner(ONE))
                await backend.search.flush()
                return old

            await backend.search.refeed(late)
            await backend.search.flush()
            assert await found(backend, ONE, "properties.mood:stale") == set()
            assert await found(backend, ONE, "properties.mood:fresh") == {"c0"}

    run(work())


def test_objects_that_only_the_index_keeps_stay_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await cats(backend, ONE, 2)
            await backend.objects.create(ONE, Draft(type="cat", body={"id": "loose", "stored": False}), owner(ONE))
            for _ in range(2):
                done = await backend.reindexer.run(ONE)
                assert (done.count, done.removed) == (2, 0)
                assert await found(backend, ONE) == {"c0", "c1", "loose"}

    run(work())
