"""What `data` holds in each type of CloudEvent that leaves the farm over a broker, and in the one that comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, JsonValue

from protocol.base import Identifier, Message
from protocol.events import EventType
from protocol.jobs import JobSubmission

VIDEO_TRANSCODED, VIDEO_UPLOADED, ENGINE_HEARTBEAT = "VideoTranscoded", "VideoUploaded", "EngineHeartbeat"
Json = dict[str, JsonValue]


class JobEventData(Message):
    """`details` is what the event itself says: the fields of a change, what was purged and why. `error` is of a failed job."""

    job_id: Identifier
    tenant: str
    from_state: str | None
    to_state: str | None
    profile: str | None = None
    created_at: str | None = None
    user_metadata: Json = {}
    error: Json | None = None
    links: Json = {}
    details: Json = {}


class TaskEventData(Message):
    """`details` names the kind of work and the engine, where there is one."""

    job_id: Identifier
    task_id: Identifier
    tenant: str
    from_state: str | None
    to_state: str | None
    details: Json = {}


class EngineEventData(Message):
    engine_id: Identifier
    from_state: str | None
    to_state: str | None


class VideoTranscodedData(Message):
    """A job that has completed. Links are the stable ones: they need a key and do not expire; absolute with `api.public_url`.

    `outputs` is null where a job has none, or more than fits the broker's largest message.
    """

    job_id: Identifier
    tenant: str
    profile: str
    created_at: str
    outputs: Json | None
    user_metadata: Json
    links: Json


class ProgressData(Message):
    job_id: Identifier
    tenant: str
    progress_percent: float
    steps: tuple[Json, ...]


class EngineHeartbeatData(Message):
    engine_id: Identifier
    name: str
    state: str
    load: Json
    slots: Json


class VideoUploadedData(JobSubmission):
    """A submission as `POST /jobs` takes it, and for which tenant; by default the first of `nats.tenants`.

    Content keys are refused: what is sent to a broker lies on its disk.
    """

    tenant: Annotated[str, Field(min_length=1, max_length=64)] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One type of event. A `live` one is never kept: who does not listen at that moment misses it."""

    data: type[Message]
    live: bool = False


EVENTS_OUT: dict[str, Told] = {
    **{
        name.value: Told(JobEventData)
        for name in (
            EventType.JOB_CREATED,
            EventType.JOB_ASSIGNED,
            EventType.TRANSCODING_STARTED,
            EventType.JOB_WAITING,
            EventType.JOB_RETRYING,
            EventType.JOB_COMPLETING,
            EventType.JOB_FINISHED,
            EventType.JOB_FAILED,
            EventType.JOB_CANCELLED,
            EventType.JOB_CHANGED,
            EventType.JOB_PURGED,
        )
    },
    VIDEO_TRANSCODED: Told(VideoTranscodedData),
    EventType.TASK_CHANGED.value: Told(TaskEventData),
    EventType.ENGINE_REGISTERED.value: Told(EngineEventData),
    EventType.ENGINE_CHANGED.value: Told(EngineEventData),
    EventType.ENGINE_OFFLINE.value: Told(EngineEventData),
    EventType.PROGRESS_UPDATED.value: Told(ProgressData, live=True),
    ENGINE_HEARTBEAT: Told(EngineHeartbeatData, live=True),
}
"""Every type on `<prefix>.events.<type>`."""
