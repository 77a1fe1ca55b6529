"""The life of one task, as a table. A move that is not in the table raises InvalidTransition and changes nothing."""

from __future__ import annotations

from dispatch.core.copying import replace
from dispatch.core.machine import Row, StateTable
from dispatch.core.records import Task
from protocol.states import TaskState as S

TASK_ROWS: tuple[Row, ...] = (
    Row("inputs_ready", S.WAITING, S.PENDING),
    Row("skip", S.WAITING, S.SKIPPED),
    Row("skip", S.PENDING, S.SKIPPED),
    Row("grant", S.PENDING, S.ASSIGNED),
    Row("start", S.ASSIGNED, S.RUNNING),
    Row("finish", S.ASSIGNED, S.DONE),
    Row("finish", S.RUNNING, S.DONE),
    Row("give_back", S.ASSIGNED, S.PENDING),
    Row("give_back", S.RUNNING, S.PENDING),
    Row("fail", S.PENDING, S.FAILED),
    Row("fail", S.ASSIGNED, S.FAILED),
    Row("fail", S.RUNNING, S.FAILED),
    Row("cancel", S.WAITING, S.CANCELLED),
    Row("cancel", S.PENDING, S.CANCELLED),
    Row("cancel", S.ASSIGNED, S.CANCELLED),
    Row("cancel", S.RUNNING, S.CANCELLED),
    Row("retry", S.FAILED, S.PENDING),
    Row("lose_staged_file", S.DONE, S.PENDING),
)

_STATES = {state.value: state for state in S}
TASK_TABLE = StateTable("task", [s.value for s in S], S.WAITING.value, TASK_ROWS)


def after(task: Task, trigger: str) -> S:
    """The state of the task after `trigger`. Raises InvalidTransition."""
    return _STATES[TASK_TABLE.after(task.task_id, task.state, trigger)]


def advance(task: Task, trigger: str) -> Task:
    """The task after `trigger`; its lease fields are the caller's to set."""
    return replace(task, state=after(task, trigger))
