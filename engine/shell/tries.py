"""Trying again: the pauses between tries of one transfer, and when to stop trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import structlog

from engine.core.backoff import full_jitter
from engine.ports import Clock

log = structlog.get_logger()


class TransferFailed(Exception):
    """The other side does not give or take the bytes, and trying again does not help."""


class Again(Exception):
    """This try failed; the next may not."""


def worded(reason: Exception) -> str:
    """What may stand in a log: some texts of aiohttp hold the link, which is a key."""
    return type(reason).__name__ if isinstance(reason, aiohttp.ClientResponseError | aiohttp.InvalidURL) else str(reason)


@dataclass(slots=True)
class Tries:
    """`patience_s` is how long it may go on without a sign of life."""

    clock: Clock
    chance: Callable[[], float]
    patience_s: float
    failures: int = 0
    alive_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.moved()

    def moved(self) -> None:
        self.alive_at, self.failures = self.clock.now(), 0

    async def pause(self, what: str, reason: str) -> None:
        """Wait for the next try. Raises TransferFailed when there shall be none."""
        self.failures += 1
        if self.clock.now() - self.alive_at > self.patience_s:
            raise TransferFailed(f"{what}: {reason}")
        log.warning("transfer_interrupted", what=what, problem=reason)
        await self.clock.sleep(full_jitter(self.failures, self.chance()))
