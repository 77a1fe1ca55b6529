"""A job as clients see it. Every field is stored or follows from stored rows, never from the time of reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache

import orjson
from pydantic import JsonValue

from dispatch.core import live
from dispatch.core.planning import STEPS, load_profile
from dispatch.core.records import Attempt, Graph, Job, Task
from dispatch.core.times import maybe, rfc3339
from protocol import steps as step_names
from protocol.jobs import AttemptView, JobErrorView, JobView, StepView
from protocol.media import MediaFacts, VideoInfo
from protocol.operations import API
from protocol.results import Failure, StepReport
from protocol.states import HELD_TASK_STATES, JobState, JobStatus, StepState, TaskKind, TaskState

MB = 1_000_000


def status_of(job: Job, tasks: Iterable[Task]) -> JobStatus:
    match job.state:
        case JobState.PENDING | JobState.RETRYING:
            return JobStatus.PENDING
        case JobState.ASSIGNED:
            held = any(t.kind is TaskKind.ANALYZE and t.state in HELD_TASK_STATES for t in tasks)
            return JobStatus.VALIDATING if held else JobStatus.PROCESSING
        case JobState.TRANSCODING | JobState.COMPLETING:
            return JobStatus.PROCESSING
        case _:
            return JobStatus(job.state.value)


def job_view(graph: Graph, attempts: Sequence[Attempt] = ()) -> JobView:
    job = graph.job
    steps = tuple(step_views(graph))
    outputs = None if job.outputs_json is None else orjson.loads(job.outputs_json)
    took = job.completed_at - job.started_at if job.completed_at is not None and job.started_at is not None else None
    return JobView(
        job_id=job.job_id,
        tenant=job.tenant,
        state=job.state,
        status=status_of(job, graph.tasks),
        version=job.version,
        profile=load_profile(job.profile_json).name,
        progress_percent=round(job.progress * 100, 2),
        current_task=next((step.name for step in steps if step.status is StepState.RUNNING), None),
        priority=job.priority,
        attempt=1 + max((task.charged + task.infra_failures for task in graph.tasks), default=0),
        created_at=rfc3339(job.created_at),
        updated_at=rfc3339(job.updated_at),
        started_at=maybe(job.started_at),
        completed_at=maybe(job.completed_at),
        expires_at=maybe(job.expires_at),
        finish_by=maybe(job.finish_by),
        webhook_url=job.webhook_url,
        outputs_purged_at=maybe(job.outputs_purged_at),
        processing_time_seconds=None if took is None else round(max(0.0, took), 3),
        eta_seconds=job.eta_seconds,
        input=_input(job),
        video_info=video_info(job),
        tasks=steps,
        attempts=tuple(attempt_view(attempt) for attempt in attempts),
        outputs=None if outputs is None else outputs["outputs"],
        compression=None if outputs is None else outputs["compression"],
        quality_metrics=(outputs or {}).get("quality_metrics") or None,
        user_metadata=orjson.loads(job.user_metadata_json),
        error=None if job.error_json is None else error_view(job.error_json),
        warnings=tuple(orjson.loads(job.warnings_json)),
        live=live.view(graph) if job.source.kind == live.LIVE else None,
        links=_links(job),
    )


def _input(job: Job) -> dict[str, JsonValue] | None:
    """As it was told. An upload's id says nothing to people, and a form tells none: these come with the file's name."""
    told: dict[str, JsonValue] = {} if job.input_json is None else orjson.loads(job.input_json)
    if job.source.filename and (not told or "upload_id" in told):
        told["filename"] = job.source.filename
    return told or None


def error_view(error_json: str) -> JobErrorView:
    failure = Failure.model_validate_json(error_json)
    fields = {"code", "message", "failure_class", "step", "evidence"}
    return JobErrorView.model_validate_json(failure.model_dump_json(include=fields).replace('"failure_class"', '"class"', 1))


@lru_cache(maxsize=4096)
def video_info_of(media_json: str, filename: str) -> VideoInfo:
    facts = MediaFacts.model_validate_json(media_json)
    video, audio = facts.video, facts.audio[0] if facts.audio else None
    return VideoInfo(
        filename=filename,
        duration=round(float(Fraction(facts.duration)), 3),
        resolution=None if video is None else f"{video.width}x{video.height}",
        width=None if video is None else video.width,
        height=None if video is None else video.height,
        size_bytes=facts.size_bytes,
        size_mb=round(facts.size_bytes / MB, 2),
        format=facts.container,
        codec=None if video is None else video.codec,
        bitrate=facts.bitrate,
        fps=None if video is None else round(float(Fraction(video.frame_rate)), 3),
        audio_codec=None if audio is None else audio.codec,
        audio_bitrate=None if audio is None else audio.bitrate,
        audio_sample_rate=None if audio is None else audio.sample_rate,
    )


def video_info(job: Job) -> VideoInfo | None:
    return None if job.media_json is None else video_info_of(job.media_json, job.source.filename)


def attempt_view(attempt: Attempt) -> AttemptView:
    error = None if attempt.error_json is None else orjson.loads(attempt.error_json)["message"]
    return AttemptView(
        task_id=attempt.task_id,
        kind=attempt.kind,
        token=attempt.token,
        state=attempt.state,
        engine_id=attempt.engine_id,
        granted_at=rfc3339(attempt.granted_at),
        started_at=maybe(attempt.started_at),
        ended_at=maybe(attempt.ended_at),
        error=error,
    )


def _links(job: Job) -> dict[str, str]:
    base = f"{API}/jobs/{job.job_id}"
    return {"self": base, **{name: f"{base}/{name}" for name in ("events", "why", "log", "outputs")}}


# --- steps


def step_views(graph: Graph) -> Iterable[StepView]:
    place = _places(graph.job.profile_json)
    told = [_step_of_task(step, task, graph.job) for task in graph.tasks for step in STEPS.validate_json(task.steps_json)]
    yield from sorted(told, key=lambda step: place.get(step.name, len(place)))
    profile = load_profile(graph.job.profile_json)
    closing = (step_names.UPDATE_DATABASE,) if profile.is_noop else step_names.CLOSING_STEPS
    for name in closing:
        yield _closing_step(name, graph.job)


@lru_cache(maxsize=256)
def _places(profile_json: str) -> dict[str, int]:
    return {name: place for place, name in enumerate(step_names.order_of_steps(load_profile(profile_json)))}


def _step_of_task(step: StepReport, task: Task, job: Job) -> StepView:
    state, progress, error = step.state, step.progress, step.reason
    if state is StepState.SKIPPED:
        return StepView(name=step.name, status=state, progress_percent=0.0, error=error)
    match task.state:
        case TaskState.SKIPPED if state is StepState.FAILED:
            pass  # the job is complete without it, and here stands why
        case TaskState.WAITING | TaskState.PENDING | TaskState.ASSIGNED:
            state, progress = StepState.PENDING, 0.0
        case TaskState.RUNNING:
            state = StepState.RUNNING if state is StepState.PENDING else state
        case TaskState.DONE:
            state, progress = StepState.COMPLETED, 1.0
        case TaskState.FAILED if state is not StepState.COMPLETED:
            state, error = StepState.FAILED, _error_message(job)
        case TaskState.CANCELLED | TaskState.SKIPPED if state is not StepState.COMPLETED:
            state, error = StepState.SKIPPED, str(task.state)
        case _:
            pass
    return StepView(
        name=step.name,
        status=state,
        progress_percent=round(100 * progress, 2),
        eta_seconds=step.eta_seconds if state is StepState.RUNNING else None,
        duration_seconds=step.duration_seconds,
        error=error,
    )


def _error_message(job: Job) -> str | None:
    return None if job.error_json is None else str(orjson.loads(job.error_json)["message"])


def _closing_step(name: str, job: Job) -> StepView:
    match job.state:
        case _ if name == step_names.SEND_NOTIFICATION and job.webhook_url is None:
            return StepView(name=name, status=StepState.SKIPPED, progress_percent=0.0, error="no webhook was asked for")
        case JobState.FAILED | JobState.CANCELLED if name == step_names.SEND_NOTIFICATION:
            return StepView(name=name, status=StepState.COMPLETED, progress_percent=100.0)
        case JobState.COMPLETED:
            return StepView(name=name, status=StepState.COMPLETED, progress_percent=100.0)
        case JobState.COMPLETING if name == step_names.UPLOAD_OUTPUTS:
            return StepView(name=name, status=StepState.RUNNING, progress_percent=0.0)
        case JobState.CANCELLED:
            return StepView(name=name, status=StepState.SKIPPED, progress_percent=0.0, error="cancelled")
        case _:
            return StepView(name=name, status=StepState.PENDING, progress_percent=0.0)


def job_progress(tasks: Iterable[Task]) -> tuple[float, float | None]:
    """The job's progress in [0, 1], its tasks weighed by their estimated work, and the longest ETA of a running step."""
    total = done = 0.0
    etas: list[float] = []
    for task in tasks:
        steps = [s for s in STEPS.validate_json(task.steps_json) if s.state is not StepState.SKIPPED]
        share = 1.0 if task.state is TaskState.DONE else 0.0
        if task.state is TaskState.RUNNING and steps:
            share = sum(step.progress for step in steps) / len(steps)
            etas.extend(step.eta_seconds for step in steps if step.eta_seconds is not None)
        total, done = total + task.cost_s, done + share * task.cost_s
    return (done / total if total else 0.0), max(etas, default=None)
