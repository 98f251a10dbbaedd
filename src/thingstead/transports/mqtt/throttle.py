"""Failed authentications: so many a minute per address, then a pause (things.md 6.3 rule 9). Bounded memory."""

from collections import deque

from thingstead.ports.environment import Clock

_MINUTE = 60_000_000
_ADDRESSES = 10_000


class Throttle:
    """Counts failures per address within a sliding minute."""

    def __init__(self, clock: Clock, failures: int, refusal_seconds: int):
        self._clock = clock
        self._failures = failures
        self._refusal = refusal_seconds * 1_000_000
        self._times: dict[str, deque[int]] = {}
        self._until: dict[str, int] = {}

    def blocked(self, address: str) -> bool:
        """True while the address is to be refused unheard."""
        until = self._until.get(address)
        if until is None:
            return False
        if self._clock.now() < until:
            return True
        del self._until[address]
        return False

    def failed(self, address: str) -> None:
        """Note a failure."""
        now = self._clock.now()
        times = self._times.pop(address, None) or deque[int](maxlen=self._failures)
        times.append(now)
        self._times[address] = times  # the newest last, so that the oldest address is forgotten first
        if len(times) == self._failures and now - times[0] < _MINUTE:
            self._until[address] = now + self._refusal
            del self._times[address]
        for book in (self._times, self._until):
            if len(book) > _ADDRESSES:
                del book[next(iter(book))]
