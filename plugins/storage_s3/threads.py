"""Blocking calls in a bounded pool of threads. A cancelled caller leaves only when its call has ended."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from protocol.storage import StorageError

T = TypeVar("T")


class Threads:
    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="s3")

    async def run(self, call: Callable[[], T]) -> T:
        return await self.finish(self.start(call))

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Whoever starts a call waits for it: by `finish`, or by `ended` when all is lost."""
        return asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def finish(self, running: Future[T]) -> T:
        if cancelled := await ended(running):
            raise cancelled
        return running.result()

    def close(self) -> None:
        self._pool.shutdown()


async def ended(running: Future[T]) -> asyncio.CancelledError | None:
    """Wait for the end, whatever it is. A cancellation that comes meanwhile is kept and given back."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    running.exception()  # seen, so that asyncio does not complain of it where the cancellation goes first
    return cancelled


async def each(items: Iterable[T], act: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """`act` on every item, so many side by side. After a StorageError nothing new is begun, and it is raised."""
    left, failures = iter(items), list[StorageError]()

    async def work() -> None:
        for item in left:
            try:
                await act(item)
            except StorageError as error:
                failures.append(error)
            if failures:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    if failures:
        raise failures[0]
