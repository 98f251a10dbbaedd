"""Every queue keeps the promises of its port, and the suite that says so catches queues that do not.

The store's own queue also takes messages in the transaction of a write, and stands in data directories that were made
before there was one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.aio import run
from support.environment import ManualClock, SystemEntropy
from thingstead.conformance.queue import CHECKS, Check
from thingstead.engines.sqlite import SqliteStore
from thingstead.model.errors import StoreFailed
from thingstead.ports.queue import Leased, Message, Queue
from thingstead.ports.store import Batch, Put, Reading


class Stored:
    """The queue of an embedded store; `wrap` puts a fault around it."""

    def __init__(self, directory: Path, wrap: Callable[[Queue], Any] = lambda queue: queue) -> None:
        self._directory = directory
        self._wrap = wrap
        self._clock = ManualClock()
        self._open()

    def _open(self) -> None:
        self._store = SqliteStore.open(self._directory, clock=self._clock, entropy=SystemEntropy())
        self.queue: Queue = self._wrap(self._store.queue)

    async def reopen(self) -> None:
        await self._store.close()
        self._open()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def close(self) -> None:
        await self._store.close()


async def checked(directory: Path, check: Check, wrap: Callable[[Queue], Any] = lambda queue: queue) -> None:
    bench = Stored(directory, wrap)
    try:
        await check(bench)
    finally:
        await bench.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_store_keeps_the_promise(tmp_path: Path, check: Check) -> None:
    run(checked(tmp_path, check))


class Faulty:
    """A queue that is right but for what a subclass breaks."""

    def __init__(self, right: Queue) -> None:
        self.right = right

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)


class DoneWhenLeased(Faulty):
    """At most once: a message that is handed over is forgotten."""

    async def lease(self, queue: str, limit: int, seconds: float) -> list[Leased]:
        leased = await self.right.lease(queue, limit, seconds)
        await self.right.ack(leased)
        return leased


class NoLanes(Faulty):
    """Hands over in any order, as many at once as there are."""

    async def push(self, messages: Sequence[Message]) -> None:
        await self.right.push([Message(m.queue, m.body, "", m.after) for m in messages])


class OneLane(Faulty):
    """Everybody waits for everybody."""

    async def push(self, messages: Sequence[Message]) -> None:
        await self.right.push([Message(m.queue, m.body, "all", m.after) for m in messages])


class TriesAtOnce(Faulty):
    """Gives a message back without its time."""

    async def retry(
        self, message: Leased, seconds: float, *, lane: str | None = None, body: bytes | None = None
    ) -> None:
        await self.right.retry(message, 0, lane=lane, body=body)


class RaisesTheDead(Faulty):
    """Gives a message up by giving it back."""

    async def bury(self, message: Leased) -> None:
        await self.right.retry(message, 1)


@pytest.mark.parametrize("fault", [DoneWhenLeased, NoLanes, OneLane, TriesAtOnce, RaisesTheDead])
def test_a_planted_fault_is_caught(tmp_path: Path, fault: type[Faulty]) -> None:
    caught: list[str] = []
    for number, check in enumerate(CHECKS):
        try:
            run(checked(tmp_path / str(number), check, fault))
        except (AssertionError, ValueError):
            caught.append(check.__name__)
    assert caught
    assert len(caught) < len(CHECKS)


def put(id: str, expect: int | None = None) -> Put:
    return Put("a", id, "cat", 1, b"{}", expect=expect)


def test_messages_go_with_their_batch_or_not_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore.open(tmp_path, clock=ManualClock(), entropy=SystemEntropy())
        told: list[str] = []
        store.queue.watch("q", lambda: told.append("q"))
        messages = [Message("q", b"made")]
        refused = await store.commit(Batch(changes=[put("x", expect=7)], messages=messages, together=True))
        assert refused.refused
        assert (await store.queue.count("q")).waiting == 0
        with pytest.raises(Exception, match="stored"):
            await store.commit(Batch(changes=[put("x")], readings=[Reading(2**70, 1, 1.0, None)], messages=messages))
        assert (await store.queue.count("q")).waiting == 0
        assert not told
        await store.commit(Batch(changes=[put("x"), put("y")], messages=messages, together=True))
        assert told == ["q"]
        assert [one.body for one in await store.queue.lease("q", 9, 9)] == [b"made"]
        await store.close()
        with pytest.raises(StoreFailed):
            await store.queue.push(messages)

    run(main())


def test_a_store_without_a_queue_gets_one(tmp_path: Path) -> None:
    """A directory as the schema before made it: everything stays, messages can be pushed."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path, clock=ManualClock(), entropy=SystemEntropy())
        await store.commit(Batch(changes=[put("x")]))
        uuid = store.uuid
        await store.close()
        connection = apsw.Connection(str(tmp_path / "store.db"))
        connection.execute("DROP TABLE queue")
        connection.execute("PRAGMA user_version=1")
        connection.close()
        for _ in range(2):
            store = SqliteStore.open(tmp_path, clock=ManualClock(), entropy=SystemEntropy())
            assert store.uuid == uuid
            assert await store.objects.get("a", "x") is not None
            await store.queue.push([Message("q", b"a")])
            await store.close()

    run(main())


def test_of_the_dead_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingstead.engines.sqlite.queue.KEPT_DEAD", 3)

    async def main() -> None:
        bench = Stored(tmp_path)
        await bench.queue.push([Message("q", b"%d" % n, "x") for n in range(6)])
        for _ in range(6):
            [one] = await bench.queue.lease("q", 1, 30)
            await bench.queue.bury(one)
        assert (await bench.queue.count("q")).dead == 3
        await bench.close()

    run(main())
