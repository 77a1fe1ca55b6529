"""What is due by age: one list over originals, records, logs and files past their `expires_at`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import lru_cache
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
from dispatch.store.naming import total
from dispatch.store.statements import Found, Statement
from protocol.states import JobState

JOBS, ATTEMPTS, EVENTS = schema.jobs.c, schema.attempts.c, schema.events.c
PUBLISHED = select(func.coalesce(total(schema.staged_files.c.size), 0)).where(schema.staged_files.c.job_id == JOBS.job_id)
ORIGINAL_PATH = case((JOBS.source_kind == "storage", JOBS.source_path), else_=literal("", String))
"""The path of a file that the server reads in place, or a URL, is nothing that goes."""

CUTOFFS = {field.name: bindparam(field.name, type_=Float) for field in fields(Cutoffs)}

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
        statement, order = _due(frozenset(kinds))
        return load_slice(self._connection, statement.params(asdict(at)), order, wanted, _item)

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

    def count_audit(self, before: float) -> int:
        counted = select(func.count()).select_from(schema.audit).where(schema.audit.c.at <= before)
        return self._connection.execute(counted).scalar_one()

    def drop_audit(self, before: float, limit: int) -> int:
        table = schema.audit
        old = select(table.c.audit_id).where(table.c.at <= before).limit(limit)
        return self._connection.execute(delete(table).where(table.c.audit_id.in_(old))).rowcount


def _item(row: Found) -> Item:
    kind, job_id, tenant, path, since, size, token = row
    return Item(Kind(kind), job_id, tenant, path, since, size, token)


@lru_cache(maxsize=1 << len(Kind))
def _due(kinds: frozenset[Kind]) -> tuple[Select[Any], Order]:
    """All rows of these kinds, by the cutoffs in its parameters; to build it costs more than to run it."""
    found = union_all(*(_part(kind) for kind in sorted(kinds))).subquery("due")
    columns = found.c
    return select(found), Order(columns.since, columns.kind, columns.job_id, columns.token)


def _part(kind: Kind) -> Select[Any]:  # the row types are the same, which SQLAlchemy does not know
    """The rows of one kind, all with the same columns."""
    match kind:
        case Kind.ORIGINAL:
            due = and_(schema.HAS_ORIGINAL, JOBS.ended_at <= CUTOFFS["originals"])
            return _of_jobs(kind, ORIGINAL_PATH, JOBS.ended_at, JOBS.source_size).where(due)
        case Kind.RECORD:
            states = JOBS.state.in_([str(state) for state in RECORD_STATES])
            due = and_(states, JOBS.created_at <= CUTOFFS["records"], JOBS.ended_at <= CUTOFFS["records"])
            return _of_jobs(kind, literal("", String), JOBS.ended_at, literal(0, Integer)).where(due)
        case Kind.EXPIRED:
            has_outputs = and_(JOBS.state == str(JobState.COMPLETED), JOBS.outputs_purged_at.is_(None))
            has_files = or_(schema.HAS_ORIGINAL, has_outputs)
            due = and_(JOBS.expires_at <= CUTOFFS["now"], JOBS.ended_at.is_not(None), has_files)
            return _of_jobs(kind, literal("", String), JOBS.expires_at, PUBLISHED.scalar_subquery()).where(due)
        case Kind.LOG:
            due = and_(schema.HAS_LOG, ATTEMPTS.ended_at <= CUTOFFS["logs"])
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
