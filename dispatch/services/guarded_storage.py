"""A storage behind a breaker: while it is away, calls fail at once instead of each waiting for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog

from dispatch.core.breaker import Breaker, BreakerState
from dispatch.ports import Clock
from protocol.storage import (
    DirectAccess,
    DirectWrite,
    InvalidPath,
    Promoted,
    Space,
    Stat,
    StorageError,
    StorageProvider,
    StorageUnavailable,
    Written,
)

T = TypeVar("T")
log = structlog.get_logger("storage")


class Guard:
    """Counts StorageUnavailable alone: any other answer, a refusal too, is proof that the storage is there.

    The same path failing again counts once: one file that cannot be read is no storage that is away.
    """

    def __init__(self, breaker: Breaker, clock: Clock) -> None:
        self._breaker, self._clock = breaker, clock
        self._failed_path = ""

    @property
    def state(self) -> BreakerState:
        return self._breaker.state(self._clock.monotonic())

    def why_not(self) -> str | None:
        """Why calls fail at once, as a clause for people; None while they go."""
        now = self._clock.monotonic()
        if self._breaker.state(now) is BreakerState.CLOSED:
            return None
        return f"it was away a moment ago, and is asked again in {self._breaker.wait_s(now):.0f} s"

    def check(self, path: str) -> None:
        """Raises StorageUnavailable while nothing may go."""
        if not self._breaker.admits(self._clock.monotonic()):
            raise StorageUnavailable(path, self.why_not() or "it was away a moment ago")

    @contextmanager
    def watching(self, path: str) -> Iterator[None]:
        try:
            yield
        except StorageUnavailable:
            self._fail(path)
            raise
        except InvalidPath:
            raise  # judged before anybody was asked
        except StorageError:
            self.succeeded()
            raise
        self.succeeded()

    def succeeded(self) -> None:
        before, self._failed_path = self.state, ""
        self._breaker.succeeded()
        if before is not BreakerState.CLOSED:
            log.info("storage_breaker_closed")

    def _fail(self, path: str) -> None:
        before = self.state
        if path != self._failed_path or before is not BreakerState.CLOSED:
            self._breaker.failed(self._clock.monotonic())
        self._failed_path = path
        if before is BreakerState.CLOSED and self.state is BreakerState.OPEN:
            log.warning("storage_breaker_opened", path=path)

    async def run(self, path: str, call: Callable[[], Awaitable[T]]) -> T:
        self.check(path)
        with self.watching(path):
            return await call()


class GuardedStorage:
    """A StorageProvider around another. The probe always goes: it is one call at a time, and by it the breaker closes again."""

    def __init__(self, storage: StorageProvider, clock: Clock, breaker: Breaker | None = None) -> None:
        self._storage = storage
        self._guard = Guard(breaker if breaker is not None else Breaker(), clock)
        direct = storage.direct
        self.direct: DirectAccess | None = GuardedAccess(direct, self._guard) if direct is not None else None

    def why_not(self) -> str | None:
        """Why calls fail at once now, as a clause for people; None while they go."""
        return self._guard.why_not()

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        return await self._guard.run(path, lambda: self._storage.read(path, start, length))

    async def write(self, path: str, blocks: AsyncIterator[bytes], *, create_only: bool = True) -> Written:
        return await self._guard.run(path, lambda: self._storage.write(path, blocks, create_only=create_only))

    async def stat(self, path: str) -> Stat:
        return await self._guard.run(path, lambda: self._storage.stat(path))

    async def delete(self, path: str) -> None:
        await self._guard.run(path, lambda: self._storage.delete(path))

    async def list(self, prefix: str) -> Sequence[Stat]:
        return await self._guard.run(prefix, lambda: self._storage.list(prefix))

    def local_path(self, path: str) -> str | None:
        return self._storage.local_path(path)

    async def space(self) -> Space:
        return await self._guard.run("space", self._storage.space)

    async def probe(self) -> None:
        with self._guard.watching("probe"):
            await self._storage.probe()

    async def sweep_temporary(self, *, older_than_s: float, now: float) -> int:
        return await self._guard.run("temporary", lambda: self._storage.sweep_temporary(older_than_s=older_than_s, now=now))

    async def link(self, staged: str, target: str, *, size: int, sha256: str) -> None:
        await self._guard.run(target, lambda: self._storage.link(staged, target, size=size, sha256=sha256))

    async def append(self, path: str, offset: int, blocks: AsyncIterator[bytes]) -> int:
        return await self._guard.run(path, lambda: self._storage.append(path, offset, blocks))

    async def concatenate(self, sources: Sequence[str], target: str) -> int:
        return await self._guard.run(target, lambda: self._storage.concatenate(sources, target))

    async def promote(self, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> None:
        await self._guard.run(target, lambda: self._storage.promote(target, work, files, extra))


class GuardedAccess:
    """Links past dispatch. Signing one needs no call, and is not held back."""

    def __init__(self, direct: DirectAccess, guard: Guard) -> None:
        self._direct, self._guard = direct, guard

    def read_link(self, path: str, *, seconds: int, filename: str | None = None) -> str:
        return self._direct.read_link(path, seconds=seconds, filename=filename)

    async def start_write(self, path: str, *, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        return await self._guard.run(path, lambda: self._direct.start_write(path, size=size, sha256=sha256, seconds=seconds))

    async def finish_write(self, path: str, upload: str, *, size: int) -> None:
        await self._guard.run(path, lambda: self._direct.finish_write(path, upload, size=size))

    async def abort_write(self, path: str, upload: str) -> None:
        await self._guard.run(path, lambda: self._direct.abort_write(path, upload))
