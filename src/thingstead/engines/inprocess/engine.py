"""The cache of this process as the composition opens it (ports.engine)."""

from thingstead.engines.inprocess.cache import InProcessCache
from thingstead.ports.engine import Engine, Place


async def _open(place: Place) -> InProcessCache:
    return InProcessCache(place.clock, size=place.settings.cache_size, minutes=place.settings.cache_minutes)


engine = Engine("cache", _open)
