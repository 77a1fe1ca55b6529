"""Blocking calls in threads. A cancelled caller leaves only when its thread has ended, so nobody cleans up under it."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")

BATCH = 1 << 19
"""Bytes handed to a thread at once: a hop costs about 0.1 ms, so smaller ones would be felt. Two are held of each write, and
there may be a hundred writes at once."""


def start(call: Callable[[], T]) -> Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, call)


async def _ended(running: Future[T]) -> asyncio.CancelledError | None:
    """Wait for the end, whatever it is. A cancellation that comes meanwhile is kept and given back."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    running.exception()  # seen, so that asyncio does not complain of it where the cancellation goes first
    return cancelled


async def finish(running: Future[T]) -> T:
    """What the thread returned or raised; a cancellation is raised only when the thread is done."""
    if cancelled := await _ended(running):
        raise cancelled
    return running.result()


async def in_thread(call: Callable[[], T]) -> T:
    return await finish(start(call))


async def pump(blocks: AsyncIterator[bytes], *takers: Callable[[list[bytes]], None]) -> None:
    """Hand `blocks` in batches to every taker, each in a thread, while the next batch arrives. Two are held at most."""
    running: list[Future[None]] = []
    batch: list[bytes] = []
    size = 0
    try:
        async for block in blocks:
            batch.append(block)
            size += len(block)
            if size >= BATCH:
                await _finish_all(running)
                running = [start(partial(take, batch)) for take in takers]
                batch, size = [], 0
        await _finish_all(running)
        running = [start(partial(take, batch)) for take in takers]
        await _finish_all(running)
    except BaseException:
        for taking in running:
            await _ended(taking)
        raise


async def _finish_all(running: list[Future[None]]) -> None:
    for taking in running:
        await finish(taking)
