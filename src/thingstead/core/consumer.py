"""A consumer of one queue: leases what is there, works on a bounded number of messages at once, waits for more.

It wakes at each push of this process and when a message is to be tried again; otherwise it looks after a pause, which
grows when it found nothing three times (objects.md 15). Whoever handles a message settles it; if that fails, the
message comes again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from thingstead.model.errors import ThingsteadError
from thingstead.ports.queue import Leased, Queue

LEASE: Final = 1_800.0  # seconds; longer than any message is worked on
EMPTY_ROUNDS: Final = 3
GRACE: Final = 2.0  # seconds that running work gets at the end
MOST_TRIES: Final = 100  # of a message whose handling fails without being settled
AFTER_ERROR: Final = 1.0  # seconds of rest when the queue failed
REST: Final = 4  # times as long as a look into a long queue took, so that everybody else gets on
LATE: Final = 0.01  # seconds after a message is due, so that the queue's clock says so too

log = logging.getLogger(__name__)


class Consumer:
    """See the module's docstring. `handle` must settle its message, and may raise."""

    def __init__(
        self,
        queue: Queue,
        name: str,
        handle: Callable[[Leased], Awaitable[None]],
        *,
        at_once: int,
        interval: float,
        sleep: float,
    ) -> None:
        self._queue = queue
        self._name = name
        self._handle = handle
        self._at_once = at_once
        self._interval = interval
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._loop: asyncio.Task[None] | None = None
        self._time = asyncio.get_running_loop().time

    def start(self) -> None:
        """Begin; called once."""
        self._queue.watch(self._name, self._wake.set)
        self._loop = asyncio.get_running_loop().create_task(self._run(), name=f"queue {self._name}")

    def wake_in(self, seconds: float) -> None:
        """Look again after a while: something will be due then."""

        def due() -> None:
            self._timers.discard(handle)
            self._wake.set()

        handle = asyncio.get_running_loop().call_later(seconds + LATE, due)
        self._timers.add(handle)

    async def close(self) -> None:
        """Take nothing more, let what runs finish for a moment; what does not comes again at the next start."""
        for timer in self._timers:
            timer.cancel()
        if self._loop is None:
            return
        self._loop.cancel()
        await asyncio.wait([self._loop])
        if self._working:
            _, running = await asyncio.wait(self._working, timeout=GRACE)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)

    async def _run(self) -> None:
        empty = 0
        while True:
            self._wake.clear()
            room = self._at_once - len(self._working)
            began = self._time()
            try:
                leased = await self._queue.lease(self._name, room, LEASE) if room else []
            except ThingsteadError as error:
                log.warning("the queue %s cannot be read: %s", self._name, error)
                await asyncio.sleep(AFTER_ERROR)
                continue
            for message in leased:
                task = asyncio.get_running_loop().create_task(self._work(message))
                self._working.add(task)
                task.add_done_callback(self._done)
            await asyncio.sleep(REST * (self._time() - began))
            empty = 0 if leased or self._working else empty + 1
            try:
                async with asyncio.timeout(self._interval if empty <= EMPTY_ROUNDS else self._sleep):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._wake.set()

    async def _work(self, message: Leased) -> None:
        try:
            await self._handle(message)
        except Exception as error:  # the store failed, as a rule: everything else is settled by who handles it
            told = isinstance(error, ThingsteadError)
            log.warning("a message of the queue %s was not settled: %s", self._name, error, exc_info=not told)
            await asyncio.sleep(AFTER_ERROR)
            try:
                await (self._queue.bury(message) if message.attempts >= MOST_TRIES else self._queue.retry(message, 0))
            except ThingsteadError as failed:
                log.warning("the queue %s cannot be written: %s", self._name, failed)
