"""The scheduler: follows the commits, pairs ready tasks with asking engines, has them granted, answers the engines.

Woken by events, never by polling. What is chosen is decided in `dispatch.core`; whether it is granted, by the guards
in the database.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from dispatch.core.lanes import Lane
from dispatch.core.matching import sight_of
from dispatch.core.ready_index import ReadyIndex
from dispatch.core.records import Attempt, Engine, Job, Task
from dispatch.core.rooms import ONE, Room
from dispatch.core.waiting import WaitingEngines
from dispatch.core.why import FarmView, next_task, why
from dispatch.ports import Choice, Clock, Commit, Granting, Store, Transaction
from dispatch.services.polls import LeaseAnswer, LeaseAsk, Plan, Poll, Polls
from dispatch.services.prefetching import Prefetching
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import WhyReply
from protocol.leases import Grant, Order
from protocol.recipes import slot_kind
from protocol.states import HELD_TASK_STATES, LIVE_ATTEMPT_STATES, TERMINAL_JOB_STATES, TaskState

log = structlog.get_logger()

GRANTS_A_ROUND = 2000
"""A transaction of grants stays this small, so that nobody waits long behind it. The rest follows in the next round."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
LONGEST_TIMER_S = 60.0
"""Backoffs are moments of the wall clock, timers run on the monotonic one: the difference is looked at each minute."""

AWAY = frozenset({ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL, ErrorCode.NOT_LEADER})


