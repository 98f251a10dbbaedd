"""The real clock, ids and randomness, handed to everything else."""

import os
import time

from thingstead.model.ids import compose
from thingstead.ports.environment import Clock


class SystemClock:
    """Wall-clock time in microseconds; stands still where the system's clock steps back."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """See ports.environment.Clock."""
        now = time.time_ns() // 1000
        self._last = max(self._last, now)
        return self._last


class NodeIds:
    """Generated ids (objects.md 2.2): at most 4,096 a millisecond and node, then it runs ahead of the clock."""

    def __init__(self, clock: Clock, node: int) -> None:
        self._clock = clock
        self._node = node
        self._ms = 0
        self._sequence = 0

    def next(self) -> int:
        """See ports.environment.Ids."""
        now = self._clock.now() // 1000
        if now > self._ms:
            self._ms, self._sequence = now, 0
        elif self._sequence == 0xFFF:  # waiting would block the loop; a later millisecond is as unique
            self._ms, self._sequence = self._ms + 1, 0
        else:
            self._sequence += 1
        return compose(self._ms, self._node, self._sequence)


class SystemEntropy:
    """The operating system's randomness."""

    def token(self, length: int) -> bytes:
        """See ports.environment.Entropy."""
        return os.urandom(length)
