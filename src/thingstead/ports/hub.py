"""The hub: tells live listeners what has become durable (design.md 4.3, and the Bus of 5).

An engine is the hub of one node; a bus may join it to those of other nodes. Promises every engine keeps, tested by the
conformance suite in `conformance/hub.py`:

* **Here at once**: when `publish` returns, every listener of this node that wants the event has it, and every tap was
  called, whatever the line to other nodes is doing. Other nodes hear of it soon, and get an equal event.
* **Once**: a listener gets an event once, however many of its subjects match, and on the publishing node too.
* **In order**: what one node publishes reaches each listener in the order of the calls. Nothing is said of the order
  between events of different nodes, or between listeners.
* **All or told**: a listener gets every event published after `listen` returned, on any node, or it is cut off: it
  keeps what waits for it, and then raises CutOff. That happens when more waits than its bound, and when the engine
  cannot rule out that another node's event was lost on the way. There are no silent gaps, and no replay.
* **Nobody waits**: `publish` never waits and never raises, whether a listener is slow or closed, a tap fails, or
  another node or the line to it is gone.
* **Cheap silence**: `wanted` and `quiet` answer at once, from what this node knows, and err on the side of telling.

All calls come from one event loop. A hub stores nothing; who must not miss anything follows the journal.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

from thingstead.model.events import Event


class Listener(Protocol):
    """The events of some subjects, as an asynchronous iterator for one consumer."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Itself."""
        ...

    async def __anext__(self) -> Event:
        """The next event. The iteration ends after `close`, once what waits is taken; raises CutOff in place of the end
        if the listener was cut off. Giving up a wait loses nothing.
        """
        ...

    def close(self) -> None:
        """Take no more events. Closing twice is fine."""
        ...


class Hub(Protocol):
    """See the module's docstring for what every engine promises. Subjects are those of `model.events`."""

    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        """A listener to `subjects`, for which at most `bound` events may wait. It hears what is published after the
        return of this call, which every node has been told by then. Close it in the end.

        Raises Unavailable if other nodes cannot be told, or the hub is closed.
        """
        ...

    def tap(self, subjects: Iterable[str], callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have `callback` called with every event of `subjects`; what is returned ends that, and may be called twice.

        An event published here calls it before `publish` returns. It must be quick and not publish; what it raises goes
        to the loop's exception handler. Events of other nodes come as far as they come: a tap is not told of gaps.
        """
        ...

    def wanted(self, subjects: Iterable[str]) -> bool:
        """False only if nobody, on any node, listens to one of `subjects`: an event need not be built then.

        True may be wrong: an engine that does not know what other nodes want says so always.
        """
        ...

    @property
    def quiet(self) -> bool:
        """True only if nobody, on any node, listens to anything; like `wanted`, not always when it could be."""
        ...

    def publish(self, subjects: Iterable[str], event: Event) -> None:
        """Give an event to everybody who wants one of `subjects`; after `close` it does nothing.

        Called once the change is durable, in the order of the commits.
        """
        ...

    async def close(self) -> None:
        """Close every listener, end every tap, and let go of what the engine holds. Closing twice is fine."""
        ...
