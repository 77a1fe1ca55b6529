"""The part of a transaction that searches jobs: pages for clients, and the sets that background duties look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from dispatch.core.job_list import JobFilter, JobVersion, MetadataMatch
from dispatch.core.paging import Slice
from dispatch.core.records import NO_TENANT
from dispatch.store import schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.statements import Found, Statement
from protocol.states import JobState, TaskState

WAITING: list[ColumnElement[str]] = [
    literal_column(f"'{state.value}'") for state in (JobState.PENDING, JobState.ASSIGNED, JobState.RETRYING)
]
NUL, REPLACEMENT = r"\u0000", r"\ufffd"
"""As JSON writes them: PostgreSQL reads no JSON with a NUL in it."""

SORTS = {
    "created_at": schema.jobs.c.created_at,
    "completed_at": func.coalesce(schema.jobs.c.completed_at, 0.0),
    "priority": schema.jobs.c.priority,
}

VERSION = tuple(schema.jobs.c[name] for name in JobVersion._fields)
SELECT_VERSION = Statement(select(*VERSION).where(schema.jobs.c.job_id == bindparam("of_job")), ("of_job",))
SELECT_IN_STATES = (
    select(schema.jobs.c.job_id)
    .where(schema.jobs.c.state.in_(bindparam("states", expanding=True)))
    .order_by(schema.jobs.c.created_at)
)
# Duties run these two every few seconds.
SELECT_OVERDUE = Statement(
    select(schema.jobs.c.job_id)
    .where(
        schema.jobs.c.state.in_(WAITING),
        schema.jobs.c.started_at.is_(None),
        schema.jobs.c.ttl_from + schema.jobs.c.ttl_s <= bindparam("now"),
    )
    .order_by(schema.jobs.c.ttl_from)
    .limit(bindparam("most")),
    ("now", "most"),
)
SELECT_LATE = Statement(
    select(schema.jobs.c.job_id)
    .where(schema.HAS_WISH, schema.jobs.c.finish_by <= bindparam("before"), schema.jobs.c.state.in_(WAITING))
    .order_by(schema.jobs.c.finish_by)
    .limit(bindparam("most")),
    ("before", "most"),
)
SELECT_PAST_BACKOFF = Statement(
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
    .limit(bindparam("most")),
    ("now", "furthest", "most"),
)


class ListingQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection

    def jobs_in(self, states: Iterable[str]) -> list[str]:
        """Ids of the jobs in these states, oldest first."""
        return [row[0] for row in self._connection.execute(SELECT_IN_STATES, {"states": list(states)})]

    def expired_jobs(self, now: float, limit: int) -> list[str]:
        """Ids of jobs never started within their span, oldest first."""
        return [row[0] for row in SELECT_OVERDUE.rows(self._connection, (now, limit))]

    def late_jobs(self, before: float, limit: int) -> list[str]:
        """Ids of jobs that wait, are not critical, and shall be done by then."""
        return [row[0] for row in SELECT_LATE.rows(self._connection, (before, limit))]

    def jobs_past_backoff(self, now: float, furthest: float, limit: int) -> list[str]:
        """Ids of jobs in retrying with a backoff that has passed, or that lies further ahead than any reaches."""
        return [row[0] for row in SELECT_PAST_BACKOFF.rows(self._connection, (now, furthest, limit))]

    def list_jobs(self, wanted: JobFilter) -> Slice[JobVersion]:
        """One page. Stable under inserts with a cursor."""
        order = Order(SORTS[wanted.sort], schema.jobs.c.job_id, is_descending=wanted.descending)
        dialect = self._connection.dialect.name
        statement, walked = _filtered(wanted, dialect), _filtered(wanted, dialect, schema.jobs.c.state.concat(""))
        return load_slice(self._connection, statement, order, wanted.page, _version, of_many=walked)

    def job_version(self, job_id: str) -> JobVersion | None:
        found = SELECT_VERSION.rows(self._connection, (job_id,))
        return _version(found[0]) if found else None


def _version(row: Found) -> JobVersion:
    return JobVersion(*row)


def _filtered(
    wanted: JobFilter, dialect: str, state: ColumnElement[str] = schema.jobs.c.state
) -> Select[Any]:  # rows of `VERSION`
    """With another expression for the state its index is out of the question."""
    table = schema.jobs
    statement = select(*VERSION)
    if wanted.tenant is None:
        statement = statement.where(table.c.tenant != NO_TENANT)
    else:
        statement = statement.where(table.c.tenant == wanted.tenant)
    if wanted.states:
        statement = statement.where(state.in_(wanted.states))
    if wanted.is_validating is not None:
        validating = and_(table.c.state == JobState.ASSIGNED.value, table.c.media_json.is_(None))
        statement = statement.where(validating if wanted.is_validating else not_(validating))
    if wanted.created_after is not None:
        statement = statement.where(table.c.created_at > wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(table.c.created_at < wanted.created_before)
    if wanted.text is not None:
        statement = statement.where(or_(*(column.icontains(text, autoescape=True) for column, text in _searched(wanted.text))))
    return statement.where(*(_entry(match, dialect) for match in wanted.metadata))


def _searched(text: str) -> tuple[tuple[ColumnElement[str], str], ...]:
    """Where a text is looked for. Within JSON it stands as JSON writes it."""
    table = schema.jobs
    return (
        (table.c.job_id, text),
        (table.c.source_filename, text),
        (table.c.user_metadata_json, orjson.dumps(text).decode()[1:-1]),
    )


def _entry(match: MetadataMatch, dialect: str) -> ColumnElement[bool]:
    """The entry's value as JSON text, which tells numbers from strings."""
    names = sorted({match.path, (".".join(match.path),)})  # a key may hold a dot of its own
    value, text = (_postgres_value, _keepable) if dialect == "postgresql" else (_sqlite_value, str)
    return or_(*(value(path).in_([text(one) for one in match.texts]) for path in names))


def _sqlite_value(path: Sequence[str]) -> ColumnElement[Any]:
    """By `->`: json_extract would mix 0 and 1 with false and true."""
    return schema.jobs.c.user_metadata_json.op("->")("$" + "".join(f'."{key}"' for key in path))


def _postgres_value(path: Sequence[str]) -> ColumnElement[Any]:
    """Key by key: of its two kinds of key, a path would take digits for a place in an array."""
    value: ColumnElement[Any] = cast(func.replace(schema.jobs.c.user_metadata_json, NUL, REPLACEMENT), JSON)
    for key in path:
        value = value.op("->", return_type=JSON())(cast(key, Text))
    return cast(value, Text)


def _keepable(text: str) -> str:
    return text.replace(NUL, REPLACEMENT)
