"""What one attempt's life does to its job: grant, ack, start, complete, fail, release, expire. Pure, over a Graph.

Every function takes a graph and returns a new one with the events of what changed; callers check liveness first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

import orjson

from dispatch.core import retry_policy
from dispatch.core.copying import replace
from dispatch.core.job_machine import EVENT_OF_STATE, JOB_TABLE, state_of_tasks
from dispatch.core.planning import STEPS, begun_anew, load_profile, load_steps, optional_speech
from dispatch.core.records import Attempt, Graph, Job, NewEvent, StagedRow, Task
from dispatch.core.task_machine import advance, after
from protocol.errors import ErrorCode, FailureClass
from protocol.events import EventType
from protocol.leases import Complete
from protocol.results import Failure, StepReport
from protocol.states import (
    HELD_TASK_STATES,
    LIVE_ATTEMPT_STATES,
    TERMINAL_JOB_STATES,
    AttemptState,
    JobState,
    StepState,
    TaskKind,
    TaskState,
)

Attempts = tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class GrantTo:
    """Who gets the task, under which token, for which request."""

    token: int
    engine_id: str
    boot_id: str
    request_id: str


class JobChanges(TypedDict, total=False):
    """What may change along with a job's state."""

    priority: int
    retries: int
    progress: float
    eta_seconds: float | None
    ttl_from: float
    completed_at: float | None
    error_json: str | None
    outputs_json: str | None


def is_live(graph: Graph, attempt: Attempt) -> bool:
    """The fence: the attempt is live, and its token is still the task's."""
    task = graph.task(attempt.task_id)
    return attempt.state in LIVE_ATTEMPT_STATES and task.token == attempt.token and task.state in HELD_TASK_STATES


def with_task(graph: Graph, task: Task, *, now: float, data_json: str = "{}", attempts: Attempts | None = None) -> Graph:
    """Put the task in, and the attempts if they are given; a change of its state is an event."""
    old = graph.task(task.task_id)
    attempts = graph.attempts if attempts is None else attempts
    tasks = (task,) if len(graph.tasks) == 1 else tuple(task if t.task_id == task.task_id else t for t in graph.tasks)
    if old.state is task.state:
        return replace(graph, tasks=tasks, attempts=attempts)
    event = NewEvent(
        EventType.TASK_CHANGED, now, task.tenant, task.job_id, task.task_id, old.state.value, task.state.value, data_json
    )
    return replace(graph, tasks=tasks, attempts=attempts, events=(*graph.events, event))


def with_attempt(graph: Graph, attempt: Attempt) -> Graph:
    return replace(graph, attempts=_exchanged(graph.attempts, attempt))


def _exchanged(attempts: Attempts, attempt: Attempt) -> Attempts:
    return tuple(attempt if a.token == attempt.token else a for a in attempts)


def with_job_state(graph: Graph, state: JobState, *, now: float, data_json: str = "{}", **changes: Unpack[JobChanges]) -> Graph:
    """Move the job by the table, with its event; a job already there only takes the changes. Raises InvalidTransition."""
    job = graph.job
    if job.state is state:
        return replace(graph, job=replace(job, updated_at=now, **changes))
    JOB_TABLE.check(job.job_id, job.state, state)
    ended_at = now if state in TERMINAL_JOB_STATES else None
    moved = replace(job, state=state, updated_at=now, ended_at=ended_at, **changes)
    event = NewEvent(EVENT_OF_STATE[state], now, job.tenant, job.job_id, None, job.state.value, state.value, data_json)
    return replace(graph, job=moved, events=(*graph.events, event))


def settle_job(graph: Graph, *, now: float) -> Graph:
    """Derive the job's state from its tasks; entering completing fixes `completed_at`, a failed job frees its siblings."""
    job = graph.job
    state = state_of_tasks(job.state, graph.tasks, now=now)
    if state is JobState.COMPLETING and job.state is not JobState.COMPLETING:
        return with_job_state(graph, state, now=now, completed_at=now, progress=1.0, eta_seconds=0.0)
    if state is JobState.FAILED:
        return free_siblings(with_job_state(graph, state, now=now, data_json=job.error_json or "{}"), now=now)
    return with_job_state(graph, state, now=now)


def free_siblings(graph: Graph, *, now: float) -> Graph:
    """Held tasks of a failed job go back to pending; their engines learn it by an order to drop."""
    for task in graph.tasks:
        if task.state in HELD_TASK_STATES:
            graph = _end_attempt(graph, task.token, AttemptState.RELEASED, now=now)
            graph = with_task(graph, _given_back(task, not_before=task.not_before), now=now)
    return graph


