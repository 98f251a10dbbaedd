"""What every Index engine must keep (thingstead.ports.index), as tests that an engine's author subclasses:

    class TestMyEngine(IndexSuite):
        factory = "my_package:MyIndex.open"   # async (directory, store uuid) -> Index

Answers are compared with the plain predicate over all objects (thingstead.conformance.searching).
"""

import asyncio
import importlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from thingstead.conformance.aio import run
from thingstead.conformance.searching import APPS, TYPES, answer, fields, requests
from thingstead.model.errors import Unavailable
from thingstead.model.query import ast
from thingstead.model.query.sort import SortBy
from thingstead.ports.index import Document, Index, Removal, SearchRequest, Snapshot

EXAMPLES = int(os.environ.get("THINGSTEAD_INDEX_EXAMPLES", "120"))
_OLDEST = (SortBy("timestamp", False),)


def load(factory: str) -> Callable[[Path, str], Awaitable[Index]]:
    """The callable that `module:name.name` means."""
    module, _, path = factory.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def document(number: int, app: str = "app", type: str = "cat", **fields: Any) -> Document:
    """Object `o<number>`, its docid and timestamp the number, its seq the number as well unless replaced."""
    shown = {"id": f"o{number}", "type": type, "timestamp": number, "name": f"Cat {number}", **fields}
    return Document(app, f"o{number}", type, number, number, shown)


async def ids(index: Index, app: str = "app", **wanted: Any) -> list[str]:
    """All that a search finds, oldest first; the total must agree."""
    hits = await index.snapshot().search(
        SearchRequest(app, **{"query": ast.ALL, "sort": _OLDEST, "limit": 1000, **wanted})
    )
    assert hits.total == len(hits.hits)
    return [hit.id for hit in hits.hits]


async def write_and_wait(factory: str, directory: str) -> None:
    """The process that gets killed: ten objects committed, two more enqueued, then told so."""
    index = await load(factory)(Path(directory), "store-1")
    index.enqueue([document(n) for n in range(1, 11)])
    await index.commit()
    index.enqueue([document(11), structs.replace(document(1), seq=12, fields={"id": "o1", "name": "Lost"})])
    print("committed", flush=True)
    await asyncio.sleep(60)


