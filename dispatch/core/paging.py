"""What a list of jobs is asked for, parsed from the query; cursors are opaque to clients."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from dispatch.core import times
from dispatch.core.callers import Caller
from dispatch.core.records import Job
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import JobState, JobStatus

DEFAULT_LIMIT, MOST = 50, 200
SORTS = ("created_at", "completed_at", "priority")
STATES_OF_STATUS: dict[JobStatus, tuple[JobState, ...]] = {
    JobStatus.PENDING: (JobState.PENDING, JobState.RETRYING),
    JobStatus.VALIDATING: (JobState.ASSIGNED,),
    JobStatus.PROCESSING: (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETING),
    JobStatus.COMPLETED: (JobState.COMPLETED,),
    JobStatus.FAILED: (JobState.FAILED,),
    JobStatus.CANCELLED: (JobState.CANCELLED,),
}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list may ask for; None means any. `after` is the cursor: (sort value, job_id) of the last row seen.

    `is_validating` splits the state assigned: True is while the input is not yet analyzed, False what comes after.
    """

    tenant: str | None = None
    states: tuple[str, ...] = ()
    is_validating: bool | None = None
    created_after: float | None = None
    created_before: float | None = None
    sort: str = "created_at"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: tuple[float, str] | None = None


def parse(query: Mapping[str, str], caller: Caller) -> JobFilter:
    """Raises VALIDATION_FAILED, naming the parameter. A caller sees its own tenant; an admin any."""
    states, is_validating = _states(query)
    return JobFilter(
        tenant=query.get("tenant") if caller.is_admin else caller.tenant,
        states=states,
        is_validating=is_validating,
        created_after=_moment(query, "created_after"),
        created_before=_moment(query, "created_before"),
        sort=_word(query, "sort", SORTS, "created_at"),
        descending=_word(query, "order", ("asc", "desc"), "desc") == "desc",
        limit=number(query, "limit", DEFAULT_LIMIT, least=1, most=MOST),
        offset=number(query, "offset", 0, least=0, most=1_000_000_000),
        after=_cursor(query["cursor"]) if "cursor" in query else None,
    )


def refuse(name: str, problem: str) -> ReelyardError:
    details: dict[str, object] = {"problems": [{"field": name, "problem": problem}]}
    return ReelyardError(ErrorCode.VALIDATION_FAILED, f"{name}: {problem}", details=details)


def _states(query: Mapping[str, str]) -> tuple[tuple[str, ...], bool | None]:
    states: tuple[str, ...] = ()
    is_validating: bool | None = None
    if "state" in query and "status" in query:
        raise refuse("status", "ask for state or for status, not for both")
    if "state" in query:
        states = tuple(_word({"state": s}, "state", tuple(JobState), "") for s in query["state"].split(","))
    if "status" in query:
        status = JobStatus(_word(query, "status", tuple(JobStatus), ""))
        states = tuple(str(state) for state in STATES_OF_STATUS[status])
        is_validating = {JobStatus.VALIDATING: True, JobStatus.PROCESSING: False}.get(status)
    return states, is_validating


def _word(query: Mapping[str, str], name: str, known: tuple[str, ...], default: str) -> str:
    value = query.get(name, default)
    if value not in known:
        raise refuse(name, f"must be one of {', '.join(known)}")
    return value


def number(query: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise refuse(name, f"must be a whole number from {least} to {most}")
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> float | None:
    if name not in query:
        return None
    try:
        return times.parse(query[name])
    except ValueError:
        raise refuse(name, "must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z") from None


def query_of(wanted: JobFilter) -> dict[str, str]:
    """The same question as a query again, but for the place in the list."""
    asked = {"limit": str(wanted.limit), "sort": wanted.sort, "order": "desc" if wanted.descending else "asc"}
    if wanted.tenant is not None:
        asked["tenant"] = wanted.tenant
    if wanted.is_validating is not None:
        asked["status"] = str(JobStatus.VALIDATING if wanted.is_validating else JobStatus.PROCESSING)
    elif wanted.states:
        asked["state"] = ",".join(wanted.states)
    if wanted.created_after is not None:
        asked["created_after"] = times.rfc3339(wanted.created_after)
    if wanted.created_before is not None:
        asked["created_before"] = times.rfc3339(wanted.created_before)
    return asked


def sort_value(job: Job, sort: str) -> float:
    match sort:
        case "completed_at":
            return job.completed_at or 0.0
        case "priority":
            return float(job.priority)
        case _:
            return job.created_at


def cursor_of(job: Job, sort: str) -> str:
    return base64.urlsafe_b64encode(f"{sort_value(job, sort)!r} {job.job_id}".encode()).decode().rstrip("=")


def _cursor(text: str) -> tuple[float, str]:
    try:
        value, _, job_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        seen = float(value)
    except (ValueError, binascii.Error):
        seen, job_id = math.nan, ""
    if math.isnan(seen) or not job_id:
        raise refuse("cursor", "is not a cursor of this server; leave it out to start over")
    return seen, job_id
