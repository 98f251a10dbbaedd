"""The unmerged head rows in memory, by series, so that reads overlay them without scanning the head.

Promises: holds exactly the committed head rows above the merge mark (a little more while a merge is being taken over,
which is harmless: overlaying a merged row gives the same answer). Pure memory; the writer feeds it after COMMIT.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from thingstead.ports.store import Reading

_time = attrgetter("time")


class Tail:
    """The rows of one series within one generation; ascending by time, the later write winning, when read."""

    __slots__ = ("_ordered", "_rows")

    def __init__(self, first: Reading):
        self._rows = [first]
        self._ordered = True

    def add(self, reading: Reading) -> None:
        """Append in the order of the log."""
        if reading.time <= self._rows[-1].time:
            self._ordered = False
        self._rows.append(reading)

    def rows(self) -> list[Reading]:
        """All of them, one a time, ascending. Not a copy."""
        if not self._ordered:
            by_time = {reading.time: reading for reading in self._rows}
            self._rows = [by_time[time] for time in sorted(by_time)]
            self._ordered = True
        return self._rows


class _Generation:
    """A run of the head without holes: all its rows in order, and the ones that history shows by series."""

    def __init__(self, first: int) -> None:
        self.first = first  # sequence of the first row
        self.log: list[Reading] = []
        self.tails: dict[int, Tail] = {}

    @property
    def next(self) -> int:
        """The sequence after the last row."""
        return self.first + len(self.log)

    def extend(self, readings: Sequence[Reading]) -> None:
        """Add the following rows."""
        self.log.extend(readings)
        tails = self.tails
        for reading in readings:
            if reading.value is None and reading.text is None:
                continue  # a removed leaf is a row of the log only
            tail = tails.get(reading.series)
            if tail is None:
                tails[reading.series] = Tail(reading)
            else:
                tail.add(reading)


class Heads:
    """Generations of unmerged rows, oldest first; a merge takes whole ones, so that dropping them costs nothing."""

    def __init__(self, rows: int):
        self._rows = rows  # a generation is closed at this size
        self._generations: deque[_Generation] = deque()

    def __len__(self) -> int:
        return sum(len(generation.log) for generation in self._generations)

    def extend(self, first: int, readings: Sequence[Reading]) -> None:
        """Add committed rows, `first` being the sequence of the first."""
        if not self._generations or self._full(self._generations[-1], first):
            self._generations.append(_Generation(first))
        self._generations[-1].extend(readings)

    def _full(self, young: _Generation, first: int) -> bool:
        return len(young.log) >= self._rows or young.next != first

    def take(self, limit: int | None) -> int:
        """Close the oldest generation, cut to `limit` rows; returns its last sequence, 0 without rows."""
        if not self:
            return 0
        old = self._generations[0]
        if limit is not None and limit < len(old.log):
            self._generations.popleft()
            for first, part in ((old.first + limit, old.log[limit:]), (old.first, old.log[:limit])):
                generation = _Generation(first)
                generation.extend(part)
                self._generations.appendleft(generation)
            old = self._generations[0]
        if len(self._generations) == 1:
            self._generations.append(_Generation(old.next))
        return old.next - 1

    def drop(self, mark: int) -> None:
        """Forget the generations up to `mark`, which are merged now."""
        while self._generations and self._generations[0].next - 1 <= mark and self._generations[0].log:
            self._generations.popleft()

    def window(
        self, series: int, start: int | None, end: int | None, limit: int | None = None, newest: bool = False
    ) -> list[Reading]:
        """The readings of a window, ascending, one a time; with `limit` at most that many from either end."""
        found: list[Reading] = []
        for generation in self._generations:
            tail = generation.tails.get(series)
            if tail is not None:
                found = overlay(found, cut(tail.rows(), start, end, limit, newest))
        return found if limit is None else (found[-limit:] if newest else found[:limit])

    def latest(self, series: int) -> Reading | None:
        """The newest by time, or None."""
        found: Reading | None = None
        for generation in self._generations:
            tail = generation.tails.get(series)
            if tail is not None:
                last = tail.rows()[-1]
                if found is None or last.time >= found.time:
                    found = last
        return found


def cut(
    rows: Sequence[Reading], start: int | None, end: int | None, limit: int | None = None, newest: bool = False
) -> list[Reading]:
    """A copy of start <= time < end of ascending rows; with `limit` at most that many from either end."""
    low = 0 if start is None else bisect_left(rows, start, key=_time)
    high = len(rows) if end is None else bisect_left(rows, end, low, key=_time)
    if limit is not None:
        low, high = (max(low, high - limit), high) if newest else (low, min(high, low + limit))
    return list(rows[low:high])


def overlay(lower: list[Reading], upper: list[Reading]) -> list[Reading]:
    """Both ascending, one a time: their union, ascending, `upper` winning where both have a time."""
    if not upper:
        return lower
    if not lower or lower[-1].time < upper[0].time:
        return lower + upper
    by_time = {reading.time: reading for reading in lower}
    by_time.update((reading.time, reading) for reading in upper)
    return [by_time[time] for time in sorted(by_time)]


def times(readings: Iterable[Reading]) -> list[int]:
    """Their times, in order."""
    return [reading.time for reading in readings]
