"""Which failed jobs are dead letters: those that failed by no fault of their client. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch.core.paging import Listing
from dispatch.core.planning import load_profile
from dispatch.core.records import Attempt, Job
from dispatch.core.times import rfc3339
from dispatch.core.views import attempt_view, error_view
from protocol.care import DeadLetter
from protocol.errors import ErrorCode, FailureClass
from protocol.results import Failure
from protocol.states import JobState

LISTING = Listing("dead letters", (float, str))
"""Sorted by the moment of failure, newest first, then by job."""

CLIENTS_FAULT = frozenset({FailureClass.INPUT, FailureClass.POLICY})


def is_dead_letter(job: Job) -> bool:
    """A quarantined job is one, whatever its class: an operator has to look at it."""
    if job.state is not JobState.FAILED or job.error_json is None:
        return False
    failure = Failure.model_validate_json(job.error_json)
    return failure.code is ErrorCode.TASK_POISONOUS or failure.failure_class not in CLIENTS_FAULT


def dead_letter(job: Job, attempts: Sequence[Attempt]) -> DeadLetter:
    return DeadLetter(
        job_id=job.job_id,
        tenant=job.tenant,
        profile=load_profile(job.profile_json).name,
        priority=job.priority,
        created_at=rfc3339(job.created_at),
        failed_at=rfc3339(job.ended_at or job.updated_at),
        error=error_view(job.error_json or "{}"),
        attempts=tuple(attempt_view(attempt) for attempt in attempts),
    )
