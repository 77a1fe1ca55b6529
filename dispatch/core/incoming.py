"""What others send in: a CloudEvent that asks for a job, read and held against what is taken here. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import to_json

from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.problems import problems_of
from protocol.admin import Scope
from protocol.broker_events import VIDEO_UPLOADED, VideoUploadedData
from protocol.cloud_events import TYPE_PREFIX, CloudEvent
from protocol.errors import ERRORS, ErrorCode
from protocol.jobs import JobSubmission

ROUTE = "broker VideoUploaded"
TYPES = frozenset({VIDEO_UPLOADED, TYPE_PREFIX + VIDEO_UPLOADED})
LARGEST = 1 << 20
NO_KEYS = "content_keys do not go over a broker: submit this job by HTTP"
LATER = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.QUOTA_EXCEEDED, ErrorCode.IDEMPOTENCY_IN_PROGRESS})
"""Refusals that end by themselves: the event waits."""


class Unusable(ValueError):
    """No job can ever come of it; the text says why. With `is_secret` it holds what may not be kept anywhere."""

    def __init__(self, why: str, *, is_secret: bool = False) -> None:
        super().__init__(why)
        self.is_secret = is_secret


@dataclass(frozen=True, slots=True)
class Wanted:
    """One job, for whom, and what names the event: however often it comes, it is one job."""

    who: Caller
    submission: JobSubmission
    key: IdempotencyKey


def wanted_of(body: bytes, tenants: Sequence[str]) -> Wanted:
    """`tenants` are those that may be named; the first is meant where none is. Raises Unusable."""
    if len(body) > LARGEST:
        raise Unusable(f"larger than {LARGEST} bytes")
    if b'"content_keys"' in body:
        raise Unusable(NO_KEYS, is_secret=True)
    try:
        event = CloudEvent.model_validate_json(body)
    except ValidationError as invalid:
        raise Unusable(f"no CloudEvent 1.0 in structured JSON: {_told(invalid)}") from None
    if event.type not in TYPES:
        raise Unusable(f"the type is none of {', '.join(sorted(TYPES))}")
    try:
        data = VideoUploadedData.model_validate_json(to_json(event.data))
    except ValidationError as invalid:
        raise Unusable(f"data is no submission: {_told(invalid)}") from None
    if data.content_keys is not None:
        raise Unusable(NO_KEYS, is_secret=True)
    tenant = data.tenant or tenants[0]
    if tenant not in tenants:
        raise Unusable(f"the tenant {tenant} is none of nats.tenants")
    told = data.model_dump(exclude={"tenant"}, exclude_unset=True)
    submission = JobSubmission.model_validate_json(to_json(told))
    return Wanted(_caller(tenant), submission, _key(event, data))


def _caller(tenant: str) -> Caller:
    return Caller("broker", tenant, frozenset({Scope.JOBS_WRITE, Scope.FILES_WRITE}))


def _key(event: CloudEvent, data: VideoUploadedData) -> IdempotencyKey:
    name = hashlib.sha256(f"{event.source}\n{event.id}".encode()).hexdigest()
    said = hashlib.sha256(data.model_dump_json(exclude_unset=True).encode()).hexdigest()
    return IdempotencyKey(ROUTE, name, said)


def _told(invalid: ValidationError) -> str:
    return "; ".join(f"{one['field']}: {one['problem']}" for one in problems_of(invalid)[:5])


def is_passing(code: ErrorCode) -> bool:
    """Whether the same may be taken later: the event waits, and is no dead letter."""
    return ERRORS[code].status >= 500 or code in LATER
