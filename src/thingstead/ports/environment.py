"""Nothing ambient: time, ids and randomness come through here, so that time can be simulated and failures replayed."""

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> int:
        """Microseconds since the Unix epoch, UTC. Never goes backwards within a process."""
        ...


class Ids(Protocol):
    """The id generator (objects.md 2.2)."""

    def next(self) -> int:
        """A new positive 63-bit number, unique among all nodes and increasing on this one."""
        ...


class Entropy(Protocol):
    """Randomness for secrets."""

    def token(self, length: int) -> bytes:
        """`length` unpredictable bytes."""
        ...
