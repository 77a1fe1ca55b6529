"""Signs of life: a heartbeat renews the engine's leases and carries the progress of what runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from dispatch.core import lifecycle, live, views
from dispatch.core.lease_table import LeaseTable
from dispatch.core.planning import STEPS
from dispatch.core.records import Engine, Graph, Task
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.engines import ASKED_STATES, Pace, engine_event, present
from dispatch.services.leases import require_kept
from dispatch.services.registry import EngineRegistry
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType
from protocol.leases import Heartbeat, HeartbeatReply, Order, Renewal, RunningTask
from protocol.results import StepReport
from protocol.states import EngineState, StepState

TOLD_STATES = frozenset({EngineState.ONLINE, EngineState.BUSY, EngineState.DRAINING})
"""What an engine may say of itself; the rest is ours to judge."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one job is, for those who watch it live."""

    job_id: str
    tenant: str
    data_json: str


class HeartbeatService:
    """`publish` is told of every progress, after the commit that stored it."""

    def __init__(
        self,
        store: Store,
        table: LeaseTable,
        registry: EngineRegistry,
        clock: Clock,
        pace: Pace,
        publish: Callable[[Progress], None],
    ) -> None:
        self._store, self._table, self._registry = store, table, registry
        self._clock, self._pace, self._publish = clock, pace, publish

    async def heartbeat(self, engine_id: str, beat: Heartbeat) -> HeartbeatReply:
        """Raises ENGINE_NOT_FOUND, also for another run of the engine than the one registered.

        An attempt that is not among the renewed ones is lost to this engine.
        """
        now = self._clock.now()
        engine, moved, stops = await self._store.transact(lambda tx: _record(tx, engine_id, beat, now))
        require_kept(self._table)
        renewed = self._table.renew(
            engine_id, [(running.task_id, running.token) for running in beat.running], monotonic=self._clock.monotonic()
        )
        for graph in moved:
            self._publish(progress_of(graph))
        return HeartbeatReply(
            renewed=tuple(Renewal(task_id=r.task_id, token=r.token, lease_s=self._pace.lease_s) for r in renewed),
            orders=(*_orders(engine, beat), *stops),
            heartbeat_s=self._pace.interval(self._registry.count_present()) if beat.running else self._pace.heartbeat_s,
        )


def progress_of(graph: Graph) -> Progress:
    steps = [step.model_dump(mode="json") for step in views.step_views(graph)]
    data = {"job_id": graph.job.job_id, "progress_percent": round(100 * graph.job.progress, 2), "steps": steps}
    return Progress(graph.job.job_id, graph.job.tenant, orjson.dumps(data).decode())


def _orders(engine: Engine, beat: Heartbeat) -> tuple[Order, ...]:
    """An order that was lost on its way comes again. An engine that drains of its own accord does not mind the second."""
    is_wanted, is_draining = engine.wanted == "drain", beat.state is EngineState.DRAINING
    return () if is_wanted == is_draining else (Order(order="drain" if is_wanted else "undrain"),)


def _record(tx: Transaction, engine_id: str, beat: Heartbeat, now: float) -> tuple[Engine, list[Graph], tuple[Order, ...]]:
    engine = present(tx, engine_id)
    if beat.boot_id != engine.boot_id:
        # Late, of a run that is over; or the registration of an earlier run came after ours, and ours has to come again.
        raise ReelyardError(ErrorCode.ENGINE_NOT_FOUND, "another run of this engine has registered since; register again")
    capabilities = engine.capabilities_json if beat.capabilities is None else beat.capabilities.model_dump_json()
    told = beat.state if beat.state in TOLD_STATES else EngineState.ONLINE
    beaten = replace(
        engine,
        state=ASKED_STATES.get(engine.wanted, told),
        load_json=beat.load.model_dump_json(),
        slots_json=beat.slots.model_dump_json(),
        capabilities_json=capabilities,
        last_heartbeat_at=now,
        version=engine.version + 1,
    )
    tx.put_engine(beaten)
    if beaten.state is not engine.state:
        tx.append([engine_event(beaten, EventType.ENGINE_CHANGED, engine.state, now)])
    return beaten, *_save_progress(tx, engine_id, [r for r in beat.running if r.steps], now)


def _save_progress(
    tx: Transaction, engine_id: str, running: list[RunningTask], now: float
) -> tuple[list[Graph], tuple[Order, ...]]:
    """What moved, and which streams are to stop: said with every beat until they have."""
    if not running:
        return [], ()
    attempts = {t: a for t, a in tx.attempts_of(r.token for r in running).items() if a.engine_id == engine_id}
    before = tx.graphs({a.job_id for a in attempts.values()}, attempts=attempts.values())
    after = dict(before)
    for told in running:
        attempt = attempts.get(told.token)
        if attempt is not None and attempt.task_id == told.task_id and lifecycle.is_live(after[attempt.job_id], attempt):
            after[attempt.job_id] = _with_progress(after[attempt.job_id], told, now)
    tx.save(before.values(), (after[job_id] for job_id in before))
    moved = [after[job_id] for job_id in before if after[job_id] is not before[job_id]]
    stops = (one for one in attempts.values() if live.is_to_stop(before[one.job_id], one))
    return moved, tuple(Order(order="stop", task_id=one.task_id, token=one.token) for one in stops)


def _with_progress(graph: Graph, told: RunningTask, now: float) -> Graph:
    task = graph.task(told.task_id)
    steps_json = merged_steps(task, told.steps)
    if steps_json == task.steps_json:
        return graph
    graph = lifecycle.with_task(graph, replace(task, steps_json=steps_json), now=now)
    progress, eta = views.job_progress(graph.tasks)
    job = replace(graph.job, progress=max(graph.job.progress, min(progress, 1.0)), eta_seconds=eta, updated_at=now)
    return replace(graph, job=job)


def merged_steps(task: Task, told: tuple[StepReport, ...]) -> str:
    """The task's steps with what the engine says of them; a step dispatch skipped stays skipped."""
    by_name = {step.name: step for step in told}
    planned = STEPS.validate_json(task.steps_json)
    merged = tuple(s if s.state is StepState.SKIPPED else by_name.get(s.name, s) for s in planned)
    return STEPS.dump_json(merged).decode()
