"""Search finds what was written before it began, by every query type, and commits by itself while others work."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.aio import run, until
from support.environment import ManualClock
from thingstead.core.search import Page, Policy, Search
from thingstead.engines.tantivy import TantivyIndex
from thingstead.model.query import ast
from thingstead.model.query.build import Params, plan
from thingstead.model.values import JsonObject, dump
from thingstead.ports.index import Document, Removal
from thingstead.ports.store import JournalLine

TEXT = "This is a little test sentence. Testing, one, two, three."
FIXTURES: list[JsonObject] = [
    {"id": "111", "type": "sysprop", "name": "John Doe", "tags": ["one"]},
    {"id": "222", "type": "sysprop", "name": "Joe Black"},
    {"id": "tag:test", "type": "tag", "tag": "test"},
    {"id": "adr1", "type": "address", "latlng": "40.67,-73.94", "parentid": "111"},
    {"id": "adr2", "type": "address", "latlng": "40.69,-73.95", "parentid": "tag:test"},
    {"id": "s0", "type": "post", "properties": {"text": "This is a little test sentence. Testing, one, two."}},
    {"id": "s1", "type": "post", "properties": {"text": TEXT}},
    {
        "id": "s2",
        "type": "post",
        "properties": {"text": "We are testing this thing. This sentence is a test. One, two."},
    },
    {"id": "s3", "type": "post", "properties": {"text": "Something else."}},
]


class Shelf:
    """Objects in memory, numbered as they come."""

    def __init__(self) -> None:
        self.public: dict[str, bytes] = {}
        self.seq = 0

    async def read_many(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {id: self.public[id] for id in ids if id in self.public}

    def put(self, fields: JsonObject) -> Document:
        self.seq += 1
        id = str(fields["id"])
        fields = {**fields, "timestamp": self.seq}
        properties: Any = fields.get("properties", {})
        self.public[id] = dump({name: value for name, value in fields.items() if name != "properties"} | properties)
        return Document("app", id, str(fields["type"]), self.seq, self.seq, fields, new=True)


def with_search(
    tmp_path: Path, work: Callable[[Search, Shelf], Awaitable[None]], policy: Policy | None = None, **more: Any
) -> None:
    async def opened() -> None:
        shelf = Shelf()
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        search = Search(index, shelf.read_many, ManualClock(), policy=policy, **more)
        try:
            await work(search, shelf)
        finally:
            await search.close()

    run(opened())


async def find(search: Search, query_type: str, type: str | None = None, **params: str | list[str]) -> Page:
    lists: Params = {name: [value] if isinstance(value, str) else value for name, value in params.items()}
    return await search.find("app", plan(query_type, type, lists))


@pytest.mark.parametrize("committed", [0, 4, len(FIXTURES)])
def test_every_query_type_answers(tmp_path: Path, committed: int) -> None:
    async def work(search: Search, shelf: Shelf) -> None:
        for at, fields in enumerate(FIXTURES):
            if at == committed:
                await search.flush()
            search.written([shelf.put(fields)])
        newest = [str(fields["id"]) for fields in reversed(FIXTURES)]
        page = await find(search, "")
        assert (page.ids, page.total, page.last_key) == (newest, 9, "1")
        assert page.items == [shelf.public[id] for id in newest]
        page = await find(search, "", limit="2", page="2")
        assert (page.ids, page.total, page.page, page.last_key) == (newest[2:4], 9, 2, "6")
        assert (await find(search, "count", "post")).total == 4
        assert (await find(search, "terms", terms=["type:post"], count="")).items == []
        assert (await find(search, "terms", terms=["type:post"], count="")).total == 4
        page = await find(search, "ids", ids=["111", "unknown", "s1"])
        assert (page.ids, page.total, page.last_key) == (["s1", "111"], 2, None)
        assert (await find(search, "id", "ignored", id="111")).items == [shelf.public["111"]]
        assert (await find(search, "id", id="unknown")).total == 0
        assert (await find(search, "nearby", "sysprop", latlng="40.60,-73.90", radius="10")).ids == ["111"]
        assert (await find(search, "nearby", "sysprop", latlng="40.60,-73.90", q="name:Joe*")).ids == []
        assert (await find(search, "nearby", "address", latlng="40.60,-73.90", radius="20")).ids == ["adr2", "adr1"]
        assert (await find(search, "nearby", "sysprop", latlng="0,0")).ids == []
        like = {"fields": "properties.text", "filterid": "s1"}
        assert (await find(search, "similar", "post", like=TEXT, **like)).ids == ["s0", "s2"], "best first"
        assert (await find(search, "similar", "post", like="id:s1", **like)).ids == ["s0", "s2"]
        assert (await find(search, "similar", "post", like="id:s1", sort="timestamp", **like)).ids == ["s2", "s0"]
        page = await find(search, "similar", "post", like="id:s1", limit="1", page="2", **like)
        assert (page.ids, page.total) == (["s2"], 2)
        assert (await find(search, "similar", "post", like="id:unknown", **like)).ids == []

    with_search(tmp_path, work)


def test_only_narrows_every_kind_of_search(tmp_path: Path) -> None:
    async def work(search: Search, shelf: Shelf) -> None:
        search.written([shelf.put(fields) for fields in FIXTURES])
        mine = ast.Equals("id", ("111", "s2"))

        async def narrowed(query_type: str, type: str | None, **params: str) -> tuple[list[str], int]:
            made = plan(query_type, type, {name: value.split("|") for name, value in params.items()})
            page = await search.find("app", made, mine)
            return page.ids, page.total

        assert await narrowed("", None) == (["s2", "111"], 2)
        assert await narrowed("ids", None, ids="s1|s2") == (["s2"], 1)
        assert await narrowed("similar", "post", like=TEXT, fields="properties.text") == (["s2"], 1)
        assert await narrowed("nearby", "tag", latlng="40.6,-73.9", radius="20") == ([], 0)
        assert await narrowed("nearby", "sysprop", latlng="40.6,-73.9", radius="20") == (["111"], 1)

    with_search(tmp_path, work)


def test_an_object_whose_row_is_gone_is_left_out(tmp_path: Path) -> None:
    async def work(search: Search, shelf: Shelf) -> None:
        search.written([shelf.put(fields) for fields in FIXTURES[:2]])
        del shelf.public["222"]
        assert (await find(search, "")).ids == ["111"]
        search.written([Removal("app", "222", 3)])
        assert (await find(search, "")).total == 1

    with_search(tmp_path, work)


@pytest.mark.parametrize(
    ("policy", "searches"),
    [
        (Policy(searched=0.01, idle=0.01), False),
        (Policy(searched=60, idle=60, bulk=5), False),
        (Policy(searched=60, idle=60, hurry=3), True),
    ],
)
def test_pending_writes_are_committed_without_asking(tmp_path: Path, policy: Policy, searches: bool) -> None:
    durable: list[int] = []

    async def passed(seq: int) -> None:
        durable.append(seq)

    async def work(search: Search, shelf: Shelf) -> None:
        search.written([shelf.put(fields) for fields in FIXTURES])
        if searches:
            assert (await find(search, "")).total == 9

        async def done() -> bool:
            return durable[-1:] == [9]

        await until(done)

    with_search(tmp_path, work, policy, passed=passed)


def test_a_search_waits_when_too_much_is_pending(tmp_path: Path) -> None:
    async def work(search: Search, shelf: Shelf) -> None:
        search.written([shelf.put({"id": f"x{n}", "type": "x"}) for n in range(50)])
        assert search.flushes == 0
        assert (await find(search, "", "x")).total == 50
        assert search.flushes == 1
        assert (await asyncio.gather(*(find(search, "", "x") for _ in range(5))))[4].total == 50
        assert search.flushes == 1

    with_search(tmp_path, work, Policy(searched=60, idle=60, hurry=10**9, wait=40))


def test_many_clauses_wait_for_the_commit_and_hold_up_nobody(tmp_path: Path) -> None:
    """A thousand patterns cost milliseconds each: neither looking through pending writes nor making them into
    automatons may keep the loop from others."""

    async def work(search: Search, shelf: Shelf) -> None:
        search.written([shelf.put({"id": f"c{n}", "type": "cat", "name": f"a{n}"}) for n in range(300)])
        gaps: list[float] = []

        async def tick() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0)
                gaps.append(time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        patterns = " ".join(f"a{n}*" for n in range(200))
        for more in ("b*", "c*"):  # with pending writes, and with none
            gaps.clear()
            start = time.monotonic()
            assert (await find(search, "", q=f"{patterns} {more}")).total == 300
            assert max(gaps) < (time.monotonic() - start) / 2
        ticking.cancel()

    with_search(tmp_path, work, Policy(searched=9, idle=9, bulk=9_999, hurry=9_998, wait=9_000))


def test_a_trimmed_journal_means_a_new_index(tmp_path: Path) -> None:
    """The journal no longer reaches back to the index's position: everything is read again, what is gone is gone."""
    shelf = Shelf()

    class Trimmed:
        async def read(self, after: int, limit: int) -> list[Any]:
            raise AssertionError("lines before the journal's start were asked for")

        async def last(self) -> int:
            return 9

        async def first(self) -> int:
            return 8

    async def current(app: str, ids: Sequence[str]) -> list[Document]:
        raise AssertionError("nothing is replayed")

    async def everything() -> AsyncIterator[list[Document]]:
        for fields in FIXTURES[:3]:
            yield [shelf.put(fields)]

    async def work() -> None:
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        index.enqueue([Document("app", "old", "x", 1, 1, {"id": "old"})])
        await index.commit()
        search = Search(index, shelf.read_many, ManualClock())
        assert await search.recover(Trimmed(), current, everything) == 0
        assert await index.position() == 9
        assert sorted((await find(search, "", sort="id")).ids) == ["111", "222", "tag:test"]
        await search.close()

    run(work())


