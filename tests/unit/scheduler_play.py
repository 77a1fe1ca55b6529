"""Plays a story with the real scheduler over rows in memory, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispatch.services.polls import LeaseAnswer
from dispatch.services.scheduler import Scheduler
from tests.unit.scheduler_world import NOW, Rows, make_ask
from tests.virtual_loop import VirtualClock, run

EMPTY = LeaseAnswer()


@dataclass
class Farm:
    """The scheduler over rows in memory; `asking` starts a long poll that goes on by itself."""

    rows: Rows
    scheduler: Scheduler
    group: asyncio.TaskGroup
    backed_off: list[str] = field(default_factory=list)

    def asking(self, name: str, **changes: Any) -> asyncio.Task[LeaseAnswer]:  # fields of the ask
        ask = make_ask(name, **{"arrived": asyncio.get_running_loop().time(), **changes})
        return self.group.create_task(self.scheduler.ask(ask))


def play(rows: Rows, story: Callable[[Farm], Coroutine[Any, Any, None]]) -> None:
    """Load, run the scheduler on virtual time, play the story, stop."""

    async def main() -> None:
        async def on_backoff(job_ids: Sequence[str]) -> None:
            farm.backed_off.extend(job_ids)

        scheduler = Scheduler(rows, rows, VirtualClock(NOW), on_backoff)
        rows.listeners.append(scheduler)
        await scheduler.load()
        async with asyncio.TaskGroup() as group:
            farm = Farm(rows, scheduler, group)
            loop = group.create_task(scheduler.run())
            await settled()
            await story(farm)
            loop.cancel()

    run(main())


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


def given(answer: LeaseAnswer) -> list[str]:
    return [grant.task_id.removeprefix("tsk_") for grant in answer.grants]


async def elapsed(awaitable: Awaitable[LeaseAnswer]) -> tuple[list[str], float]:
    begun = asyncio.get_running_loop().time()
    answer = await awaitable
    return given(answer), round(asyncio.get_running_loop().time() - begun, 3)
