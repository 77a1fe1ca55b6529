"""The connections of the fetcher: names are resolved once, every address is checked, and the socket goes to that one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.core.fetching import InputFailed
from protocol.addresses import Address, AddressPolicy, is_allowed_address
from protocol.errors import ErrorCode

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
"""The addresses of a name. Raises OSError; socket.gaierror EAI_NONAME for a name that does not exist."""

NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


async def system_addresses(host: str) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0]).split("%", 1)[0]) for entry in found]


def guarded_session(policy: AddressPolicy, resolve: Resolve) -> aiohttp.ClientSession:
    """No proxies, no cookies, no encodings; a name keeps the addresses it had first for as long as the session lives.

    The resolver checks what a name stands for; the socket factory checks again what is connected to, and so also the
    literal addresses that no resolver is asked about.
    """
    connector = aiohttp.TCPConnector(
        resolver=_CheckingResolver(policy, resolve),
        socket_factory=_socket_factory(policy),
        happy_eyeballs_delay=None,
        use_dns_cache=True,
        ttl_dns_cache=None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "reelyard"},
    )


class _CheckingResolver(AbstractResolver):
    def __init__(self, policy: AddressPolicy, resolve: Resolve) -> None:
        self._policy, self._resolve = policy, resolve

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """One address that is not allowed refuses the name: it answers for a network that is none of ours."""
        try:
            addresses = list(dict.fromkeys(await self._resolve(host)))
        except socket.gaierror as fault:
            if fault.errno in NO_SUCH_NAME:
                addresses = []
            else:
                raise
        if not addresses:
            raise InputFailed(ErrorCode.INPUT_NOT_FOUND, f"there is no host {host}")
        for address in addresses:
            _refuse_unless_allowed(host, address, self._policy)
        return [_resolved(host, port, address) for address in addresses]

    async def close(self) -> None:
        return


def _resolved(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=flags)


def _socket_factory(policy: AddressPolicy) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    def made(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = info
        host = str(place[0])
        _refuse_unless_allowed(host, ip_address(host.split("%", 1)[0]), policy)
        return socket.socket(family, kind, protocol)

    return made


def _refuse_unless_allowed(host: str, address: Address, policy: AddressPolicy) -> None:
    if not is_allowed_address(address, policy):
        raise InputFailed(ErrorCode.INPUT_URL_REFUSED, f"{host} is not at a public address")