class IndexSuite:
    factory: str

    def work(self, tmp_path: Path, work: Callable[[Index], Awaitable[None]], store: str = "store-1") -> None:
        """Open the index of `tmp_path`, work with it, close it."""

        async def opened() -> None:
            index = await load(self.factory)(tmp_path / "index", store)
            try:
                await work(index)
            finally:
                await index.close()

        run(opened(), 60)

    def test_a_new_index_is_empty_and_at_position_0(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            assert await index.position() == 0
            assert index.snapshot().seq == 0
            assert await ids(index) == []
            hits = await index.snapshot().search(SearchRequest("app", ast.Exists("a.b"), sort=(SortBy("x", True),)))
            assert (hits.total, list(hits.hits)) == (0, [])

        self.work(tmp_path, work)

    def test_changes_become_visible_together_with_the_commit(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            before = index.snapshot()
            index.enqueue([document(1), document(2)])
            index.enqueue([document(3)])
            await index.room()
            assert (await before.search(SearchRequest("app", ast.ALL))).total == 0
            assert await index.commit() == 3
            assert await index.position() == 3
            assert index.snapshot().seq == 3
            assert await ids(index) == ["o1", "o2", "o3"]
            assert (await before.search(SearchRequest("app", ast.ALL))).total == 0, "a held snapshot does not change"
            assert before.seq == 0

        self.work(tmp_path, work)

    def test_the_last_version_of_an_object_counts(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(1), document(1, app="other"), document(2)])
            await index.commit()
            index.enqueue(
                [
                    structs.replace(document(1, name="Rex"), seq=3),
                    structs.replace(document(1, type="dog", name="Max"), seq=4),
                ]
            )
            await index.commit()
            assert await ids(index) == ["o1", "o2"]
            assert await ids(index, query=ast.Equals("name", ("Cat 1",))) == []
            assert await ids(index, query=ast.Equals("name", ("Rex",))) == []
            assert await ids(index, query=ast.Equals("name", ("Max",))) == ["o1"]
            assert await ids(index, type="cat") == ["o2"]
            assert await ids(index, app="other", query=ast.Equals("name", ("Cat 1",))) == ["o1"]

        self.work(tmp_path, work)

    def test_a_range_without_ends_holds_every_value(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(1), document(2, level=3), document(3, level="three")])
            await index.commit()
            assert await ids(index, query=ast.Range("timestamp", None, None)) == ["o1", "o2", "o3"]
            assert await ids(index, query=ast.Range("level", None, None, False, False)) == ["o2", "o3"]

        self.work(tmp_path, work)

    def test_the_same_questions_again_while_the_index_changes(self, tmp_path: Path) -> None:
        """Engines may remember where an answer lay: pages from both ends, and behind every docid, stay right."""
        chance = random.Random(20261123)
        queries = (ast.ALL, ast.Words("kind", "even"), ast.Exists("rare"))

        async def work(index: Index) -> None:
            alive: dict[tuple[str, str], Document] = {}
            seq = 0

            async def same(snapshot: Snapshot, request: SearchRequest) -> None:
                hits, expected = await snapshot.search(request), answer(alive.values(), request)
                assert (hits.total, list(hits.hits)) == (expected.total, list(expected.hits)), request

            for _ in range(25):
                for _ in range(chance.randrange(40)):
                    seq += 1
                    number = chance.randrange(200)
                    if chance.random() < 0.25:
                        alive.pop(("app", f"o{number}"), None)
                        index.enqueue([Removal("app", f"o{number}", seq)])
                        continue
                    more = {"rare": 1} if number % 9 == 0 else {}
                    made = document(number, kind=("even", "odd")[number % 2], **more)
                    made.fields["timestamp"] = chance.randrange(60)
                    alive["app", made.id] = made = structs.replace(made, seq=seq)
                    index.enqueue([made])
                await index.commit(seq)
                snapshot = index.snapshot()
                for query in queries:
                    for desc in (True, False):
                        for offset, limit in ((0, 10), (0, 10), (7, 10), (30, 5), (0, 0)):
                            request = SearchRequest("app", query, "cat", (SortBy("timestamp", desc),), offset, limit)
                            await same(snapshot, request)
                        for after in (-1, 0, 50, 60, 199, 10**6):
                            request = SearchRequest("app", query, None, (SortBy("_docid", desc),), 0, 9, after)
                            await same(snapshot, request)

        self.work(tmp_path, work)

    def test_removed_objects_are_gone_and_may_come_back(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(1), document(2), document(1, app="other")])
            await index.commit()
            index.enqueue([Removal("app", "o1", 4), Removal("app", "never", 5)])
            assert await index.commit() == 5
            assert await ids(index) == ["o2"]
            assert await ids(index, app="other") == ["o1"]
            index.enqueue([structs.replace(document(1), seq=6), Removal("app", "o2", 7)])
            await index.commit()
            assert await ids(index) == ["o1"]

        self.work(tmp_path, work)

    def test_a_commit_moves_past_lines_without_changes(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(1)])
            assert await index.commit(5) == 5
            assert await index.commit(9) == 9
            assert index.snapshot().seq == 9
            assert await index.commit() == 9

        self.work(tmp_path, work)

        async def again(index: Index) -> None:
            assert await index.position() == 9
            assert await ids(index) == ["o1"]
            await index.drop_app("other")
            assert await index.position() == index.snapshot().seq == 9

        self.work(tmp_path, again)

    def test_everything_is_there_after_reopening_and_replay_changes_nothing(self, tmp_path: Path) -> None:
        async def write(index: Index) -> None:
            index.enqueue([document(n) for n in range(1, 21)])
            await index.commit()
            index.enqueue([Removal("app", "o3", 21), structs.replace(document(4, name="Four"), seq=22)])

        self.work(tmp_path, write)
        expected = [f"o{n}" for n in range(1, 21) if n != 3]

        async def read(index: Index) -> None:
            assert await index.position() == 22, "closing commits"
            assert await ids(index) == expected
            index.enqueue([document(2), Removal("app", "o3", 21), structs.replace(document(4, name="Four"), seq=22)])
            await index.commit()
            assert await ids(index) == expected
            assert await ids(index, query=ast.Equals("name", ("Four",))) == ["o4"]

        self.work(tmp_path, read)

    def test_another_store_starts_from_nothing(self, tmp_path: Path) -> None:
        async def write(index: Index) -> None:
            index.enqueue([document(1)])

        self.work(tmp_path, write)

        async def other(index: Index) -> None:
            assert await index.position() == 0
            assert await ids(index) == []

        self.work(tmp_path, other, store="store-2")
        self.work(tmp_path, other, store="store-1")

    def test_committed_survives_kill_9(self, tmp_path: Path) -> None:
        call = f"s.write_and_wait({self.factory!r}, {str(tmp_path / 'index')!r})"
        script = f"import asyncio, {__name__} as s; asyncio.run({call})"
        paths = os.pathsep.join(path for path in sys.path if path)
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
        ) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == b"committed\n"
            finally:
                process.send_signal(signal.SIGKILL)

        async def read(index: Index) -> None:
            assert await index.position() == 10
            assert await ids(index) == [f"o{n}" for n in range(1, 11)]
            assert await ids(index, query=ast.Equals("name", ("Lost",))) == []

        self.work(tmp_path, read)

    def test_excluded_ids_are_missing_from_hits_and_total(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(n) for n in range(1, 301)])
            await index.commit()
            for without in ((1, 5, 7), range(1, 300), ()):
                excluded = {f"o{n}" for n in without}
                expected = [f"o{n}" for n in range(1, 301) if f"o{n}" not in excluded]
                for sort in ((SortBy("timestamp", False),), (SortBy("_docid", False),), (SortBy("name", False),)):
                    hits = await index.snapshot().search(
                        SearchRequest("app", ast.ALL, sort=sort, limit=1000, exclude=excluded | {"never"})
                    )
                    assert hits.total == len(expected)
                    assert sorted(hit.id for hit in hits.hits) == sorted(expected)

        self.work(tmp_path, work)

    def test_search_after_walks_through_everything_once(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(n) for n in range(1, 23)])
            await index.commit()
            for desc in (False, True):
                pages: list[list[int]] = []
                after: int | None = None
                while not pages or pages[-1]:
                    request = SearchRequest("app", ast.ALL, None, (SortBy("_docid", desc),), 0, 10, after)
                    hits = await index.snapshot().search(request)
                    assert hits.total == 22
                    pages.append([hit.docid for hit in hits.hits])
                    after = pages[-1][-1] if pages[-1] else None
                assert [len(page) for page in pages] == [10, 10, 2, 0]
                assert [docid for page in pages for docid in page] == sorted(range(1, 23), reverse=desc)
            for bound in (-(2**70), 2**70):
                request = SearchRequest("app", ast.ALL, None, (SortBy("_docid", False),), 0, 30, bound)
                assert len((await index.snapshot().search(request)).hits) == (22 if bound < 0 else 0)

        self.work(tmp_path, work)

    def test_an_app_can_be_dropped(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(1), document(2, app="app2")])
            await index.commit()
            index.enqueue([document(3), document(4, app="app2")])
            await index.drop_app("app")
            assert await ids(index) == []
            assert await ids(index, app="app2") == ["o2", "o4"]
            index.enqueue([document(5)])
            await index.commit()
            assert await ids(index) == ["o5"]

        self.work(tmp_path, work)

    def test_it_can_be_emptied(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            index.enqueue([document(8), document(9, app="app2")])
            await index.commit()
            await index.clear()
            assert (await index.position(), await ids(index), await ids(index, app="app2")) == (0, [], [])
            index.enqueue([document(3)])
            assert await index.commit() == 3

        self.work(tmp_path, work)

    def test_after_closing_it_says_unavailable(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.close()
            with pytest.raises(Unavailable):
                index.enqueue([document(1)])
            with pytest.raises(Unavailable):
                await index.commit()
            with pytest.raises(Unavailable):
                index.snapshot()

        self.work(tmp_path, work)

    def test_answers_are_those_of_the_predicate(self) -> None:
        """Random objects and queries, in many segments, over one index: items, order, sort keys and totals."""
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
            index = runner.run(load(self.factory)(Path(folder) / "index", "store-1"))
            turn = 0

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(
                st.lists(
                    st.tuples(st.sampled_from(APPS), st.sampled_from("abcdefghijkl"), st.sampled_from(TYPES)).flatmap(
                        lambda key: st.tuples(st.just(key), fields(key[1], key[2], key[0]))
                    ),
                    max_size=16,
                ),
                st.lists(
                    st.tuples(requests(), st.sets(st.sampled_from("abcdefghijkl"), max_size=3)), min_size=4, max_size=8
                ),
            )
            def same(objects: list[Any], searches: list[tuple[SearchRequest, set[str]]]) -> None:
                nonlocal turn
                turn += 1
                alive: dict[tuple[str, str], Document] = {}
                for at, ((app, id, type), found) in enumerate(objects):
                    found = {**found, "appid": f"{app}-{turn}"} if found.get("appid") == app else found
                    app = f"{app}-{turn}"
                    alive[app, id] = Document(app, id, type, turn * 1000 + at, turn * 1000 + at, found)
                index.enqueue(list(alive.values()))
                runner.run(index.commit())
                snapshot = index.snapshot()
                for request, excluded in searches:
                    wanted = replace(request, app=f"{request.app}-{turn}", exclude=excluded)
                    if wanted.after is not None:
                        wanted = replace(wanted, after=wanted.after + turn * 1000 - 5)
                    hits = runner.run(snapshot.search(wanted))
                    expected = answer(alive.values(), wanted)
                    assert hits.total == expected.total
                    assert list(hits.hits) == list(expected.hits)

            try:
                same()
            finally:
                runner.run(index.close())
