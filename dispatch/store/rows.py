"""Records to rows and back. One codec per table: the columns in order, and the two conversions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Table

from dispatch.core.copying import maker
from dispatch.core.records import (
    NO_SOURCE,
    ApiKey,
    Attempt,
    AuditRow,
    Deletion,
    Delivery,
    Engine,
    Event,
    IdempotencyRow,
    Job,
    NewEvent,
    ProfileRow,
    Source,
    StagedRow,
    Task,
    Tenant,
    Upload,
    UsageRow,
    WebhookEndpoint,
)
from dispatch.store import schema
from dispatch.store.statements import Found, Values
from protocol.events import EventType
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState

R = TypeVar("R")
Params = dict[str, Any]  # column name -> a value SQLAlchemy binds
Convert = Callable[[Any], Any]  # conversions differ by column
Enums = Mapping[str, type[StrEnum]]


def _joined(words: tuple[str, ...]) -> str:
    return " ".join(words)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split()) if text else ()


def columns_of(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


class Codec(Generic[R]):
    """How a record lies in its table: lists joined by spaces (their words hold none), enums by value, flags as 0 and 1.

    Columns `aside` are no part of the record.
    """

    def __init__(
        self,
        table: Table,
        record: type[R],
        *,
        lists: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
        enums: Enums | None = None,
        aside: tuple[str, ...] = (),
    ) -> None:
        names = tuple(field.name for field in fields(record))  # type: ignore[arg-type]  # every record is a dataclass
        if names != tuple(name for name in columns_of(table) if name not in aside):
            raise TypeError(f"{record.__name__} and table {table.name} differ")
        enums = enums or {}
        self._names, self._make = names, maker(record)
        self._into: dict[str, Convert] = dict.fromkeys(lists, _joined) | dict.fromkeys(flags, int) | dict.fromkeys(enums, str)
        members: dict[str, Convert] = {name: {m.value: m for m in enum}.__getitem__ for name, enum in enums.items()}
        out_of: dict[str, Convert] = dict.fromkeys(lists, _split) | dict.fromkeys(flags, bool) | members
        self._out_of = tuple((names.index(name), convert) for name, convert in out_of.items())
        self.values = self.values_of(names)

    def values_of(self, names: Sequence[str]) -> Callable[[R], Values]:
        """What gives the values of these columns, at least two, in this order."""
        into = tuple((at, self._into[name]) for at, name in enumerate(names) if name in self._into)
        return _getter(tuple(names), into)

    def params(self, record: R) -> Params:
        return dict(zip(self._names, self.values(record), strict=True))

    def load(self, row: Found) -> R:
        values = list(row)
        for at, convert in self._out_of:
            values[at] = convert(values[at])
        return self._make(*values)


def _getter(names: tuple[str, ...], into: tuple[tuple[int, Convert], ...]) -> Callable[[Any], Values]:
    read: Callable[[Any], Values] = attrgetter(*names)

    def values(record: Any) -> Values:  # records of one kind each
        made = list(read(record))
        for at, convert in into:
            made[at] = convert(made[at])
        return tuple(made)

    return values if into else read


TASKS = Codec(schema.tasks, Task, lists=("needs", "tags", "avoid", "deaths"), enums={"kind": TaskKind, "state": TaskState})
ATTEMPTS = Codec(schema.attempts, Attempt, enums={"kind": TaskKind, "state": AttemptState})
STAGED = Codec(schema.staged_files, StagedRow)
ENGINES = Codec(schema.engines, Engine, lists=("tags", "own_tags"), enums={"state": EngineState})
KEYS = Codec(schema.api_keys, ApiKey, lists=("scopes", "allowed_ips"))
TENANTS = Codec(schema.tenants, Tenant, lists=("webhook_secrets",), flags=("untrusted",))
IDEMPOTENCY = Codec(schema.idempotency, IdempotencyRow)
USAGE = Codec(schema.usage, UsageRow, aside=("part",))
AUDIT = Codec(schema.audit, AuditRow)
PROFILES = Codec(schema.profiles, ProfileRow)
ENDPOINTS = Codec(schema.webhook_endpoints, WebhookEndpoint, lists=("events", "secrets"))
DELIVERIES = Codec(schema.webhook_deliveries, Delivery)
UPLOADS = Codec(schema.uploads, Upload, lists=("parts",))
DELETIONS = Codec(schema.deletions, Deletion)

JOB_COLUMNS = columns_of(schema.jobs)
_JOB_FIELDS = {
    "source_kind": "source.kind",
    "source_path": "source.path",
    "source_filename": "source.filename",
    "source_size": "source.size",
    "source_sha256": "source.sha256",
}
_make_job = maker(Job)
_JOB_STATES = {state.value: state for state in JobState}
_EVENT_TYPES = {type_.value: type_ for type_ in EventType}


def job_values_of(columns: Sequence[str]) -> Callable[[Job], Values]:
    """What gives the values of these columns of a job, in this order."""
    into = tuple((at, str) for at, name in enumerate(columns) if name == "state")
    return _getter(tuple(_JOB_FIELDS.get(name, name) for name in columns), into)


job_values = job_values_of(JOB_COLUMNS)


def load_job(row: Found) -> Job:
    (job_id, tenant, state, priority, profile, kind, path, filename, size, sha256, *rest) = row
    source = NO_SOURCE if kind == "none" else Source(kind, path, filename, size, sha256)
    return _make_job(job_id, tenant, _JOB_STATES[state], priority, profile, source, *rest)


def event_values(event: Event) -> Values:
    new = event.new
    return (
        event.seq,
        str(new.type),
        new.at,
        new.tenant,
        new.job_id,
        new.task_id,
        None if new.from_state is None else str(new.from_state),
        None if new.to_state is None else str(new.to_state),
        new.data_json,
    )


def load_event(row: Found) -> Event:
    seq, type_, *rest = row
    return Event(seq, NewEvent(_EVENT_TYPES[type_], *rest))
