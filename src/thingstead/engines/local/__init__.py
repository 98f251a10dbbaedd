"""The Local service broker: an own certificate authority and the credentials of things (things.md 6)."""

from thingstead.engines.local.broker import LocalBroker

__all__ = ["LocalBroker"]
