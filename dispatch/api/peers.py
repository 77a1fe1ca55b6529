"""Which address a call comes from: the peer's, or the one a trusted proxy tells of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Address = IPv4Address | IPv6Address
MOST_HOPS = 20
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\d{1,5})?|([^:\[\]]+):\d{1,5}", re.ASCII)
"""Some proxies write the port too: `192.0.2.7:4711`, `[2001:db8::7]:4711`; brackets may stand without one."""


class Peers:
    """`trusted` are networks in CIDR form. Raises ValueError for one that is none."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = tuple(ip_network(network) for network in trusted)

    def address(self, request: web.Request) -> str:
        """Of `X-Forwarded-For` only what trusted hops wrote is believed: read from the right, up to the first stranger."""
        peer = _peer(request)
        if not self._trusted or not self._is_trusted(peer):
            return peer
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for hop in reversed(hops[-MOST_HOPS:]):
            told = _parsed(_without_port(hop.strip()))
            if told is None:
                return peer
            peer = str(told)
            if not self._is_trusted(peer):
                return peer
        return peer

    def _is_trusted(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address.version == n.version and address in n for n in self._trusted)


def _peer(request: web.Request) -> str:
    told = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(told[0]) if isinstance(told, tuple) else ""


def _without_port(hop: str) -> str:
    found = _WITH_PORT.fullmatch(hop)
    return hop if found is None else found[1] or found[2]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def household(address: str) -> str:
    """What is counted as one place: an IPv4 address, or an IPv6 /64, which one host changes within at will."""
    known = _parsed(address)
    return str(IPv6Network((known, 64), strict=False)) if isinstance(known, IPv6Address) else str(known or address)


PEERS = web.AppKey("peers", Peers)
