"""What of this process the composition opens (ports.engine): the cache, and the queue that the store has inside."""

from thingstead.engines.inprocess.cache import InProcessCache
from thingstead.model.errors import NotSupported
from thingstead.ports.engine import Engine, Place
from thingstead.ports.queue import Queue


async def _cache(place: Place) -> InProcessCache:
    return InProcessCache(place.clock, size=place.settings.cache_size, minutes=place.settings.cache_minutes)


async def _queue(place: Place) -> Queue:
    if place.queue is None:
        raise NotSupported("para.q: there is no store whose queue this could be", field="para.q")
    return place.queue


engine = Engine("cache", _cache)
queue = Engine("q", _queue)
