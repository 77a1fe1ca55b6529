"""Calls put together: who goes alone, who goes with others, and who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from dispatch.services.together import Answer, Done, Refused, Together
from protocol.errors import ErrorCode, ReelyardError


class Work:
    """Carries out sets when it is told to; a negative number is refused, and a zero spoils its whole set."""

    def __init__(self, *, most: int = 100) -> None:
        self.sets: list[list[int]] = []
        self.at_end: Callable[[], object] | None = None
        self._go = asyncio.Semaphore(0)
        self.ask = Together(self._carry_out, most=most)

    async def _carry_out(self, numbers: Sequence[int]) -> Sequence[Answer[str]]:
        self.sets.append(list(numbers))
        await self._go.acquire()
        if self.at_end is not None:
            asyncio.get_running_loop().call_soon(self.at_end)
            self.at_end = None
        if 0 in numbers:
            raise ValueError("a zero")
        return [Refused(KeyError(number)) if number < 0 else Done(f"done {number}") for number in numbers]

    async def go_on(self, sets: int = 1) -> None:
        for _ in range(sets):
            self._go.release()
        await settled()


async def settled() -> None:
    """Until everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def asked(tasks: asyncio.TaskGroup, work: Work, *numbers: int) -> list[asyncio.Task[str]]:
    """Each by a task of its own; those that are refused end with their error, and not the group."""
    made = [tasks.create_task(_quiet(work, number)) for number in numbers]
    await settled()
    return made


async def _quiet(work: Work, number: int) -> str:
    try:
        return await work.ask(number)
    except (KeyError, ValueError, ReelyardError) as error:
        return repr(error)


async def test_the_first_goes_alone_and_those_behind_it_go_together() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, 2, 3)
        assert work.sets == [[1]]
        await work.go_on()
        assert work.sets == [[1], [2, 3]]
        calls += await asked(tasks, work, 4)
        await work.go_on(2)

    assert work.sets == [[1], [2, 3], [4]]
    assert [call.result() for call in calls] == ["done 1", "done 2", "done 3", "done 4"]


async def test_a_set_has_a_largest_size() -> None:
    work = Work(most=2)
    async with asyncio.TaskGroup() as tasks:
        await asked(tasks, work, 1, 2, 3, 4, 5, 6)
        await work.go_on(4)

    assert work.sets == [[1], [2, 3], [4, 5], [6]]


async def test_what_is_refused_is_refused_to_its_own_call_alone() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, -2, 3)
        await work.go_on(2)

    assert [call.result() for call in calls] == ["done 1", "KeyError(-2)", "done 3"]


async def test_a_set_that_fails_is_told_to_each_of_its_calls_and_the_next_goes_on() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, 0, 3)
        await work.go_on()
        calls += await asked(tasks, work, 4)
        await work.go_on(2)

    assert [call.result() for call in calls] == ["done 1", "ValueError('a zero')", "ValueError('a zero')", "done 4"]


@pytest.mark.parametrize("gone", [1, 2], ids=["while it waits", "while it waits as the last"])
async def test_a_call_that_goes_away_while_it_waits_holds_nobody_up(gone: int) -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, 2, 3)
        calls[gone].cancel()
        await work.go_on(2)

    assert [call.cancelled() for call in calls] == [number == gone for number in range(3)]
    assert [call.result() for call in calls if not call.cancelled()] == [f"done {n}" for n in (1, 2, 3) if n != gone + 1]


async def test_a_call_that_goes_away_as_its_turn_comes_passes_it_on() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, 2, 3)
        work.at_end = calls[1].cancel  # after it was told that it is its turn, before it could go on
        await work.go_on(2)

    assert work.sets == [[1], [3]]
    assert [call.cancelled() for call in calls] == [False, True, False]


async def test_a_call_that_goes_away_with_its_set_answers_the_others_and_lets_the_next_go_on() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        calls = await asked(tasks, work, 1, 2, 3)
        await work.go_on()
        calls += await asked(tasks, work, 4)
        calls[1].cancel()
        await settled()
        await work.go_on()

    assert work.sets == [[1], [2, 3], [4]]
    assert calls[1].cancelled()
    assert (calls[0].result(), calls[3].result()) == ("done 1", "done 4")
    assert calls[2].result() == repr(ReelyardError(ErrorCode.SHUTTING_DOWN))