def _given_back(task: Task, *, not_before: float) -> Task:
    return replace(advance(task, "give_back"), engine_id=None, not_before=not_before, steps_json=begun_anew(task.steps_json))


def _end_attempt(graph: Graph, token: int, state: AttemptState, *, now: float, digest: str | None = None) -> Graph:
    return with_attempt(graph, replace(graph.attempt(token), state=state, ended_at=now, digest=digest))


def grant(graph: Graph, task_id: str, to: GrantTo, *, now: float) -> Graph:
    """Hand the task out. The token comes from one global sequence, so a late report can be told apart."""
    task = graph.task(task_id)
    assigned = replace(task, state=after(task, "grant"), token=to.token, engine_id=to.engine_id, not_before=0.0)
    attempt = Attempt(
        token=to.token,
        task_id=task_id,
        job_id=task.job_id,
        engine_id=to.engine_id,
        boot_id=to.boot_id,
        request_id=to.request_id,
        kind=task.kind,
        state=AttemptState.GRANTED,
        granted_at=now,
    )
    held_by = f'{{"engine_id":"{to.engine_id}","token":{to.token}}}'
    held = with_task(graph, assigned, now=now, data_json=held_by, attempts=(*graph.attempts, attempt))
    return settle_job(held, now=now)


def ack(graph: Graph, token: int, *, now: float) -> Graph:
    attempt = graph.attempt(token)
    if attempt.state is not AttemptState.GRANTED:
        return graph
    return with_attempt(graph, replace(attempt, state=AttemptState.ACKED, acked_at=now))


def start(graph: Graph, token: int, *, now: float) -> Graph:
    """The tool is about to run. The first start of anything but analyze starts the job for its `ttl_s`."""
    attempt = graph.attempt(token)
    if attempt.state is AttemptState.RUNNING:
        return graph
    acked_at = now if attempt.acked_at is None else attempt.acked_at
    graph = with_attempt(graph, replace(attempt, state=AttemptState.RUNNING, acked_at=acked_at, started_at=now))
    graph = with_task(graph, advance(graph.task(attempt.task_id), "start"), now=now)
    return settle_job(_mark_started(graph, attempt, now=now), now=now)


def _mark_started(graph: Graph, attempt: Attempt, *, now: float) -> Graph:
    if attempt.kind is TaskKind.ANALYZE or graph.job.started_at is not None:
        return graph
    return replace(graph, job=replace(graph.job, started_at=now))


def complete(graph: Graph, report: Complete, *, digest: str, steps_json: str, now: float) -> Graph:
    """The attempt's result is taken: its files are the task's. The caller readies or skips what follows, then settles."""
    attempt = graph.attempt(report.token)
    graph = _with_warnings(_mark_started(graph, attempt, now=now), report.result.warnings)
    tools_json = f"[{','.join(t.model_dump_json() for t in report.result.tools)}]" if report.result.tools else "[]"
    ended = replace(
        attempt,
        state=AttemptState.DONE,
        acked_at=now if attempt.acked_at is None else attempt.acked_at,
        started_at=now if attempt.started_at is None else attempt.started_at,
        ended_at=now,
        digest=digest,
        tools_json=tools_json,
        log_tail=report.result.log_tail,
    )
    task = graph.task(attempt.task_id)
    done = replace(task, state=after(task, "finish"), steps_json=steps_json, infra_failures=0)
    files = tuple(
        StagedRow(task.job_id, f.path, task.task_id, report.token, f.size, f.sha256, f.facts.model_dump_json())
        for f in report.result.files
    )
    graph = replace(graph, files=(*graph.files, *files)) if files else graph
    return with_task(graph, done, now=now, attempts=_exchanged(graph.attempts, ended))


