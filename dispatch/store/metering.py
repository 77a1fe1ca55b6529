"""The part of a transaction about what tenants use: sums by key and day, counts of jobs, quotas, profiles that were put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal_column, select, text

from dispatch.core.metering import HeldCount, JobCount, UsageFilter
from dispatch.core.paging import Slice
from dispatch.core.quotas import Standing
from dispatch.core.records import NO_TENANT, ProfileRow, Task, Tenant, UsageRow
from dispatch.core.usage import Tally, month_of
from dispatch.store import rows, schema
from dispatch.store.backlog import BacklogQueries
from dispatch.store.keyset import Order, load_slice
from dispatch.store.naming import total
from dispatch.store.statements import Statement, Values
from protocol.states import LIGHT_TASK_KINDS, TERMINAL_JOB_STATES, JobState

OPEN = tuple(state.value for state in JobState if state not in TERMINAL_JOB_STATES)
LIGHT = tuple(kind.value for kind in LIGHT_TASK_KINDS)
HOLDING = ("open", "finished")
ACCOUNT = ("day", "tenant", "key_id")
PLACE = (*ACCOUNT, "part")
AMOUNTS = tuple(column.name for column in schema.usage.columns if column.name not in PLACE)
SUMS = tuple(total(schema.usage.c[name]).label(name) for name in AMOUNTS)

_COLUMNS = (*PLACE, *AMOUNTS)
_ADDED = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in AMOUNTS)
ADD_USAGE = Statement(
    text(
        f"INSERT INTO usage ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "
        f"ON CONFLICT ({', '.join(PLACE)}) DO UPDATE SET {_ADDED}"
    ),
    _COLUMNS,
)
"""In one statement: one that looks for the row first would, on PostgreSQL, conflict with all who add rows beside it."""

SELECT_HELD = (
    select(schema.tasks)
    .join(
        schema.attempts, (schema.attempts.c.task_id == schema.tasks.c.task_id) & (schema.attempts.c.token == schema.tasks.c.token)
    )
    .where(schema.IS_LIVE)
)


def write_usage(connection: Connection, tally: Tally, part: str = "") -> None:
    """Add what a batch used to its days and keys: few rows, whatever the number of jobs.

    Transactions that run side by side have each a `part` of their own: of two that add to one row, one would be undone.
    """
    ADD_USAGE.run_many(connection, [(*_values(row, ACCOUNT), part, *_values(row, AMOUNTS)) for row in tally.rows()])


def _values(row: UsageRow, names: Sequence[str]) -> Values:
    return tuple(getattr(row, name) for name in names)


class MeterQueries(BacklogQueries):
    """Mixed into SqlTransaction. `used` is what this transaction used, `used_before` what those before it in the batch did."""

    _connection: Connection
    used: Tally
    used_before: Tally
    put_profiles: list[ProfileRow]
    gone_profiles: list[str]

    def tenant(self, name: str) -> Tenant | None:
        found = self._connection.execute(select(schema.tenants).where(schema.tenants.c.name == name)).first()
        return None if found is None else rows.TENANTS.load(found)

    def has_jobs(self, tenant: str) -> bool:
        one = select(schema.jobs.c.job_id).where(schema.jobs.c.tenant == tenant).limit(1)
        return self._connection.execute(one).first() is not None

    # --- quotas

    def standing(self, tenant: Tenant, now: float) -> Standing:
        """Counted only as far as a quota asks for it: the jobs of its state index, never more than the quota allows."""
        jobs, size = 0, 0
        if tenant.max_queued is not None:
            few = select(schema.jobs.c.job_id).where(*_open_of(tenant.name)).limit(tenant.max_queued).subquery()
            jobs = self._number(select(func.count()).select_from(few))
        if tenant.max_bytes_per_month is not None:
            size = self._month_bytes(tenant.name, month_of(now)) + self._uploads(tenant.name)
        return Standing(jobs, size)

    def _month_bytes(self, tenant: str, month: str) -> int:
        """Of the month's ended jobs, and of all that have not ended."""
        usage, jobs = schema.usage, schema.jobs
        days = usage.c.day.between(f"{month}-01", f"{month}-31")
        ended = self._number(select(func.sum(usage.c.input_bytes)).where(usage.c.tenant == tenant, days))
        waiting = self._number(select(func.sum(jobs.c.source_size)).where(*_open_of(tenant)))
        unwritten = self.used_before.input_bytes(tenant, month) + self.used.input_bytes(tenant, month)
        return ended + unwritten + waiting

    def _uploads(self, tenant: str) -> int:
        """Bytes of uploads that are no job yet. One put together of parts counts by its parts."""
        table = schema.uploads
        size = func.sum(func.coalesce(table.c.size, table.c.received))
        return self._number(select(size).where(table.c.tenant == tenant, table.c.state.in_(HOLDING), table.c.parts == ""))

    def _number(self, statement: Select[Any]) -> int:  # one number, or none
        return int(self._connection.execute(statement).scalar() or 0)

    # --- usage and counts

    def list_usage(self, wanted: UsageFilter) -> Slice[UsageRow]:
        account = [schema.usage.c[name] for name in ACCOUNT]
        summed = select(*account, *SUMS).where(*_usage_conditions(wanted)).group_by(*account).subquery("summed")
        newest = Order(*(summed.c[name] for name in ACCOUNT), is_descending=True)
        return load_slice(self._connection, select(summed), newest, wanted.page, rows.USAGE.load)

    def usage_sums(self, tenant: str | None) -> list[UsageRow]:
        table = schema.usage
        owner = table.c.tenant.concat(
            literal_column("''")
        )  # grouped by the bare column, every row would be looked up by way of its index
        statement = select(owner, *SUMS).group_by(owner)
        if tenant is not None:
            statement = statement.where(table.c.tenant == tenant)
        return [UsageRow("", row[0], "", *row[1:]) for row in self._connection.execute(statement)]

    def open_jobs(self, tenant: str | None) -> list[JobCount]:
        table = schema.jobs
        statement = select(table.c.tenant, table.c.state, func.count()).where(table.c.state.in_(OPEN))
        statement = statement.where(table.c.tenant != NO_TENANT if tenant is None else table.c.tenant == tenant)
        found = self._connection.execute(statement.group_by(table.c.state, table.c.tenant))
        return [JobCount(owner, JobState(state), count) for owner, state, count in found]

    def held_counts(self, tenant: str | None) -> list[HeldCount]:
        tasks, attempts = schema.tasks, schema.attempts
        counted = select(tasks.c.tenant, attempts.c.engine_id, func.count())
        joined = counted.join(attempts, attempts.c.task_id == tasks.c.task_id)
        statement = joined.where(schema.IS_LIVE, attempts.c.token == tasks.c.token, tasks.c.kind.not_in(LIGHT))
        if tenant is not None:
            statement = statement.where(tasks.c.tenant == tenant)
        found = self._connection.execute(statement.group_by(tasks.c.tenant, attempts.c.engine_id))
        return [HeldCount(*row) for row in found]

    def held_tasks(self) -> list[Task]:
        return [rows.TASKS.load(row) for row in self._connection.execute(SELECT_HELD)]

    # --- profiles

    def profiles(self) -> list[ProfileRow]:
        statement = select(schema.profiles).order_by(schema.profiles.c.name)
        return [rows.PROFILES.load(row) for row in self._connection.execute(statement)]

    def profile(self, name: str) -> ProfileRow | None:
        found = self._connection.execute(select(schema.profiles).where(schema.profiles.c.name == name)).first()
        return None if found is None else rows.PROFILES.load(found)

    def put_profile(self, profile: ProfileRow) -> None:
        self._connection.execute(delete(schema.profiles).where(schema.profiles.c.name == profile.name))
        self._connection.execute(insert(schema.profiles), rows.PROFILES.params(profile))
        self.put_profiles.append(profile)

    def delete_profile(self, name: str) -> None:
        self._connection.execute(delete(schema.profiles).where(schema.profiles.c.name == name))
        self.gone_profiles.append(name)


def _open_of(tenant: str) -> tuple[ColumnElement[bool], ...]:
    return schema.jobs.c.state.in_(OPEN), schema.jobs.c.tenant == tenant


def _usage_conditions(wanted: UsageFilter) -> list[ColumnElement[bool]]:
    table = schema.usage
    conditions: list[ColumnElement[bool]] = []
    if wanted.tenant is not None:
        conditions.append(table.c.tenant == wanted.tenant)
    if wanted.key_id is not None:
        conditions.append(table.c.key_id == wanted.key_id)
    if wanted.first_day is not None:
        conditions.append(table.c.day >= wanted.first_day)
    if wanted.last_day is not None:
        conditions.append(table.c.day <= wanted.last_day)
    return conditions
