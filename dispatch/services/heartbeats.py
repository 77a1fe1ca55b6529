"""Signs of life: a heartbeat renews the engine's leases and carries the progress of what runs.

Those that come in while others are saved are saved next, all in one transaction over sets of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from dispatch.core import lifecycle, live, views
from dispatch.core.copying import replace
from dispatch.core.lease_table import LeaseTable
from dispatch.core.planning import STEPS
from dispatch.core.records import Attempt, Engine, Graph, Task
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.engines import ASKED_STATES, Pace, engine_event
from dispatch.services.leases import require_kept
from dispatch.services.registry import EngineRegistry
from dispatch.services.together import Answer, Done, Refused, Together
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType
from protocol.leases import Heartbeat, HeartbeatReply, Order, Renewal, RunningTask
from protocol.results import StepReport
from protocol.states import EngineState, StepState

TOLD_STATES = frozenset({EngineState.ONLINE, EngineState.BUSY, EngineState.DRAINING})
"""What an engine may say of itself; the rest is ours to judge."""


MOST_AT_ONCE = 256
"""Heartbeats in one transaction: enough for 10,000 engines, and a set is saved within a few tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One heartbeat, and when it came."""

    engine_id: str
    beat: Heartbeat
    at: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one: the engine as it is now, the jobs that moved, the streams that are to stop."""

    engine: Engine
    moved: tuple[Graph, ...]
    stops: tuple[Order, ...]


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
        self._save = Together(self._saved, most=MOST_AT_ONCE)

    async def heartbeat(self, engine_id: str, beat: Heartbeat) -> HeartbeatReply:
        """Raises ENGINE_NOT_FOUND, also for another run of the engine than the one registered.

        An attempt that is not among the renewed ones is lost to this engine.
        """
        recorded = await self._save(Heard(engine_id, beat, self._clock.now()))
        require_kept(self._table)
        renewed = self._table.renew(
            engine_id, [(running.task_id, running.token) for running in beat.running], monotonic=self._clock.monotonic()
        )
        for graph in recorded.moved:
            self._publish(progress_of(graph))
        return HeartbeatReply(
            renewed=tuple(Renewal(task_id=r.task_id, token=r.token, lease_s=self._pace.lease_s) for r in renewed),
            orders=(*_orders(recorded.engine, beat), *recorded.stops),
            heartbeat_s=self._pace.interval(self._registry.count_present()) if beat.running else self._pace.heartbeat_s,
        )

    async def _saved(self, heard: Sequence[Heard]) -> Sequence[Answer[Recorded]]:
        """What one of them cannot be saved for is told to it alone; what hinders all of them is told to all."""
        try:
            return await self._store.transact(lambda tx: _record(tx, heard))
        except ReelyardError:
            raise
        except Exception:
            if len(heard) == 1:
                raise
        return [await self._alone(one) for one in heard]

    async def _alone(self, heard: Heard) -> Answer[Recorded]:
        try:
            return (await self._store.transact(lambda tx: _record(tx, [heard])))[0]
        except Exception as error:  # noqa: BLE001  # belongs to the heartbeat, whose caller gets it raised
            return Refused(error)


def progress_of(graph: Graph) -> Progress:
    steps = [step.model_dump(mode="json") for step in views.step_views(graph)]
    data = {"job_id": graph.job.job_id, "progress_percent": round(100 * graph.job.progress, 2), "steps": steps}
    return Progress(graph.job.job_id, graph.job.tenant, orjson.dumps(data).decode())


def _orders(engine: Engine, beat: Heartbeat) -> tuple[Order, ...]:
    """An order that was lost on its way comes again. An engine that drains of its own accord does not mind the second."""
    is_wanted, is_draining = engine.wanted == "drain", beat.state is EngineState.DRAINING
    return () if is_wanted == is_draining else (Order(order="drain" if is_wanted else "undrain"),)