def _with_warnings(graph: Graph, warnings: tuple[str, ...]) -> Graph:
    """What the job's owner should know of a result that is taken all the same; each is told once."""
    if not warnings:
        return graph
    told = orjson.dumps(list(dict.fromkeys([*orjson.loads(graph.job.warnings_json), *warnings])))
    return replace(graph, job=replace(graph.job, warnings_json=told.decode()))


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What the policy needs from outside: jitter in [0, 1), and how many engines fit the task."""

    chance: float
    fitting_engines: int


def fail(graph: Graph, token: int, failure: Failure, rule: FailureRule, *, digest: str, now: float) -> Graph:
    """An attempt failed by its engine's word: the task is tried again after a backoff, or the job fails."""
    attempt = graph.attempt(token)
    error_json = failure_json(failure)
    ended = replace(
        attempt, state=AttemptState.FAILED, ended_at=now, digest=digest, error_json=error_json, log_tail=failure.log_tail
    )
    graph = with_attempt(graph, ended)
    task = graph.task(attempt.task_id)
    verdict = _verdict(task, failure, graph.job, chance=rule.chance, now=now)
    task = replace(
        task,
        charged=verdict.charged,
        infra_failures=verdict.infra_failures,
        avoid=tuple(sorted({*task.avoid, attempt.engine_id})),
        deaths=(*task.deaths, attempt.engine_id) if failure.is_engine_death else task.deaths,
    )
    if retry_policy.is_poisonous(task.deaths, fitting_engines=rule.fitting_engines):
        poisoned = _poisoned(task, failure)
        return give_up(graph, task, failure_json(poisoned), now=now)
    if verdict.not_before is None:
        return give_up(graph, task, error_json, now=now)
    pending = _given_back(task, not_before=verdict.not_before)
    return settle_job(with_task(graph, pending, now=now, data_json=error_json), now=now)


def _verdict(task: Task, failure: Failure, job: Job, *, chance: float, now: float) -> retry_policy.Verdict:
    if failure.code is ErrorCode.ENGINE_DIED and failure.failure_class is FailureClass.INFRA:
        return retry_policy.after_death(task, now=now, chance=chance)
    return retry_policy.after_failure(task, failure.failure_class, max_attempts=job.max_attempts, now=now, chance=chance)


def _poisoned(task: Task, failure: Failure) -> Failure:
    evidence = {**failure.evidence, "engines": ", ".join(task.deaths), "last_error": failure.message}
    message = f"the task killed {len(task.deaths)} engine processes and is quarantined"
    return Failure(
        failure_class=FailureClass.POLICY,
        code=ErrorCode.TASK_POISONOUS,
        message=message,
        step=failure.step,
        evidence=evidence,
    )


def failure_json(failure: Failure) -> str:
    return failure.model_dump_json(exclude={"log_tail", "is_engine_death"})


def give_up(graph: Graph, task: Task, error_json: str, *, now: float) -> Graph:
    """The task has failed for good, and so has its job, with this error, unless the job is complete without the task."""
    if task.kind is TaskKind.TRANSCRIBE and optional_speech(load_profile(graph.job.profile_json)):
        return _do_without(graph, task, error_json, now=now)
    failed = replace(advance(task, "fail"), engine_id=None)
    graph = replace(graph, job=replace(graph.job, error_json=error_json))
    return settle_job(with_task(graph, failed, now=now, data_json=error_json), now=now)


def _do_without(graph: Graph, task: Task, error_json: str, *, now: float) -> Graph:
    """Its steps failed, the task is skipped (by way of pending, as the table has it), and the job's owner is told."""
    message = str(orjson.loads(error_json)["message"])
    if task.state is not TaskState.PENDING:
        task = replace(advance(task, "give_back"), engine_id=None)
        graph = with_task(graph, task, now=now, data_json=error_json)
    steps = tuple(StepReport(name=step.name, state=StepState.FAILED, reason=message) for step in load_steps(task.steps_json))
    skipped = replace(advance(task, "skip"), not_before=0.0, steps_json=STEPS.dump_json(steps).decode())
    graph = with_task(graph, skipped, now=now, data_json=error_json)
    return settle_job(_with_warnings(graph, (f"There is no transcription: {message}",)), now=now)


def release(graph: Graph, token: int, *, digest: str, now: float) -> Graph:
    """Handed back unharmed, never charged; grantable at once."""
    return _give_back(graph, token, AttemptState.RELEASED, digest=digest, now=now)


def expire(graph: Graph, token: int, *, now: float) -> Graph:
    """The lease ran out, or the grant was never acked, or its engine came back without it. Not charged, no backoff."""
    return _give_back(graph, token, AttemptState.EXPIRED, digest=None, now=now)


def _give_back(graph: Graph, token: int, state: AttemptState, *, digest: str | None, now: float) -> Graph:
    graph = _end_attempt(graph, token, state, now=now, digest=digest)
    task = graph.task(graph.attempt(token).task_id)
    pending = _given_back(task, not_before=0.0)
    return settle_job(with_task(graph, pending, now=now), now=now)
