"""Records to rows and back. One codec per table: the columns in order, and the two conversions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Table

from dispatch.core.records import (
    ApiKey,
    Attempt,
    Engine,
    Event,
    IdempotencyRow,
    Job,
    NewEvent,
    Source,
    StagedRow,
    Task,
    Tenant,
)
from dispatch.store import schema
from protocol.events import EventType
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState

R = TypeVar("R")
Params = dict[str, Any]  # column name -> a value SQLAlchemy binds


def _joined(words: tuple[str, ...]) -> str:
    return " ".join(words)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Codec(Generic[R]):
    """How one kind of record lies in its table. `special` converts the columns that are not stored as they are."""

    table: Table
    record: type[R]
    into: dict[str, Callable[[Any], Any]]  # conversions differ by column
    out_of: dict[str, Callable[[Any], Any]]  # likewise

    def params(self, record: R) -> Params:
        made = {name: getattr(record, name) for name in self.names}
        for name, convert in self.into.items():
            made[name] = convert(made[name])
        return made

    def changes(self, record: R, fixed: frozenset[str]) -> Params:
        """The parameters of an update: a `fixed` column must not be named, or it would be set as well."""
        made = self.params(record)
        for name in fixed:
            del made[name]
        return made

    def load(self, row: Row[Any]) -> R:
        values = list(row)
        for index, convert in self.converters:
            values[index] = convert(values[index])
        return self.record(*values)

    @property
    def names(self) -> tuple[str, ...]:
        return _NAMES[self.table.name]

    @property
    def converters(self) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        return _CONVERTERS[self.table.name]


_NAMES: dict[str, tuple[str, ...]] = {}
_CONVERTERS: dict[str, tuple[tuple[int, Callable[[Any], Any]], ...]] = {}


def _codec(
    table: Table,
    record: type[R],
    *,
    lists: tuple[str, ...] = (),
    enums: dict[str, Callable[[Any], Any]] | None = None,
) -> Codec[R]:
    """Lists are stored joined by spaces (their words hold none), enums by their value."""
    enums = enums or {}
    into: dict[str, Callable[[Any], Any]] = dict.fromkeys(lists, _joined) | dict.fromkeys(enums, str)
    out_of: dict[str, Callable[[Any], Any]] = dict.fromkeys(lists, _split) | dict(enums)
    names = tuple(field.name for field in fields(record))  # type: ignore[arg-type]  # every record is a dataclass
    if names != tuple(column.name for column in table.columns):
        raise TypeError(f"{record.__name__} and table {table.name} differ")
    _NAMES[table.name] = names
    _CONVERTERS[table.name] = tuple((names.index(name), convert) for name, convert in out_of.items())
    return Codec(table, record, into, out_of)


TASKS = _codec(schema.tasks, Task, lists=("needs", "tags", "avoid", "deaths"), enums={"kind": TaskKind, "state": TaskState})
ATTEMPTS = _codec(schema.attempts, Attempt, enums={"kind": TaskKind, "state": AttemptState})
STAGED = _codec(schema.staged_files, StagedRow)
ENGINES = _codec(schema.engines, Engine, lists=("tags",), enums={"state": EngineState})
KEYS = _codec(schema.api_keys, ApiKey, lists=("scopes",))
TENANTS = _codec(schema.tenants, Tenant)
IDEMPOTENCY = _codec(schema.idempotency, IdempotencyRow)

JOB_COLUMNS = tuple(column.name for column in schema.jobs.columns)
_JOB_PLAIN = tuple(field.name for field in fields(Job) if field.name not in ("state", "source"))


def job_params(job: Job) -> Params:
    made = {name: getattr(job, name) for name in _JOB_PLAIN}
    source = job.source
    made["state"] = job.state.value
    made["source_kind"], made["source_path"] = source.kind, source.path
    made["source_filename"], made["source_size"] = source.filename, source.size
    return made


def load_job(row: Row[Any]) -> Job:
    (job_id, tenant, state, priority, profile, kind, path, filename, size, *rest) = tuple(row)
    return Job(job_id, tenant, JobState(state), priority, profile, Source(kind, path, filename, size), *rest)


def event_params(event: Event) -> Params:
    new = event.new
    return {
        "seq": event.seq,
        "type": new.type.value,
        "at": new.at,
        "tenant": new.tenant,
        "job_id": new.job_id,
        "task_id": new.task_id,
        "from_state": new.from_state,
        "to_state": new.to_state,
        "data_json": new.data_json,
    }


def load_event(row: Row[Any]) -> Event:
    seq, type_, *rest = tuple(row)
    return Event(seq, NewEvent(EventType(type_), *rest))
