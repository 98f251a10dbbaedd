"""The hub of a single node (ports.hub)."""

from thingstead.engines.inprocess.hub import InProcessHub

__all__ = ["InProcessHub"]
