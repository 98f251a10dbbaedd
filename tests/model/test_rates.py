"""Promise: of N hits in a window the N-th passes and the next does not, who waits is told how long, memory is bounded,
and one client is one address, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.rates import MINUTE, Places, Rate, is_loopback, network


@given(st.integers(1, 50), st.lists(st.integers(0, MINUTE // 4), max_size=200))
def test_no_more_than_the_limit_pass_in_a_window(most: int, steps: list[int]) -> None:
    rate, now, passed = Rate(most), 0, list[int]()
    began = -MINUTE
    for step in steps:
        now += step
        if now - began >= MINUTE:
            began, passed = now, []
        wait = rate.hit("a", now)
        if wait:
            assert len(passed) == most
            assert now + wait == began + MINUTE  # the next passes then, and not before
        else:
            passed.append(now)
            assert len(passed) <= most


def test_limit_and_one_more() -> None:
    rate = Rate(3)
    assert [rate.hit("a", 10), rate.hit("a", 20), rate.hit("a", 30)] == [0, 0, 0]
    assert rate.over("a", 40) == MINUTE - 30
    assert rate.hit("a", 40) == MINUTE - 30
    assert rate.hit("b", 40) == 0
    assert rate.hit("a", MINUTE + 9) == 1
    assert rate.hit("a", MINUTE + 10) == 0
    assert rate.hit("c", 0, 4) == MINUTE


def test_no_limit() -> None:
    rate = Rate(0)
    assert not any(rate.hit("a", 0) for _ in range(1000))
    assert len(rate) == 0


def test_memory_is_bounded_and_what_is_over_goes_first() -> None:
    rate = Rate(1, keys=100)
    for n in range(1_000):
        rate.hit(str(n), 0)
        assert len(rate) <= 100
    rate.hit("later", MINUTE)
    assert len(rate) == 1


NETWORKS = (
    ("192.0.2.1", "192.0.2.1"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
    ("2001:DB8:1:2:BBBB::2", "2001:db8:1:2::/64"),
    ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    ("", ""),
    ("no:address", "no:address"),
)


@pytest.mark.parametrize(("address", "client"), NETWORKS)
def test_networks(address: str, client: str) -> None:
    assert network(address) == client


def test_loopback() -> None:
    assert is_loopback(network("127.0.0.1"))
    assert is_loopback(network("::1"))
    assert is_loopback(network("::ffff:127.0.0.9"))
    assert not is_loopback(network("2001:db8::1"))
    assert not is_loopback(network("192.0.2.1"))


def test_places() -> None:
    places = Places(3, 2)
    assert [places.enter("a"), places.enter("a"), places.enter("a")] == ["", "", "crowded"]
    assert places.enter("a", trusted=True) == ""
    assert places.enter("b") == "full"
    places.leave("a")
    assert places.enter("b") == ""
    assert (places.open, places.full, places.crowded) == (3, 1, 1)
    lenient = Places(0, -1)
    assert [lenient.enter("127.0.0.1") for _ in range(3)] == ["", "", ""]
    assert [lenient.enter("192.0.2.1") for _ in range(2)] == ["", "crowded"]
