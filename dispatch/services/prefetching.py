"""Tasks granted ahead of time to engines without a free slot, and ordered back when another engine is idle."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core.prefetched import Prefetched
from dispatch.core.ready_index import ReadyIndex
from dispatch.core.records import Task
from dispatch.core.rooms import kind_of
from dispatch.core.waiting import WaitingEngines
from dispatch.ports import Clock
from dispatch.services.polls import Plan, Poll, Polls
from protocol.capabilities import SlotKind
from protocol.leases import Order
from protocol.states import TaskState


class Prefetching:
    """`held` is told of the commits by the scheduler."""

    def __init__(self, index: ReadyIndex, waiting: WaitingEngines, polls: Polls, clock: Clock) -> None:
        self._index, self._waiting, self._polls, self._clock = index, waiting, polls, clock
        self.held = Prefetched()
        self._wanted_back: list[Task] = []

    def load(self, tasks: Iterable[Task]) -> None:
        """After a restart. Which of them wait is not known: an engine keeps what it has started."""
        for task in tasks:
            if task.state is TaskState.ASSIGNED and kind_of(task.kind, task.needs) is SlotKind.CPU:
                self.held.adopt(task, is_there=True)

    def serve(self, poll: Poll, plan: Plan, now: float) -> int:
        """Choose what may wait at an engine that has no slot free: engines that are idle come first."""
        engine_id, idle = poll.ask.engine_id, self._waiting.reach(SlotKind.CPU)
        task_ids = [pick.task_id for pick in self._index.choose_ahead(engine_id, idle, now)]
        if task_ids:
            poll.is_ahead = False
            self._waiting.put(engine_id, poll.room, poll.ask.arrived)
            self.held.chosen.update(task_ids)
            plan.setdefault(poll, []).extend(task_ids)
        return len(task_ids)

    def look(self, polls: Iterable[Poll], plan: Plan, now: float) -> None:
        """When all idle engines are served: what the busy ones of these may have, and what the idle ones want back."""
        moment = self._clock.monotonic()
        for poll in polls:
            sight = self._index.lanes.sight(poll.ask.engine_id)
            if poll.is_ahead:
                self.serve(poll, plan, now)
            elif sight is not None and poll.room.encoding > 0:
                self._wanted_back += self.held.ask_for(sight, poll.room.encoding, moment)
        for task in self.held.arrived():
            idle = self._waiting.best(self._index.lanes.lane(task), None)
            if idle is not None and self.held.ask(task.task_id, moment):
                self._wanted_back.append(task)

    def take_back(self) -> None:
        """Order it from where it waits, once nothing is being granted there: an order answers a poll."""
        wanted, self._wanted_back = self._wanted_back, []
        for task in wanted:
            if task.engine_id is not None:
                self._polls.order(task.engine_id, Order(order="give_back", task_id=task.task_id, token=task.token))
