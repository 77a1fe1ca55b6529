"""The one that asks foreign servers for inputs: redirects by hand, ranges resumed, everything within one policy."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.core.fetching import (
    REDIRECTS,
    InputFailed,
    Span,
    State,
    Step,
    after_cut,
    checked,
    read_answer,
    redirected,
    request_headers,
    wanted_length,
)
from engine.ports import Clock
from engine.shell.fetch_guard import Resolve, guarded_session, system_addresses
from engine.shell.scratch import watching_for_space
from engine.shell.tries import Again, Tries
from protocol.addresses import FetchPolicy, Target
from protocol.errors import ErrorCode

BLOCK = 1 << 20
PATIENCE_S = 60.0
"""Seconds without a sign of life before a fetch is given up; dispatch has it tried again later, perhaps elsewhere."""

WINDOW_S = 30.0
"""Over which the least rate is held, and how long a server may be silent."""

ALIVE_BYTES = 64 << 10
"""So many bytes further than ever before are a sign of life; starting over is none."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=WINDOW_S)


OnShare = Callable[[float], None]
"""Told what share of the input is there, 0 to 1. It may fall when something starts over."""


def unheard(_: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` bytes of one file, where less is right than the whole input may have; and who is told of its share."""

    most: int | None = None
    on_share: OnShare = unheard


NO_LIMIT = Limit()


@dataclass(frozen=True, slots=True)
class Fetched:
    """`url` is where the file was found in the end: what it refers to is relative to that."""

    url: str
    size: int


@dataclass(frozen=True, slots=True)
class Fetcher:
    clock: Clock
    chance: Callable[[], float]
    resolve: Resolve = system_addresses
    patience_s: float = PATIENCE_S

    @asynccontextmanager
    async def within(self, policy: FetchPolicy) -> AsyncIterator[Fetching]:
        """Everything fetched inside shares the policy's limits. Raises InputFailed when its time is over."""
        limit = asyncio.timeout(policy.seconds)
        try:
            async with limit, guarded_session(policy, self.resolve) as session:
                yield Fetching(self, policy, session)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"the input did not arrive within {policy.seconds:g} s"
            raise InputFailed(ErrorCode.INPUT_TOO_SLOW, message) from None


class Fetching:
    """The requests for one input. Safe to use from several tasks at once."""

    def __init__(self, fetcher: Fetcher, policy: FetchPolicy, session: aiohttp.ClientSession) -> None:
        self.policy = policy
        self._fetcher, self._session = fetcher, session
        self._bytes = 0

    async def get(self, url: str, target: Path, span: Span | None = None, limit: Limit = NO_LIMIT) -> Fetched:
        """The file at `url`, or the span of it, in `target`. Raises InputFailed, TransferFailed or ScratchFull."""
        first = checked(url, self.policy)
        tries = Tries(self._fetcher.clock, self._fetcher.chance, self._fetcher.patience_s)
        with watching_for_space(), target.open("wb") as file:
            download = _Download(self, _Wanted(first, span, limit), file, tries)
            while True:
                try:
                    return await download.once()
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    download.cut()
                    await tries.pause(f"input from {first.host}", _told(reason))

    @asynccontextmanager
    async def ask(self, target: Target, headers: dict[str, str]) -> AsyncIterator[tuple[Target, aiohttp.ClientResponse]]:
        """The answer after all redirects, and who gave it."""
        for _ in range(self.policy.max_redirects + 1):
            url = URL(target.url, encoded=True)
            async with self._session.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    yield target, response
                    return
                response.close()
                target = redirected(target, response.headers.get("Location"), self.policy)
        message = f"{target.host}: more than {self.policy.max_redirects} redirects"
        raise InputFailed(ErrorCode.INPUT_URL_REFUSED, message)

    def count(self, size: int) -> None:
        """So many bytes more (or fewer) are kept of this input."""
        self._bytes += size
        self.check_room(0)

    def check_room(self, size: int) -> None:
        if self._bytes + size > self.policy.max_bytes:
            raise InputFailed(ErrorCode.INPUT_TOO_LARGE, f"the input is larger than the {self.policy.max_bytes} bytes allowed")

    def now(self) -> float:
        return self._fetcher.clock.now()


@dataclass(frozen=True, slots=True)
class _Wanted:
    target: Target
    span: Span | None
    limit: Limit


class _Download:
    """One file on its way, over as many tries as it takes."""

    def __init__(self, fetching: Fetching, wanted: _Wanted, file: BinaryIO, tries: Tries) -> None:
        self._fetching, self._wanted, self._file, self._tries = fetching, wanted, file, tries
        self._state = State()
        self._window_from, self._window_bytes = fetching.now(), 0
        self._furthest = 0

    async def once(self) -> Fetched:
        """Raises Again or aiohttp's errors where the next try may do better."""
        first, span = self._wanted.target, self._wanted.span
        try:
            async with self._fetching.ask(first, request_headers(self._state, span)) as (target, response):
                reading = read_answer(response.status, response.headers, target.host, self._state, span)
                self._state = reading.state
                if reading.step is Step.RETRY:
                    raise Again(reading.reason)
                if reading.step is Step.START_OVER:
                    self._keep(0)
                await self._take(response)
                return Fetched(target.url, self._file.tell())
        except aiohttp.ClientConnectorCertificateError:
            raise InputFailed(ErrorCode.INPUT_URL_REFUSED, f"the certificate of {first.host} is not trusted") from None

    async def _take(self, response: aiohttp.ClientResponse) -> None:
        wanted = wanted_length(self._state, self._wanted.span)
        if wanted is not None:
            self._check_size(wanted)
            self._fetching.check_room(wanted - self._file.tell())
        async for block in response.content.iter_chunked(BLOCK):
            if wanted is not None and self._file.tell() + len(block) > wanted:
                raise Again(f"more than the {wanted} bytes announced")
            self._check_size(self._file.tell() + len(block))
            self._fetching.count(len(block))
            await asyncio.to_thread(self._file.write, block)
            self._watch_rate(len(block))
            if wanted:
                self._wanted.limit.on_share(self._file.tell() / wanted)
        if wanted is not None and self._file.tell() < wanted:
            raise Again(f"ended after {self._file.tell()} of {wanted} bytes")

    def _check_size(self, size: int) -> None:
        most = self._wanted.limit.most
        if most is not None and size > most:
            message = f"{self._wanted.target.host} sends more than the {most} bytes such a file may have"
            raise InputFailed(ErrorCode.INPUT_TOO_LARGE, message)

    def _watch_rate(self, size: int) -> None:
        if self._file.tell() >= self._furthest + ALIVE_BYTES:
            self._furthest = self._file.tell()
            self._tries.moved()
        self._window_bytes += size
        passed = self._fetching.now() - self._window_from
        if passed >= WINDOW_S:
            is_slow = self._window_bytes < self._fetching.policy.least_rate * passed
            self._window_from, self._window_bytes = self._fetching.now(), 0
            if is_slow:
                raise Again("slower than the least rate")

    def cut(self) -> None:
        """The try has ended early: keep what the next one can go on from."""
        self._state = after_cut(self._state, self._file.tell())
        self._keep(self._state.kept)

    def _keep(self, size: int) -> None:
        self._fetching.count(size - self._file.tell())
        self._file.seek(size)
        self._file.truncate()


def _told(reason: Exception) -> str:
    """Texts of aiohttp may hold the URL, and with it a secret, or an address of the inner network: only our own are told."""
    if isinstance(reason, Again):
        return str(reason)
    name = type(reason).__name__
    if not isinstance(reason, aiohttp.ClientConnectorError) or isinstance(reason, aiohttp.ClientSSLError):
        return name
    cause = errno.errorcode.get(reason.os_error.errno or 0)
    return f"{name}: {cause}" if cause else name
