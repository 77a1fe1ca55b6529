"""The one writer of the local queue: whatever became ready while it wrote goes to disk together, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from engine.core.messages import Changes
from engine.ports import Clock, LocalQueue, QueueFull

log = structlog.get_logger()

RETRY_S = 1.0


def merged(batch: Sequence[Changes]) -> Changes:
    """All changes of a batch as one. What is forgotten goes first: the same attempt is never granted and forgotten in
    one batch, but it may be forgotten and granted again."""
    if len(batch) == 1:
        return batch[0]
    identities = [changes.identity for changes in batch if changes.identity is not None]
    return Changes(
        identity=identities[-1] if identities else None,
        forgotten=tuple(key for changes in batch for key in changes.forgotten),
        granted=tuple(row for changes in batch for row in changes.granted),
        sessions=tuple(limit for changes in batch for limit in changes.sessions),
        started=tuple(placed for changes in batch for placed in changes.started),
        finals=tuple(final for changes in batch for final in changes.finals),
        speeds=next((changes.speeds for changes in reversed(batch) if changes.speeds), ()),
    )


class Writer:
    """`saved` is called with every batch once it is durable, `failed` each time the disk was full."""

    def __init__(
        self, queue: LocalQueue, clock: Clock, *, saved: Callable[[Sequence[Changes]], None], failed: Callable[[], None]
    ) -> None:
        self._queue, self._clock, self._saved, self._failed = queue, clock, saved, failed
        self._pending: list[Changes] = []
        self._is_needed = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def add(self, changes: Changes) -> None:
        self._pending.append(changes)
        self._is_idle.clear()
        self._is_needed.set()

    async def run(self) -> None:
        while True:
            await self._is_needed.wait()
            self._is_needed.clear()
            batch, self._pending = self._pending, []
            await self._write(merged(batch))
            self._saved(batch)
            if not self._pending:
                self._is_idle.set()

    async def flushed(self) -> None:
        """Return when nothing is left to write."""
        await self._is_idle.wait()

    async def _write(self, changes: Changes) -> None:
        while True:
            try:
                await self._queue.save(changes)
            except QueueFull as full:
                log.error("local_queue_full", problem=str(full))
                self._failed()
                await self._clock.sleep(RETRY_S)
            else:
                return
