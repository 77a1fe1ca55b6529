"""What a list of jobs is asked for, parsed from the query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from dispatch.core import times
from dispatch.core.callers import Caller
from dispatch.core.paging import FIRST, Listing, Wanted, refuse, wanted_of
from dispatch.core.tenancy import asked_for
from protocol.states import JobState, JobStatus

METADATA = "metadata."
LONGEST_TEXT, MOST_MATCHES, DEEPEST = 200, 10, 2
_SCALAR = re.compile(r"true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
SORTS = ("created_at", "completed_at", "priority")
STATES_OF_STATUS: dict[JobStatus, tuple[JobState, ...]] = {
    JobStatus.PENDING: (JobState.PENDING, JobState.RETRYING),
    JobStatus.VALIDATING: (JobState.ASSIGNED,),
    JobStatus.PROCESSING: (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETING),
    JobStatus.COMPLETED: (JobState.COMPLETED,),
    JobStatus.FAILED: (JobState.FAILED,),
    JobStatus.CANCELLED: (JobState.CANCELLED,),
}


@dataclass(frozen=True, slots=True)
class MetadataMatch:
    """An entry of the metadata, or one within an entry, by the JSON texts it may have: `3` as well as `"3"`."""

    path: tuple[str, ...]
    texts: tuple[str, ...]


FAR = 10_000
"""Rows that are passed over by an offset before it is a search."""


class JobVersion(NamedTuple):
    """What a view of a job depends on."""

    job_id: str
    tenant: str
    version: int


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list may ask for; None means any.

    `is_validating` splits the state assigned: True is while the input is not yet analyzed, False what comes after.
    A job that has not completed sorts as completed at 0. `text` is found in the id, the file's name and the metadata,
    whatever its case (of ASCII letters); each entry of `metadata` must be there.
    """

    tenant: str | None = None
    states: tuple[str, ...] = ()
    is_validating: bool | None = None
    created_after: float | None = None
    created_before: float | None = None
    text: str | None = None
    metadata: tuple[MetadataMatch, ...] = ()
    sort: str = "created_at"
    descending: bool = True
    page: Wanted = FIRST

    @property
    def listing(self) -> Listing:
        return listing_of(self.sort, descending=self.descending)

    @property
    def is_search(self) -> bool:
        """Whether no index finds the page: very many jobs may have to be looked at."""
        return bool(self.text or self.metadata) or self.sort != "created_at" or self.page.offset > FAR


def listing_of(sort: str, *, descending: bool) -> Listing:
    """A place is the sort value and the job's id."""
    return Listing(f"jobs {sort} {'desc' if descending else 'asc'}", (float, str))


def parse(query: Mapping[str, str], caller: Caller) -> JobFilter:
    """Raises VALIDATION_FAILED, naming the parameter. A caller sees its own tenant; an admin any."""
    states, is_validating = _states(query)
    sort = _word(query, "sort", SORTS, "created_at")
    descending = _word(query, "order", ("asc", "desc"), "desc") == "desc"
    return JobFilter(
        tenant=asked_for(query, caller),
        states=states,
        is_validating=is_validating,
        created_after=_moment(query, "created_after"),
        created_before=_moment(query, "created_before"),
        text=_text(query),
        metadata=_matches(query),
        sort=sort,
        descending=descending,
        page=wanted_of(query, listing_of(sort, descending=descending)),
    )


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


def _moment(query: Mapping[str, str], name: str) -> float | None:
    if name not in query:
        return None
    try:
        return times.parse(query[name])
    except ValueError:
        raise refuse(name, "must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z") from None


def _text(query: Mapping[str, str]) -> str | None:
    text = query.get("q")
    if text is not None and not 1 <= len(text) <= LONGEST_TEXT:
        raise refuse("q", f"must be 1 to {LONGEST_TEXT} characters")
    return text


def _matches(query: Mapping[str, str]) -> tuple[MetadataMatch, ...]:
    found = tuple(_match(name, value) for name, value in query.items() if name.startswith(METADATA))
    if len(found) > MOST_MATCHES:
        raise refuse("metadata", f"at most {MOST_MATCHES} entries can be searched at once")
    return found


def _match(name: str, value: str) -> MetadataMatch:
    """`metadata.a=x`, or `metadata.a.b=x` for an entry within an entry. A value that reads as JSON is meant so too."""
    path = tuple(name.removeprefix(METADATA).split("."))
    if len(path) > DEEPEST or not all(path):
        raise refuse(name[:100], "names an entry of the metadata, or one within it, as in metadata.a or metadata.a.b")
    if any('"' in key or "\\" in key for key in path):
        raise refuse(name[:100], "names a key with a quote or a backslash, which cannot be searched")
    texts = [orjson.dumps(value).decode()]
    if _SCALAR.fullmatch(value):
        texts.append(value)
    return MetadataMatch(path, tuple(texts))
