"""Tasks, engines and a small farm for the scheduler's tests: rows in memory with the guards that a database has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from dispatch.core.matching import EngineSight, sight_of
from dispatch.core.records import NO_SOURCE, Attempt, Engine, Job, Task, Tenant
from dispatch.ports import Choice, Commit, CommitListener, Transaction
from dispatch.services.polls import LeaseAsk
from protocol.capabilities import Capabilities, Slots
from protocol.leases import Grant
from protocol.recipes import NoopRecipe
from protocol.states import HELD_TASK_STATES, AttemptState, EngineState, JobState, TaskKind, TaskState

T = TypeVar("T")
NOW = 1_800_000_000.0


def make_task(name: str, **changes: Any) -> Task:  # any field of the record
    """A pending no-op task of job `job_<name>`; its only need is its operation."""
    task = Task(
        task_id=f"tsk_{name}",
        job_id=f"job_{name}",
        tenant="default",
        kind=TaskKind.NOOP,
        ordinal=0,
        state=TaskState.PENDING,
        priority=5,
        needs=("operation:noop",),
        tags=(),
        cost_s=1.0,
        created_at=NOW,
        recipe_json="{}",
    )
    return replace(task, **changes)


def make_job(name: str, state: JobState = JobState.PENDING) -> Job:
    return Job(
        job_id=f"job_{name}",
        tenant="default",
        state=state,
        priority=5,
        profile_json="{}",
        source=NO_SOURCE,
        input_json=None,
        user_metadata_json="{}",
        max_attempts=3,
        ttl_s=86_400.0,
        ttl_from=NOW,
        created_at=NOW,
        updated_at=NOW,
    )


def make_engine(name: str, *extra: str, **changes: Any) -> Engine:  # any field of the record
    """An online engine that does no-ops, analyses, and `extra`; two encoding slots and one light one."""
    provided = frozenset({"operation:noop", "operation:analyze", *extra})
    engine = Engine(
        engine_id=f"eng_{name}",
        name=name,
        hostname=name,
        boot_id=f"boot-{name}",
        software_version="0",
        state=EngineState.ONLINE,
        credential_sha256="",
        capabilities_json=Capabilities(provided=provided).model_dump_json(),
        tags=(),
        slots_json=Slots(encoding=2, light=1, free_encoding=2, free_light=1).model_dump_json(),
        load_json="{}",
        registered_at=NOW,
        last_heartbeat_at=None,
    )
    return replace(engine, **changes)


def make_sight(name: str, *extra: str, **changes: Any) -> EngineSight:  # any field of the engine's record
    return sight_of(make_engine(name, *extra, **changes))


def make_ask(name: str, **changes: Any) -> LeaseAsk:  # any field of the record
    ask = LeaseAsk(f"eng_{name}", f"boot-{name}", f"req-{name}", slots=1, light_slots=0, wait_s=25.0, arrived=0.0)
    return replace(ask, **changes)


def commit_of(*tasks: Task, jobs: Sequence[Job] = (), attempts: Sequence[Attempt] = (), **more: Any) -> Commit:
    return Commit(events=(), jobs=tuple(jobs), tasks=tasks, attempts=tuple(attempts), **more)  # `more`: engines, tenants


class Rows:
    """Satisfies Store (reading) and Granting over rows in memory. Each change is a commit, told to the listeners.

    `during` runs inside the next grant, before the guards; `trouble` is raised by each grant while it is set.
    """

    def __init__(self, *, tasks: Sequence[Task] = (), engines: Sequence[Engine] = (), tenants: Sequence[Tenant] = ()) -> None:
        self.tasks = {task.task_id: task for task in tasks}
        self.engine_rows = {engine.engine_id: engine for engine in engines}
        self.tenant_rows = list(tenants)
        self.listeners: list[CommitListener] = []
        self.rounds: list[list[Choice]] = []
        self.during: Callable[[], None] | None = None
        self.gate: asyncio.Event | None = None
        self.trouble: Exception | None = None
        self.attempts: dict[int, Attempt] = {}
        self._tokens = 0

    # the store, as far as the scheduler reads it

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        raise NotImplementedError("the scheduler never writes")

    async def read(self, function: Callable[[Transaction], T]) -> T:
        return function(cast(Transaction, self))

    async def search(self, function: Callable[[Transaction], T]) -> T:
        raise NotImplementedError("the scheduler never searches")

    def ready_tasks(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.state is TaskState.PENDING]

    def held_tasks(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.state in HELD_TASK_STATES]

    def engines(self) -> list[Engine]:
        return list(self.engine_rows.values())

    def tenants(self) -> list[Tenant]:
        return list(self.tenant_rows)

    # changes

    def save(
        self, *tasks: Task, jobs: Sequence[Job] = (), attempts: Sequence[Attempt] = (), **more: Any
    ) -> None:  # see commit_of
        self.tasks.update({task.task_id: task for task in tasks})
        self.engine_rows.update({engine.engine_id: engine for engine in more.get("engines", ())})
        commit = commit_of(*tasks, jobs=jobs, attempts=attempts, **more)
        for listener in self.listeners:
            listener(commit)

    async def grant(self, choices: Sequence[Choice]) -> list[tuple[Grant, ...]]:
        self.rounds.append(list(choices))
        if self.gate is not None:
            await self.gate.wait()
        during, self.during = self.during, None
        if during is not None:
            during()
        if self.trouble is not None:
            raise self.trouble
        return [self._grant_one(choice) for choice in choices]

    def _grant_one(self, choice: Choice) -> tuple[Grant, ...]:
        engine = self.engine_rows.get(choice.engine_id)
        if engine is None or engine.boot_id != choice.boot_id:
            return ()
        live = [self.tasks[task_id] for task_id in choice.task_ids if self.tasks[task_id].state is TaskState.PENDING]
        return tuple(self._assign(task, choice) for task in live)

    def _assign(self, task: Task, choice: Choice) -> Grant:
        self._tokens += 1
        attempt = Attempt(
            token=self._tokens,
            task_id=task.task_id,
            job_id=task.job_id,
            engine_id=choice.engine_id,
            boot_id=choice.boot_id,
            request_id=choice.request_id,
            kind=task.kind,
            state=AttemptState.GRANTED,
            granted_at=NOW,
        )
        self.attempts[attempt.token] = attempt
        assigned = replace(task, state=TaskState.ASSIGNED, token=self._tokens, engine_id=choice.engine_id)
        self.save(assigned, attempts=[attempt])
        return Grant(
            task_id=task.task_id,
            token=self._tokens,
            job_id=task.job_id,
            kind=task.kind,
            recipe=NoopRecipe(),
            steps=(),
            lease_s=60.0,
            estimate_s=task.cost_s,
        )
