"""Events as text of a stream of server-sent events. Pure."""

from __future__ import annotations

import json

from dispatch.core.records import Event
from dispatch.core.times import rfc3339
from dispatch.events.hub import Progress
from protocol.events import EventType, EventView

JOB_ENDINGS = frozenset({EventType.JOB_FINISHED, EventType.JOB_FAILED, EventType.JOB_CANCELLED})
JOB_MOVES = frozenset(
    {
        EventType.JOB_CREATED,
        EventType.JOB_WAITING,
        EventType.JOB_ASSIGNED,
        EventType.TRANSCODING_STARTED,
        EventType.JOB_COMPLETING,
        EventType.JOB_RETRYING,
        *JOB_ENDINGS,
    }
)
"""The events that tell a job's state; a failed job may move on."""


def view(event: Event) -> EventView:
    new = event.new
    return EventView(
        seq=event.seq,
        type=new.type,
        job_id=new.job_id,
        task_id=new.task_id,
        from_state=new.from_state,
        to_state=new.to_state,
        at=rfc3339(new.at),
        data=json.loads(new.data_json),
    )


def message(item: Event | Progress) -> bytes:
    """One message. JSON holds no raw line break, so one `data:` line is enough; progress has no id and is not resumed."""
    if isinstance(item, Progress):
        return f"event: {EventType.PROGRESS_UPDATED}\ndata: {item.data_json}\n\n".encode()
    return f"id: {item.seq}\nevent: {item.new.type}\ndata: {view(item).model_dump_json()}\n\n".encode()


def comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def has_ended(items: list[Event | Progress], *, before: bool) -> bool:
    """Whether the job of these events stands in a terminal state after them."""
    ended = before
    for item in items:
        if isinstance(item, Event) and item.new.type in JOB_MOVES:
            ended = item.new.type in JOB_ENDINGS
    return ended
