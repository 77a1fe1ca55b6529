"""What clients, operators, timers and promotion do to a whole job: cancel, retry, expire, publish. Pure, over a Graph."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core import retry_policy
from dispatch.core.copying import replace
from dispatch.core.followers import sources_of
from dispatch.core.lifecycle import JobChanges, failure_json, settle_job, with_job_state, with_task
from dispatch.core.machine import InvalidTransition
from dispatch.core.planning import begun_anew
from dispatch.core.records import PURGED, Graph, Job, NewEvent, Task
from dispatch.core.task_machine import advance
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.events import EventType
from protocol.results import Failure
from protocol.states import HELD_TASK_STATES, AttemptState, JobState, TaskState

PROMOTION_RETRY_S = 1.0
MANY_FAILURES = 100


def created(job: Job, tasks: tuple[Task, ...]) -> Graph:
    event = NewEvent(EventType.JOB_CREATED, job.created_at, job.tenant, job.job_id, None, None, job.state.value)
    return Graph(job, tasks, (), (event,))


def cancel(graph: Graph, *, now: float) -> Graph:
    """Every task not done or skipped becomes cancelled. Raises InvalidTransition while completing, failed or completed."""
    if graph.job.state is JobState.CANCELLED:
        return graph
    cancelled = with_job_state(graph, JobState.CANCELLED, now=now)
    ended = tuple(
        replace(a, state=AttemptState.CANCELLED, ended_at=now) if _holds(graph, a.task_id, a.token) else a
        for a in cancelled.attempts
    )
    cancelled = replace(cancelled, attempts=ended)
    for task in graph.tasks:
        if task.state not in (TaskState.DONE, TaskState.SKIPPED):
            cancelled = with_task(cancelled, replace(advance(task, "cancel"), engine_id=None), now=now)
    return cancelled


def _holds(graph: Graph, task_id: str, token: int) -> bool:
    task = graph.task(task_id)
    return task.token == token and task.state in HELD_TASK_STATES


def retry(graph: Graph, *, priority: int, now: float) -> Graph:
    """A failed job again: its failed tasks are pending from now on, with a fresh count; finished siblings are kept.

    Raises InvalidTransition unless the job has failed, INPUT_PURGED when its original is gone.
    """
    if graph.job.state is not JobState.FAILED:
        raise InvalidTransition(f"job {graph.job.job_id}", graph.job.state, "retry")
    if graph.job.source.kind == PURGED:
        raise ReelyardError(ErrorCode.INPUT_PURGED)
    again = JobChanges(priority=priority, retries=graph.job.retries + 1, error_json=None, ttl_from=now, completed_at=None)
    graph = with_job_state(graph, JobState.RETRYING, now=now, **again)
    for task in graph.tasks:
        fresh = replace(task, priority=priority)
        if task.state is TaskState.FAILED:
            fresh = replace(
                advance(fresh, "retry"),
                not_before=now,
                charged=0,
                infra_failures=0,
                avoid=(),
                deaths=(),
                steps_json=begun_anew(task.steps_json),
            )
        elif task.state is TaskState.PENDING:
            fresh = replace(fresh, not_before=now)
        graph = with_task(graph, fresh, now=now)
    only_promotion_left = all(task.state in (TaskState.DONE, TaskState.SKIPPED) for task in graph.tasks)
    return settle_job(graph, now=now) if only_promotion_left else graph


def furthest_backoff(now: float) -> float:
    """No `not_before` set at this moment lies behind it."""
    return now + retry_policy.backoff(MANY_FAILURES, chance=1.0)


def pass_backoff(graph: Graph, *, now: float) -> Graph:
    """A `not_before` has passed: it is cleared, so that a wall clock set back cannot bring it again.

    One further ahead than any backoff reaches was set before the wall clock went back; it is cleared too.
    """
    if graph.job.state is not JobState.RETRYING:
        return graph
    furthest = furthest_backoff(now)
    tasks = tuple(replace(t, not_before=0.0) if 0.0 < t.not_before <= now or t.not_before > furthest else t for t in graph.tasks)
    if tasks == graph.tasks:
        return graph
    return settle_job(replace(graph, tasks=tasks), now=now)


def is_overdue(graph: Graph, *, now: float) -> bool:
    """The job was never started within its span, and nobody holds a task of it."""
    waits = graph.job.state in (JobState.PENDING, JobState.ASSIGNED, JobState.RETRYING)
    held = any(task.state in HELD_TASK_STATES for task in graph.tasks)
    return waits and not held and graph.job.started_at is None and now >= graph.job.ttl_from + graph.job.ttl_s


def expire_job(graph: Graph, *, now: float) -> Graph:
    """The span `ttl_s` is over: the first waiting task fails for good, and the job with it."""
    task = next(task for task in graph.tasks if task.state is TaskState.PENDING)
    message = f"Expired: not started within {graph.job.ttl_s:g} s"
    failure = Failure(
        failure_class=FailureClass.POLICY, code=ErrorCode.JOB_EXPIRED, message=message, evidence={"reason": "Expired"}
    )
    error_json = failure_json(failure)
    graph = replace(graph, job=replace(graph.job, error_json=error_json))
    return settle_job(with_task(graph, advance(task, "fail"), now=now, data_json=error_json), now=now)


def promote(graph: Graph, *, outputs_json: str | None, now: float) -> Graph:
    """The outputs are published: the job is complete."""
    return with_job_state(graph, JobState.COMPLETED, now=now, outputs_json=outputs_json, progress=1.0, eta_seconds=0.0)


def redo_lost(graph: Graph, task_ids: Iterable[str], *, now: float) -> Graph:
    """Staged files are lost: the tasks that made them are done again; what the others made is kept.

    One that reads what another of them makes comes later: its own lost files are found when that one is done.
    """
    lost = _first_lost(graph, set(task_ids))
    graph = with_job_state(graph, JobState.RETRYING, now=now, completed_at=None)
    for task_id in lost:
        task = advance(graph.task(task_id), "lose_staged_file")
        steps_json = begun_anew(task.steps_json)
        again = replace(task, engine_id=None, not_before=now + PROMOTION_RETRY_S, steps_json=steps_json)
        graph = with_task(graph, again, now=now)
    return replace(graph, lost_files_of=lost)


def _first_lost(graph: Graph, task_ids: set[str]) -> tuple[str, ...]:
    sources = {task_id: {source.task_id for source in sources_of(graph, graph.task(task_id))} for task_id in task_ids}
    return tuple(sorted(task_id for task_id, read in sources.items() if not read & task_ids))


def refuse_promotion(graph: Graph, failure: Failure, *, now: float) -> Graph:
    """Promotion failed for good: the job fails, its tasks stay done."""
    error_json = failure_json(failure)
    return with_job_state(graph, JobState.FAILED, now=now, data_json=error_json, error_json=error_json)
