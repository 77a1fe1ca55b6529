"""Events as text: messages of a stream of server-sent events, and of a WebSocket. Pure."""

from __future__ import annotations

import json
from functools import lru_cache

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


@lru_cache(maxsize=4096)
def _view_json(event: Event) -> str:
    """Kept, because all who watch are told the same event at the same moment."""
    return view(event).model_dump_json()


def message(item: Event | Progress) -> bytes:
    """One message. JSON holds no raw line break, so one `data:` line is enough; progress has no id and is not resumed."""
    if isinstance(item, Progress):
        return f"event: {EventType.PROGRESS_UPDATED}\ndata: {item.data_json}\n\n".encode()
    return f"id: {item.seq}\nevent: {item.new.type}\ndata: {_view_json(item)}\n\n".encode()


def text(item: Event | Progress) -> str:
    """The same as one object: `{"id", "event", "data"}`, the id null for progress."""
    if isinstance(item, Progress):
        return f'{{"id":null,"event":"{EventType.PROGRESS_UPDATED}","data":{item.data_json}}}'
    return f'{{"id":{item.seq},"event":"{item.new.type}","data":{_view_json(item)}}}'


def comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def has_ended(items: list[Event | Progress], *, before: bool) -> bool:
    """Whether the job of these events stands in a terminal state after them."""
    ended = before
    for item in items:
        if isinstance(item, Event) and item.new.type in JOB_MOVES:
            ended = item.new.type in JOB_ENDINGS
    return ended
