"""The part of a transaction about the work that waits: sums by what tasks ask of an engine, and encodes to judge them by."""

from __future__ import annotations

from sqlalchemy import Connection, case, func, literal_column, select

from dispatch.core.backlog import Sample, TaskSum, sample_of
from dispatch.store import schema
from protocol.states import HELD_TASK_STATES, TERMINAL_JOB_STATES, JobState, TaskKind, TaskState

OPEN_JOBS = tuple(state.value for state in JobState if state not in TERMINAL_JOB_STATES)
HELD = tuple(sorted(state.value for state in HELD_TASK_STATES))
UNDONE = (TaskState.WAITING.value, TaskState.PENDING.value, *HELD)

_tasks, _jobs = schema.tasks, schema.jobs
_holder = case((_tasks.c.state.in_([literal_column(f"'{state}'") for state in HELD]), _tasks.c.engine_id))
_class = (_tasks.c.kind, _tasks.c.needs, _tasks.c.tags, _tasks.c.state)
SUMS = (
    select(*_class, func.count(), func.sum(_tasks.c.cost_s), _holder)
    .join(_jobs, _jobs.c.job_id == _tasks.c.job_id)
    .where(_jobs.c.state.in_(OPEN_JOBS), _tasks.c.state.in_(UNDONE))
    .group_by(*_class, _holder)
)
"""By way of the jobs: those that have not ended are few beside the tasks that are done."""

_numbered = (
    select(
        _tasks.c.task_id,
        func.row_number().over(partition_by=(_tasks.c.needs, _tasks.c.tags), order_by=_tasks.c.created_at).label("number"),
    )
    .join(_jobs, _jobs.c.job_id == _tasks.c.job_id)
    .where(schema.IS_PENDING, _tasks.c.kind == TaskKind.TRANSCODE.value, _jobs.c.state.in_(OPEN_JOBS))
    .subquery()
)
SAMPLES = (
    select(_tasks.c.needs, _tasks.c.tags, _tasks.c.cost_s, _tasks.c.recipe_json)
    .join(_numbered, _numbered.c.task_id == _tasks.c.task_id)
    .where(_tasks.c.recipe_json.is_not(None))
    .order_by(_tasks.c.task_id)
)


class BacklogQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection

    def task_sums(self) -> list[TaskSum]:
        return [
            TaskSum(TaskKind(kind), tuple(needs.split()), tuple(tags.split()), TaskState(state), count, float(cost_s), engine_id)
            for kind, needs, tags, state, count, cost_s, engine_id in self._connection.execute(SUMS)
        ]

    def samples(self, each: int) -> list[Sample]:
        found = self._connection.execute(SAMPLES.where(_numbered.c.number <= each))
        read = (sample_of(tuple(row[0].split()), tuple(row[1].split()), row[2], row[3]) for row in found)
        return [one for one in read if one is not None]