def _record(tx: Transaction, heard: Sequence[Heard]) -> list[Answer[Recorded]]:
    """One load and one save for all of them. Two of the same engine follow each other."""
    known = tx.engines_of(one.engine_id for one in heard)
    now = dict(known)
    beaten: list[Heard | None] = []
    for one in heard:
        if (engine := now.get(one.engine_id)) is None or one.beat.boot_id != engine.boot_id:
            beaten.append(None)
            continue
        beaten.append(one)
        now[one.engine_id] = after = _beaten(engine, one)
        if after.state is not engine.state:
            tx.append([engine_event(after, EventType.ENGINE_CHANGED, engine.state, one.at)])
    tx.put_engines((engine, now[engine_id]) for engine_id, engine in known.items() if now[engine_id] is not engine)
    progress = _save_progress(tx, [one for one in beaten if one is not None])
    return [
        Refused(_unknown(known, one)) if kept is None else Done(Recorded(now[one.engine_id], *progress.of(kept)))
        for one, kept in zip(heard, beaten, strict=True)
    ]


def _unknown(known: Mapping[str, Engine], heard: Heard) -> ReelyardError:
    if heard.engine_id not in known:
        return ReelyardError(ErrorCode.ENGINE_NOT_FOUND)
    # Late, of a run that is over; or the registration of an earlier run came after ours, and ours has to come again.
    return ReelyardError(ErrorCode.ENGINE_NOT_FOUND, "another run of this engine has registered since; register again")


def _beaten(engine: Engine, heard: Heard) -> Engine:
    beat = heard.beat
    capabilities = engine.capabilities_json if beat.capabilities is None else beat.capabilities.model_dump_json()
    told = beat.state if beat.state in TOLD_STATES else EngineState.ONLINE
    return replace(
        engine,
        state=ASKED_STATES.get(engine.wanted, told),
        load_json=beat.load.model_dump_json(),
        slots_json=beat.slots.model_dump_json(),
        capabilities_json=capabilities,
        last_heartbeat_at=heard.at,
        version=engine.version + 1,
    )


@dataclass(frozen=True, slots=True)
class Saved:
    """The jobs that were told of, before and after, and the attempts by which they were."""

    attempts: Mapping[int, Attempt]
    before: Mapping[str, Graph]
    after: Mapping[str, Graph]

    def of(self, heard: Heard) -> tuple[tuple[Graph, ...], tuple[Order, ...]]:
        """What moved by one heartbeat, and which streams are to stop: said with every beat until they have."""
        mine = self.held_by(heard)
        jobs = dict.fromkeys(attempt.job_id for attempt in mine)
        moved = tuple(self.after[job_id] for job_id in jobs if self.after[job_id] is not self.before[job_id])
        stops = (one for one in mine if live.is_to_stop(self.before[one.job_id], one))
        return moved, tuple(Order(order="stop", task_id=one.task_id, token=one.token) for one in stops)

    def held_by(self, heard: Heard) -> list[Attempt]:
        found = (self.attempts.get(told.token) for told in _telling(heard))
        return [attempt for attempt in found if attempt is not None and attempt.engine_id == heard.engine_id]


def _telling(heard: Heard) -> list[RunningTask]:
    return [running for running in heard.beat.running if running.steps]


def _save_progress(tx: Transaction, heard: Iterable[Heard]) -> Saved:
    telling = [one for one in heard if _telling(one)]
    if not telling:
        return Saved({}, {}, {})
    attempts = tx.attempts_of({told.token for one in telling for told in _telling(one)})
    before = tx.graphs({attempt.job_id for attempt in attempts.values()}, attempts=attempts.values())
    after = dict(before)
    saved = Saved(attempts, before, after)
    for one in telling:
        held = {attempt.token: attempt for attempt in saved.held_by(one)}
        for told in _telling(one):
            attempt = held.get(told.token)
            if attempt is not None and attempt.task_id == told.task_id and lifecycle.is_live(after[attempt.job_id], attempt):
                after[attempt.job_id] = _with_progress(after[attempt.job_id], told, one.at)
    tx.save(before.values(), (after[job_id] for job_id in before))
    return saved


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
