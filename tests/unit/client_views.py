"""Jobs as a server would tell them, for the tests of the client."""

from __future__ import annotations

from typing import Any

from protocol.admin import EngineView
from protocol.capabilities import Capabilities, Load, Slots
from protocol.jobs import AttemptView, JobView, StepView
from protocol.states import AttemptState, EngineState, JobState, JobStatus, StepState, TaskKind

JOB_ID = "job_01"
_STATUS = {
    JobState.PENDING: JobStatus.PENDING,
    JobState.RETRYING: JobStatus.PENDING,
    JobState.COMPLETED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.CANCELLED: JobStatus.CANCELLED,
}


def step(name: str, status: StepState = StepState.PENDING, percent: float = 0.0, **more: Any) -> StepView:  # Any: any field
    return StepView(name=name, status=status, progress_percent=percent, **more)


def attempt(token: int, state: AttemptState, *, error: str | None = None) -> AttemptView:
    return AttemptView(
        task_id="tsk_01",
        kind=TaskKind.TRANSCODE,
        token=token,
        state=state,
        engine_id="eng_01",
        granted_at="2026-11-20T06:00:00Z",
        started_at=None,
        ended_at=None,
        error=error,
    )


def engine(**more: Any) -> EngineView:  # Any: any field of the view
    fields: dict[str, Any] = {  # Any: as above
        "engine_id": "eng_01",
        "name": "box",
        "hostname": "box.example",
        "state": EngineState.ONLINE,
        "version": 1,
        "software_version": "1.2.3",
        "boot_id": "1",
        "capabilities": Capabilities(),
        "tags": frozenset(),
        "slots": Slots(encoding=1, light=2, free_encoding=1, free_light=2),
        "load": Load(),
        "running": (),
        "registered_at": "2026-11-20T06:00:00Z",
        "last_heartbeat_at": "2026-11-20T06:00:00Z",
    }
    return EngineView(**{**fields, **more})


def job(state: JobState = JobState.PENDING, *steps: StepView, **more: Any) -> JobView:  # Any: any field of the view
    fields: dict[str, Any] = {  # Any: as above
        "job_id": JOB_ID,
        "tenant": "default",
        "state": state,
        "status": _STATUS.get(state, JobStatus.PROCESSING),
        "version": 1,
        "profile": "web",
        "progress_percent": 0.0,
        "current_task": None,
        "priority": 5,
        "attempt": 1,
        "created_at": "2026-11-20T06:00:00Z",
        "updated_at": "2026-11-20T06:00:00Z",
        "started_at": None,
        "completed_at": None,
        "processing_time_seconds": None,
        "eta_seconds": None,
        "input": {"path": "/media/sintel.mkv"},
        "video_info": None,
        "tasks": steps,
        "attempts": (),
        "outputs": None,
        "compression": None,
        "quality_metrics": None,
        "user_metadata": {},
        "error": None,
        "links": {},
    }
    return JobView(**(fields | more))
