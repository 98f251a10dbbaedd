"""A mixed load for a long time: does the server's memory stay as it is? (`bench/run --soak SECONDS`)

Each interval ends with the checks of the mix. Memory counts as flat when what the server holds for itself, mapped files
aside, is in the last quarter at most a tenth above that of the second quarter: the first warms caches up.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from bench.http_load import replay
from bench.processes import memory_mb
from bench.report import Figure
from bench.scenarios import Bench, Lost

CONNS = 16
GROWTH = 1.1
INTERVALS = 20
SHORTEST, LONGEST = 2, 60  # s of an interval


def soak(bench: Bench, seconds: float, folder: Path) -> Iterator[Figure]:
    """A figure for each interval, and the verdict. Raises Lost, RuntimeError."""
    bench.fill()
    pid = bench.server.pid
    interval = round(min(LONGEST, max(SHORTEST, seconds / INTERVALS)))
    private: list[float] = []
    past = 0.0
    while past < seconds:
        load = replay(bench.server.http, pid, bench.mixed(), CONNS, interval, folder, sample=50)
        past += load.seconds
        if load.failed:
            raise Lost(f"{load.failed} requests failed after {past:.0f} s")
        bench.check_mixed(load, CONNS)
        private.append(memory_mb(pid, "RssAnon"))
        whole = f"{memory_mb(pid):.0f} MB resident, {private[-1]:.0f} MB without mapped files"
        yield Figure(f"after {past:.0f} s", f"{whole}, {load.per_second:,.0f} requests/s, p99 {load.p99:.0f} ms")
    quarter = max(1, len(private) // 4)
    growth = mean(private[-quarter:]) / mean(private[quarter : 2 * quarter] or private)
    yield Figure("memory, last quarter to second", f"{growth:.3f}", f"<= {GROWTH}", growth <= GROWTH)