class Scheduler:
    """A CommitListener. `on_backoff` is told the jobs of tasks whose backoff has passed, to derive their state again."""

    def __init__(
        self, store: Store, granting: Granting, clock: Clock, on_backoff: Callable[[Sequence[str]], Awaitable[None]]
    ) -> None:
        self._store, self._granting, self._clock, self._on_backoff = store, granting, clock, on_backoff
        self._wake = asyncio.Event()
        self._held: str | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._failures = 0
        self._timer: tuple[float, asyncio.TimerHandle] | None = None
        self._is_running = False
        self._begin()

    def _begin(self) -> None:
        """With an empty memory."""
        self.index = ReadyIndex()
        self._waiting = WaitingEngines(self.index.lanes)
        self._polls = Polls(self._waiting.drop)
        self._ahead = Prefetching(self.index, self._waiting, self._polls, self._clock)
        self._arrived: list[Poll] = []
        self._fresh: list[str] = []
        self._backed_off: dict[str, None] = {}
        self._warm: dict[str, str] = {}

    # --- what others tell the scheduler

    def forget(self) -> None:
        """Whoever asks is answered at once, now and until it is loaded anew."""
        self._polls.close()
        self._cancel_timers()
        self._begin()
        self._polls.close()

    async def load(self) -> None:
        """Rebuild what is known from the database. Called before commits are listened to or asks are taken."""

        def all_rows(tx: Transaction) -> Commit:
            tasks = (*tx.ready_tasks(), *tx.held_tasks())
            return Commit((), (), tasks, (), tuple(tx.engines()), tuple(tx.tenants()))

        rows = await self._store.read(all_rows)
        self._begin()
        self(rows)
        self._ahead.load(rows.tasks)
        log.info("index_loaded", tasks=len(self.index), lanes=len(self.index.lanes))

    def __call__(self, commit: Commit) -> None:
        """Follow one commit."""
        for tenant in commit.tenants:
            self.index.set_weight(tenant.name, tenant.weight)
            self.index.set_cap(tenant.name, tenant.max_running)
        for engine in commit.engines:
            self._see(engine)
        for engine_id in commit.gone_engines:
            self._lose(engine_id)
        for attempt in commit.attempts:
            self._follow_attempt(attempt)
        for task in commit.tasks:
            self._follow_task(task)
        for job in {job.job_id: job for job in commit.jobs}.values():
            if job.state in TERMINAL_JOB_STATES:
                self.index.drop_job(job.job_id)
                self._warm.pop(job.job_id, None)
        if self.index.has_reopened:
            self._wake.set()

    async def ask(self, ask: LeaseAsk) -> LeaseAnswer:
        """Wait until there are grants or orders for the engine, or `wait_s` is over."""
        poll = self._polls.open(ask)
        if not poll.is_granting and not poll.answer.done():
            self._arrived.append(poll)
            self._wake.set()
        return await self._polls.wait(poll)

    def order(self, engine_id: str, *orders: Order) -> None:
        """Tell an engine at once, or with its next ask."""
        self._polls.order(engine_id, *orders)

    def hold(self, reason: str) -> None:
        """Grant nothing until `resume`; orders still flow. `reason` is a clause for people, without a full stop."""
        if self._held is None:
            log.warning("grants_held", reason=reason)
        self._held = reason
        self._polls.stop_serving()

    def resume(self) -> None:
        if self._held is not None:
            log.info("grants_resumed")
        self._held = None
        self._reconsider_all()

    def standstill(self) -> str | None:
        """Why nothing is granted now, as a clause without a full stop."""
        return self._held or ("the database or the storage cannot be written" if self._pause is not None else None)

    def why(self, job: Job, tasks: Sequence[Task]) -> WhyReply:
        task = next_task(tasks)
        farm = FarmView(
            engines=tuple(sorted(self.index.lanes.sights, key=lambda sight: sight.engine_id)),
            rooms={poll.ask.engine_id: poll.room for poll in self._polls.all()},
            ahead=self.index.ahead(task.task_id) if task is not None else None,
            cap=self.index.running.count(job.tenant) if self.index.running.is_full(job.tenant) else None,
            held=self.standstill(),
        )
        return why(job, tasks, farm, now=self._clock.now())

    # --- the loop

    async def run(self) -> None:
        """Serve until cancelled. An error that is not about a database or storage being away ends it: fail loudly."""
        self._is_running = True
        self._reconsider_all()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.run_once()
        finally:
            self._is_running = False
            self._polls.close()
            self._cancel_timers()

    async def run_once(self) -> None:
        """One round: pass the backoffs that are due, choose for every ask that can be served, grant, answer."""
        if self._held is not None or self._pause is not None:
            self._arrived.clear()  # every open poll and so every task is looked at again when this ends
            self._fresh.clear()
            return
        try:
            await self._pass_backoffs()
            if self._held is None:
                await self._grant(self._plan(self._clock.now()))
                self._ahead.take_back()
        except ReelyardError as error:
            if error.code not in AWAY:
                raise
            self._take_a_pause(error)
        else:
            self._failures = 0
        self._set_timer()

    async def _pass_backoffs(self) -> None:
        for task in self.index.release(self._clock.now()):
            self._fresh.append(task.task_id)
            self._backed_off[task.job_id] = None
        if self._backed_off:
            job_ids = list(self._backed_off)
            await self._on_backoff(job_ids)
            for job_id in job_ids:
                self._backed_off.pop(job_id, None)

    def _plan(self, now: float) -> Plan:
        """Choose for the asks that came, then wake waiting engines for the tasks that came."""
        plan: Plan = {}
        arrived, self._arrived = self._arrived, []
        left = GRANTS_A_ROUND
        for at, poll in enumerate(arrived):
            if left <= 0:
                self._arrived.extend(arrived[at:])
                self._wake.set()
                break
            if self._may_serve(poll):
                left -= self._serve(poll, poll.room, plan, now)
            poll.is_tried = True
        fresh, self._fresh = [*self._fresh, *self.index.reopened()], []
        self._fresh.extend(self._wake_waiting(fresh, plan, now, left))
        if self._fresh or self._arrived:
            self._arrived.extend(poll for poll in arrived if poll.is_ahead)  # idle engines first: in the next round
        else:
            self._ahead.look(filter(self._may_serve, arrived), plan, now)
        for poll in arrived:
            if poll.is_tried and poll.is_late and poll not in plan and not poll.answer.done():
                self._polls.reply(poll)
        return plan

    def _wake_waiting(self, fresh: Sequence[str], plan: Plan, now: float, left: int) -> Sequence[str]:
        """Give each new task's best waiting engine its best task. Returns what is left for the next round."""
        without_engine = 0
        for at, task_id in enumerate(fresh):
            if not len(self._waiting):
                break
            while (lane := self.index.lane_of(task_id)) is not None and not lane.bit & without_engine:
                if left <= 0:
                    self._wake.set()
                    return fresh[at:]
                served = self._wake_one(lane, task_id, plan, now)
                if not served:
                    without_engine |= lane.bit
                left -= served
        return ()

    def _wake_one(self, lane: Lane, task_id: str, plan: Plan, now: float) -> int:
        """Give the best waiting engine its best task; where all are at work, one of them what it may have ahead of time."""
        warm = self._warm.get(self.index.job_of(task_id) or "")
        if (poll := self._poll_of(self._waiting.best(lane, warm, self.index.pace_of(task_id)))) is not None:
            return self._serve(poll, ONE[lane.kind], plan, now)
        if (poll := self._poll_of(self._waiting.best_ahead(lane))) is not None:
            return self._ahead.serve(poll, plan, now)
        return 0

    def _poll_of(self, engine_id: str | None) -> Poll | None:
        return self._polls.get(engine_id) if engine_id is not None else None

    def _serve(self, poll: Poll, room: Room, plan: Plan, now: float) -> int:
        """Choose at most `room` tasks for the poll; it waits on with the room that is left."""
        picks = self.index.choose(poll.ask.engine_id, room, now)
        poll.room = poll.room.less(Counter(pick.kind for pick in picks if pick.opens_slot))
        self._waiting.put(poll.ask.engine_id, poll.room, poll.ask.arrived, is_ahead=poll.is_ahead)
        if picks:
            plan.setdefault(poll, []).extend(pick.task_id for pick in picks)
        return len(picks)

    def _may_serve(self, poll: Poll) -> bool:
        if poll.answer.done() or poll.is_granting or poll.is_stalled:
            return False
        sight = self.index.lanes.sight(poll.ask.engine_id)
        return sight is not None and sight.takes_work and sight.boot_id == poll.ask.boot_id

    async def _grant(self, plan: Plan) -> None:
        """One transaction for the whole plan. When it fails, everything chosen waits again."""
        if not plan:
            return
        choices = [Choice(p.ask.engine_id, p.ask.boot_id, p.ask.request_id, tuple(ids)) for p, ids in plan.items()]
        for poll in plan:
            poll.is_granting = True
            self._waiting.drop(poll.ask.engine_id)
        granted: Sequence[tuple[Grant, ...]] = [()] * len(plan)
        is_done = False
        try:
            granted = await self._granting.grant(choices)
            is_done = True
        finally:
            for (poll, task_ids), grants in zip(plan.items(), granted, strict=True):
                self._conclude(poll, task_ids, grants, is_done=is_done)

    def _conclude(self, poll: Poll, task_ids: Iterable[str], grants: tuple[Grant, ...], *, is_done: bool) -> None:
        poll.is_granting = False
        given = {grant.task_id for grant in grants}
        self._ahead.held.chosen.difference_update(task_ids)
        for grant in grants:
            self.index.confirm(grant.task_id, grant.job_id)
        missed = [task_id for task_id in task_ids if task_id not in given]
        back = [task_id for task_id in missed if self.index.give_back(task_id)]
        if back:
            self._fresh.extend(back)
            self._wake.set()
        newest = self._polls.get(poll.ask.engine_id)
        if newest is not None and newest is not poll:
            newest.room = newest.room.less(Counter(slot_kind(grant.kind, grant.recipe) for grant in grants))
            newest.is_ahead = newest.is_ahead and not grants
        if grants or poll.is_late or newest is not poll:
            self._polls.reply(poll, grants)
            return
        poll.renew()
        # A guard refused all of it, and no commit told why: the same choice would be refused again.
        poll.is_stalled = is_done and len(back) == len(missed)
        self._reconsider(poll)

    # --- small things

    def _see(self, engine: Engine) -> None:
        lanes = self.index.lanes
        if lanes.set_engine(sight_of(engine, lanes.sight(engine.engine_id))):
            self._engine_changed(engine.engine_id)

    def _lose(self, engine_id: str) -> None:
        self._polls.forget(engine_id)
        self._waiting.drop(engine_id)
        self.index.lanes.drop_engine(engine_id)
        self._engine_changed(engine_id)

    def _engine_changed(self, engine_id: str) -> None:
        """Look again at its poll, and at those of engines to be avoided: it may have been the better one for a task."""
        for other in (engine_id, *self.index.lanes.avoided_engines):
            poll = self._polls.get(other)
            if poll is not None and not poll.is_granting:
                poll.is_stalled = False
                self._reconsider(poll)

    def _follow_task(self, task: Task) -> None:
        self._ahead.held.follow_task(task)
        if task.state in HELD_TASK_STATES:
            self.index.hold(task)
        elif task.state is not TaskState.PENDING:
            self.index.drop(task.task_id, task.job_id)
        else:
            if self.index.put(task):
                self._fresh.append(task.task_id)
            self._wake.set()

    def _follow_attempt(self, attempt: Attempt) -> None:
        if self._ahead.held.follow_attempt(attempt):
            self._wake.set()
        if attempt.state in LIVE_ATTEMPT_STATES:
            self._warm[attempt.job_id] = attempt.engine_id
        elif attempt.ended_at is not None:
            started_at = attempt.started_at if attempt.started_at is not None else attempt.ended_at
            self.index.settle(attempt.task_id, attempt.ended_at - started_at)

    def _reconsider(self, poll: Poll) -> None:
        self._waiting.drop(poll.ask.engine_id)
        self._arrived.append(poll)
        self._wake.set()

    def _reconsider_all(self) -> None:
        self._polls.is_served = self._is_running and self._held is None and self._pause is None
        if not self._polls.is_served:
            return
        for poll in self._polls.all():
            if not poll.is_granting:
                self._reconsider(poll)
        self._wake.set()

    def _take_a_pause(self, error: ReelyardError) -> None:
        span = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
        self._failures = min(self._failures + 1, 10)
        log.warning("grants_paused", code=error.code, message=error.message, pause_s=span)
        self._pause = asyncio.get_running_loop().call_later(span, self._end_pause)
        self._polls.stop_serving()

    def _end_pause(self) -> None:
        self._pause = None
        self._reconsider_all()

    def _set_timer(self) -> None:
        """One timer for the next backoff."""
        due = self.index.next_wake()
        if self._timer is not None:
            if self._timer[0] == due:
                return
            self._timer[1].cancel()
            self._timer = None
        if due is not None:
            delay = min(max(due - self._clock.now(), 0.001), LONGEST_TIMER_S)
            self._timer = (due, asyncio.get_running_loop().call_later(delay, self._ring))

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    def _cancel_timers(self) -> None:
        for handle in (self._pause, self._timer[1] if self._timer is not None else None):
            if handle is not None:
                handle.cancel()
        self._pause = self._timer = None
