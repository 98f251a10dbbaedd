"""Outbox: which webhooks want to hear of a write, as messages to be stored in the write's own transaction.

Promises: a webhook that was made, changed or deleted counts so for every write that begins after the answer. An app
that is known to have no active webhook costs one look into a dictionary; nothing at all is done while webhooks are off.
What does not fit into a webhook's backlog is not queued (core/backlog).
Changes of webhooks themselves raise no events. It sends nothing: that is core/webhooks.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cachebox import LRUCache

from thingstead.core.backlog import Backlog
from thingstead.core.shapes import object_of
from thingstead.model import webhooks as rules
from thingstead.model.values import Json, JsonObject, parse_object
from thingstead.model.webhooks import Delivery, Subscription
from thingstead.ports.environment import Clock
from thingstead.ports.queue import Message
from thingstead.ports.store import Store

WEBHOOK: Final = "webhook"
CACHED_APPS: Final = 10_000
_PAGE: Final = 1_000


class Item(NamedTuple):
    """An object that something happened to; for a delete as it was before."""

    type: str
    public: bytes


class Said(NamedTuple):
    """One report of a thing: its stamp (microseconds), the shadow's version after it, and (path, value)."""

    thing: str
    time: int
    version: int
    readings: tuple[tuple[str, Json], ...]


class Outbox:
    """See the module's docstring. Methods raise StoreFailed if webhooks cannot be read."""

    def __init__(self, store: Store, clock: Clock, backlog: Backlog, *, enabled: bool) -> None:
        self._store = store
        self._clock = clock
        self._backlog = backlog
        self._apps: LRUCache[str, tuple[Subscription, ...] | None] = LRUCache(CACHED_APPS)
        self._epoch = 0  # moves with every `forget`: what was read before it is not kept
        self.enabled: Final = enabled

    def quiet(self, app: str) -> bool:
        """True if it is known that nobody wants any event of this app."""
        return not self.enabled or self._apps.get(app) == ()

    def forget(self, app: str) -> None:
        """A webhook of this app was written or deleted: read them again next time."""
        self._epoch += 1
        self._apps.pop(app, None)

    async def wanted(self, app: str, event: str) -> bool:
        """True if somebody wants this event."""
        return not self.quiet(app) and any(event in sub.events for sub in await self._subscriptions(app))

    async def changed(self, app: str, event: str, items: Sequence[Item]) -> list[Message]:
        """Messages about a change; a list is judged by its first object (objects.md 15)."""
        if self.quiet(app):
            return []
        wanted = [sub for sub in await self._subscriptions(app) if event in sub.events]
        items = [item for item in items if item.type != WEBHOOK]
        if not wanted or not items:
            return []
        first = items[0]
        narrowed = any(sub.property_filter for sub in wanted)
        wire: JsonObject = parse_object(first.public) if narrowed else {}
        told = [sub.id for sub in wanted if rules.passes(sub, first.type, wire)]
        return await self._messages(app, event, told, [item.public for item in items]) if told else []

    async def custom(self, app: str, event: str, payload: bytes | None) -> list[Message]:
        """Messages about an event that a client names; webhooks for one type only hear nothing."""
        if self.quiet(app):
            return []
        wanted = [sub.id for sub in await self._subscriptions(app) if event in sub.custom and not sub.type_filter]
        return await self._messages(app, event, wanted, [] if payload is None else [payload])

    async def reporting(self, apps: Iterable[str]) -> frozenset[str]:
        """Those of these apps in which somebody wants reports."""
        return frozenset(
            [app for app in apps if not self.quiet(app) and any(map(_reports, await self._subscriptions(app)))]
        )

    async def reported(self, app: str, reports: Sequence[Said]) -> list[Message]:
        """Messages about reports of things; filters judge each by its thing's object."""
        wanted = list(filter(_reports, await self._subscriptions(app)))
        if not wanted:
            return []
        rows = await self._store.objects.get_many(app, [said.thing for said in reports])
        things = {row.id: (row.type, parse_object(row.public)) for row in rows}
        known = [(said, *things[said.thing]) for said in reports if said.thing in things]
        told: dict[tuple[int, ...], list[str]] = {}  # which reports -> who gets them
        for sub in wanted:
            passed = tuple(n for n, (_, type, wire) in enumerate(known) if rules.passes(sub, type, wire))
            if passed:
                told.setdefault(passed, []).append(sub.id)
        items = [rules.report_item(said.thing, type, said.time, said.version, said.readings) for said, type, _ in known]
        return [
            message
            for passed, webhooks in told.items()
            for message in await self._messages(app, rules.REPORT, webhooks, [items[n] for n in passed])
        ]

    async def _subscriptions(self, app: str) -> tuple[Subscription, ...]:
        found: tuple[Subscription, ...] | None = self._apps.get(app)
        if found is None:
            epoch = self._epoch
            subscriptions: list[Subscription] = []
            after = 0
            while rows := await self._store.objects.scan(app, type=WEBHOOK, after=after, limit=_PAGE):
                for row in rows:
                    subscription = rules.subscription(row.id, object_of(row).own)
                    if subscription is not None:
                        subscriptions.append(subscription)
                after = rows[-1].docid
            found = tuple(subscriptions)
            if epoch == self._epoch:
                self._apps[app] = found
        return found

    async def _messages(self, app: str, event: str, webhooks: Sequence[str], items: Sequence[bytes]) -> list[Message]:
        if not webhooks:
            return []
        payloads = rules.payloads(app, event, self._clock.now() // 1000, items)
        return [
            message(Delivery(app, event, payload, webhook=id))
            for id in webhooks
            for payload in payloads
            if await self._backlog.admit(rules.lane(app, id))
        ]


def message(delivery: Delivery) -> Message:
    """A delivery on its way into the queue, in the lane of its webhook or address."""
    return Message(rules.QUEUE, rules.encode(delivery), lane_of(delivery))


def lane_of(delivery: Delivery) -> str:
    """The queue's lane of a delivery."""
    return rules.lane(delivery.app, delivery.webhook or delivery.target)


def _reports(subscription: Subscription) -> bool:
    return rules.REPORT in subscription.events
