"""Types of events. The `events` table is history and outbox in one; each row has one of these types."""

from __future__ import annotations

from enum import StrEnum

from protocol.base import Identifier, Message


class EventType(StrEnum):
    JOB_CREATED = "JobCreated"
    JOB_ASSIGNED = "JobAssigned"
    TRANSCODING_STARTED = "TranscodingStarted"
    PROGRESS_UPDATED = "ProgressUpdated"  # live only, never stored
    JOB_WAITING = "JobWaiting"  # back to pending
    JOB_RETRYING = "JobRetrying"
    JOB_COMPLETING = "JobCompleting"
    JOB_FINISHED = "JobFinished"
    JOB_FAILED = "JobFailed"
    JOB_CANCELLED = "JobCancelled"
    JOB_CHANGED = "JobChanged"  # by a client while it waits; `data` names the fields
    JOB_PURGED = "JobPurged"  # files or all of it; `data` says what, and why
    TASK_CHANGED = "TaskChanged"
    ENGINE_REGISTERED = "EngineRegistered"
    ENGINE_CHANGED = "EngineChanged"
    ENGINE_OFFLINE = "EngineOffline"


class EventView(Message):
    """One event as clients see it: the id of the SSE message is `seq`."""

    seq: int
    type: EventType
    job_id: Identifier | None
    task_id: Identifier | None
    from_state: str | None
    to_state: str | None
    at: str
    data: dict[str, object]
