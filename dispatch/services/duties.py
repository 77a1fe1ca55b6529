"""The loop around every background duty: `run_once` again and again, each in its own task, owned by one TaskGroup."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from protocol.errors import ReelyardError

log = structlog.get_logger("duties")


@dataclass(slots=True)
class Duty:
    """Runs every `every_s` seconds, and at once when woken."""

    name: str
    run_once: Callable[[], Awaitable[None]]
    every_s: float
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """A storage or database that is away is waited for; any other error ends the process: fail loudly."""
        while True:
            self._woken.clear()
            try:
                await self.run_once()
            except ReelyardError as error:
                log.warning("duty_waits", duty=self.name, code=error.code, reason=error.message)
            try:
                async with asyncio.timeout(self.every_s):
                    await self._woken.wait()
            except TimeoutError:
                continue
