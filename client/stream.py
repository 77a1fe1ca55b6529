"""What comes over a stream of events, as typed values."""

from __future__ import annotations

from client.sse import SseMessage
from client.transport import parse
from protocol.base import Identifier, Message
from protocol.events import EventType, EventView
from protocol.jobs import JobView, StepView


class LiveProgress(Message):
    """How far a job is right now. Never stored: it has no number and is not repeated after a reconnect."""

    job_id: Identifier
    steps: tuple[StepView, ...]
    progress_percent: float


Event = EventView | LiveProgress


def read_event(message: SseMessage) -> Event | None:
    """None for a type this client does not know: a newer server may have more."""
    if message.event not in {kind.value for kind in EventType}:
        return None
    text = message.text.encode()
    return parse(LiveProgress, text) if message.event == EventType.PROGRESS_UPDATED else parse(EventView, text)


def with_progress(job: JobView, live: LiveProgress) -> JobView:
    """The job as it stands now: live steps replace the stored ones of the same name."""
    steps = {step.name: step for step in live.steps}
    running = next((step.name for step in live.steps if step.status == "running"), job.current_task)
    return job.model_copy(
        update={
            "tasks": tuple(steps.get(step.name, step) for step in job.tasks),
            "progress_percent": max(job.progress_percent, live.progress_percent),
            "current_task": running,
        }
    )
