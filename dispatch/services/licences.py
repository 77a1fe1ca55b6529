"""Licences of DRM systems, fetched from the servers that the settings name. Nobody else says where a request goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("licences")
MOST_BYTES = 256 << 10
RETRY_AFTER_S = 5.0
PASSED = ("Content-Type", "SOAPAction")
"""Headers of a player that its licence server needs: the form of the body, and PlayReady's action."""


@dataclass(frozen=True, slots=True)
class LicenceServers:
    """`urls` by system; `header` and its `secret` go with every request, to all of them."""

    urls: Mapping[str, str] = field(default_factory=dict)
    header: str | None = None
    secret: str = field(default="", repr=False)
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Licence:
    body: bytes = field(repr=False)
    type: str


class LicenceProxy:
    """Keeps no cookie, follows no redirect, and reads no more than a licence has."""

    def __init__(self, servers: LicenceServers) -> None:
        self._servers = servers

    @property
    def systems(self) -> frozenset[str]:
        return frozenset(self._servers.urls)

    async def fetch(self, system: str, body: bytes, headers: Mapping[str, str]) -> Licence:
        """Raises FILE_NOT_FOUND for a system without a server, LICENCE_REFUSED, LICENCE_UNAVAILABLE."""
        url = self._servers.urls.get(system)
        if url is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND, f"this server knows no licence server for {system}")
        sent = {name: headers[name] for name in PASSED if name in headers}
        if self._servers.header is not None:
            sent[self._servers.header] = self._servers.secret
        try:
            status, licence = await self._post(url, body, sent)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            raise _unavailable(system, type(fault).__name__) from None
        if 400 <= status < 500:
            raise ReelyardError(ErrorCode.LICENCE_REFUSED, details={"status": status})
        if licence is None:
            raise _unavailable(system, f"answered {status}")
        return licence

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Licence | None]:
        timeout = aiohttp.ClientTimeout(total=self._servers.timeout_s)
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=jar) as http,
            http.post(url, data=body, headers={"User-Agent": "Reelyard", **headers}, allow_redirects=False) as answer,
        ):
            content = b""
            while len(content) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES + 1 - len(content))):
                content += more
            if answer.status != 200 or len(content) > MOST_BYTES:
                return answer.status, None
            return 200, Licence(content, answer.content_type)


def _unavailable(system: str, why: str) -> ReelyardError:
    log.warning("licence_unavailable", system=system, reason=why)
    return ReelyardError(ErrorCode.LICENCE_UNAVAILABLE, retry_after=RETRY_AFTER_S)
