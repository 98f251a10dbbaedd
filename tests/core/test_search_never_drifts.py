"""Search never drifts: whatever is written, removed, committed, dropped or lost on the way, items, order and totals are
those of the plain predicate over all objects, at every moment, with the index's commits paused at random."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.environment import ManualClock
from thingstead.conformance.searching import APPS, TYPES, answer, fields, requests
from thingstead.core.search import Policy, Search
from thingstead.engines.tantivy import TantivyIndex
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Pager
from thingstead.model.query.sort import SortBy
from thingstead.model.values import JsonObject, dump
from thingstead.ports.index import Change, Document, Index, Removal, SearchRequest
from thingstead.ports.store import JournalLine

NEVER = Policy(searched=3600, idle=3600, bulk=10**9, hurry=10**9, wait=10**9)
"""Nothing commits but the test."""


class Held:
    """The real index, but what is enqueued reaches it with the next commit only: `held` is what a crash loses."""

    def __init__(self, engine: Index) -> None:
        self.engine = engine
        self.held: list[Change] = []
        self.position, self.snapshot, self.room, self.clear = (
            engine.position,
            engine.snapshot,
            engine.room,
            engine.clear,
        )

    def enqueue(self, changes: Sequence[Change]) -> None:
        self.held.extend(changes)

    def hand_over(self) -> None:
        held, self.held = self.held, []
        if held:
            self.engine.enqueue(held)

    async def commit(self, seq: int = 0) -> int:
        self.hand_over()
        return await self.engine.commit(seq)

    async def drop_app(self, app: str) -> None:
        self.hand_over()
        await self.engine.drop_app(app)

    async def close(self) -> None:
        self.hand_over()
        await self.engine.close()


class World:
    """The objects, and the journal of their changes: what the store holds."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self.lines: list[JournalLine] = []
        self.kept_from = 1

    def line(self, app: str, id: str, op: Any, type: str) -> int:
        self.lines.append(JournalLine(len(self.lines) + 1, app, id, op, type))
        return len(self.lines)

    def put(self, app: str, id: str, type: str, found: Any) -> Document:
        before = self.objects.get((app, id))
        seq = self.line(app, id, "put", type)
        document = Document(app, id, type, before.docid if before else seq, seq, found, new=before is None)
        self.objects[app, id] = document
        return document

    def remove(self, app: str, id: str) -> Removal | None:
        document = self.objects.pop((app, id), None)
        return Removal(app, id, self.line(app, id, "delete", document.type)) if document else None

    # what Search asks for

    async def read_many(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {id: dump({"id": id}) for id in ids if (app, id) in self.objects}

    async def current(self, app: str, ids: Sequence[str]) -> list[Document]:
        return [self.objects[app, id] for id in ids if (app, id) in self.objects]

    async def everything(self) -> AsyncIterator[list[Document]]:
        for document in list(self.objects.values()):
            yield [document]

    # JournalReads

    async def read(self, after: int, limit: int) -> list[JournalLine]:
        return self.lines[after : after + limit]

    async def last(self) -> int:
        return len(self.lines)

    async def first(self) -> int:
        return self.kept_from


EXAMPLES = int(os.environ.get("THINGSTEAD_DRIFT_EXAMPLES", "10"))  # each opens a store and, at each restart, an indexer

pytestmark = pytest.mark.timeout(60 + 30 * EXAMPLES)

Step: TypeAlias = tuple[str, str, JsonObject | None]
"""(app, id, what to write or None to remove)."""


def steps() -> st.SearchStrategy[Step]:
    keys = st.tuples(st.sampled_from(APPS), st.sampled_from("abcd"), st.sampled_from(TYPES))
    plain = keys.map(lambda key: (key[0], key[1], {"id": key[1], "type": key[2], "timestamp": 1, "name": "Ann"}))
    rich = keys.flatmap(lambda key: st.tuples(st.just(key[0]), st.just(key[1]), fields(key[1], key[2], key[0])))
    return st.one_of(plain, rich, keys.map(lambda key: (key[0], key[1], None)))


class Drift(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.world = World()
        self.commits: list[asyncio.Task[int]] = []
        self.open()

    def open(self) -> None:
        async def opened() -> Search:
            self.index = index = Held(await TantivyIndex.open(Path(self.folder.name) / "index", "store-1"))
            search = Search(index, self.world.read_many, ManualClock(), policy=NEVER)
            before = await index.position()
            recovered = await search.recover(self.world, self.world.current, self.world.everything)
            rebuilt = before + 1 < self.world.kept_from and before < len(self.world.lines)
            assert recovered == search.recovered == (0 if rebuilt else len(self.world.lines) - before)
            return search

        self.search = self.runner.run(opened())
        self.told = len(self.world.lines)

    @rule(steps=st.lists(steps(), min_size=1, max_size=8))
    def write(self, steps: list[Step]) -> None:
        async def written() -> None:
            for app, id, found in steps:
                change = self.world.put(app, id, str(found["type"]), found) if found else self.world.remove(app, id)
                if change is not None:
                    self.search.written([change])
                    self.told = change.seq

        self.runner.run(written())

    @rule()
    def begin_commit(self) -> None:
        async def begun() -> asyncio.Task[int]:
            task = asyncio.ensure_future(self.search.flush())
            await asyncio.sleep(0)
            return task

        self.commits.append(self.runner.run(begun()))

    @rule()
    def finish_commits(self) -> None:
        async def finished() -> None:
            await asyncio.gather(*self.commits)

        self.runner.run(finished())
        self.commits.clear()

    @rule(app=st.sampled_from(APPS))
    def drop_app(self, app: str) -> None:
        for of, id in list(self.world.objects):
            if of == app:
                self.world.remove(of, id)
        self.runner.run(self.search.drop_app(app))

    @rule(clean=st.booleans(), trimmed=st.booleans())
    def restart(self, clean: bool, trimmed: bool) -> None:
        self.finish_commits()
        if clean:
            self.runner.run(self.search.close())
            assert self.runner.run(self.index.position()) == self.told
        else:  # as if killed: what was not committed is gone
            self.index.held.clear()
            self.runner.run(self.index.engine.close())
        if trimmed:
            self.world.kept_from = len(self.world.lines) + 1
        self.open()

    @rule(request=requests())
    def same(self, request: SearchRequest) -> None:
        self.compare(request)

    @rule(request=requests(), page=st.integers(0, 3), limit=st.integers(0, 3))
    def same_page(self, request: SearchRequest, page: int, limit: int) -> None:
        pager = Pager(page, limit, request.sort or (SortBy("timestamp", True),))
        found = self.runner.run(self.search.find(request.app, Find(request.query, request.type, pager)))
        plain = replace(request, sort=pager.sort, after=None, offset=pager.offset, limit=limit)
        expected = answer(self.world.objects.values(), plain)
        assert found.ids == [hit.id for hit in expected.hits]
        assert found.total == expected.total
        assert found.last_key == (str(expected.hits[-1].docid) if expected.hits else None)

    @invariant()
    def all_is_there(self) -> None:
        for app in APPS:
            self.compare(SearchRequest(app, sort=(SortBy("timestamp", True),), limit=20, query=ast.ALL))

    def compare(self, request: SearchRequest) -> None:
        found = self.runner.run(self.search.hits(request))
        expected = answer(self.world.objects.values(), request)
        assert found.total == expected.total
        assert [hit.id for hit in found.hits] == [hit.id for hit in expected.hits]
        assert [hit.keys for hit in found.hits] == [hit.keys for hit in expected.hits]

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.finish_commits()
            self.runner.run(self.search.close())
            self.runner.close()
            self.folder.cleanup()


Drift.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=False,
)
TestSearchNeverDrifts = Drift.TestCase
