"""Time and ids under the test's control: the `Clock` and `Ids` of `thingstead.ports.environment`, nothing ambient."""

import secrets

NOON = 1_768_478_400_000_000  # 2026-01-15T12:00:00Z


class ManualClock:
    """A clock that stands still until the test moves it."""

    def __init__(self, micros: int = NOON) -> None:
        self.micros = micros

    def now(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        return self.micros

    def advance(self, seconds: float) -> int:
        """Moves on and returns the new time; ValueError for a step back, which a Clock promises not to take."""
        if seconds < 0:
            raise ValueError("a clock never goes backwards")
        self.micros += round(seconds * 1_000_000)
        return self.micros


class CountingIds:
    """Ids 1, 2, 3, ..."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def next(self) -> int:
        """The next number."""
        number = self._next
        self._next += 1
        return number


class SystemEntropy:
    """Real randomness, for credentials that real clients check."""

    def token(self, length: int) -> bytes:
        """`length` unpredictable bytes."""
        return secrets.token_bytes(length)
