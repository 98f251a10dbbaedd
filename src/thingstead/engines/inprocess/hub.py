"""The hub of one process: subjects, and who wants them. It knows of no other node, so that `wanted` is exact.

Publishing is a dict look-up for each subject and a call for each who is told: no task, no copy of the event.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from thingstead.model.errors import CutOff, Unavailable
from thingstead.model.events import Event
from thingstead.ports.hub import Listener


class Queue:
    """Implements ports.hub.Listener; `forget` is called when it takes no more."""

    def __init__(self, bound: int, forget: Callable[["Queue"], None]) -> None:
        self._bound = bound
        self._forget = forget
        self._waiting: deque[Event] = deque()
        self._something = asyncio.Event()  # an event waits, or none will come
        self._closed = False
        self._cut = ""  # why it was cut off

    def offer(self, event: Event) -> None:
        """Have an event wait; beyond the bound the listener is cut off."""
        if self._closed:
            return
        if len(self._waiting) >= self._bound:
            self.cut_off("the listener was too slow")
            return
        self._waiting.append(event)
        self._something.set()

    def cut_off(self, why: str) -> None:
        """Close, and say so: an event was lost to this listener. Nothing happens if it is closed."""
        if not self._closed:
            self._cut = why
            self.close()

    def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._something.set()
            self._forget(self)

    def __aiter__(self) -> "Queue":
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._cut:
                raise CutOff(self._cut)
            if self._closed:
                raise StopAsyncIteration
            self._something.clear()
            await self._something.wait()
        return self._waiting.popleft()


class _Tap:
    """A callback and what it wants; without one once it has ended."""

    __slots__ = ("callback", "subjects")

    def __init__(self, subjects: Iterable[str], callback: Callable[[Event], None]) -> None:
        self.subjects = tuple(subjects)
        self.callback: Callable[[Event], None] | None = callback


class InProcessHub:
    """Implements ports.hub.Hub."""

    def __init__(self) -> None:
        self._taps: dict[str, dict[_Tap, None]] = {}
        self._listeners: dict[Queue, Callable[[], None]] = {}
        self._closed = False

    async def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        """See the port."""
        if self._closed:
            raise Unavailable("the server is stopping")
        listener = Queue(bound, self._forget)
        self._listeners[listener] = self.tap(subjects, listener.offer)
        return listener

    def tap(self, subjects: Iterable[str], callback: Callable[[Event], None]) -> Callable[[], None]:
        """See the port."""
        tap = _Tap(subjects, callback)
        if not self._closed:
            for name in tap.subjects:
                self._taps.setdefault(name, {})[tap] = None
        return lambda: self._end(tap)

    def wanted(self, subjects: Iterable[str]) -> bool:
        """See the port."""
        return bool(self._taps) and any(name in self._taps for name in subjects)

    @property
    def quiet(self) -> bool:
        """See the port."""
        return not self._taps

    def publish(self, subjects: Iterable[str], event: Event) -> None:
        """See the port."""
        told: dict[_Tap, None] = {}
        for name in subjects:
            taps = self._taps.get(name)
            if taps is not None:
                told.update(taps)
        for tap in told:
            if tap.callback is None:  # another one has ended it just now
                continue
            try:
                tap.callback(event)
            except Exception as error:
                context = {"message": "a tap of the hub failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        for listener in list(self._listeners):
            listener.close()
        for tap in {tap for taps in self._taps.values() for tap in taps}:
            self._end(tap)

    def _forget(self, listener: Queue) -> None:
        self._listeners.pop(listener)()

    def _end(self, tap: _Tap) -> None:
        if tap.callback is None:
            return
        tap.callback = None
        for name in tap.subjects:
            taps = self._taps.get(name)
            if taps is not None:
                taps.pop(tap, None)
                if not taps:
                    del self._taps[name]
