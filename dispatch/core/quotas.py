"""Whether a tenant may have more jobs or bytes. The caller counts, in the transaction that then adds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.core.records import Job, Tenant
from dispatch.core.usage import month_end
from protocol.errors import ErrorCode, ReelyardError

IN_PLACE = frozenset({"server", "s3"})
"""Kinds of sources whose bytes are known and come in with the job itself."""

QUEUE_RETRY_S = 30.0
"""When to try again after too many jobs: nobody can know when one ends."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tenant has: jobs not yet ended, and bytes taken in this month, those of its jobs and uploads included."""

    open_jobs: int = 0
    month_bytes: int = 0


def is_limited(tenant: Tenant) -> bool:
    return tenant.max_queued is not None or tenant.max_bytes_per_month is not None


def refusal(tenant: Tenant, has: Standing, *, jobs: int, size: int, now: float) -> ReelyardError | None:
    """QUOTA_EXCEEDED when so many jobs or bytes more are too many; None when they are not."""
    if tenant.max_queued is not None and jobs and has.open_jobs + jobs > tenant.max_queued:
        return _exceeded("max_queued", tenant.max_queued, has.open_jobs, "jobs that have not ended", QUEUE_RETRY_S)
    most = tenant.max_bytes_per_month
    if most is not None and size and has.month_bytes + size > most:
        return _exceeded("max_bytes_per_month", most, has.month_bytes, "bytes of input this month", month_end(now) - now)
    return None


def refusals(tenant: Tenant, has: Standing, jobs: Sequence[Job], *, now: float) -> dict[str, ReelyardError]:
    """By job, those of a batch that are too many; the others count for those after them.

    The bytes of an upload were judged before they came, so here they only count.
    """
    refused: dict[str, ReelyardError] = {}
    for job in jobs:
        size = job.source.size if job.source.kind in IN_PLACE else 0
        no = refusal(tenant, has, jobs=1, size=size, now=now)
        if no is not None:
            refused[job.job_id] = no
            continue
        has = Standing(has.open_jobs + 1, has.month_bytes + size)
    return refused


def _exceeded(quota: str, limit: int, used: int, what: str, retry_after: float) -> ReelyardError:
    details: dict[str, object] = {"quota": quota, "limit": limit, "used": used}
    message = f"the tenant has {used} {what}, and its quota is {limit}"
    return ReelyardError(ErrorCode.QUOTA_EXCEEDED, message, details=details, retry_after=retry_after)
