"""The part of a transaction that searches jobs: pages for clients, and the sets that background duties look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, not_, or_, select

from dispatch.core.paging import JobFilter
from dispatch.core.records import Graph
from dispatch.store import rows, schema
from protocol.states import JobState, TaskState

WAITING = tuple(s.value for s in (JobState.PENDING, JobState.ASSIGNED, JobState.RETRYING))
SORTS = {
    "created_at": schema.jobs.c.created_at,
    "completed_at": func.coalesce(schema.jobs.c.completed_at, 0.0),
    "priority": schema.jobs.c.priority,
}

# Duties run these two every few seconds.
SELECT_IN_STATES = (
    select(schema.jobs.c.job_id)
    .where(schema.jobs.c.state.in_(bindparam("states", expanding=True)))
    .order_by(schema.jobs.c.created_at)
)
SELECT_OVERDUE = (
    select(schema.jobs.c.job_id)
    .where(
        schema.jobs.c.state.in_(WAITING),
        schema.jobs.c.started_at.is_(None),
        schema.jobs.c.ttl_from + schema.jobs.c.ttl_s <= bindparam("now"),
    )
    .order_by(schema.jobs.c.ttl_from)
    .limit(bindparam("most"))
)
SELECT_PAST_BACKOFF = (
    select(schema.jobs.c.job_id)
    .distinct()
    .join(schema.tasks, schema.tasks.c.job_id == schema.jobs.c.job_id)
    .where(
        schema.jobs.c.state == JobState.RETRYING.value,
        schema.tasks.c.state == TaskState.PENDING.value,
        schema.tasks.c.not_before > 0.0,
        or_(schema.tasks.c.not_before <= bindparam("now"), schema.tasks.c.not_before > bindparam("furthest")),
    )
    .order_by(schema.jobs.c.job_id)
    .limit(bindparam("most"))
)


class ListingQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection

    def jobs_in(self, states: Iterable[str]) -> list[str]:
        """Ids of the jobs in these states, oldest first."""
        return [row[0] for row in self._connection.execute(SELECT_IN_STATES, {"states": list(states)})]

    def expired_jobs(self, now: float, limit: int) -> list[str]:
        """Ids of jobs never started within their span, oldest first."""
        return [row[0] for row in self._connection.execute(SELECT_OVERDUE, {"now": now, "most": limit})]

    def jobs_past_backoff(self, now: float, furthest: float, limit: int) -> list[str]:
        """Ids of jobs in retrying with a backoff that has passed, or that lies further ahead than any reaches."""
        values = {"now": now, "furthest": furthest, "most": limit}
        return [row[0] for row in self._connection.execute(SELECT_PAST_BACKOFF, values)]

    def list_jobs(self, wanted: JobFilter) -> tuple[list[Graph], int]:
        """One page of jobs with their tasks, and how many there are in all. Stable under inserts with a cursor."""
        table = schema.jobs
        total = self._connection.execute(_filtered(select(func.count()).select_from(table), wanted)).scalar_one()
        by = SORTS[wanted.sort]
        order = (by.desc(), table.c.job_id.desc()) if wanted.descending else (by.asc(), table.c.job_id.asc())
        page = _filtered(select(table), wanted).order_by(*order).limit(wanted.limit).offset(wanted.offset)
        if wanted.after is not None:
            value, job_id = wanted.after
            beyond = by < value if wanted.descending else by > value
            tie = table.c.job_id < job_id if wanted.descending else table.c.job_id > job_id
            page = page.where(or_(beyond, and_(by == value, tie)))
        jobs = [rows.load_job(row) for row in self._connection.execute(page)]
        tasks = schema.tasks
        of_page = select(tasks).where(tasks.c.job_id.in_([job.job_id for job in jobs])).order_by(tasks.c.ordinal)
        loaded = [rows.TASKS.load(row) for row in self._connection.execute(of_page)]
        return [Graph(job, tuple(t for t in loaded if t.job_id == job.job_id)) for job in jobs], int(total)


def _filtered(statement: Select[Any], wanted: JobFilter) -> Select[Any]:  # the row type differs between count and page
    table = schema.jobs
    if wanted.tenant is not None:
        statement = statement.where(table.c.tenant == wanted.tenant)
    if wanted.states:
        statement = statement.where(table.c.state.in_(wanted.states))
    if wanted.is_validating is not None:
        validating = and_(table.c.state == JobState.ASSIGNED.value, table.c.media_json.is_(None))
        statement = statement.where(validating if wanted.is_validating else not_(validating))
    if wanted.created_after is not None:
        statement = statement.where(table.c.created_at > wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(table.c.created_at < wanted.created_before)
    return statement
