"""Whose code the engine executes, noted step by step; and that what a death led to is in the queue before anything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.core.attempts import Key
from engine.core.messages import Changes, Saved, SavedAttempt
from engine.core.recovery import Death
from engine.ports import QueueFull
from engine.shell.crash import Executing, take_over
from protocol.leases import Fail
from tests.unit.engine_desk import ENGINE, ONE, TWO

KEY = Key("tsk_1", 1)


def named(memory: bytearray) -> str:
    return memory.partition(b"\n")[0].decode()


async def test_a_name_stands_there_during_each_step_and_not_while_the_work_waits() -> None:
    memory, gate = bytearray(64), asyncio.Event()
    executing, seen = Executing(memory), list[str]()

    async def work() -> int:
        seen.append(named(memory))
        await gate.wait()
        seen.append(named(memory))
        return 7

    async with asyncio.TaskGroup() as group:
        task = group.create_task(executing.stepwise(KEY, work()))
        await asyncio.sleep(0)
        seen.append(named(memory))
        gate.set()

    assert (task.result(), seen, named(memory)) == (7, ["tsk_1 1", "", "tsk_1 1"], "")


async def test_faults_and_cancellation_pass_through_as_if_it_were_awaited() -> None:
    executing, ended = Executing(), list[str]()

    async def work(fails: bool) -> None:
        try:
            if fails:
                raise ValueError("no")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("over")

    with pytest.raises(ValueError, match="no"):
        await executing.stepwise(KEY, work(True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await executing.stepwise(KEY, work(False))

    assert ended == ["over", "cancelled", "over"]


class Queue:
    """Refuses the first write."""

    def __init__(self, *rows: SavedAttempt) -> None:
        self.rows, self.saved, self.refusals = rows, list[Changes](), 1

    async def load(self) -> Saved:
        return Saved(ENGINE, self.rows)

    async def save(self, changes: Changes) -> None:
        if self.refusals:
            self.refusals -= 1
            raise QueueFull("no space is left")
        self.saved.append(changes)


class Clock:
    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


async def test_what_is_taken_over_is_written_before_it_is_given_out_however_full_the_disk_was() -> None:
    running = SavedAttempt(ONE, 1, is_started=True, slot="cpu-0")
    queue, clock = Queue(running, replace(running, grant=TWO, order=2)), Clock()

    held = await take_over(queue, clock, Death("Fatal Python error: Aborted\n", KEY), max_starts=3)

    assert [isinstance(row.final, Fail) for row in held.attempts] == [True, False]
    assert (queue.saved, clock.slept > 0) == ([Changes(granted=held.attempts)], True)
