"""What is kept for how long after a job's end, and which rows that makes due. Pure.

Outputs of completed jobs are never due: only their owner, or the job's own `expires_at`, purges them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from dispatch.core import purging
from dispatch.core.paging import Listing
from dispatch.core.purging import Purge, Reason
from dispatch.core.records import Graph, Job
from protocol.states import JobState

DAY_S = 86_400.0
LISTING = Listing("retention", (float, str, str, int))
"""Sorted by since when an item is kept, then by kind, job and token."""


class Kind(StrEnum):
    """An original in the storage, the record of a failed or cancelled job, an attempt's log, files past `expires_at`."""

    ORIGINAL = "original"
    RECORD = "record"
    LOG = "log"
    EXPIRED = "expired"


CONFIGURED = frozenset({Kind.ORIGINAL, Kind.RECORD, Kind.LOG})
"""What follows the settings, and so their `dry_run`; `expires_at` is the client's own wish."""

RECORD_STATES = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Spans:
    """Seconds after a job's end (logs: an attempt's end; audit: the entry). `is_dry`: what is due is told, not taken."""

    originals_s: float
    records_s: float
    logs_s: float
    audit_s: float
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Unix times: what ended by then is due."""

    now: float
    originals: float
    records: float
    logs: float
    audit: float


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is due. `since` is the end it is counted from; `token` names the attempt of a log, else 0."""

    kind: Kind
    job_id: str
    tenant: str
    path: str
    since: float
    size: int
    token: int = 0

    @property
    def place(self) -> tuple[float, str, str, int]:
        return self.since, self.kind, self.job_id, self.token


def cutoffs(spans: Spans, *, now: float) -> Cutoffs:
    return Cutoffs(now, now - spans.originals_s, now - spans.records_s, now - spans.logs_s, now - spans.audit_s)


def strength(item: Item) -> int:
    """Sorts what takes all of a job before what takes a part of it."""
    return (Kind.RECORD, Kind.EXPIRED, Kind.ORIGINAL, Kind.LOG).index(item.kind)


def taken(kind: Kind, graph: Graph, at: Cutoffs) -> Purge | None:
    """The purge that makes the item good; None when it is not due any more, such as after a retry."""
    if not is_due(kind, graph.job, at):
        return None
    match kind:
        case Kind.ORIGINAL:
            return purging.original(graph, Reason.RETENTION, now=at.now)
        case Kind.RECORD:
            return purging.everything(graph, Reason.RETENTION, now=at.now)
        case Kind.EXPIRED:
            return purging.files(graph, Reason.EXPIRED, now=at.now)
        case Kind.LOG:
            return None


def is_due(kind: Kind, job: Job, at: Cutoffs) -> bool:
    """The guard behind the query: the row may have moved on since."""
    if job.ended_at is None:
        return False
    match kind:
        case Kind.ORIGINAL:
            return purging.has_original(job) and job.ended_at <= at.originals
        case Kind.RECORD:
            return job.state in RECORD_STATES and job.ended_at <= at.records
        case Kind.EXPIRED:
            return job.expires_at is not None and job.expires_at <= at.now
        case Kind.LOG:
            return False


def last_old(events: Iterable[tuple[int, float]], before: float) -> int | None:
    """The number of the last of the leading events that are older than `before`; `events` are (seq, at), oldest first."""
    old = [seq for seq, _ in takewhile(lambda event: event[1] < before, events)]
    return old[-1] if old else None
