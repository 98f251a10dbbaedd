"""Backlog: how many deliveries wait for each webhook, and that there are never many more than `webhooks.max_backlog`.

A receiver that answers, but slower than its events come, would fill the disk: it is never disabled. What does not fit
is dropped before it is stored, and counted. Numbers are kept in memory, a dictionary lookup an event, and are read from
the queue when a lane is first used and when it seems full, at most once in `RECOUNT` seconds. So the bound is exceeded
only by what is on its way to the disk at that moment.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cachebox import LRUCache

from thingstead.model.webhooks import QUEUE
from thingstead.ports.queue import Queue

RECOUNT: Final = 5.0  # seconds
COUNTED: Final = 100_000  # lanes whose numbers are kept

log = logging.getLogger(__name__)


class Backlog:
    """See the module's docstring. `time` gives seconds, of any beginning."""

    def __init__(self, queue: Queue, most: int, time: Callable[[], float] | None = None) -> None:
        self._queue = queue
        self._most = most
        self._time = time or asyncio.get_running_loop().time
        self._waiting: LRUCache[str, int | None] = LRUCache(COUNTED)
        self._full: LRUCache[str, float] = LRUCache(COUNTED)  # lanes that were found full, and when
        self.dropped = 0
        """Deliveries that did not fit, since the start."""

    async def admit(self, lane: str) -> bool:
        """True if one more delivery may be queued in this lane; it counts from now on. Raises StoreFailed."""
        waiting = self._waiting.get(lane)
        if waiting is None or (waiting >= self._most and self._time() >= self._full.get(lane, -RECOUNT) + RECOUNT):
            waiting = self._waiting[lane] = await self._queue.length(QUEUE, lane)
            if waiting >= self._most:
                self._full[lane] = self._time()
                log.warning("the backlog of the webhook %s is full: %d wait", lane.replace("\x1f", " "), waiting)
        if waiting >= self._most:
            self.dropped += 1
            return False
        self._waiting[lane] = waiting + 1
        return True

    def left(self, lane: str) -> None:
        """A delivery of this lane was sent, given up, or waits elsewhere."""
        waiting = self._waiting.get(lane)
        if waiting:
            self._waiting[lane] = waiting - 1
