"""Measures over MQTT (agent.md 13.5): the topics, and what becomes of their messages.

What cannot be a measure (unknown apikey, malformed payload, a device that may not be made) is acknowledged, dropped,
logged and counted, as agents do; only what the store could not keep stays unacknowledged. Messages of one connection
are taken in their order, also when the first of them must make a device. Not there yet: commands and configuration
requests.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from thingstead.core.backend import Backend
from thingstead.core.ingest import Ingest, Outcome, Report
from thingstead.core.measures import Measures, Source, Target
from thingstead.core.metrics import SYSTEM
from thingstead.doors.agent.south import JSON, PROTOCOLS, ULTRALIGHT, json_of, protocol_of, ultralight_of
from thingstead.doors.fiware import Refusal
from thingstead.model.agent import payload, schema, ultralight
from thingstead.model.errors import InvalidInput, NotFound, ThingsteadError, Unavailable
from thingstead.model.grants import RESERVED_KEYS
from thingstead.model.metrics import Counter
from thingstead.model.values import JsonObject
from thingstead.transports.mqtt.contract import Handler, Inbound, Settle

_RESOURCES: Final = {"json": JSON, "ul": ULTRALIGHT}
_LOGGED: Final = 100  # a line for each of the first ones dropped, then one in so many

_log = structlog.get_logger()

PATTERNS: Final = tuple(
    f"{slash}{prefix}+/+/attrs{rest}" for prefix in ("json/", "ul/", "") for slash in ("", "/") for rest in ("", "/+")
)
"""With and without protocol, leading slash and attribute name; register them after every other door's topics."""


def topics(backend: Backend) -> list[tuple[str, Handler]]:
    """What to register with `Broker.route`."""
    dropped = backend.metrics.counter(SYSTEM, "agent", "dropped")
    taker = _Taker(backend.measures, backend.ingest, dropped)
    return [(pattern, taker.handle) for pattern in PATTERNS]


class Topic:
    """What an agent topic says, read from its levels."""

    __slots__ = ("attribute", "protocol", "source")

    def __init__(self, levels: tuple[str, ...]) -> None:
        """Raises InvalidInput for a topic that only looks like the agent's."""
        at = 1 if levels[0] == "" else 0
        self.protocol: str | None = None
        if levels[at] in _RESOURCES:  # which no apikey may be
            self.protocol = levels[at]
            at += 1
        if len(levels) < at + 3 or levels[at + 2] != "attrs":
            raise InvalidInput("the topic names no apikey or no device")
        apikey, device_id = levels[at], levels[at + 1]
        self.attribute = levels[at + 3] if len(levels) > at + 3 else None
        if not apikey or not device_id or self.attribute == "" or apikey in RESERVED_KEYS:
            raise InvalidInput("the topic names no apikey or no device")
        if len(device_id) > schema.MAX_KEY:
            raise InvalidInput(f"a device id has at most {schema.MAX_KEY} characters")
        self.source = Source(apikey, device_id, _RESOURCES[self.protocol or "json"])


class _Taker:
    """Handles the messages of all connections."""

    def __init__(self, measures: Measures, ingest: Ingest, dropped: Counter) -> None:
        self._measures = measures
        self._ingest = ingest
        self._busy: dict[int, asyncio.Task[None]] = {}  # by session: its messages wait for those before them
        self._dropped = dropped

    def handle(self, messages: list[Inbound], settle: Settle) -> None:
        """Take messages of one connection; one batch of reports if every device is known."""
        if id(messages[0].session) in self._busy:
            self._later(messages, settle)
            return
        known: list[tuple[Inbound, Topic, Target]] = []
        strange: list[tuple[Inbound, ThingsteadError]] = []
        for message in messages:
            try:
                topic = Topic(message.levels)
            except ThingsteadError as error:
                strange.append((message, error))
                continue
            target = self._measures.ready(topic.source)
            if target is None:
                self._later(messages, settle)
                return
            known.append((message, topic, target))
        for message, error in strange:
            self._drop(message, error)
        reports: list[Report] = []
        owners: list[Inbound] = []
        for message, topic, target in known:
            try:
                found = self._measures.reports(target, _parsed(topic, message.payload, _stated(target)))
            except (ThingsteadError, Refusal) as error:
                self._drop(message, error)
                continue
            reports.extend(found)
            owners.extend([message] * len(found))
        if not reports:
            settle(None)
            return

        def done(outcomes: Sequence[Outcome] | BaseException) -> None:
            if isinstance(outcomes, BaseException):
                settle(outcomes)
                return
            again = [m for m, outcome in zip(owners, outcomes, strict=True) if isinstance(outcome.error, NotFound)]
            if again:  # the device was deleted; its next measure makes it anew
                unique = list({id(message): message for message in again}.values())
                for message in unique:
                    self._measures.forget(Topic(message.levels).source)
                self._later(unique, settle)
                return
            for message, outcome in zip(owners, outcomes, strict=True):
                if outcome.error is not None:
                    self._drop(message, outcome.error)
            settle(None)

        self._ingest.submit(reports, done)

    def _later(self, messages: list[Inbound], settle: Settle) -> None:
        """Take messages one by one, after those of the same connection that are still being taken."""
        place = id(messages[0].session)
        before = self._busy.get(place)
        task = asyncio.get_running_loop().create_task(self._slowly(messages, settle, before), name="agent topics")
        self._busy[place] = task

        def over(ended: asyncio.Task[None]) -> None:
            if self._busy.get(place) is ended:
                del self._busy[place]

        task.add_done_callback(over)

    async def _slowly(self, messages: list[Inbound], settle: Settle, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            for message in messages:
                try:
                    await self._take(message)
                except Unavailable:
                    raise
                except (ThingsteadError, Refusal) as error:
                    self._drop(message, error)
        except BaseException as error:
            settle(error)
            if not isinstance(error, Unavailable):
                raise
        else:
            settle(None)

    async def _take(self, message: Inbound) -> None:
        topic = Topic(message.levels)
        named = None if topic.protocol is not None else _stated(await self._measures.target(topic.source))
        found = _parsed(topic, message.payload, named)
        protocol = topic.protocol or protocol_of(named, message.payload)
        await self._measures.take(topic.source, found, transport="MQTT", protocol=PROTOCOLS[protocol])

    def _drop(self, message: Inbound, error: ThingsteadError | Refusal) -> None:
        self._dropped.inc()
        dropped = self._dropped.count
        if dropped <= _LOGGED or dropped % _LOGGED == 0:
            _log.warning("measure dropped", topic=message.topic, reason=error.message, dropped=dropped)


def _stated(target: Target) -> str | None:
    return target.protocol or target.own_protocol


def _parsed(topic: Topic, raw: bytes, named: str | None) -> list[JsonObject]:
    protocol = topic.protocol or protocol_of(named, raw)
    if topic.attribute is not None:
        if protocol == "json":
            return [{topic.attribute: payload.single(raw, content_type="")}]
        return [{topic.attribute: ultralight.value_of(raw.decode("utf-8", "replace"))}]
    return json_of(raw) if protocol == "json" else ultralight_of(raw)
