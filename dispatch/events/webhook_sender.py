"""The HTTP side of webhooks: one POST, to an address that was checked, without redirects, within one span of time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from dispatch.core.webhooks import Tried
from dispatch.ports import Clock
from protocol.addresses import AddressPolicy, UrlRefused, check_url, is_allowed_address

log = structlog.get_logger("webhooks")
MOST_READ = 65_536
"""Bytes of an answer: enough to use the connection again after what receivers usually say."""

BODY_S = 2.0
KEPT_OPEN_S = 4.0
"""Idle connections: less than the five seconds after which usual servers close them, perhaps under our next request."""

NAME_THREADS = 128
"""Twice as many as are sent at once by default: a look-up that was given up keeps its thread for a while."""

REFUSED = "the receiver's name leads to an address that webhooks are not sent to"
Address = tuple[str, int]
Lookup = Callable[[str, int], Awaitable[list[Address]]]


class AddressRefused(OSError):
    """The name leads to an address that is not connected to."""


class SystemNames:
    """Names by the machine's resolver, on threads of its own: a name server that does not answer holds up no others."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=NAME_THREADS, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[Address]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _looked_up, host, port)


def _looked_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found]


class CheckedNames(AbstractResolver):
    """Resolves once, and gives out addresses only when every one of them may be connected to."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy, self._lookup = policy, lookup

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        for address, _ in found:
            check_address(address, self._policy)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=at,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, at in found
        ]

    async def close(self) -> None:
        return None


def check_address(address: str, policy: AddressPolicy) -> None:
    """Raises AddressRefused. An interface after `%` is no part of the address.

    Operators read the address in the log; to the tenant it would tell what names stand for in the network of this server.
    """
    if not is_allowed_address(ip_address(address.partition("%")[0]), policy):
        log.warning("webhook_address_refused", address=address)
        raise AddressRefused(REFUSED)


async def _is_read(content: aiohttp.StreamReader) -> bool:
    """Whether the body came to its end soon, and was short."""
    left = MOST_READ
    try:
        async with asyncio.timeout(BODY_S):
            while left > 0 and (block := await content.read(left)):
                left -= len(block)
    except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError
        return False
    return left > 0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    retry_after: str | None


class HttpSender:
    """Satisfies `WebhookSender`. Keeps connections open for as long as receivers do; `close` ends them."""

    def __init__(self, policy: AddressPolicy, clock: Clock, *, timeout_s: float, lookup: Lookup | None = None) -> None:
        self._policy, self._clock, self._timeout_s = policy, clock, timeout_s
        self.longest_s = timeout_s
        self._lookup = lookup or SystemNames()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Tried:
        started = self._clock.monotonic()
        answer, error = await self._outcome(url, headers, body)
        seconds = self._clock.monotonic() - started
        if answer is None:
            return Tried(None, error, seconds)
        retry_after = retry_after_s(answer.retry_after, now=self._clock.now())
        return Tried(answer.status, reproach(answer.status), seconds, retry_after)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _outcome(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[Answer | None, str | None]:
        try:
            target = check_url(url, self._policy)
            async with asyncio.timeout(self._timeout_s):
                return await self._post(URL(target.url, encoded=True), headers, body), None
        except UrlRefused as refused:
            return None, f"the URL is refused: {refused}"
        except TimeoutError:
            return None, f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            return None, reason_of(fault)
        except Exception as fault:  # noqa: BLE001  # whatever a stranger's server makes the client raise is a failed try
            log.warning("webhook_client_fault", error=repr(fault)[:500])
            return None, f"the answer could not be read ({type(fault).__name__})"

    async def _post(self, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """The status line decides: what comes after it is read only to use the connection again."""
        session = self._session = self._session or self._opened()
        sent = {"Content-Type": "application/json", **headers}
        async with session.post(url, data=body, headers=sent, allow_redirects=False) as response:
            answer = Answer(response.status, response.headers.get("Retry-After"))
            if not await _is_read(response.content):
                response.close()
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=CheckedNames(self._policy, self._lookup),
            socket_factory=self._socket,
            keepalive_timeout=KEPT_OPEN_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Reelyard-Webhooks/1"},
            auto_decompress=False,
            trust_env=False,
        )

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:  # what getaddrinfo gives
        """The last look: what is written as an address in a URL never goes by the resolver."""
        family, kind, proto, _, sockaddr = info
        check_address(str(sockaddr[0]), self._policy)
        return socket.socket(family=family, type=kind, proto=proto)


def reproach(status: int) -> str | None:
    """What is wrong with this status; None when nothing is."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed; give the URL it leads to"
    return f"answered {status}"


def reason_of(fault: Exception) -> str:
    """One sentence without the URL, which may carry a secret."""
    cause: BaseException = getattr(fault, "os_error", None) or fault
    match cause:
        case AddressRefused():
            return str(cause)
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return "the receiver's TLS certificate is not trusted"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "TLS could not be agreed on with the receiver"
        case socket.gaierror():
            return "the receiver's name does not resolve"
        case ConnectionRefusedError():
            return "the receiver refuses connections"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "the receiver closed the connection without an answer"
        case aiohttp.ClientResponseError():
            return "what the receiver answered is not HTTP"
        case _:
            return f"the receiver cannot be reached ({type(cause).__name__})"


def retry_after_s(told: str | None, *, now: float) -> float | None:
    """Seconds from now, of either form of the header (RFC 9110, 10.2.3); None when it is neither."""
    if told is None:
        return None
    if told.isascii() and told.isdigit() and len(told) <= 9:
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - now)
    except (ValueError, OverflowError):
        return None
