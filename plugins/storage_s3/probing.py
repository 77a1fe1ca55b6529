"""Whether the storage works, told soon: in a thread of its own, and by a deadline that no other call has."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable

from plugins.storage_s3.threads import Threads
from protocol.storage import StorageUnavailable

DEADLINE_S = 10.0
"""A store that works answers within it; a call of its own may wait for minutes, and others with it."""


class Probing:
    """`probe` is a blocking call. One that does not come back is left alone and looked at again; no second one is begun."""

    def __init__(self, probe: Callable[[], None], *, deadline_s: float = DEADLINE_S) -> None:
        self._probe, self._deadline_s = probe, deadline_s
        self._threads = Threads(1)
        self._running: Future[None] | None = None

    async def run(self) -> None:
        """Raises what the probe raises, and StorageUnavailable at the deadline."""
        if self._running is None:
            self._running = self._threads.start(self._probe)
            self._running.add_done_callback(_seen)
        done, _ = await asyncio.wait([self._running], timeout=self._deadline_s)
        if not done:
            raise StorageUnavailable(".", f"the storage did not answer within {self._deadline_s:g} s")
        ended, self._running = self._running, None
        ended.result()

    def close(self) -> None:
        """Waits for a probe that is under way."""
        self._threads.close()


def _seen(ended: Future[None]) -> None:
    """Else asyncio complains of a failure that nobody asked for any more."""
    if not ended.cancelled():
        ended.exception()
