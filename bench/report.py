"""The rows of a run as one Markdown table, and the figures below it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.http_load import Load

TARGETS = {"read": 0.40, "search": 0.08, "write": 0.12, "measure": 0.10, "mqtt, window 100": 0.25}
TARGET_CONNS = 16
START_SECONDS = 1.5
IDLE_MB = 130
COLUMNS = (
    "scenario", "conns", "ops/s", "ratio", "to", "p50 ms", "p99 ms", "server cores", "others' cores", "memory MB",
    "owed CPU s", "target", "met",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One scenario at one number of connections.

    `yardstick` is (name, operations per second) of what it is held against. `owed` is the CPU, in seconds, that the
    server still used after the last answer, until it was quiet.
    """

    scenario: str
    conns: int
    load: Load
    memory_mb: float
    owed: float = 0.0
    yardstick: tuple[str, float] | None = None

    @property
    def ratio(self) -> float | None:
        """Operations per second in those of the yardstick."""
        return None if self.yardstick is None else self.load.per_second / self.yardstick[1]

    @property
    def target(self) -> float | None:
        """The ratio that it should reach; targets are for 16 connections."""
        return TARGETS.get(self.scenario) if self.conns == TARGET_CONNS else None

    def cells(self) -> list[str]:
        """As in COLUMNS."""
        load, ratio, target = self.load, self.ratio, self.target
        return [
            self.scenario,
            str(self.conns),
            f"{load.per_second:,.0f}",
            "" if ratio is None else f"{ratio:.3f}",
            "" if self.yardstick is None else self.yardstick[0],
            f"{load.p50:.2f}",
            f"{load.p99:.2f}",
            f"{load.cores:.2f}",
            f"{load.foreign:.2f}",
            f"{self.memory_mb:.0f}",
            f"{self.owed:.2f}",
            "" if target is None else f"{target:.2f}",
            "" if target is None or ratio is None else verdict(ratio >= target),
        ]


def verdict(met: bool) -> str:
    """As the table shows it."""
    return "yes" if met else "**no**"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, scenarios together."""
    order = {name: n for n, name in reversed(list(enumerate(row.scenario for row in rows)))}
    ordered = sorted(rows, key=lambda row: (order[row.scenario], row.conns))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells() for row in ordered)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
