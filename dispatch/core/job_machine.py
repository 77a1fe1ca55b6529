"""The life of a job: a table of eight states, and the one pure function from its tasks to its state."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core.machine import Row, StateTable
from dispatch.core.records import Task
from protocol.events import EventType
from protocol.states import JobState as S
from protocol.states import TaskKind
from protocol.states import TaskState as T

_TARGETS: dict[S, tuple[S, ...]] = {
    S.PENDING: (S.ASSIGNED, S.CANCELLED, S.FAILED),
    S.ASSIGNED: (S.TRANSCODING, S.COMPLETING, S.PENDING, S.RETRYING, S.FAILED, S.CANCELLED),
    S.TRANSCODING: (S.COMPLETING, S.RETRYING, S.FAILED, S.CANCELLED),
    S.COMPLETING: (S.COMPLETED, S.RETRYING, S.FAILED),
    S.RETRYING: (S.PENDING, S.ASSIGNED, S.TRANSCODING, S.COMPLETING, S.FAILED, S.CANCELLED),
    S.FAILED: (S.RETRYING,),
    S.COMPLETED: (),
    S.CANCELLED: (),
}

JOB_ROWS = tuple(Row(f"to_{target}", source, target) for source, targets in _TARGETS.items() for target in targets)
JOB_TABLE = StateTable("job", [s.value for s in S], S.PENDING.value, JOB_ROWS)

EVENT_OF_STATE: dict[S, EventType] = {
    S.PENDING: EventType.JOB_WAITING,
    S.ASSIGNED: EventType.JOB_ASSIGNED,
    S.TRANSCODING: EventType.TRANSCODING_STARTED,
    S.COMPLETING: EventType.JOB_COMPLETING,
    S.COMPLETED: EventType.JOB_FINISHED,
    S.FAILED: EventType.JOB_FAILED,
    S.RETRYING: EventType.JOB_RETRYING,
    S.CANCELLED: EventType.JOB_CANCELLED,
}


def state_of_tasks(previous: S, tasks: Iterable[Task], *, now: float) -> S:
    """The state that follows from the tasks, first match wins. Terminal and completing jobs are not asked here."""
    tasks = tuple(tasks)
    states = {task.state for task in tasks}
    if T.FAILED in states:
        return S.FAILED
    if states <= {T.DONE, T.SKIPPED}:
        return S.COMPLETING
    if any(task.state is T.RUNNING and task.kind is not TaskKind.ANALYZE for task in tasks):
        return S.TRANSCODING
    was_transcoding = previous is S.TRANSCODING
    if states & {T.ASSIGNED, T.RUNNING}:
        return S.TRANSCODING if was_transcoding else S.ASSIGNED
    if any(task.state is T.PENDING and task.not_before > now for task in tasks):
        return S.RETRYING
    return S.TRANSCODING if was_transcoding else S.PENDING
