"""Queue: messages that are handed over later, at least once (design.md 5; objects.md 15).

Promises every engine keeps, tested by the conformance suite in `conformance/queue.py`:

* **Durable**: what `push` took survives SIGKILL until it is acknowledged, given up or its queue is gone.
* **At least once**: a leased message comes again if it is not settled before its lease runs out, or after a restart.
* **Lanes**: messages of one lane are leased in the order of their pushes and one at a time; while one is leased or
  waits to be tried again, those after it wait too. A lane never keeps another one waiting. The lane "" has no order.
* **Names**: queues with different names know nothing of each other. A queue exists as soon as something is pushed.
* Settling a message that is already gone is no error.

The store has one such queue inside (`Store.queue`), so that a message can be pushed in a write's own transaction
(`Batch.messages`). It does not know what is in a message.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """Something to be handed over."""

    queue: str  # name of the queue
    body: bytes
    lane: str = ""
    after: float = 0.0  # seconds before it may be leased


class Leased(msgspec.Struct, frozen=True, gc=False):
    """A message that is handed over; settle it with `ack`, `retry` or `bury`."""

    id: str  # of this message, or of this lease of it
    queue: str
    lane: str
    body: bytes
    attempts: int  # how often it was given back by `retry`; an engine may count leases that ran out as well
    pushed: int  # when it was first pushed, microseconds UTC


class Counts(msgspec.Struct, frozen=True):
    """How many messages a queue holds. A service that only estimates may be off for a minute."""

    waiting: int  # leased ones included
    dead: int


class Queue(Protocol):
    """See the module's docstring. Every method raises StoreFailed or Unavailable if the engine cannot do it."""

    async def push(self, messages: Sequence[Message]) -> None:
        """Take messages; returns once they are durable."""
        ...

    async def lease(self, queue: str, limit: int, seconds: float) -> list[Leased]:
        """At most `limit` messages, oldest first, that nobody else gets for `seconds`; empty if there are none."""
        ...

    async def ack(self, messages: Sequence[Leased]) -> None:
        """They are done with, durably."""
        ...

    async def retry(
        self, message: Leased, seconds: float, *, lane: str | None = None, body: bytes | None = None
    ) -> None:
        """Give it back, to be leased again after `seconds`, at its old place in its lane; counts an attempt.

        With another `lane` it goes there, so that those behind it need not wait; `body` replaces what it says.
        """
        ...

    async def bury(self, message: Leased) -> None:
        """Give it up: it is kept as dead for people to look at, up to the engine's bound, and never leased again."""
        ...

    async def count(self, queue: str) -> Counts:
        """How long the queue is."""
        ...

    async def length(self, queue: str, lane: str) -> int:
        """How many messages of a lane wait, leased ones included; a service that only estimates may be off."""
        ...

    def watch(self, queue: str, pushed: Callable[[], None]) -> None:
        """Have `pushed` called, in the event loop, soon after each push that this process makes; it may be called
        whenever else something new may be there to lease.
        """
        ...
