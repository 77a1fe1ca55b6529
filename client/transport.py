"""One HTTP call to a server: where it goes, how often it is tried, and what its answer means."""

from __future__ import annotations

import os
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import stamina
from pydantic import BaseModel, ValidationError
from yarl import URL

from client.errors import Unreachable, Unreadable, one_line
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import ErrorEnvelope
from protocol.operations import BY_NAME, Operation

_AGAIN = frozenset({502, 503})
_NOTHING_DONE = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.UPLOAD_LOCKED, ErrorCode.NOT_LEADER})
"""Refused before anything was done: the same call may come again, whatever it is."""

_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_PARAMETER = re.compile(r"\{(\w+)(:[^}]+)?\}")  # aiohttp: `{name}` and `{name:pattern}`
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
MakeBody = Callable[[], aiohttp.payload.Payload]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a call that may be repeated is repeated. `longest_wait_s` caps what `Retry-After` asks for with 503; a rate
    limit that asks for more is not waited for.
    """

    attempts: int = 6
    within_s: float = 45.0
    longest_wait_s: float = 10.0


DEFAULT_RETRY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the operations table. `make_body` makes the body anew for every attempt."""

    operation: str
    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    make_body: MakeBody | None = None
    also: frozenset[int] = frozenset()
    """Statuses beside 2xx that bring an answer, not a refusal."""

    @property
    def row(self) -> Operation:
        return BY_NAME[self.operation]

    @property
    def path(self) -> str:
        """No id leads to another route; only a parameter that is a path itself keeps its slashes."""
        return _PARAMETER.sub(lambda told: quote(self.ids[told[1]], safe="/" if told[2] else ""), self.row.path)

    @property
    def is_repeatable(self) -> bool:
        """A second sending does no more than the first: a read, or a POST that carries an Idempotency-Key."""
        return self.row.method == "GET" or "Idempotency-Key" in self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are looked up whatever their case."""

    headers: Mapping[str, str]
    body: bytes


def json_body(message: BaseModel) -> MakeBody:
    """The message as a JSON body; fields that were not set are left to the server's defaults."""
    text = message.model_dump_json(exclude_unset=True).encode()
    return lambda: aiohttp.payload.BytesPayload(text, content_type="application/json")


def base_url(server: str) -> str:
    """The server's address without its last slash; `host:port` alone means http. Raises Unreachable if it is none."""
    text = server.strip() if "://" in server else f"http://{server.strip()}"
    try:
        url = URL(text)
    except ValueError as error:
        raise Unreachable(f"{server!r} is not the address of a server: {error}", is_unsent=True) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Unreachable(f"{server!r} is not the address of a server; it looks like http://host:8080", is_unsent=True)
    return str(url.with_query(None).with_fragment(None)).rstrip("/")


def idempotency_key() -> str:
    return secrets.token_hex(16)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


async def refusal(response: aiohttp.ClientResponse) -> ReelyardError | Unreadable:
    """The error an answer tells, or that it tells none we know."""
    text, retry_after = await response.read(), _retry_after(response.headers)
    try:
        told = ErrorEnvelope.model_validate_json(text, extra="ignore").error
    except ValidationError:
        head = one_line(text[:200].decode("utf-8", "replace"))
        sentence = f"{response.url.origin()} answered {response.status} in words this client does not know: {head or 'nothing'}"
        return Unreadable(response.status, sentence, retry_after=retry_after)
    return ReelyardError(
        told.code, told.message, details={**told.details, "request_id": told.request_id}, retry_after=retry_after
    )


