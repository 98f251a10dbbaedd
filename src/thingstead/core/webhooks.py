"""Webhooks: sends what core/outbox put into the queue, and events that clients name (objects.md 15).

Promises: what is in the queue is sent at least once, also after a kill, or given up after `webhooks.max_attempts`
tries; one webhook's events are sent in order, one at a time, unless one of them keeps failing: after three tries it
steps aside and the others go on. A slow or dead receiver keeps no other waiting. Each failure counts, and is forgotten
ten minutes after the last one; at `para.max_failed_webhook_attempts` the webhook is disabled. Secrets are never logged.
What waits for one address is bounded (core/backlog).
"""

import logging
from typing import Final

import msgspec
from cachebox import LRUCache

from thingstead.core.backlog import Backlog
from thingstead.core.consumer import Consumer
from thingstead.core.objects import Objects
from thingstead.core.outbound import NotReached, Outbound
from thingstead.core.outbox import WEBHOOK, Outbox, lane_of, message
from thingstead.core.tenants import Tenants
from thingstead.model import objects as model
from thingstead.model import types
from thingstead.model import webhooks as rules
from thingstead.model.errors import ConstraintViolation, NotFound, ThingsteadError
from thingstead.model.objects import Object
from thingstead.model.outbound import allowed
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.types import PARA_LEVEL
from thingstead.model.values import JsonObject, dump
from thingstead.model.webhooks import Delivery
from thingstead.ports.environment import Clock, Entropy, Ids
from thingstead.ports.queue import Counts, Leased, Queue

AT_ONCE: Final = 200  # webhooks that are served at the same time
COUNTED: Final = 100_000  # webhooks whose failures are remembered
MAX_EVENT: Final = 255  # characters of a custom event's name
_AGENT: Final = f"Para Webhook Dispacher {PARA_LEVEL}"  # spelt as Para spells it

log = logging.getLogger(__name__)


class Stats(msgspec.Struct):
    """What has happened since the start."""

    delivered: int = 0
    failed: int = 0  # tries
    given_up: int = 0  # messages
    disabled: int = 0  # webhooks


class _Target(msgspec.Struct, frozen=True):
    """Where one delivery goes now."""

    url: str
    url_encoded: bool
    signature: str
    left: int


