"""The open long polls of engines, one each, and the orders that wait for one. Decides nothing about tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from dispatch.core.rooms import Room
from protocol.leases import Grant, Order

_DRAIN, _UNDRAIN = Order(order="drain"), Order(order="undrain")
_UNDOES = {_DRAIN: _UNDRAIN, _UNDRAIN: _DRAIN}


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """One call of an engine. `slots`, `light_slots` and `gpu_slots` cap its grants; `arrived` orders asks, on the
    monotonic clock. `prefetch`: all processor slots are taken, and one task more may come to wait there.
    """

    engine_id: str
    boot_id: str
    request_id: str
    slots: int
    light_slots: int
    wait_s: float
    arrived: float
    gpu_slots: int = 0
    prefetch: bool = False

    @property
    def room(self) -> Room:
        return Room(self.slots, self.light_slots, self.gpu_slots)


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    grants: tuple[Grant, ...] = ()
    orders: tuple[Order, ...] = ()


class Poll:
    """An ask that is not answered yet. `room` is what it still has free.

    `is_tried`: a round has looked for work for it. `is_granting`: tasks are being granted to it, so that nothing else
    may answer it. `is_late`: its time is over. `is_stalled`: a guard refused all of its tasks though no commit had
    changed them; it gets none until something about its engine changes, or the engine asks anew. `is_ahead`: it still
    takes a task that waits.
    """

    __slots__ = ("answer", "ask", "is_ahead", "is_granting", "is_late", "is_stalled", "is_tried", "room", "timer")

    def __init__(self, ask: LeaseAsk, answer: asyncio.Future[LeaseAnswer]) -> None:
        self.ask, self.answer = ask, answer
        self.renew()
        self.is_tried = self.is_granting = self.is_late = self.is_stalled = False
        self.timer: asyncio.TimerHandle | None = None

    def renew(self) -> None:
        """Nothing was granted: it is as it was asked."""
        self.room = self.ask.room
        self.is_ahead = self.ask.prefetch and self.ask.slots == 0


Plan = dict[Poll, list[str]]
"""What is to be granted in one transaction."""


class Polls:
    """`closed` is told the engine id whenever its poll is no longer open for tasks."""

    def __init__(self, closed: Callable[[str], None]) -> None:
        self._closed = closed
        self._polls: dict[str, Poll] = {}
        self._orders: dict[str, dict[Order, None]] = {}
        self.is_served = False
        """Whether rounds are run, so that a poll whose time is over before its first round may wait for that round."""
        self._is_closed = False

    def get(self, engine_id: str) -> Poll | None:
        return self._polls.get(engine_id)

    def all(self) -> list[Poll]:
        return list(self._polls.values())

    def open(self, ask: LeaseAsk) -> Poll:
        """Take an ask in, in place of the engine's older one. The same request again, while it is granted, joins it."""
        older = self._polls.get(ask.engine_id)
        if older is not None and older.is_granting and _is_same_request(older.ask, ask):
            return older
        if older is not None and not older.is_granting:
            self._finish(older, LeaseAnswer())
        loop = asyncio.get_running_loop()
        poll = self._polls[ask.engine_id] = Poll(ask, loop.create_future())
        if self._orders.get(ask.engine_id) or self._is_closed:
            self.reply(poll)
        else:
            poll.timer = loop.call_later(ask.wait_s, self._expire, poll)
        return poll

    async def wait(self, poll: Poll) -> LeaseAnswer:
        """The answer. A caller that goes away closes its poll, unless tasks are being granted to it."""
        try:
            return await asyncio.shield(poll.answer)
        finally:
            if not poll.answer.done() and not poll.is_granting:
                self._finish(poll, LeaseAnswer())

    def reply(self, poll: Poll, grants: tuple[Grant, ...] = ()) -> None:
        """Answer with these grants and, on the engine's newest poll, with the orders kept for it."""
        is_newest = self._polls.get(poll.ask.engine_id) is poll
        orders = tuple(self._orders.pop(poll.ask.engine_id, ())) if is_newest else ()
        self._finish(poll, LeaseAnswer(grants, orders))

    def order(self, engine_id: str, *orders: Order) -> None:
        """Send orders at once on the open poll; without one they are kept for the next. The same order is kept once."""
        kept = self._orders.setdefault(engine_id, {})
        for order in orders:
            if order in _UNDOES:
                kept.pop(_UNDOES[order], None)
            kept[order] = None
        poll = self._polls.get(engine_id)
        if poll is not None and not poll.is_granting:
            self.reply(poll)

    def forget(self, engine_id: str) -> None:
        """The engine is removed: its poll ends, its orders are void."""
        self._orders.pop(engine_id, None)
        poll = self._polls.get(engine_id)
        if poll is not None and not poll.is_granting:
            self._finish(poll, LeaseAnswer())

    def stop_serving(self) -> None:
        """No rounds for now: polls whose time is over wait no longer for one."""
        self.is_served = False
        for poll in self.all():
            if poll.is_late and not poll.is_granting:
                self.reply(poll)

    def close(self) -> None:
        """Answer every poll, empty, now and from now on: the server stops."""
        self.is_served, self._is_closed = False, True
        for poll in self.all():
            self.reply(poll)

    def _expire(self, poll: Poll) -> None:
        poll.is_late = True
        if not poll.is_granting and (poll.is_tried or not self.is_served):
            self.reply(poll)

    def _finish(self, poll: Poll, answer: LeaseAnswer) -> None:
        if poll.timer is not None:
            poll.timer.cancel()
        if self._polls.get(poll.ask.engine_id) is poll:
            del self._polls[poll.ask.engine_id]
            self._closed(poll.ask.engine_id)
        if not poll.answer.done():
            poll.answer.set_result(answer)


def _is_same_request(one: LeaseAsk, other: LeaseAsk) -> bool:
    return (one.boot_id, one.request_id) == (other.boot_id, other.request_id)
