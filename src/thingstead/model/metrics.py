"""Timers with decaying rates and percentiles (objects.md 18). Pure: time is handed in.

The reservoir is a histogram whose buckets lose weight exponentially, as the samples of Para's do: 0.015 a second, so
that the last five minutes count. A bucket is 1/16 of a doubling, and a percentile its middle, so it is off by 3 % at
most; mean and deviation are exact for the weights. No randomness, no sample is ever missed, the cost of a value does
not depend on how many there were.

Rates are moving averages over ticks of 5 s, as of Unix load.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from math import exp, frexp, sqrt
from operator import mul
from typing import Final

import msgspec

TICK: Final = 5_000_000  # microseconds
_ALPHA: Final = 0.015  # weight lost per second
_STEPS: Final = 16  # buckets per doubling
_FADED: Final = 1e-3  # a bucket below this weight is as good as empty
_MINUTES: Final = (1, 5, 15)
_FACTORS: Final = tuple(1 - exp(-5 / 60 / minutes) for minutes in _MINUTES)
_QUANTILES: Final = {"p50": 0.5, "p75": 0.75, "p95": 0.95, "p98": 0.98, "p99": 0.99, "p999": 0.999}

ATTRIBUTES: Final = (
    *("count", "max", "mean", "min", "stddev", *_QUANTILES),
    *("m1_rate", "m5_rate", "m15_rate", "mean_rate"),
)
"""Of a timer, in the order of objects.md 18: durations in ms, rates per second."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Durations in seconds, as a timer takes them; one batch may go to several timers."""

    buckets: Mapping[int, int]
    count: int
    low: float
    high: float
    sum: float
    squares: float


def batch_of(values: list[float]) -> Batch:
    """The batch of some durations, at least one. Sorts `values`: bounds of buckets are then found by halving."""
    values.sort()
    buckets: dict[int, int] = {}
    at, count = 0, len(values)
    while at < count:
        bucket = _bucket(values[at])
        end = max(at + 1, bisect_left(values, _edge(bucket + 1), at))
        buckets[bucket] = end - at
        at = end
    return Batch(buckets, count, values[0], values[-1], sum(values), sum(map(mul, values, values)))


class Timer:
    """Durations of one call. Begins at zero at `now`, microseconds UTC."""

    __slots__ = (
        *("_buckets", "_count", "_high", "_low", "_rates", "_settled", "_squares", "_start", "_sum", "_ticked"),
        *("_untold", "_weight"),
    )

    def __init__(self, now: int) -> None:
        self._start = self._settled = self._ticked = now
        self._count = self._untold = 0  # calls; those that no tick has counted
        self._buckets: dict[int, float] = {}
        self._weight = self._sum = self._squares = 0.0
        self._low, self._high = 0.0, 0.0
        self._rates: list[float] | None = None

    def add(self, batch: Batch, now: int) -> None:
        """Take over what ended since the last call; at least once a tick, for the rates to be right."""
        self._fade(now)
        self._tick(now, batch.count)
        buckets = self._buckets
        self._low = min(self._low, batch.low) if buckets else batch.low
        self._high = max(self._high, batch.high) if buckets else batch.high
        for bucket, count in batch.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0.0) + count
        self._count += batch.count
        self._weight += batch.count
        self._sum += batch.sum
        self._squares += batch.squares

    def _fade(self, now: int) -> None:
        seconds = (now - self._settled) / 1e6
        if seconds < 1 and self._buckets:
            return
        self._settled = now
        if not self._buckets or seconds <= 0:
            return
        left = exp(-_ALPHA * seconds)
        before = self._buckets
        self._buckets = {bucket: weight * left for bucket, weight in before.items() if weight * left > _FADED}
        if not self._buckets:
            self._weight = self._sum = self._squares = self._low = self._high = 0.0
            return
        self._weight *= left
        self._sum *= left
        self._squares *= left
        if len(self._buckets) < len(before):
            self._low = max(self._low, _edge(min(self._buckets)))
            self._high = min(self._high, _edge(max(self._buckets) + 1))

    def _tick(self, now: int, calls: int) -> None:
        """Calls since the last tick count as spread over the time since then."""
        self._untold += calls
        ticks = (now - self._ticked) // TICK
        if ticks < 1:
            return
        calls, self._untold = self._untold, 0
        self._ticked += ticks * TICK
        rate = calls / (ticks * TICK / 1e6)
        if self._rates is None:
            if calls:
                self._rates = [rate] * len(_FACTORS)
            return
        for n, factor in enumerate(_FACTORS):
            self._rates[n] = rate + (self._rates[n] - rate) * (1 - factor) ** ticks

    def attributes(self, now: int) -> Mapping[str, float]:
        """The values of ATTRIBUTES."""
        self._fade(now)
        self._tick(now, 0)
        found: dict[str, float] = {"count": self._count}
        weight = self._weight
        mean = self._sum / weight if weight else 0.0
        deviation = sqrt(max(0.0, self._squares / weight - mean * mean)) if weight else 0.0
        ms = {"max": self._high, "mean": mean, "min": self._low, "stddev": deviation, **self._percentiles()}
        found.update((name, seconds * 1000) for name, seconds in ms.items())
        rates = self._rates or (0.0,) * len(_MINUTES)
        found.update((f"m{minutes}_rate", rate) for minutes, rate in zip(_MINUTES, rates, strict=True))
        found["mean_rate"] = self._count / max((now - self._start) / 1e6, 1e-3)
        return found

    def _percentiles(self) -> Mapping[str, float]:
        total = sum(self._buckets.values())
        if not total:
            return dict.fromkeys(_QUANTILES, 0.0)
        ordered = sorted(self._buckets.items())
        found: dict[str, float] = {}
        passed, at = ordered[0][1], 0
        for name, quantile in _QUANTILES.items():
            while passed < quantile * total and at + 1 < len(ordered):
                at += 1
                passed += ordered[at][1]
            bucket = ordered[at][0]
            middle = (_edge(bucket) + _edge(bucket + 1)) / 2 if bucket > _ZERO else 0.0
            found[name] = min(max(middle, self._low), self._high)
        return found


