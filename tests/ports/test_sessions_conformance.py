"""Every session store keeps the promises of its port, and the suite that says so catches stores that do not.

The store of the server is tried on a disk that forgets what was not synced; the one that the transport's tests use in
its place has to be as good.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support.aio import run
from support.environment import ManualClock, SystemEntropy
from support.forgetful import Forgetful
from thingstead.conformance.sessions import (
    CHECKS,
    Check,
    Disk,
    Make,
    a_failure_is_told_and_changes_nothing,
    all_or_nothing,
    durable_on_return,
    spaces_are_apart,
    the_last_change_counts,
    what_was_put_comes_back_as_it_was,
)
from thingstead.engines.sqlite import SqliteStore
from thingstead.model.errors import StoreFailed
from thingstead.ports.sessions import Change, SessionStore, Space
from thingstead.server.sessions import StoredSessions
from transports.mqtt_harness import MemorySessionStore

Wrap = Callable[[SessionStore], SessionStore]


def bare(store: SessionStore) -> SessionStore:
    return store


class SqliteDisk:
    """The server's sessions, in an SQLite store on a forgetful file system."""

    def __init__(self, place: Path, wrap: Wrap) -> None:
        self._place = place
        self._wrap = wrap
        self._vfs = Forgetful()
        self._stores: list[SqliteStore] = []
        self._directory("0").mkdir(parents=True)
        self.store = self._open()

    def _directory(self, name: str) -> Path:
        return self._place / name

    def _open(self) -> SessionStore:
        directory = self._directory(f"{len(self._stores)}")
        store = SqliteStore.open(directory, clock=ManualClock(), entropy=SystemEntropy(), vfs=self._vfs.name)
        self._stores.append(store)
        return self._wrap(StoredSessions(store))

    async def crash(self) -> None:
        count = len(self._stores)
        self._vfs.power_loss(self._directory(f"{count - 1}"), self._directory(f"{count}"))
        self.store = self._open()

    def fail(self, failing: bool) -> None:
        self._vfs.fault = "fail" if failing else ""

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        self._vfs.unregister()


class MemoryDisk:
    """The session store of the transport's tests."""

    def __init__(self, wrap: Wrap) -> None:
        self._memory = MemorySessionStore()
        self._wrap = wrap
        self.store = wrap(self._memory)

    async def crash(self) -> None:
        self._memory = self._memory.copy()
        self.store = self._wrap(self._memory)

    def fail(self, failing: bool) -> None:
        self._memory.failing = failing

    async def close(self) -> None:
        pass


def sqlite(place: Path, wrap: Wrap = bare) -> Make:
    made: list[SqliteDisk] = []

    async def make() -> Disk:
        made.append(SqliteDisk(place / f"{len(made)}", wrap))
        return made[-1]

    return make


def memory(wrap: Wrap = bare) -> Make:
    async def make() -> Disk:
        return MemoryDisk(wrap)

    return make


def name(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_the_servers_sessions_keep_the_promise(check: Check, tmp_path: Path) -> None:
    run(check(sqlite(tmp_path)))


@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_those_of_the_transports_tests_keep_it_too(check: Check) -> None:
    run(check(memory()))


class Faulty:
    """A session store that is right but for what a subclass breaks."""

    def __init__(self, right: SessionStore) -> None:
        self.right = right

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        return await self.right.load(space)

    async def apply(self, changes: Sequence[Change]) -> None:
        await self.right.apply(changes)


class ForgetsDeletions(Faulty):
    async def apply(self, changes: Sequence[Change]) -> None:
        await self.right.apply([change for change in changes if change.value is not None])


class TakesEmptyForNothing(Faulty):
    async def apply(self, changes: Sequence[Change]) -> None:
        await self.right.apply([change._replace(value=change.value or None) for change in changes])


class MixesSpaces(Faulty):
    """Keeps everything under its key alone."""

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        return await self.right.load(Space.SESSIONS)

    async def apply(self, changes: Sequence[Change]) -> None:
        by_key = {change.key: change._replace(space=Space.SESSIONS) for change in changes}
        await self.right.apply(list(by_key.values()))


class FoldsKeys(Faulty):
    """As a database does whose text does not tell upper from lower case."""

    async def apply(self, changes: Sequence[Change]) -> None:
        by_key = {(change.space, change.key.lower()): change.value for change in changes}
        await self.right.apply([Change(*where, value) for where, value in by_key.items()])


class SplitsBatches(Faulty):
    async def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            await self.right.apply([change])


class ReturnsTooEarly(Faulty):
    """Writes a batch when the next one comes, or when somebody looks."""

    late: Sequence[Change] = ()

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        await self.apply([])
        return await self.right.load(space)

    async def apply(self, changes: Sequence[Change]) -> None:
        late, self.late = self.late, changes
        await self.right.apply(late)


class HidesFailures(Faulty):
    async def apply(self, changes: Sequence[Change]) -> None:
        try:
            await self.right.apply(changes)
        except StoreFailed:
            pass


class WritesWhatFailed(Faulty):
    """Keeps a failed batch and writes it with the next one."""

    failed: dict[tuple[Space, str], bytes | None]

    async def apply(self, changes: Sequence[Change]) -> None:
        merged = {**getattr(self, "failed", {}), **{(change.space, change.key): change.value for change in changes}}
        self.failed = merged
        await self.right.apply([Change(*where, value) for where, value in merged.items()])
        self.failed = {}


@pytest.mark.parametrize(
    ("faulty", "check"),
    [
        (ForgetsDeletions, the_last_change_counts),
        (TakesEmptyForNothing, what_was_put_comes_back_as_it_was),
        (MixesSpaces, spaces_are_apart),
        (FoldsKeys, what_was_put_comes_back_as_it_was),
        (SplitsBatches, all_or_nothing),
        (ReturnsTooEarly, durable_on_return),
        (HidesFailures, a_failure_is_told_and_changes_nothing),
        (WritesWhatFailed, a_failure_is_told_and_changes_nothing),
    ],
    ids=name,
)
def test_a_faulty_store_is_caught(faulty: type[Faulty], check: Check, tmp_path: Path) -> None:
    run(check(sqlite(tmp_path, Faulty)))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(check(sqlite(tmp_path / "faulty", faulty)))
