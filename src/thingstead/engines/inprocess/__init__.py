"""Engines of a single node, in this process's memory: the hub (ports.hub) and the cache (ports.cache)."""

from thingstead.engines.inprocess.cache import InProcessCache
from thingstead.engines.inprocess.hub import InProcessHub

__all__ = ["InProcessCache", "InProcessHub"]
