"""Where a server may connect to on somebody else's word: which URLs are well-formed, which addresses are public.

Names are not resolved here: whoever connects resolves once, asks `is_allowed_address` for every address, and connects to
that very address, best in its socket factory, which literals and redirects cannot pass by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated
from urllib.parse import unquote

from pydantic import Field

from protocol.base import Bytes, Message, Seconds

Address = IPv4Address | IPv6Address
Port = Annotated[int, Field(ge=1, le=65_535)]

MAX_URL = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefused(ValueError):
    """The URL is not fetched; the text says why, and holds nothing of the URL but its scheme, host or port."""


class AddressPolicy(Message):
    """`allow_private_addresses` is for closed networks; link-local addresses and metadata services stay refused."""

    allow_private_addresses: bool = False
    ports: tuple[Port, ...] = (80, 443, 8080, 8443)


class FetchPolicy(AddressPolicy):
    """The limits on one input, over all its requests together. `least_rate` is bytes a second, held over half a minute."""

    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    max_bytes: Bytes = 20_000_000_000
    seconds: Seconds = 3600.0
    least_rate: Bytes = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `address` is set where the host is one; `path` begins with `/` and includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None

    @property
    def url(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"

    @property
    def filename(self) -> str:
        """The last name of the path, for people alone; the host where there is none."""
        name = unquote(self.path.split("?", 1)[0].rsplit("/", 1)[-1], errors="replace")
        printable = "".join(c for c in name if c.isprintable() and c not in '/\\"')
        return printable[:200] or self.host


_SHAPE = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._\-]+))(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)")
"""A host whose last label looks like this is an IPv4 address to many resolvers, in one of its odd spellings."""

LOCAL_NAMES = frozenset({"localhost", "local", "internal"})
"""Names no public resolver answers for: RFC 6761, RFC 6762, and what ICANN has reserved for private use."""


def check_url(url: str, policy: AddressPolicy) -> Target:
    """The URL taken apart, if it is spelled plainly and may be asked for. Raises UrlRefused."""
    if len(url) > MAX_URL:
        raise UrlRefused(f"the URL is longer than {MAX_URL} characters")
    if not all("!" <= c <= "~" for c in url) or "\\" in url:
        raise UrlRefused("the URL holds a character that must be percent-encoded (in a host name: written as `xn--`)")
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise UrlRefused(_why_unshaped(url))
    scheme, authority, path = shape[1].lower(), shape[2], shape[3]
    if "@" in authority:
        raise UrlRefused("a URL with a user name or password in it is not fetched")
    split = _AUTHORITY.fullmatch(authority)
    if split is None:
        raise UrlRefused("the host or the port is not written plainly")
    literal, name, port_text = split.groups()
    port = DEFAULT_PORTS[scheme] if port_text is None else int(port_text)
    if port not in policy.ports:
        raise UrlRefused(f"port {port} is not allowed here; these are: {_listed(policy.ports)}")
    host, address = _literal(literal) if literal is not None else _name(name.lower())
    if address is not None and not is_allowed_address(address, policy):
        raise UrlRefused(f"{host} is not a public address")
    if address is None and not policy.allow_private_addresses and host.rsplit(".", 1)[-1] in LOCAL_NAMES:
        raise UrlRefused(f"{host} is not a public name")
    return Target(scheme, host, port, path if path.startswith("/") else f"/{path}", address)


def _why_unshaped(url: str) -> str:
    scheme = _SCHEME.match(url)
    if scheme is not None and scheme[1].lower() not in DEFAULT_PORTS:
        return f"only http and https are fetched, not {scheme[1].lower()[:20]}"
    return "the URL is not of the form https://host/path"


def _listed(ports: tuple[int, ...]) -> str:
    return ", ".join(map(str, ports)) or "none"


def _literal(text: str) -> tuple[str, Address]:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise UrlRefused("the host is not an IPv6 address") from None
    return f"[{address.compressed}]", address


def _name(host: str) -> tuple[str, Address | None]:
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]) or (labels[-1] == "" and len(labels) > 1 and _NUMBER.fullmatch(labels[-2])):
        try:
            return host, IPv4Address(host)
        except ValueError:
            raise UrlRefused("the host is an oddly spelled address; write four decimal numbers") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("the host is not a well-formed name")
    return host, None


# --- addresses

_EVERYWHERE_REFUSED = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
"""Not global unicast by the IANA registry of special addresses, and no place for anybody's files."""

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_PRIVATE_6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))

_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
"""Inside the global range and yet not for hosts: protocol assignments and documentation."""

METADATA = frozenset(map(ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))
"""Where clouds give out their machines' credentials; refused in closed networks too."""

_MAPPED, _COMPATIBLE, _TRANSLATED = IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96")
_NAT64, _SIX_TO_FOUR, _TEREDO = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16"), IPv6Network("2001::/32")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
_LOOPBACK_6, _LOW_32 = IPv6Address("::1"), (1 << 32) - 1


def is_allowed_address(address: Address, policy: AddressPolicy) -> bool:
    """Whether to connect there. An IPv6 address that carries IPv4 ones is what it carries.

    `ipaddress.is_global` is not asked: on Python 3.11 it calls NAT64, 6to4, mapped and multicast forms global.
    """
    inner = _carried(address)
    if inner:
        return all(_is_allowed(one, policy) for one in inner)
    return _is_allowed(address, policy)


def _carried(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses inside an IPv6 one: packets for it end up there."""
    if isinstance(address, IPv4Address) or address == _LOOPBACK_6:
        return ()
    number = int(address)
    low = IPv4Address(number & _LOW_32)
    if any(address in network for network in (_MAPPED, _COMPATIBLE, _TRANSLATED, _NAT64)):
        return (low,)
    if address in _SIX_TO_FOUR:
        return (IPv4Address((number >> 80) & _LOW_32),)
    if address in _TEREDO:
        return (IPv4Address((number >> 64) & _LOW_32), IPv4Address(~number & _LOW_32))
    if (number >> 32) & _LOW_32 in _ISATAP:
        return (low, _without_interface(number))
    return ()


def _without_interface(number: int) -> IPv6Address:
    """The network an ISATAP address lies in must be allowed as well."""
    return IPv6Address((number >> 64 << 64) | 1)


def _is_allowed(address: Address, policy: AddressPolicy) -> bool:
    if address in METADATA:
        return False
    if isinstance(address, IPv4Address):
        if any(address in network for network in _EVERYWHERE_REFUSED):
            return False
        return policy.allow_private_addresses or not any(address in network for network in _PRIVATE)
    if any(address in network for network in _PRIVATE_6):
        return policy.allow_private_addresses
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)
