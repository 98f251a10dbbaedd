"""River: objects that come from a queue instead of a door, and the queue for programs that embed this (objects.md 15).

Promises: a message that was handled is acknowledged after its write is durable, so a kill handles it again, never
loses it; one that cannot be read or may not be done is logged, counted and dropped; one that cannot be done now is
tried again with growing waits, and given up after `MOST_TRIES`. Writes go to the message's app.
"""

import logging
from typing import Final

import msgspec

from thingstead.core.consumer import Consumer
from thingstead.core.objects import Draft, Objects
from thingstead.core.tenants import Tenants
from thingstead.core.webhooks import Webhooks
from thingstead.model import river as rules
from thingstead.model.errors import Conflict, InvalidInput, NotFound, NotSupported, Unavailable
from thingstead.model.principals import Principal
from thingstead.model.river import Delete, Deliver, IndexWork, Order, Write
from thingstead.model.settings import Settings
from thingstead.ports.queue import Counts, Leased, Message, Queue

AT_ONCE: Final = 10  # messages of one round (objects.md 15)
MOST_TRIES: Final = 10
LONGEST_WAIT: Final = 300.0  # seconds
PULLED: Final = 60.0  # seconds that a pull takes at most between lease and acknowledgement
_PAGE: Final = 500

log = logging.getLogger(__name__)


class Stats(msgspec.Struct):
    """What has happened since the start."""

    handled: int = 0
    dropped: int = 0


class River:
    """See the module's docstring."""

    def __init__(
        self, queue: Queue, objects: Objects, tenants: Tenants, webhooks: Webhooks, settings: Settings
    ) -> None:
        self._queue = queue
        self._objects = objects
        self._tenants = tenants
        self._webhooks = webhooks
        self._most_retries = settings.river_max_indexing_retries
        self.name: Final = settings.default_queue_name
        self._consumer = Consumer(
            queue,
            self.name,
            self._handle,
            at_once=AT_ONCE,
            interval=settings.queue_polling_interval,
            sleep=settings.queue_polling_sleep,
        )
        self.stats: Final = Stats()

    def start(self) -> None:
        """Begin to poll."""
        self._consumer.start()

    async def close(self) -> None:
        """Stop polling; what is not handled stays in the queue."""
        await self._consumer.close()

    async def push(self, message: str) -> None:
        """Add a message; durable on return. One message after the other is not handled in that order."""
        await self._queue.push([Message(self.name, message.encode())])

    async def pull(self) -> str:
        """Take the oldest message out of the queue; "" when it is empty."""
        leased = await self._queue.lease(self.name, 1, PULLED)
        await self._queue.ack(leased)
        return leased[0].body.decode(errors="replace") if leased else ""

    async def count(self) -> Counts:
        """How long the queue is."""
        return await self._queue.count(self.name)

    async def _handle(self, leased: Leased) -> None:
        try:
            missing = await self._do(rules.read(leased.body))
        except (InvalidInput, NotFound, Conflict, NotSupported) as error:
            self.stats.dropped += 1
            log.warning("a message of %s is dropped: %s (%s)", self.name, error, error.code)
            await self._queue.ack([leased])
            return
        except Unavailable as error:
            await self._again(leased, MOST_TRIES, str(error))
            return
        if missing:
            await self._again(leased, self._most_retries + 1, "objects to be indexed are not there")
            return
        self.stats.handled += 1
        await self._queue.ack([leased])

    async def _again(self, leased: Leased, most: int, why: str) -> None:
        if leased.attempts + 1 >= most:
            self.stats.dropped += 1
            log.warning("a message of %s is given up: %s", self.name, why)
            await self._queue.bury(leased)
            return
        seconds = min(2.0**leased.attempts, LONGEST_WAIT)
        await self._queue.retry(leased, seconds)
        self._consumer.wake_in(seconds)

    async def _do(self, order: Order) -> bool:
        """Carry out a message; True if something that it needs is not there yet."""
        if isinstance(order, Deliver):
            await self._webhooks.send(order.delivery)
            return False
        app = await self._tenants.get(order.app)
        if not app.active or app.read_only:
            raise NotSupported(f"the app {order.app} takes no writes", field="appid")
        if isinstance(order, Write):
            await self._write(order)
        elif isinstance(order, Delete):
            if await self._mine(order.app, order.id):
                await self._objects.delete(order.app, order.id, Principal("app", order.app))
        else:
            return await self._index(order)
        return False

    async def _write(self, order: Write) -> None:
        actor = Principal("app", order.app)
        if order.id is not None and await self._mine(order.app, order.id) and not order.overwrite:
            try:
                await self._objects.patch(order.app, order.id, order.body, actor)
                return
            except NotFound:
                pass  # deleted meanwhile: made anew
        await self._objects.create(order.app, Draft(type=order.type, body=order.body, id=order.id), actor)

    async def _mine(self, app: str, id: str) -> bool:
        """True if there is such an object. Raises NotSupported if it is one that messages may not touch."""
        found = await self._objects.get_many(app, [id])
        if found and not rules.is_generic(found[0].type):
            raise NotSupported(f"objects of type '{found[0].type}' cannot be written through the queue", field="type")
        return bool(found)

    async def _index(self, order: IndexWork) -> bool:
        """The index follows the journal by itself: what is left to do is to have objects written to it once more."""
        if order.op == rules.INDEX_ALL:
            return len(await self._objects.reindex(order.app, order.ids)) < len(set(order.ids))
        if order.op == rules.REBUILD:
            after = 0
            while found := await self._objects.list(order.app, after=after, limit=_PAGE):
                await self._objects.reindex(order.app, [obj.id for obj in found])
                after = found[-1].docid
        return False
