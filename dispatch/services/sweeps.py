"""Background duties over jobs: leases that ran out, backoffs that passed, jobs that were never started. Each `run_once`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import structlog

from dispatch.core import amending, endings, lifecycle
from dispatch.core.lease_table import Lease, LeaseTable
from dispatch.core.records import Graph
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.engines import EngineService
from protocol.errors import ReelyardError
from protocol.states import AttemptState

log = structlog.get_logger("sweeps")
MOST_AT_ONCE = 500
IDEMPOTENCY_S = 86_400.0
MOST_CLOCK_DRIFT_S, HOLD_S = 30.0, 600.0


class LeaseSweep:
    """Takes back what was not acked in time or not renewed. The guard in the transaction decides."""

    def __init__(self, store: Store, table: LeaseTable, engines: EngineService, clock: Clock, *, lease_s: float) -> None:
        self._store, self._table, self._engines, self._clock, self._lease_s = store, table, engines, clock, lease_s

    async def run_once(self) -> None:
        overdue = self._table.overdue(monotonic=self._clock.monotonic())
        if self._table.has_just_extended:
            log.error("leases_extended_once", reason="too many ran out at once; our own outage is likelier")
        if overdue:
            await self._expire(overdue)
        await self._engines.mark_lost(silent_s=self._lease_s)

    async def _expire(self, overdue: list[Lease]) -> None:
        now, tokens = self._clock.now(), [lease.token for lease in overdue]
        unacked = {lease.token for lease in overdue if not lease.is_acked}

        def expire(tx: Transaction) -> list[int]:
            attempts = tx.attempts_of(tokens)
            before = tx.graphs({a.job_id for a in attempts.values()}, attempts=attempts.values())
            after = dict(before)
            ended = []
            for attempt in attempts.values():
                came_in_time = attempt.token in unacked and attempt.state is not AttemptState.GRANTED
                if lifecycle.is_live(after[attempt.job_id], attempt) and not came_in_time:
                    after[attempt.job_id] = lifecycle.expire(after[attempt.job_id], attempt.token, now=now)
                    ended.append(attempt.token)
            tx.save(before.values(), (after[job_id] for job_id in before))
            return ended

        try:
            ended = await self._store.transact(expire)
        except ReelyardError:
            self._table.forgive(tokens)
            raise
        self._table.forgive(set(tokens).difference(ended))
        for token in ended:
            log.warning("lease_expired", token=token)


class WallGuard:
    """Whether wall and monotonic time agree: while they do not, timers on wall time hold still.

    A jump is believed once the new time has stood for HOLD_S: by then somebody meant it, or has mended it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._held_until = clock.monotonic()

    def agrees(self) -> bool:
        monotonic = self._clock.monotonic()
        offset = self._clock.now() - monotonic
        if abs(offset - self._offset) > MOST_CLOCK_DRIFT_S:
            log.warning("wall_clock_jumped", by_s=round(offset - self._offset), timers_held_s=HOLD_S)
            self._held_until = monotonic + HOLD_S
        self._offset = offset
        return monotonic >= self._held_until


class JobTimers:
    """Backoffs that passed (told by the scheduler), the spans `ttl_s`, wishes that draw near, and keys of yesterday.

    `hurry_s` before its `finish_by` a job that waits becomes critical.
    """

    def __init__(self, store: Store, clock: Clock, *, hurry_s: float) -> None:
        self._store, self._clock, self._wall, self._hurry_s = store, clock, WallGuard(clock), hurry_s

    async def on_backoff(self, job_ids: Iterable[str]) -> None:
        now, wanted = self._clock.now(), list(job_ids)
        await self._apply(wanted, lambda graph: endings.pass_backoff(graph, now=now))

    async def run_once(self) -> None:
        """A backoff may end early after a jump, that harms nobody; a job never expires by one."""
        may_expire, now = self._wall.agrees(), self._clock.now()
        furthest = endings.furthest_backoff(now)
        await self.on_backoff(await self._store.read(lambda tx: tx.jobs_past_backoff(now, furthest, MOST_AT_ONCE)))
        if not may_expire:
            return
        overdue = await self._store.search(lambda tx: tx.expired_jobs(now, MOST_AT_ONCE))
        await self._apply(overdue, lambda g: endings.expire_job(g, now=now) if endings.is_overdue(g, now=now) else g)
        late = await self._store.read(lambda tx: tx.late_jobs(now + self._hurry_s, MOST_AT_ONCE))
        await self._apply(late, lambda graph: amending.hurry(graph, now=now))

    async def forget_keys(self) -> None:
        """Also held still by a jump of the wall clock: a key forgotten too early makes a job twice."""
        if not self._wall.agrees():
            return
        before = self._clock.now() - IDEMPOTENCY_S
        await self._store.transact(lambda tx: tx.delete_idempotency_before(before))

    async def _apply(self, job_ids: list[str], change: Callable[[Graph], Graph]) -> None:
        """In small transactions, so that nobody waits long behind one."""
        for start in range(0, len(job_ids), MOST_AT_ONCE):
            some = job_ids[start : start + MOST_AT_ONCE]
            await self._store.transact(partial(_change, job_ids=some, change=change))


def _change(tx: Transaction, job_ids: list[str], change: Callable[[Graph], Graph]) -> None:
    before = tx.graphs(job_ids)
    tx.save(before.values(), [change(graph) for graph in before.values()])
