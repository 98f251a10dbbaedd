"""The queue inside the store (ports.queue): a table of messages, and leases that live in memory only.

One process owns the directory, so nobody else can lease; a restart ends all leases, and what was not settled comes
again at once. A lane's first row is leased or waits with its lane: no other row of it is looked at, until it is
acknowledged; then the next one may be leased while the acknowledgement is on its way to the disk.
"""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence

import apsw

from thingstead.engines.sqlite.reader import Reader
from thingstead.engines.sqlite.transaction import Step, Transaction
from thingstead.ports.environment import Clock
from thingstead.ports.queue import Counts, Leased, Message

ACK_TOGETHER = 0.02  # s
KEPT_DEAD = 1_000  # newest dead messages of each queue

_PUSH = "INSERT INTO queue(name, lane, due, pushed, attempts, dead, body) VALUES(?, ?, ?, ?, 0, 0, ?)"
_ACK = "DELETE FROM queue WHERE id = ?"
_WAIT = "UPDATE queue SET due = ?, attempts = attempts + 1, body = ? WHERE id = ? AND dead = 0"
_MOVE = (
    "INSERT INTO queue(name, lane, due, pushed, attempts, dead, body) "
    "SELECT name, ?, ?, pushed, attempts + 1, 0, ? FROM queue WHERE id = ? AND dead = 0"
)
_BURY = "UPDATE queue SET dead = 1 WHERE id = ?"
_FORGET = (
    "DELETE FROM queue WHERE name = ?1 AND dead = 1 AND id <= "
    "(SELECT id FROM queue WHERE name = ?1 AND dead = 1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
)
# The first row of each lane, found by jumping from lane to lane in the index.
_HEADS = """
WITH RECURSIVE lanes(lane) AS (
    SELECT min(lane) FROM queue WHERE name = ?1 AND dead = 0 AND lane > ''
    UNION ALL
    SELECT (SELECT min(lane) FROM queue WHERE name = ?1 AND dead = 0 AND lane > lanes.lane)
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT q.due, q.id FROM lanes JOIN queue q
ON q.id = (SELECT min(id) FROM queue WHERE name = ?1 AND dead = 0 AND lane = lanes.lane AND id NOT IN carray(?3))
WHERE lanes.lane IS NOT NULL AND q.due <= ?2
"""
_LOOSE = "SELECT due, id FROM queue WHERE name = ? AND lane = '' AND dead = 0 AND due <= ? ORDER BY due, id LIMIT ?"
_ROWS = "SELECT id, name, lane, body, attempts, pushed FROM queue WHERE id IN carray(?)"
_COUNT = (
    "SELECT (SELECT count(*) FROM queue WHERE name = ?1 AND dead = 0), "
    "(SELECT count(*) FROM queue WHERE name = ?1 AND dead = 1)"
)
_LENGTH = "SELECT count(*) FROM queue WHERE name = ? AND lane = ? AND dead = 0"


def push(tx: Transaction, messages: Sequence[Message]) -> None:
    """Write messages; their queues are told after COMMIT."""
    for message in messages:
        due = tx.now + round(message.after * 1_000_000)
        tx.cursor.execute(_PUSH, (message.queue, message.lane, due, tx.now, message.body))
        tx.pushed.add(message.queue)


class SqliteQueue:
    """Implements ports.queue.Queue."""

    def __init__(self, reader: Reader, submit: Callable[[Step], Awaitable[object]], clock: Clock):
        self._reader = reader
        self._submit = submit
        self._clock = clock
        self._leased: dict[int, int] = {}  # id -> when the lease runs out
        self._going: set[int] = set()  # acknowledged, not committed yet
        self._unwritten: list[int] = []
        self._writing: asyncio.Task[None] | None = None
        self._watching: dict[str, list[Callable[[], None]]] = {}

    async def push(self, messages: Sequence[Message]) -> None:
        """See the port."""
        await self._submit(lambda tx: push(tx, messages))

    async def lease(self, queue: str, limit: int, seconds: float) -> list[Leased]:
        """See the port."""
        now = self._clock.now()
        for id in [id for id, until in self._leased.items() if until <= now]:
            del self._leased[id]
        pair = self._reader.pair
        found = pair.store(_HEADS, (queue, now, apsw.carray(array("q", self._going or (0,)))))
        found += pair.store(_LOOSE, (queue, now, limit + len(self._leased)))
        ids = [id for _, id in sorted(found) if id not in self._leased][:limit]
        if not ids:
            return []
        rows = {row[0]: row for row in pair.store(_ROWS, (apsw.carray(array("q", ids)),))}
        until = now + round(seconds * 1_000_000)
        self._leased.update(dict.fromkeys(ids, until))
        return [Leased(str(id), *rows[id][1:]) for id in ids]

    async def ack(self, messages: Sequence[Leased]) -> None:
        """See the port."""
        ids = [int(message.id) for message in messages]
        self._going.update(ids)
        self._unwritten += ids
        self.committed({message.queue for message in messages})
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_acks())
            self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._writing)

    async def _write_acks(self) -> None:
        """Acknowledgements of a moment share a sync: a duplicate after a kill costs less than a sync for each."""
        await asyncio.sleep(ACK_TOGETHER)
        ids, self._unwritten, self._writing = self._unwritten, [], None
        try:
            await self._settle(ids, lambda tx: tx.cursor.executemany(_ACK, [(id,) for id in ids]))
        finally:
            self._going.difference_update(ids)

    async def retry(
        self, message: Leased, seconds: float, *, lane: str | None = None, body: bytes | None = None
    ) -> None:
        """See the port."""
        id = int(message.id)
        said = message.body if body is None else body

        def step(tx: Transaction) -> None:
            due = tx.now + round(seconds * 1_000_000)
            if lane is None or lane == message.lane:
                tx.cursor.execute(_WAIT, (due, said, id))
            else:
                tx.cursor.execute(_MOVE, (lane, due, said, id))
                tx.cursor.execute(_ACK, (id,))

        await self._settle([id], step)

    async def bury(self, message: Leased) -> None:
        """See the port."""
        id = int(message.id)

        def step(tx: Transaction) -> None:
            tx.cursor.execute(_BURY, (id,))
            tx.cursor.execute(_FORGET, (message.queue, KEPT_DEAD))

        await self._settle([id], step)

    async def count(self, queue: str) -> Counts:
        """See the port."""
        rows = await self._reader.offload(lambda pair: pair.store(_COUNT, (queue,)))
        return Counts(*rows[0])

    async def length(self, queue: str, lane: str) -> int:
        """See the port."""
        rows = await self._reader.offload(lambda pair: pair.store(_LENGTH, (queue, lane)))
        return int(rows[0][0])

    def watch(self, queue: str, pushed: Callable[[], None]) -> None:
        """See the port."""
        self._watching.setdefault(queue, []).append(pushed)

    def committed(self, names: set[str]) -> None:
        """There may be something new to lease in these queues; told by the store after a commit that pushed."""
        for name in names:
            for pushed in self._watching.get(name, ()):
                pushed()

    async def _settle(self, ids: Sequence[int], step: Callable[[Transaction], object]) -> None:
        """Write what becomes of leased messages; whatever the disk says, their leases are over."""

        def run(tx: Transaction) -> None:
            step(tx)

        try:
            await self._submit(run)
        finally:
            for id in ids:
                self._leased.pop(id, None)