class Transport:
    """Sends calls with the key and tries again what may be tried again. Close it after use."""

    def __init__(self, server: str, key: str, *, retry: RetryPolicy, answer_timeout_s: float) -> None:
        self.server = base_url(server)
        self._key, self._retry, self._timeout_s = key, retry, answer_timeout_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def longest_wait_s(self) -> float:
        return self._retry.longest_wait_s

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, call: Call, reply: type[M]) -> M:
        """The parsed answer. Raises ReelyardError as the server told it, Unreachable or Unreadable."""
        return parse(reply, (await self.answer(call)).body)

    async def answer(self, call: Call) -> Answer:
        """The whole answer with its headers. Raises what `ask` raises."""

        async def once() -> Answer:
            async with self.open(call) as response:
                return Answer(response.headers, await response.read())

        return await self.repeat(once, is_repeatable=call.is_repeatable)

    async def repeat(self, once: Callable[[], Awaitable[T]], *, is_repeatable: bool) -> T:
        """The result of `once`, tried again after faults that pass. The last fault is let through."""

        def again(error: Exception) -> bool | float:
            return wait_before_repeat(error, is_repeatable=is_repeatable, policy=self._retry)

        policy = self._retry
        async for attempt in stamina.retry_context(on=again, attempts=policy.attempts, timeout=policy.within_s, wait_jitter=0.2):
            with attempt:
                return await once()
        raise AssertionError("stamina ends with a result or an exception")

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt: the answer with its body still to be read. Raises what `ask` raises."""
        headers = {**call.headers, "X-API-Key": self._key} if self._key else dict(call.headers)
        url = URL(self.server + call.path, encoded=True).with_query(call.query or None)
        body = call.make_body() if call.make_body else None
        async with self.send(call.row.method, url, headers, body) as response:
            if not 200 <= response.status < 300 and response.status not in call.also:
                raise await refusal(response)
            yield response

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: aiohttp.payload.Payload | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The bare request, without a key of its own; redirects are not followed, so that no key goes astray."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=self._timeout_s)
        try:
            session = self._session = self._session or aiohttp.ClientSession()
            async with session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            raise Unreachable(f"{self.server} cannot be trusted: {_untrusted(error)}", is_unsent=True) from error
        except _NEVER_SENT as error:
            raise Unreachable(f"cannot reach {self.server}: {_why(error)}. Is the server running?", is_unsent=True) from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Unreachable(f"{self.server} gave no whole answer: {_why(error)}") from error


def _untrusted(error: aiohttp.ClientConnectorCertificateError) -> str:
    """OpenSSL's own words, and what to do."""
    fault = error.certificate_error
    reason = fault.verify_message if isinstance(fault, ssl.SSLCertVerificationError) else one_line(str(fault))
    return f"{reason}. A certificate of an authority of your own: SSL_CERT_FILE=ca.pem"


def _why(error: BaseException) -> str:
    """The system's own words where there are any: "Connection refused"."""
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "https was asked for, and it speaks no TLS that is understood here"
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if not isinstance(inner, OSError) or not inner.errno:
        return one_line(str(error) or type(error).__name__).rstrip(".")
    return os.strerror(inner.errno) if inner.errno > 0 else str(inner.strerror)  # those of name look-up are negative


def parse(reply: type[M], text: bytes) -> M:
    """Fields that a newer server adds are passed over. Raises Unreadable when a known one does not fit."""
    try:
        return reply.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unreadable(200, f"the answer is no {reply.__name__}: {where or 'it'}: {first['msg']}") from error


def wait_before_repeat(error: Exception, *, is_repeatable: bool, policy: RetryPolicy) -> bool | float:
    """False: give up. True: again after the usual backoff. A number: again after so many seconds, as the server asked."""
    match error:
        case Unreachable(is_unsent=True):
            return True
        case Unreachable():
            return is_repeatable
        case ReelyardError(code=ErrorCode.IDEMPOTENCY_IN_PROGRESS):
            return is_repeatable
        case ReelyardError(code=code, retry_after=told) if code in _NOTHING_DONE:
            return True if told is None else told <= policy.longest_wait_s and told
        case ReelyardError() | Unreadable() if is_repeatable and error.status in _AGAIN:
            return True if error.retry_after is None else min(error.retry_after, policy.longest_wait_s)
        case _:
            return False
