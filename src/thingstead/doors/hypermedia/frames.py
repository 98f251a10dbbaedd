"""The messages of streams (hypermedia.md 12.3): what happened, as the text that a listener gets.

Promises: encoded once for all listeners that see the same base; a message about a resource is the document that a GET
gives. Who may get it is not asked here.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final

from thingstead.core.backend import Backend
from thingstead.doors.hypermedia import render
from thingstead.doors.hypermedia.read import Reader, device_view, site_view
from thingstead.model.errors import NotFound
from thingstead.model.events import Event, ObjectChanged, Reported
from thingstead.model.hypermedia import documents
from thingstead.model.hypermedia.links import Base
from thingstead.model.objects import decode
from thingstead.model.readings import columns

_KEPT: Final = 256  # events whose frames are kept for further listeners

Frame = tuple[str, str]
"""Id of the sensor or object that a message is about, and its text."""


class Frames:
    """The messages of events, encoded once for all listeners that see the same base."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._readings: OrderedDict[tuple[int, Base], tuple[Event, list[Frame]]] = OrderedDict()
        self._changes: OrderedDict[tuple[int, Base], tuple[Event, asyncio.Task[list[Frame]]]] = OrderedDict()

    async def of(self, event: Event, base: Base) -> list[Frame]:
        """The messages of an event, in order."""
        key = (id(event), base)  # the event is kept beside its frames, so its address stays its own
        if isinstance(event, Reported):
            made = self._readings.get(key)
            if made is None:
                made = self._readings[key] = (event, _reported(event, base))
                _trim(self._readings)
            return made[1]
        if event.op == "delete":
            return []
        making = self._changes.get(key)
        if making is None:
            making = self._changes[key] = (event, asyncio.ensure_future(self._changed(event, base)))
            _trim(self._changes)
        return await asyncio.shield(making[1])

    async def _changed(self, event: ObjectChanged, base: Base) -> list[Frame]:
        try:
            document = await self._resource(event, base)
        except NotFound:  # it was never numeric, or is gone already
            return []
        return [] if document is None else [(event.id, render.encode(document).decode())]

    async def _resource(self, event: ObjectChanged, base: Base) -> Any:
        reader = Reader(self._backend, event.app)
        if event.type == "site":
            return documents.site(base, site_view(decode(event.app, event.public)))
        if event.type == "thing":
            thing = decode(event.app, event.public)
            return documents.device(base, device_view(thing, (await reader.sites_of([thing]))[thing.id]))
        if event.type == "sensor":
            return documents.sensor(base, (await reader.sensor(event.id))[0])
        return None


def _reported(event: Reported, base: Base) -> list[Frame]:
    frames: list[Frame] = []
    for point in event.points:
        row = columns(point.value)
        if point.sensor and row is not None and row[0] is not None:
            document = documents.reading(base, point.sensor, row[0], point.time)
            frames.append((point.sensor, render.encode(document).decode()))
    return frames


def _trim(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > _KEPT:
        kept.popitem(last=False)
