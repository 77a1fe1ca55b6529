"""What a purge takes from a job that has ended, and which bytes go with it. Pure.

Rows go first, bytes later: whoever acts on this saves the rows with the paths, and the paths are removed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import orjson

from dispatch.core import times
from dispatch.core.copying import replace
from dispatch.core.machine import InvalidTransition
from dispatch.core.originals import brought_paths
from dispatch.core.paging import refuse
from dispatch.core.publication import published_prefix
from dispatch.core.records import PURGED, Graph, Job, NewEvent
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType
from protocol.states import TERMINAL_JOB_STATES, JobState

LONGEST_EXPIRY_S = 3653 * 86_400.0
"""Ten years, leap days included."""


class Reason(StrEnum):
    """Who wanted it: a client, the job's own `expires_at`, the retention settings, an operator at the dead letters."""

    ASKED = "asked"
    EXPIRED = "expired"
    RETENTION = "retention"
    DISCARDED = "discarded"
    VALIDATED = "validated"


class Scope(StrEnum):
    """What was purged: what it published, its original, both, or all that is known of it."""

    OUTPUTS = "outputs"
    ORIGINAL = "original"
    FILES = "files"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Purge:
    """`after` is the job without it, None when nothing is left; `paths` are files or directories in the storage."""

    before: Graph
    after: Graph | None
    paths: tuple[str, ...]
    event: NewEvent


def outputs(graph: Graph, reason: Reason, *, now: float) -> Purge | None:
    """None when they are gone already. Raises OUTPUTS_NOT_READY unless the job has completed."""
    job = graph.job
    if job.state is not JobState.COMPLETED:
        raise ReelyardError(ErrorCode.OUTPUTS_NOT_READY, details={"state": str(job.state)})
    if job.outputs_purged_at is not None:
        return None
    return _made(graph, _without_outputs(job, now=now), (published_prefix(job),), Scope.OUTPUTS, reason, now=now)


def original(graph: Graph, reason: Reason, *, now: float) -> Purge | None:
    """The original in the storage and the client's own picture; a file the server reads in place is never touched.

    What was staged goes with its original: the job cannot be tried again then. None when there is nothing to take.
    """
    _require_ended(graph, "purge")
    job = graph.job
    if not has_original(job):
        return None
    return _made(graph, _without_original(job, now=now), _given_up(job), Scope.ORIGINAL, reason, now=now)


def files(graph: Graph, reason: Reason, *, now: float) -> Purge | None:
    """The outputs and the original. None when neither is there."""
    _require_ended(graph, "purge")
    job = graph.job
    has_outputs = job.state is JobState.COMPLETED and job.outputs_purged_at is None
    if not has_outputs and not has_original(job):
        return None
    after = _without_original(job, now=now)
    after = _without_outputs(after, now=now) if has_outputs else after
    published = (published_prefix(job),) if has_outputs else ()
    return _made(graph, after, (*published, *_given_up(job)), Scope.FILES, reason, now=now)


def everything(graph: Graph, reason: Reason, *, now: float) -> Purge:
    """All that is known of the job, and every file of it. Raises INVALID_TRANSITION unless it has ended."""
    _require_ended(graph, "purge")
    job = graph.job
    return _made(graph, None, (published_prefix(job), *_original_paths(job), _staging(job)), Scope.JOB, reason, now=now)


def _made(graph: Graph, after: Job | None, paths: tuple[str, ...], scope: Scope, reason: Reason, *, now: float) -> Purge:
    job = graph.job
    told = orjson.dumps({"scope": scope, "reason": reason}).decode()
    event = NewEvent(EventType.JOB_PURGED, now, job.tenant, job.job_id, None, job.state.value, None, told)
    return Purge(graph, None if after is None else replace(graph, job=after), paths, event)


def _require_ended(graph: Graph, what: str) -> None:
    if graph.job.state not in TERMINAL_JOB_STATES:
        raise InvalidTransition(f"job {graph.job.job_id}", graph.job.state, what)


def _without_outputs(job: Job, *, now: float) -> Job:
    return replace(job, outputs_json=None, keys_sealed=None, outputs_purged_at=now, updated_at=now)


def _without_original(job: Job, *, now: float) -> Job:
    source = replace(job.source, kind=PURGED, path="") if job.source.kind == "storage" else job.source
    return replace(job, source=source, thumbnail_json=None, attachments_json=None, updated_at=now)


def has_original(job: Job) -> bool:
    """Whether something that came in for it lies in the storage: its original, the client's own picture, files beside."""
    return job.source.kind == "storage" or job.thumbnail_json is not None or job.attachments_json is not None


def _original_paths(job: Job) -> tuple[str, ...]:
    """What came in for the job."""
    return tuple(path for path in brought_paths(job) if is_of(job, path))


def _staging(job: Job) -> str:
    return f"staging/{job.job_id}"


def _given_up(job: Job) -> tuple[str, ...]:
    """What came in, and what was staged, unless the job may still be tried again from a file or a URL outside."""
    return (*_original_paths(job), _staging(job)) if job.source.kind == "storage" else _original_paths(job)


def is_of(job: Job, path: str) -> bool:
    """Whether the file was made for this job alone: its name, or a directory above it, begins with the job's id."""
    return any(name == job.job_id or name.startswith(f"{job.job_id}_") for name in path.split("/"))


def expiry_of(text: str | None, *, now: float) -> float | None:
    """The moment from which a submission's files are purged. Raises VALIDATION_FAILED as `moment_ahead` does."""
    return moment_ahead("expires_at", text, now=now)


def moment_ahead(name: str, text: str | None, *, now: float) -> float | None:
    """The moment a submission names. Raises VALIDATION_FAILED for one that is none, has passed, or is too far ahead."""
    if text is None:
        return None
    try:
        moment = times.parse(text)
    except ValueError:
        raise refuse(name, "must be an RFC 3339 time with an offset, such as 2027-01-31T12:00:00Z") from None
    if not now < moment <= now + LONGEST_EXPIRY_S:
        raise refuse(name, "must lie ahead, by ten years at most")
    return moment
