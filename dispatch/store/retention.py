"""What is due by age: one list over originals, records, logs and files past their `expires_at`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from dispatch.core.paging import Slice, Wanted
from dispatch.core.retention import RECORD_STATES, Cutoffs, Item, Kind
from dispatch.store import schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.statements import Found, Statement
from protocol.states import JobState

JOBS, ATTEMPTS, EVENTS = schema.jobs.c, schema.attempts.c, schema.events.c
PUBLISHED = select(func.coalesce(func.sum(schema.staged_files.c.size), 0)).where(schema.staged_files.c.job_id == JOBS.job_id)
ORIGINAL_PATH = case((JOBS.source_kind == "storage", JOBS.source_path), else_=literal("", String))
"""The path of a file that the server reads in place, or a URL, is nothing that goes."""

EMPTY_LOG = Statement(
    update(schema.attempts)
    .where(ATTEMPTS.token == bindparam("which"), ATTEMPTS.ended_at <= bindparam("before"))
    .values(log_tail=bindparam("empty")),
    ("empty", "which", "before"),
)
SELECT_OLDEST = (
    select(EVENTS.seq, EVENTS.at)
    .where(EVENTS.seq < select(func.max(EVENTS.seq)).scalar_subquery())
    .order_by(EVENTS.seq)
    .limit(bindparam("most"))
)


class RetentionQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection

    def due_items(self, at: Cutoffs, wanted: Wanted, kinds: Iterable[Kind]) -> Slice[Item]:
        """The parts find their rows by partial indexes: jobs with an original, with an expiry, attempts with a log."""
        parts = [_part(kind, at) for kind in sorted(kinds)]
        found = union_all(*parts).subquery("due")
        columns = found.c
        order = Order(columns.since, columns.kind, columns.job_id, columns.token)
        return load_slice(self._connection, select(found), order, wanted, _item)

    def empty_logs(self, tokens: Iterable[int], before: float) -> int:
        return EMPTY_LOG.run_many(self._connection, [("", token, before) for token in tokens])

    def oldest_events(self, limit: int) -> list[tuple[int, float]]:
        return [(row[0], row[1]) for row in self._connection.execute(SELECT_OLDEST, {"most": limit})]

    def drop_events(self, upto: int) -> int:
        return self._connection.execute(delete(schema.events).where(EVENTS.seq <= upto)).rowcount

    def drop_deliveries(self, before: float, limit: int) -> int:
        table = schema.webhook_deliveries
        old = select(table.c.delivery_id).where(table.c.ended_at <= before).limit(limit)
        return self._connection.execute(delete(table).where(table.c.delivery_id.in_(old))).rowcount


def _item(row: Found) -> Item:
    kind, job_id, tenant, path, since, size, token = row
    return Item(Kind(kind), job_id, tenant, path, since, size, token)


def _part(kind: Kind, at: Cutoffs) -> Select[Any]:  # the row types are the same, which SQLAlchemy does not know
    """The rows of one kind, all with the same columns."""
    match kind:
        case Kind.ORIGINAL:
            due = and_(schema.HAS_ORIGINAL, JOBS.ended_at <= at.originals)
            return _of_jobs(kind, ORIGINAL_PATH, JOBS.ended_at, JOBS.source_size).where(due)
        case Kind.RECORD:
            states = JOBS.state.in_([str(state) for state in RECORD_STATES])
            due = and_(states, JOBS.created_at <= at.records, JOBS.ended_at <= at.records)
            return _of_jobs(kind, literal("", String), JOBS.ended_at, literal(0, Integer)).where(due)
        case Kind.EXPIRED:
            has_outputs = and_(JOBS.state == str(JobState.COMPLETED), JOBS.outputs_purged_at.is_(None))
            has_files = or_(schema.HAS_ORIGINAL, has_outputs)
            due = and_(JOBS.expires_at <= at.now, JOBS.ended_at.is_not(None), has_files)
            return _of_jobs(kind, literal("", String), JOBS.expires_at, PUBLISHED.scalar_subquery()).where(due)
        case Kind.LOG:
            due = and_(schema.HAS_LOG, ATTEMPTS.ended_at <= at.logs)
            return _of_logs().where(due)


def _of_jobs(kind: Kind, path: Any, since: Any, size: Any) -> Select[Any]:  # columns of any type
    return select(
        literal(str(kind), String).label("kind"),
        JOBS.job_id,
        JOBS.tenant,
        path.label("path"),
        type_coerce(since, Float).label("since"),
        type_coerce(size, Integer).label("size"),
        literal(0, Integer).label("token"),
    )


def _of_logs() -> Select[Any]:  # as above
    return select(
        literal(str(Kind.LOG), String).label("kind"),
        ATTEMPTS.job_id,
        JOBS.tenant,
        literal("", String).label("path"),
        ATTEMPTS.ended_at.label("since"),
        func.length(ATTEMPTS.log_tail).label("size"),
        ATTEMPTS.token,
    ).join(schema.jobs, JOBS.job_id == ATTEMPTS.job_id)
