"""What a run found, as Markdown: the rows of scenarios, or the figures of the other modes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.http_load import Load


@dataclass(frozen=True)
class Target:
    """What a scenario should reach: a ratio to its yardstick, or operations per second on any machine."""

    ratio: float = 0.0
    per_second: int = 0


TARGETS = {
    "read": Target(0.45),
    "search": Target(0.10),
    "list": Target(0.12),
    "write": Target(0.14),
    "batch": Target(per_second=8_000),
    "measure": Target(0.10),
    "mqtt, window 100": Target(0.25),
}
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
    def target(self) -> Target | None:
        """What it should reach; targets are for 16 connections."""
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
            "" if target is None else f"{target.per_second:,}/s" if target.per_second else f"{target.ratio:.2f}",
            "" if target is None else verdict((ratio or 0) >= target.ratio and load.per_second >= target.per_second),
        ]


@dataclass(frozen=True)
class Figure:
    """One line of the other modes; `met` None: there is no target."""

    name: str
    value: str
    target: str = ""
    met: bool | None = None


def figures(found: Sequence[Figure]) -> str:
    """A Markdown table."""
    lines = [("figure", "value", "target", "met"), ("---",) * 4]
    lines += [(f.name, f.value, f.target, "" if f.met is None else verdict(f.met)) for f in found]
    return _markdown(lines)


def verdict(met: bool) -> str:
    """As the table shows it."""
    return "yes" if met else "**no**"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, scenarios together."""
    order = {name: n for n, name in reversed(list(enumerate(row.scenario for row in rows)))}
    ordered = sorted(rows, key=lambda row: (order[row.scenario], row.conns))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells() for row in ordered)]
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
