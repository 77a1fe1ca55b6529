"""Open-loop load: calls are sent when they are due, whether or not earlier ones have been answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.rows import percentile

Send = Callable[[int], Awaitable[bool]]
"""Sends call number n; whether it was answered as it should be."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds from the moment a call was due to its whole answer, so that a server that falls behind cannot hide it."""

    spans: list[float]
    failures: int

    def at(self, share: float) -> float:
        return percentile(self.spans, share)


async def offer(send: Send, *, rate: float, seconds: float) -> Measured:
    """`rate` calls a second for so long."""
    spans: list[float] = []
    failures = 0

    async def one(number: int, due: float) -> None:
        nonlocal failures
        failures += not await send(number)
        spans.append(1000 * (time.perf_counter() - due))

    began = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as calls:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            calls.create_task(one(number, due))
    return Measured(spans, failures)
