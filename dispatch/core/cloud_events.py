"""Which CloudEvents a stored event becomes, what names them, and what is told live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import JsonValue

from dispatch.core.records import Engine, Event, Job
from dispatch.core.times import rfc3339
from dispatch.core.webhooks import about
from protocol.base import Message
from protocol.broker_events import (
    ENGINE_HEARTBEAT,
    EVENTS_OUT,
    VIDEO_TRANSCODED,
    EngineEventData,
    EngineHeartbeatData,
    JobEventData,
    TaskEventData,
    VideoTranscodedData,
)
from protocol.cloud_events import TYPE_PREFIX, CloudEvent
from protocol.events import EventType

LARGE = frozenset({"outputs", "error"})
STORED = frozenset(EventType) & EVENTS_OUT.keys()


@dataclass(frozen=True, slots=True)
class Named:
    """A CloudEvent with the plain name of its type. `message_id` is the same whenever it is made again."""

    name: str
    message_id: str
    event: CloudEvent

    @property
    def body(self) -> bytes:
        return self.event.model_dump_json(exclude_none=True).encode()


def named(events: Iterable[Event], jobs: Mapping[str, Job], source: str, public_url: str) -> list[Named]:
    """In the order of `seq`. `jobs` are as they stand now; one that is gone is told without what its row would add."""
    made: list[Named] = []
    for event in events:
        new, job = event.new, jobs.get(event.new.job_id or "")
        if new.type not in STORED:
            continue
        made.append(_named(new.type.value, event, _data(event, job, public_url), source))
        if new.type is EventType.JOB_FINISHED and job is not None:
            made.append(_named(VIDEO_TRANSCODED, event, _transcoded(event, job, public_url), source))
    return made


def _named(name: str, event: Event, data: Message, source: str) -> Named:
    new = event.new
    # The moment keeps it apart from the same number before a restore.
    id_ = f"{event.seq}-{int(new.at * 1000)}-{name}"
    told = CloudEvent(
        id=id_,
        source=source,
        type=TYPE_PREFIX + name,
        subject=new.task_id or new.job_id or getattr(data, "engine_id", None),
        time=rfc3339(new.at),
        data=data.model_dump(mode="json"),
    )
    return Named(name, f"{source} {id_}", told)


def _data(event: Event, job: Job | None, public_url: str) -> Message:
    new, details = event.new, orjson.loads(event.new.data_json)
    moved: dict[str, Any] = {"from_state": new.from_state, "to_state": new.to_state}  # of a pydantic model
    if new.job_id is None:
        return EngineEventData(engine_id=details["engine_id"], **moved)
    if new.type is EventType.TASK_CHANGED:
        return TaskEventData(job_id=new.job_id, task_id=new.task_id or "", tenant=new.tenant, details=details, **moved)
    known = {} if job is None else about(job, new.to_state, public_url)
    told = {name: known[name] for name in ("profile", "created_at", "user_metadata", "error", "links") if name in known}
    return JobEventData(job_id=new.job_id, tenant=new.tenant, details=details, **moved, **told)


def cut(one: Named) -> Named:
    """Without what may be of any size: who wants that asks for the job."""
    held = one.event.data if isinstance(one.event.data, dict) else {}
    data: dict[str, JsonValue] = {name: None if name in LARGE else value for name, value in held.items()}
    return replace(one, event=one.event.model_copy(update={"data": data}))


def _transcoded(event: Event, job: Job, public_url: str) -> VideoTranscodedData:
    known = about(job, event.new.to_state, public_url)
    told = {name: known[name] for name in ("profile", "created_at", "outputs", "user_metadata", "links")}
    return VideoTranscodedData(job_id=job.job_id, tenant=job.tenant, **told)


def progress(data_json: str, tenant: str, at: float, source: str) -> CloudEvent:
    """Live: never kept, so nothing but its moment names it."""
    data = {"tenant": tenant, **orjson.loads(data_json)}
    return _live(EventType.PROGRESS_UPDATED.value, data["job_id"], data, at, source)


def heartbeat(engine: Engine, at: float, source: str) -> CloudEvent:
    data = EngineHeartbeatData(
        engine_id=engine.engine_id,
        name=engine.name,
        state=engine.state.value,
        load=orjson.loads(engine.load_json),
        slots=orjson.loads(engine.slots_json),
    )
    return _live(ENGINE_HEARTBEAT, engine.engine_id, data.model_dump(mode="json"), at, source)


def _live(name: str, subject: str, data: dict[str, Any], at: float, source: str) -> CloudEvent:
    id_ = f"{subject}-{int(at * 1000)}-{name}"
    return CloudEvent(id=id_, source=source, type=TYPE_PREFIX + name, subject=subject, time=rfc3339(at), data=data)
