"""What a commit touched, as the other servers read it: ids of its rows; and those rows as they stand in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Table

from dispatch.core.records import Job
from dispatch.ports import Commit
from dispatch.store import rows, schema
from dispatch.store.statements import Found, Lookup, by_ids
from dispatch.store.transaction import SELECT_EVENTS_SINCE

Refs = dict[str, list[Any]]  # ids are words or numbers
Load = Callable[[Found], Any]  # each kind has its own record


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one table, by the field of a Commit that holds them. `gone` is the field with the ids of removed ones."""

    key: str
    lookup: Lookup
    load: Load
    gone: str | None = None


def _kind(table: Table, key: str, load: Load, gone: str | None = None) -> Kind:
    return Kind(key, Lookup(by_ids(table, key)), load, gone)


KINDS = {
    "jobs": _kind(schema.jobs, "job_id", rows.load_job),
    "tasks": _kind(schema.tasks, "task_id", rows.TASKS.load),
    "attempts": _kind(schema.attempts, "token", rows.ATTEMPTS.load),
    "engines": _kind(schema.engines, "engine_id", rows.ENGINES.load, "gone_engines"),
    "tenants": _kind(schema.tenants, "name", rows.TENANTS.load),
    "deliveries": _kind(schema.webhook_deliveries, "delivery_id", rows.DELIVERIES.load),
    "endpoints": _kind(schema.webhook_endpoints, "endpoint_id", rows.ENDPOINTS.load, "gone_endpoints"),
    "profiles": _kind(schema.profiles, "name", rows.PROFILES.load, "gone_profiles"),
}
NAMES = ("keys", "facts")
FORGOTTEN = "forgotten"
TAG = "tag"


def refs_of(commits: Iterable[Commit], forgotten: Iterable[Job]) -> Refs:
    """Jobs that were `forgotten` stand there whole: their rows cannot be read any more."""
    refs: Refs = {}
    for commit in commits:
        for name, kind in KINDS.items():
            _add(refs, name, (getattr(record, kind.key) for record in getattr(commit, name)))
            if kind.gone is not None:
                _add(refs, kind.gone, getattr(commit, kind.gone))
        for name in NAMES:
            _add(refs, name, getattr(commit, name))
    _add(refs, FORGOTTEN, (list(rows.job_values(job)) for job in forgotten))
    return refs


def packed(refs: Refs, tag: int) -> str:
    return orjson.dumps({TAG: tag, **refs}).decode()


def merged(texts: Iterable[str]) -> Refs:
    refs: Refs = {}
    for text in texts:
        for name, ids in orjson.loads(text).items():
            if name != TAG:
                _add(refs, name, ids)
    return refs


def load_commit(connection: Connection, refs: Mapping[str, list[Any]], after: int) -> Commit:
    """All that the refs name, as it stands in this snapshot, and the events with numbers above `after`."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, kind in KINDS.items():
        found[name] = tuple(kind.load(row) for row in kind.lookup.rows(connection, refs.get(name, [])))
        if kind.gone is not None:
            there = {getattr(record, kind.key) for record in found[name]}
            found[kind.gone] = tuple(id_ for id_ in refs.get(kind.gone, []) if id_ not in there)
    found["jobs"] += tuple(map(rows.load_job, refs.get(FORGOTTEN, [])))
    events = tuple(map(rows.load_event, SELECT_EVENTS_SINCE.rows(connection, (after,))))
    return Commit(events=events, **found, **{name: tuple(refs.get(name, ())) for name in NAMES})


def _add(refs: Refs, name: str, ids: Iterable[Any]) -> None:
    """Each once; whole jobs, which are lists, as they come."""
    known = refs.get(name, [])
    both = [*known, *ids] if name == FORGOTTEN else list(dict.fromkeys((*known, *ids)))
    if both:
        refs[name] = both