@pytest.mark.parametrize("committed", [0, 7, 22])
@pytest.mark.parametrize("desc", ["false", "true"])
def test_search_after_walks_through_committed_and_pending_once(tmp_path: Path, committed: int, desc: str) -> None:
    async def work(search: Search, shelf: Shelf) -> None:
        for number in range(22):
            if number == committed:
                await search.flush()
            search.written([shelf.put({"id": f"x{number}", "type": "x"})])
        pages: list[list[str]] = []
        last = ""
        while not pages or pages[-1]:
            page = await find(search, "", "x", limit="10", page="1", sort="_docid", desc=desc, lastKey=last)
            assert page.total == 22
            pages.append(page.ids)
            last = page.last_key or ""
        assert [len(ids) for ids in pages] == [10, 10, 2, 0]
        in_order = [f"x{number}" for number in range(22)]
        assert [id for ids in pages for id in ids] == (in_order if desc == "false" else in_order[::-1])

    with_search(tmp_path, work)


def test_what_was_not_committed_is_replayed_removals_included(tmp_path: Path) -> None:
    shelf = Shelf()
    lines = [JournalLine(n, "app", id, "put", "x") for n, id in enumerate("abc", 1)]
    lines += [JournalLine(4, "app", "b", "delete", "x"), JournalLine(5, "app", "d", "put", "x")]
    documents = {id: shelf.put({"id": id, "type": "x"}) for id in "abcd"}

    class Journal:
        async def read(self, after: int, limit: int) -> list[JournalLine]:
            return lines[after : after + limit]

        async def last(self) -> int:
            return len(lines)

        async def first(self) -> int:
            return 1

    async def current(app: str, ids: Sequence[str]) -> list[Document]:
        return [documents[id] for id in ids if id != "b"]

    async def everything() -> AsyncIterator[list[Document]]:
        raise AssertionError("the journal is enough")
        yield []

    async def work() -> None:
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        index.enqueue([documents["a"], documents["b"], documents["c"]])
        await index.close()
        for replayed in (2, 0):
            index = await TantivyIndex.open(tmp_path / "index", "store-1")
            search = Search(index, shelf.read_many, ManualClock())
            assert await search.recover(Journal(), current, everything) == search.recovered == replayed
            assert sorted((await find(search, "")).ids) == ["a", "c", "d"]
            assert await index.position() == 5
            await search.close()

    run(work())
