"""What may still change of a job that waits: priority, metadata, webhook; and what time does to it. Pure, over a Graph."""

from __future__ import annotations

from typing import TypedDict

import orjson

from dispatch.core.copying import replace
from dispatch.core.machine import InvalidTransition
from dispatch.core.records import Graph, NewEvent
from protocol.events import EventType
from protocol.states import JobState, TaskState

WAITING = frozenset({JobState.PENDING, JobState.RETRYING})
CRITICAL = 10
_HURRIED = WAITING | {JobState.ASSIGNED}
_ENDED = frozenset({TaskState.DONE, TaskState.SKIPPED, TaskState.CANCELLED, TaskState.FAILED})


class JobFields(TypedDict, total=False):
    """The columns of a job a client may set anew."""

    priority: int
    user_metadata_json: str
    webhook_url: str | None


def amend(graph: Graph, fields: JobFields, *, now: float) -> Graph:
    """The job with these fields; what it already says is no change. Raises InvalidTransition once it no longer waits."""
    if graph.job.state not in WAITING:
        raise InvalidTransition(f"job {graph.job.job_id}", graph.job.state, "change")
    return _with(graph, fields, now=now)


def hurry(graph: Graph, *, now: float) -> Graph:
    """The job becomes critical, since the moment its client wants it done by is near; one that no longer waits stays."""
    return _with(graph, {"priority": CRITICAL}, now=now) if graph.job.state in _HURRIED else graph


def _with(graph: Graph, fields: JobFields, *, now: float) -> Graph:
    job = graph.job
    changed = replace(job, **fields)
    if changed == job:
        return graph
    told = sorted(name.removesuffix("_json") for name in fields)
    event = NewEvent(EventType.JOB_CHANGED, now, job.tenant, job.job_id, data_json=orjson.dumps({"fields": told}).decode())
    tasks = tuple(
        task if task.state in _ENDED or task.priority == changed.priority else replace(task, priority=changed.priority)
        for task in graph.tasks
    )
    return replace(graph, job=replace(changed, updated_at=now), tasks=tasks, events=(*graph.events, event))
