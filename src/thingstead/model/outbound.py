"""Which addresses may be called for others: public ones, and those the operator allows (identity.md 17, SSRF). Pure.

The operator's list has networks and host names. A name on it may lead anywhere; every other name is judged by the
addresses it leads to, each time.
"""

import ipaddress
from typing import Final, TypeAlias

import msgspec

from thingstead.model.errors import InvalidInput

KEY: Final = "para.outbound_allow"
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Allowed(msgspec.Struct, frozen=True):
    """What an operator allows beside public addresses; nothing by default."""

    networks: tuple[_Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def host(self, name: str) -> bool:
        """Whether a host may be called wherever its name leads."""
        return name.lower().rstrip(".") in self.hosts

    def address(self, text: str) -> bool:
        """Whether an IP address may be connected to."""
        return is_public(text) or any(ip in network for ip in _forms(text) for network in self.networks)


def allowed(text: str) -> Allowed:
    """The value of a comma list of networks (`10.0.0.0/8`), addresses and host names. Raises InvalidInput.

    >>> allowed("10.0.0.0/8, idp.intranet").host("IdP.intranet")
    True
    """
    networks: list[_Network] = []
    hosts: set[str] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if "/" in entry or ":" in entry or any(char.isspace() or not char.isprintable() for char in entry):
                raise InvalidInput(f"{KEY}: {entry!r} is no network, address or host name", field=KEY) from None
            hosts.add(entry.lower().rstrip("."))
    return Allowed(tuple(networks), frozenset(hosts))


def _forms(text: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """An address, and the IPv4 address that it is another form of."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return []
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return [ip] if mapped is None else [ip, mapped]


def is_public(address: str) -> bool:
    """True for an IP address on the open internet: not private, loopback, link-local, shared, reserved or multicast.

    Addresses that carry an IPv4 address inside (mapped, 6to4, NAT64, Teredo) are judged by both.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inside is not None and not is_public(str(inside)):
            return False
        if ip.ipv4_mapped is not None:
            return True
        if ip.is_site_local or int(ip) < 1 << 32:
            return False
    elif ip in _PROTOCOLS:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PROTOCOLS: Final = ipaddress.IPv4Network("192.0.0.0/24")  # as a whole: Python's releases differ about its parts
