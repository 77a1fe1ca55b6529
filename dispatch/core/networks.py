"""Networks a key may be used from: written as an address or in CIDR form, compared with the caller's address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def network_of(text: str) -> str:
    """In CIDR form. Raises ValueError for what is neither, also when bits behind the prefix are set (`10.0.0.1/8`)."""
    if "%" in text:
        raise ValueError("a scope belongs to one machine and means nothing here")
    return str(ip_network(text))


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether the address lies in one of them; what is no address lies in none."""
    try:
        told = _plain(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return any(told in ip_network(network) for network in networks)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A socket that listens on both families tells IPv4 callers as `::ffff:192.0.2.1` (RFC 4291, 2.5.5.2)."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