class Counter:
    """A number of things."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self, by: int = 1) -> None:
        """Add to it."""
        self.count += by


def graphite(prefix: str, values: Iterable[tuple[str, Mapping[str, float]]], seconds: int) -> bytes:
    """Lines of Graphite's plaintext protocol: `<prefix>.<name>.<attribute> <value> <epoch s>`; counts are whole."""
    lines: list[str] = []
    before = f"{prefix}." if prefix else ""
    for name, attributes in values:
        for attribute, value in attributes.items():
            text = str(int(value)) if attribute == "count" else f"{value:.2f}"
            lines.append(f"{before}{plain(name)}.{attribute} {text} {seconds}\n")
    return "".join(lines).encode()


def logged(kind: str, name: str, attributes: Mapping[str, float]) -> str:
    """The line of a metrics log."""
    shown = ", ".join(
        f"{attribute}={int(value) if attribute == 'count' else format(value, '.2f')}"
        for attribute, value in attributes.items()
    )
    units = ", duration_unit=milliseconds, rate_unit=events/second" if kind == "TIMER" else ""
    return f"type={kind}, name={name}, {shown}{units}"


def plain(name: str) -> str:
    """A name that cannot break a line of Graphite's protocol: blanks and control characters become `_`."""
    return "".join("_" if char.isspace() or not char.isprintable() else char for char in name)


def filled(prefix: str, *, instance: str, app: str) -> str:
    """A prefix with its placeholders filled, which may contain no dots of their own; without a dot at its end."""
    text = prefix.replace("{{INSTANCE_ID}}", instance.replace(".", "_")).replace("{{APP_ID}}", app.replace(".", "_"))
    return plain(text.strip()).rstrip(".")


def _bucket(seconds: float) -> int:
    """The number of the bucket a value lies in; they are 1/16 of a doubling wide, linear inside it."""
    mantissa, exponent = frexp(seconds)
    if mantissa <= 0 or exponent <= -64:
        return _ZERO
    return exponent * _STEPS + int((mantissa * 2 - 1) * _STEPS)


_ZERO: Final = -63 * _STEPS - 1  # 2**-64 s and less


def _edge(bucket: int) -> float:
    """The lower end of a bucket."""
    if bucket <= _ZERO:
        return 0.0
    exponent, step = divmod(bucket, _STEPS)
    return (1 + step / _STEPS) / 2 * 2.0**exponent
