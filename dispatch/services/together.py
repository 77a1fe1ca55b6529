"""Calls that come while others are carried out are put together and carried out next, as one set.

Nobody waits for a set to fill: the first call of a quiet moment goes alone. There is no task behind it; the first of those
who wait carries out the set of all of them, then asks the next one to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from protocol.errors import ErrorCode, ReelyardError

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Done(Generic[B]):
    """The answer to one call of the set."""

    value: B


@dataclass(frozen=True, slots=True)
class Refused:
    """What one call of the set is told, and no other."""

    error: Exception


Answer = Done[B] | Refused


@dataclass(eq=False, slots=True)
class _Call(Generic[A, B]):
    """`turn` ends with the answer, or with None: then it is this call that carries out the next set."""

    asked: A
    turn: asyncio.Future[Answer[B] | None]


class Together(Generic[A, B]):
    """`carry_out` answers each call of a set, in its order; what it raises instead is told to all of them."""

    def __init__(self, carry_out: Callable[[Sequence[A]], Awaitable[Sequence[Answer[B]]]], *, most: int) -> None:
        self._carry_out, self._most = carry_out, most
        self._waiting: list[_Call[A, B]] = []
        self._is_busy = False

    async def __call__(self, asked: A) -> B:
        mine: _Call[A, B] = _Call(asked, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if not self._is_busy:
            self._is_busy = True
        elif (answer := await self._turn_of(mine)) is not None:
            return _opened(answer)
        return _opened(await self._lead())

    async def _turn_of(self, mine: _Call[A, B]) -> Answer[B] | None:
        try:
            return await mine.turn
        except asyncio.CancelledError:
            if not mine.turn.cancelled() and mine.turn.result() is None:  # asked to carry out a set, and gone
                self._waiting.remove(mine)
                self._hand_over()
            raise

    async def _lead(self) -> Answer[B]:
        """Carries out the set of all who wait, the caller first."""
        batch = self._waiting[: self._most]
        del self._waiting[: self._most]
        try:
            answers = await self._carry_out([call.asked for call in batch])
        except BaseException as error:
            told = error if isinstance(error, Exception) else ReelyardError(ErrorCode.SHUTTING_DOWN)
            _tell(batch[1:], [Refused(told)] * (len(batch) - 1))
            raise
        finally:
            self._hand_over()
        _tell(batch[1:], answers[1:])
        return answers[0]

    def _hand_over(self) -> None:
        while self._waiting and self._waiting[0].turn.done():  # gone while it waited
            del self._waiting[0]
        self._is_busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].turn.set_result(None)


def _tell(calls: Sequence[_Call[A, B]], answers: Sequence[Answer[B]]) -> None:
    for call, answer in zip(calls, answers, strict=True):
        if not call.turn.done():
            call.turn.set_result(answer)


def _opened(answer: Answer[B]) -> B:
    if isinstance(answer, Refused):
        raise answer.error
    return answer.value
