"""The hub: tells live listeners what has become durable (design.md 4.3). One process; a Bus between nodes comes later.

A listener names the subjects it wants. Publishing is a plain call in the event loop, so events reach every listener in
the order of the commits. A listener that lags more than its bound is cut off and told so; nobody else waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Literal

import msgspec

from thingstead.model.shadow import Shadow
from thingstead.model.values import Json


class Point(msgspec.Struct, frozen=True, gc=False):
    """One reading of a report."""

    path: str
    sensor: str  # id of the sensor object; "" over the cap of sensors
    value: Json
    time: int  # microseconds UTC


class Reported(msgspec.Struct, frozen=True):
    """One report of a thing, or several in a row, became durable; the points are in the order of the reports."""

    app: str
    thing: str
    parent: str  # id of the thing's parent, its site as a rule; "" without one
    version: int  # shadow version after the last
    points: tuple[Point, ...]


class ObjectChanged(msgspec.Struct, frozen=True):
    """An object was written or deleted."""

    app: str
    id: str
    type: str
    op: Literal["create", "update", "delete"]
    parent: str  # its parentid, "" without one
    public: bytes  # the bytes after the change; before it for a delete


class ShadowChanged(msgspec.Struct, frozen=True):
    """A shadow accepted a change of either section; `previous` and `current` are snapshots (things.md 7.1)."""

    app: str
    thing: str
    previous: Shadow
    current: Shadow
    time: int
    token: str | None


Event = Reported | ObjectChanged | ShadowChanged


class TooSlow(Exception):
    """The listener lagged more than its bound and was cut off."""


class Listener:
    """A bounded queue of events. Iterate it; it ends when closed, and raises TooSlow when cut off."""

    def __init__(self, hub: "Hub", subjects: frozenset[str], bound: int) -> None:
        self._hub = hub
        self._subjects = subjects
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._bound = bound
        self._lost = False

    def offer(self, event: Event) -> None:
        """Queue an event; beyond the bound the listener is cut off."""
        if self._lost:
            return
        if self._queue.qsize() >= self._bound:
            self._lost = True
            self.close()
            return
        self._queue.put_nowait(event)

    def close(self) -> None:
        """End the iteration after what is queued."""
        self._hub.forget(self._subjects, self.offer)
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event
        if self._lost:
            raise TooSlow


def subject(app: str, id: str) -> str:
    """What happens to one object: its changes, its reports, those of a thing or sensor to its parents' as well."""
    return f"{app}\x1f{id}"


ORPHAN = "\x1f"
"""In place of the parent's id for what has no parent: the default site's listeners want it too (doors.md 9)."""


def everything(app: str) -> str:
    """All that happens in one app."""
    return f"{app}\x1f"


class Hub:
    """Subjects and who listens to them."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[[Event], None]]] = {}
        self._wants_shadow: Callable[[str, str], bool] | None = None
        self._shadow_changed: Callable[[ShadowChanged], None] | None = None

    def listen(self, subjects: Iterable[str], *, bound: int) -> Listener:
        """A new listener to `subjects` (see `subject`, `everything`)."""
        names = frozenset(subjects)
        listener = Listener(self, names, bound)
        self.tap(names, listener.offer)
        return listener

    def tap(self, subjects: Iterable[str], callback: Callable[[Event], None]) -> None:
        """Call `callback` synchronously with every event of `subjects`; it must be quick and never raise."""
        for name in subjects:
            self._callbacks.setdefault(name, []).append(callback)

    def forget(self, subjects: Iterable[str], callback: Callable[[Event], None]) -> None:
        """Undo `tap`; unknown callbacks are ignored."""
        for name in subjects:
            callbacks = self._callbacks.get(name)
            if callbacks and callback in callbacks:
                callbacks.remove(callback)
                if not callbacks:
                    del self._callbacks[name]

    def wanted(self, subjects: Iterable[str]) -> bool:
        """True if anybody listens to one of `subjects`: events are built only then."""
        return bool(self._callbacks) and any(name in self._callbacks for name in subjects)

    @property
    def quiet(self) -> bool:
        """True if nobody listens to anything."""
        return not self._callbacks

    def publish(self, subjects: Iterable[str], event: Event) -> None:
        """Give an event to each listener of `subjects` once."""
        told: list[Callable[[Event], None]] = []
        for name in subjects:
            for callback in self._callbacks.get(name, ()):
                if callback not in told:
                    told.append(callback)
        for callback in told:
            callback(event)

    def observe_shadows(self, wants: Callable[[str, str], bool], changed: Callable[[ShadowChanged], None]) -> None:
        """Have `changed` called for each accepted shadow change for which `wants(app, thing)` held before it."""
        self._wants_shadow = wants
        self._shadow_changed = changed

    def wants_shadow(self, app: str, thing: str) -> bool:
        """True if a shadow change of this thing should be published with both snapshots."""
        return self._wants_shadow is not None and self._wants_shadow(app, thing)

    def shadow_changed(self, event: ShadowChanged) -> None:
        """Publish a shadow change."""
        if self._shadow_changed is not None:
            self._shadow_changed(event)
