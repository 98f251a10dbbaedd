"""What keeps one listener from being filled or held open: how many connections it takes, and how long they may idle."""

from typing import Final

import msgspec

from thingstead.model.rates import Places

MAX_WAIT: Final = 5  # seconds between two looks at the connections


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of an HTTP listener's connections. Times in seconds; 0 connections: no limit."""

    connections: int = 0
    of_address: int = 0
    """As in `Places`."""
    head: float = 20
    """From the first byte of a request, or from the connection, to the end of its head."""
    idle: float = 60
    """In which more of a body must come, or more of an answer be taken."""
    frame: int = 1_048_576
    """Bytes of a WebSocket's message."""


class Guard:
    """Bounds, and what they did."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.places = Places(bounds.connections, bounds.of_address)
        self.slow_heads = 0
        """Connections closed because a head did not come."""
        self.large = 0
        """Closed because the head or the URI was too long."""
        self.idled = 0
        """Closed because a body did not come, or an answer was not taken."""

    @property
    def every(self) -> float:
        """How often to look for connections that are too slow, s."""
        return min(MAX_WAIT, self.bounds.head / 4, self.bounds.idle / 4)
