"""Every Index engine keeps the port's promises; and the suite that says so finds engines that do not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from thingstead.conformance.index import IndexSuite, document, ids
from thingstead.engines.tantivy import TantivyIndex
from thingstead.model.errors import Unavailable
from thingstead.ports.index import Change, Hits, Removal, SearchRequest, Snapshot


class TestTantivy(IndexSuite):
    factory = "thingstead.engines.tantivy:TantivyIndex.open"


@pytest.mark.parametrize("damage", ["position.json", "meta.json", "everything"])
def test_a_damaged_directory_is_rebuilt(tmp_path: Path, damage: str) -> None:
    async def work() -> None:
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        index.enqueue([document(1)])
        await index.close()
        for file in (tmp_path / "index").iterdir():
            if damage in (file.name, "everything"):
                file.write_bytes(b"{}")
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        assert await index.position() == 0
        assert await ids(index) == []
        index.enqueue([document(2)])
        assert await index.commit() == 2
        assert await ids(index) == ["o2"]
        await index.close()

    run(work())


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    async def work() -> None:
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        index.enqueue([document(1)])
        await index.commit()
        with pytest.raises(Unavailable):
            await TantivyIndex.open(tmp_path / "index", "store-1")
        assert await ids(index) == ["o1"]
        await index.close()

    run(work())


class Stumbles(TantivyIndex):
    """Its writing fails as often as told."""

    failures = 0

    def _write(self, changes: Sequence[Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no space left")
        super()._write(changes)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_failed_commit_loses_nothing(tmp_path: Path, failures: int) -> None:
    async def work() -> None:
        index = await Stumbles.open(tmp_path / "index", "store-1")
        index.enqueue([document(1), document(2)])
        await index.commit()
        index.failures = failures
        index.enqueue([document(3), Removal("app", "o1", 4)])
        index.enqueue([document(5)])
        for left in range(failures - 1, 0, -1):
            with pytest.raises(Unavailable):
                await index.commit()
            assert index.failures == left - 1
            assert await index.position() == index.snapshot().seq == 2
            assert await ids(index) == ["o1", "o2"]
        assert await index.commit() == 5
        assert await ids(index) == ["o2", "o3", "o5"]
        await index.close()

    run(work())


class ForgetsRemovals(TantivyIndex):
    def enqueue(self, changes: Sequence[Change]) -> None:
        super().enqueue([change for change in changes if not isinstance(change, Removal)])


class LosesTheTail(TantivyIndex):
    """Says that it committed, and keeps the last change for the next time."""

    tail: tuple[Change, ...] = ()

    def enqueue(self, changes: Sequence[Change]) -> None:
        changes = [*self.tail, *changes]
        self.tail = tuple(changes[-1:])
        super().enqueue(changes[:-1])

    async def commit(self, seq: int = 0) -> int:
        return await super().commit(max(seq, *(change.seq for change in self.tail)) if self.tail else seq)


class LosesTheTailOnReopening(TantivyIndex):
    """Shows everything until it is closed: commits are durable one too late."""

    async def close(self) -> None:
        if not self._closed:
            position = await self.position()
            super().enqueue([Removal("app", f"o{n}", position) for n in range(position - 2, position + 1)])
        await super().close()


class Blind:
    """A snapshot that drops part of the request, or of the answer."""

    def __init__(self, inner: Snapshot, wrong: str) -> None:
        self.inner = inner
        self.wrong = wrong
        self.seq = inner.seq

    async def search(self, request: SearchRequest) -> Hits:
        hits = await self.inner.search(request)
        everything = await self.inner.search(replace(request, exclude=()))
        if self.wrong == "exclude":
            return everything
        if self.wrong == "total":
            return Hits(everything.total, hits.hits)
        return Hits(len(hits.hits), hits.hits)


class IgnoresExclude(TantivyIndex):
    def snapshot(self) -> Snapshot:
        return Blind(super().snapshot(), "exclude")


class CountsExcluded(TantivyIndex):
    def snapshot(self) -> Snapshot:
        return Blind(super().snapshot(), "total")


class CountsThePage(TantivyIndex):
    def snapshot(self) -> Snapshot:
        return Blind(super().snapshot(), "page")


@pytest.mark.parametrize(
    ("faulty", "promise"),
    [
        (ForgetsRemovals, IndexSuite.test_removed_objects_are_gone_and_may_come_back),
        (LosesTheTail, IndexSuite.test_changes_become_visible_together_with_the_commit),
        (LosesTheTailOnReopening, IndexSuite.test_everything_is_there_after_reopening_and_replay_changes_nothing),
        (IgnoresExclude, IndexSuite.test_excluded_ids_are_missing_from_hits_and_total),
        (CountsExcluded, IndexSuite.test_excluded_ids_are_missing_from_hits_and_total),
        (CountsThePage, IndexSuite.test_search_after_walks_through_everything_once),
    ],
    ids=lambda value: value.__name__,
)
def test_the_suite_finds_a_faulty_engine(
    tmp_path: Path, faulty: type[TantivyIndex], promise: Callable[[IndexSuite, Path], None]
) -> None:
    suite = IndexSuite()
    suite.factory = f"ports.test_index_conformance:{faulty.__name__}.open"
    with pytest.raises(AssertionError):
        promise(suite, tmp_path)
