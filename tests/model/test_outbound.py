"""Promise: only public addresses are called for others, and what the operator allows; nothing wraps one in another."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import InvalidInput
from thingstead.model.outbound import allowed, is_public

PRIVATE = [
    "127.0.0.1",
    "127.255.0.9",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "x",
    "localhost",
    "127.1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_nobody_outside_may_have_asked(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(inside: ipaddress.IPv4Address) -> None:
    """Whatever wraps a private IPv4 address is no way to it."""
    number = int(inside)
    for outside in (f"::ffff:{inside}", str(ipaddress.IPv6Address((0x64FF9B << 96) | number))):
        assert is_public(outside) is is_public(str(inside))
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert not is_public(str(six_to_four)) or is_public(str(inside))


ALLOWED = [
    ("", "127.0.0.1", False),
    ("127.0.0.0/8", "127.0.0.1", True),
    ("127.0.0.0/8", "::ffff:127.0.0.1", True),
    ("127.0.0.0/8", "10.0.0.1", False),
    ("127.0.0.0/8", "1.1.1.1", True),
    ("10.1.2.3", "10.1.2.3", True),
    ("10.1.2.3", "10.1.2.4", False),
    ("10.1.2.3/8", "10.200.0.1", True),
    ("fd00::/8 , 10.0.0.0/8", "fd12::1", True),
    ("fd00::/8 , 10.0.0.0/8", "10.0.0.1", True),
    ("::1", "::1", True),
    ("0.0.0.0/0", "::1", False),
    ("intranet", "10.0.0.1", False),
    ("0.0.0.0/0", "localhost", False),
]


@pytest.mark.parametrize(("text", "address", "may"), ALLOWED)
def test_the_operators_networks_open_what_they_hold_and_no_more(text: str, address: str, may: bool) -> None:
    assert allowed(text).address(address) is may


def test_the_operators_hosts_are_names_not_their_kin() -> None:
    found = allowed("Idp.Intranet., db")
    assert found.host("idp.intranet")
    assert found.host("IDP.INTRANET.")
    assert not found.host("x.idp.intranet")
    assert not found.host("intranet")
    assert not found.host("")


@pytest.mark.parametrize("text", ["10.0.0.0/33", "http://x", "a b", "x:80", "fe80::/200", "\x00"])
def test_what_is_neither_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        allowed(f"10.0.0.0/8,{text}")
    assert caught.value.field == "para.outbound_allow"
