"""Promise: timers tell counts, extremes, percentiles and rates as Para's do (objects.md 18), within 3 %."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.metrics import ATTRIBUTES, TICK, Timer, batch_of, filled, graphite, logged

SECOND = 1_000_000


def timer(*values: float, now: int = 0) -> Timer:
    made = Timer(0)
    made.add(batch_of(list(values)), now)
    return made


def test_a_timer_begins_at_zero() -> None:
    assert Timer(0).attributes(0) == dict.fromkeys(ATTRIBUTES, 0)
    assert list(Timer(0).attributes(10**9)) == list(ATTRIBUTES)


@given(st.lists(st.floats(1e-7, 1e4), min_size=1, max_size=300))
def test_one_moment(values: list[float]) -> None:
    found = timer(*values).attributes(0)
    assert found["count"] == len(values)
    ordered = sorted(values)
    assert found["min"] == pytest.approx(ordered[0] * 1000)
    assert found["max"] == pytest.approx(ordered[-1] * 1000)
    assert found["mean"] == pytest.approx(sum(values) / len(values) * 1000)
    for name, quantile in (("p50", 0.5), ("p75", 0.75), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        exact = ordered[max(0, math.ceil(quantile * len(values)) - 1)] * 1000
        assert found[name] == pytest.approx(exact, rel=0.07), name
    assert found["min"] <= found["p50"] <= found["p999"] <= found["max"] * 1.0000001


@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=20), min_size=1, max_size=10))
def test_batches_are_as_one(parts: list[list[float]]) -> None:
    apart, whole = Timer(0), Timer(0)
    for part in parts:
        apart.add(batch_of(list(part)), 0)
    whole.add(batch_of([value for part in parts for value in part]), 0)
    assert apart.attributes(0) == pytest.approx(whole.attributes(0))


@pytest.mark.parametrize("value", [5e-324, 2.0**-66, 2.0**-65 * 1.5, 2.0**-64, 2.0**-63 * 1.9, 1e-9, 1e9])
def test_tiny_and_huge_durations_have_a_bucket(value: float) -> None:
    found = timer(value, value).attributes(0)
    assert (found["count"], found["max"]) == (2, value * 1000)
    assert found["p50"] == pytest.approx(value * 1000, rel=0.04, abs=1e-15)


def test_zero_and_negative_durations_are_taken() -> None:
    found = timer(0.0, -1e-9, 0.001).attributes(0)
    assert (found["count"], found["p50"]) == (3, 0)


def test_deviation() -> None:
    values = [random.Random(1).gauss(1, 0.1) for _ in range(2000)]
    assert timer(*values).attributes(0)["stddev"] < 1e-6, "one value, two thousand times"
    chance = random.Random(1)
    found = timer(*(chance.gauss(1, 0.1) for _ in range(20_000))).attributes(0)
    assert found["stddev"] == pytest.approx(100, rel=0.03)


def test_what_is_long_ago_fades() -> None:
    made = timer(*[1.0] * 100)
    made.add(batch_of([0.001] * 100), 120 * SECOND)
    found = made.attributes(120 * SECOND)
    assert found["p50"] == pytest.approx(1, rel=0.04), "recent ones weigh six times as much"
    assert found["p95"] == pytest.approx(1000, rel=0.04)
    later = made.attributes(700 * SECOND)
    assert later["p50"] == pytest.approx(1, rel=0.04)
    gone = made.attributes(2000 * SECOND)
    assert (gone["count"], gone["max"], gone["p50"]) == (200, 0, 0)


def test_rates() -> None:
    made = Timer(0)
    for second in range(1, 601):
        made.add(batch_of([0.001] * 10), second * SECOND)
    found = made.attributes(600 * SECOND)
    for name in ("m1_rate", "m5_rate", "m15_rate", "mean_rate"):
        assert found[name] == pytest.approx(10, rel=0.01), name
    found = made.attributes(660 * SECOND)
    assert found["m1_rate"] == pytest.approx(10 * math.exp(-1), rel=0.02)
    assert found["m15_rate"] == pytest.approx(10 * math.exp(-1 / 15), rel=0.02)
    assert found["mean_rate"] == pytest.approx(6000 / 660)


def test_a_rate_is_there_after_the_first_tick() -> None:
    made = timer(*[0.1] * 50, now=SECOND)
    assert made.attributes(TICK)["m1_rate"] == pytest.approx(10)


def test_lines_for_graphite() -> None:
    values = [("DAO.read", {"count": 3, "p50": 1.239}), ("a b\n.c", {"count": 1})]
    assert graphite("x.y", values, 7) == b"x.y.DAO.read.count 3 7\nx.y.DAO.read.p50 1.24 7\nx.y.a_b_.c.count 1 7\n"
    assert graphite("", values[:1], 7).startswith(b"DAO.read.count 3 7\n")
    line = logged("TIMER", "DAO.read", {"count": 3, "p50": 1.239})
    assert line.startswith("type=TIMER, name=DAO.read, count=3, p50=1.24, duration_unit=milliseconds")


PREFIXES = [
    ("", ""),
    ("para", "para"),
    ("a.{{INSTANCE_ID}}.{{APP_ID}}", "a.node_1.my_app"),
    ("a. b\n", "a._b"),
    ("a.", "a"),
]


@pytest.mark.parametrize(("prefix", "full"), PREFIXES)
def test_prefixes(prefix: str, full: str) -> None:
    assert filled(prefix, instance="node.1", app="my.app") == full