class Webhooks:
    """See the module's docstring."""

    def __init__(
        self,
        queue: Queue,
        objects: Objects,
        tenants: Tenants,
        outbox: Outbox,
        backlog: Backlog,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        entropy: Entropy,
    ) -> None:
        self._queue = queue
        self._objects = objects
        self._tenants = tenants
        self._outbox = outbox
        self._backlog = backlog
        self._clock = clock
        self._ids = ids
        self._entropy = entropy
        self._most_failures = settings.max_failed_webhook_attempts
        self._most_tries = settings.webhooks_max_attempts
        self._outbound = Outbound(allowed(settings.outbound_allow))
        self._failures: LRUCache[tuple[str, str], tuple[int, int]] = LRUCache(COUNTED)  # number, time of the last
        self._consumer = Consumer(
            queue,
            rules.QUEUE,
            self._deliver,
            at_once=AT_ONCE,
            interval=settings.queue_polling_interval,
            sleep=settings.queue_polling_sleep,
        )
        self.stats: Final = Stats()

    def start(self) -> None:
        """Begin to send."""
        self._consumer.start()

    async def close(self) -> None:
        """Stop; what is not sent stays in the queue."""
        await self._consumer.close()
        await self._outbound.close()

    @property
    def dropped(self) -> int:
        """Deliveries that did not fit into a backlog, since the start."""
        return self._backlog.dropped

    async def count(self) -> Counts:
        """How much is to be sent, and how much was given up."""
        return await self._queue.count(rules.QUEUE)

    async def trigger(self, app: str, body: JsonObject) -> Object:
        """Send an event that a client names to who listens to it; the object that the client is shown.

        Raises ConstraintViolation if the name or the address is none.
        """
        event = body.get("triggeredEvent")
        if not isinstance(event, str) or not event.strip() or len(event) > MAX_EVENT or not event.isprintable():
            raise ConstraintViolation("'triggeredEvent' must be a short printable text", field="triggeredEvent")
        now_ms = self._clock.now() // 1000
        given: JsonObject = {name: body[name] for name in types.spec_of(WEBHOOK).fields if name in body}
        given |= {"targetUrl": rules.NOWHERE, "secret": None, "stored": False, "indexed": False, "cached": False}
        shown = model.draft(app, WEBHOOK, rules.TRIGGERED + event, given, now_ms=now_ms, docid=self._ids.next())
        shown.own["repeatedDeliveryAttempts"] = rules.repeats(shown.own.get("repeatedDeliveryAttempts"))
        if not self._outbox.enabled:
            return shown
        custom = body.get("customPayload")
        payload = None if custom is None else dump(custom)
        messages = await self._outbox.custom(app, event, payload)
        target, secret = body.get("targetUrl"), body.get("secret")
        if isinstance(target, str) and isinstance(secret, str) and target.strip() and secret.strip():
            problem = rules.target_problem(target)
            if problem is not None:
                raise ConstraintViolation(f"'targetUrl' {problem}", field="targetUrl")
            encoded = shown.own.get("urlEncoded") is True
            repeats = rules.repeats(shown.own.get("repeatedDeliveryAttempts"))
            for text in rules.payloads(app, event, now_ms, [] if payload is None else [payload]):
                signature = rules.signature(text, await self._secret(app, secret))
                direct = Delivery(app, event, text, "", target, signature, url_encoded=encoded, left=repeats)
                if await self._backlog.admit(lane_of(direct)):
                    messages.append(message(direct))
        if messages:
            await self._queue.push(messages)
        return shown

    async def send(self, delivery: Delivery) -> None:
        """Queue a delivery whose address and signature another node settled (river, `webhookpayload`)."""
        if await self._backlog.admit(lane_of(delivery)):
            await self._queue.push([message(delivery)])

    # --- one delivery

    async def _deliver(self, leased: Leased) -> None:
        try:
            delivery = rules.decode(leased.body)
        except msgspec.MsgspecError as error:
            log.warning("a delivery that cannot be read is given up: %s", error)
            await self._give_up(leased)
            return
        target = await self._target(delivery)
        if target is None:  # deleted or not active any more: nothing is sent
            await self._done(leased)
            return
        content_type, body = rules.body_of(delivery.payload, url_encoded=target.url_encoded)
        headers = {
            "User-Agent": _AGENT,
            "Content-Type": content_type,
            "X-Para-Event": delivery.event,
            "X-Webhook-Signature": target.signature,
        }
        left = target.left
        while left:
            failure = await self._try(target.url, headers, body)
            if failure is not None:
                await self._failed(leased, delivery, left, failure)
                return
            self.stats.delivered += 1
            left -= 1
        await self._done(leased)

    async def _done(self, leased: Leased) -> None:
        self._backlog.left(leased.lane)
        await self._queue.ack([leased])

    async def _try(self, url: str, headers: dict[str, str], body: bytes) -> str | None:
        """Send once; what went wrong, or None."""
        try:
            status = await self._outbound.post(url, headers, body)
        except NotReached as error:
            return str(error)
        return None if 200 <= status < 300 else f"answered {status}"

    async def _target(self, delivery: Delivery) -> _Target | None:
        """Where a delivery goes as its webhook stands now; None if it is not to be sent."""
        if delivery.target:
            return _Target(delivery.target, delivery.url_encoded, delivery.signature, delivery.left or 1)
        try:
            webhook = await self._objects.get(delivery.app, delivery.webhook)
            own = webhook.own
            if webhook.type != WEBHOOK or own.get("active") is not True:
                return None
            secret = await self._secret(delivery.app, str(own.get("secret") or ""))
        except NotFound:
            return None
        return _Target(
            str(own.get("targetUrl")),
            own.get("urlEncoded") is True,
            rules.signature(delivery.payload, secret),
            delivery.left or rules.repeats(own.get("repeatedDeliveryAttempts")),
        )

    async def _secret(self, app: str, secret: str) -> str:
        """The secret to sign with. Raises AppNotFound."""
        return (await self._tenants.get(app)).secret if secret == rules.APP_SECRET else secret

    async def _failed(self, leased: Leased, delivery: Delivery, left: int, failure: str) -> None:
        """Count a failure, and try again later or give up."""
        self.stats.failed += 1
        failures = leased.attempts + 1
        log.info("webhook %s of %s, event %s: %s", delivery.webhook, delivery.app, delivery.event, failure)
        disabled = bool(delivery.webhook) and await self._count(delivery.app, delivery.webhook)
        if disabled or failures >= self._most_tries:
            await self._give_up(leased)
            return
        seconds = rules.wait(failures, self._entropy.token(1)[0] / 255)
        lane = leased.lane if failures < rules.HELD else ""
        if lane != leased.lane:
            self._backlog.left(leased.lane)
        body = rules.encode(msgspec.structs.replace(delivery, left=left))
        await self._queue.retry(leased, seconds, lane=lane, body=body)
        self._consumer.wake_in(seconds)

    async def _give_up(self, leased: Leased) -> None:
        self.stats.given_up += 1
        self._backlog.left(leased.lane)
        await self._queue.bury(leased)

    async def _count(self, app: str, id: str) -> bool:
        """Add a failure; True if the webhook is disabled now."""
        now = self._clock.now()
        number, last = self._failures.get((app, id)) or (0, 0)
        number = number + 1 if now - last <= rules.FORGIVEN else 1
        self._failures[app, id] = (number, now)
        if number < self._most_failures:
            return False
        self._failures.pop((app, id), None)
        try:
            if (await self._objects.get(app, id)).type != WEBHOOK:  # another node may say anything
                return False
            await self._objects.patch(app, id, {"active": False, "tooManyFailures": True}, Principal("app", app))
        except NotFound:
            return True
        except ThingsteadError as error:
            log.warning("the webhook %s of %s cannot be disabled: %s", id, app, error)
            return False
        self.stats.disabled += 1
        log.warning("the webhook %s of %s is disabled: %d failures", id, app, number)
        return True
