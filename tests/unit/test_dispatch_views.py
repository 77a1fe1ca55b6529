"""A job as clients see it: status, steps, progress, errors, and every field from its rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.core import endings
from dispatch.core.planning import STEPS
from dispatch.core.records import Graph
from dispatch.core.views import job_progress, job_view, status_of, step_views
from protocol.errors import ErrorCode, FailureClass
from protocol.jobs import AttemptView, JobErrorView
from protocol.media import VideoInfo
from protocol.results import StepReport
from protocol.states import AttemptState, JobState, JobStatus, StepState, TaskKind
from tests.unit.dispatch_jobs import (
    NOW,
    WEB,
    after,
    complete,
    fail,
    failure,
    granted,
    ready_to_transcode,
    staged,
    start,
    submitted,
    video,
)

AT = "2027-01-15T08:00:00.000Z"  # NOW
CLOSING = ["upload_outputs", "update_database", "cleanup_temp_files", "send_notification"]
WEB_STEPS = [
    "validate_video",
    "upload_source",
    "generate_thumbnails",
    "transcode_360p",
    "transcode_720p",
    "extract_audio_mp3",
    "prepare_hls_360p",
    "prepare_hls_720p",
    *CLOSING,
]


def encoding() -> Graph:
    return after(granted(ready_to_transcode(), 2, task="tsk_1"), start(2, "tsk_1"))


def completing() -> Graph:
    return after(encoding(), complete(2, "tsk_1", files=(staged("a.mp4"),)), now=NOW + 9)


STATUS = {
    JobState.PENDING: JobStatus.PENDING,
    JobState.RETRYING: JobStatus.PENDING,
    JobState.ASSIGNED: JobStatus.PROCESSING,
    JobState.TRANSCODING: JobStatus.PROCESSING,
    JobState.COMPLETING: JobStatus.PROCESSING,
    JobState.COMPLETED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.CANCELLED: JobStatus.CANCELLED,
}


@pytest.mark.parametrize("state", sorted(JobState))
def test_each_state_has_its_status(state: JobState) -> None:
    assert status_of(submitted(state=state).job, submitted().tasks) is STATUS[state]


def test_a_job_is_being_validated_while_its_analysis_is_held() -> None:
    waiting, held, running = submitted(WEB), granted(submitted(WEB), 1), after(granted(submitted(WEB), 1), start(1))
    encode = granted(ready_to_transcode(), 2, task="tsk_1")

    statuses = [status_of(graph.job, graph.tasks) for graph in (waiting, held, running, encode)]

    assert statuses == [JobStatus.PENDING, JobStatus.VALIDATING, JobStatus.VALIDATING, JobStatus.PROCESSING]


def table(graph: Graph) -> dict[str, str]:
    return {step.name: step.status.value for step in step_views(graph)}


def test_a_new_web_job_has_all_its_steps_before_it() -> None:
    assert table(submitted(WEB)) == {
        **dict.fromkeys(WEB_STEPS, "pending"),
        "send_notification": "skipped",
    }


def test_a_noop_has_no_files_to_upload() -> None:
    assert table(submitted()) == {"noop": "pending", "update_database": "pending"}


def test_one_attempt_reports_for_several_steps() -> None:
    graph = encoding()
    steps = {s.name: s for s in STEPS.validate_json(graph.task("tsk_1").steps_json)}
    steps["transcode_360p"] = StepReport(name="transcode_360p", state=StepState.RUNNING, progress=0.25, eta_seconds=12.0)
    steps["generate_thumbnails"] = StepReport(
        name="generate_thumbnails", state=StepState.COMPLETED, progress=1.0, duration_seconds=3.5
    )
    steps_json = STEPS.dump_json(tuple(steps.values())).decode()
    graph = replace(graph, tasks=(graph.tasks[0], replace(graph.tasks[1], steps_json=steps_json)))
    seen = {step.name: step for step in step_views(graph)}

    assert table(graph) == {
        "validate_video": "completed",
        "upload_source": "completed",
        "generate_thumbnails": "completed",
        "transcode_360p": "running",
        "transcode_720p": "running",
        "extract_audio_mp3": "running",
        "prepare_hls_360p": "running",
        "prepare_hls_720p": "running",
        "upload_outputs": "pending",
        "update_database": "pending",
        "cleanup_temp_files": "pending",
        "send_notification": "skipped",
    }
    assert (seen["transcode_360p"].progress_percent, seen["transcode_360p"].eta_seconds) == (25.0, 12.0)
    assert (seen["generate_thumbnails"].progress_percent, seen["generate_thumbnails"].duration_seconds) == (100.0, 3.5)
    assert job_view(graph).current_task == "transcode_360p"


def test_closing_steps_follow_the_job() -> None:
    done = endings.promote(completing(), outputs_json=None, now=NOW + 20)
    cancelled = endings.cancel(encoding(), now=NOW)

    closing = [[table(graph)[name] for name in CLOSING] for graph in (encoding(), completing(), done, cancelled)]

    assert closing == [
        ["pending", "pending", "pending", "skipped"],
        ["running", "pending", "pending", "skipped"],
        ["completed", "completed", "completed", "skipped"],
        ["skipped", "skipped", "skipped", "skipped"],
    ]


def test_the_steps_of_a_failed_task_tell_why() -> None:
    why = failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, step="transcode_360p", evidence={"frame": "12"})
    graph = after(encoding(), fail(2, why, "tsk_1"))
    view = job_view(graph)
    steps = {step.name: (step.status, step.error) for step in view.tasks}

    assert steps["transcode_360p"] == (StepState.FAILED, "it went wrong")
    assert steps["validate_video"] == (StepState.COMPLETED, None)
    assert steps["upload_outputs"] == (StepState.PENDING, None)
    assert view.error == JobErrorView.model_validate(
        {
            "code": ErrorCode.INPUT_CORRUPT,
            "message": "it went wrong",
            "class": FailureClass.INPUT,
            "step": "transcode_360p",
            "evidence": {"frame": "12"},
        }
    )


def test_a_cancelled_task_was_skipped() -> None:
    graph = endings.cancel(encoding(), now=NOW)

    assert {step.error for step in step_views(graph) if step.name == "transcode_360p"} == {"cancelled"}


def test_progress_weighs_tasks_by_their_work_and_tells_the_longest_eta() -> None:
    graph = encoding()
    steps = tuple(
        StepReport(name=s.name, state=StepState.RUNNING, progress=0.5, eta_seconds=float(len(s.name)))
        if s.state is StepState.PENDING
        else s
        for s in STEPS.validate_json(graph.tasks[1].steps_json)
    )
    task = replace(graph.tasks[1], steps_json=STEPS.dump_json(steps).decode(), cost_s=9.0)

    progress, eta = job_progress([graph.tasks[0], task])

    assert (round(progress, 6), eta) == (0.55, float(len("generate_thumbnails")))
    assert job_progress([]) == (0.0, None)
    assert job_progress(submitted().tasks) == (0.0, None)


def test_every_field_of_a_job_comes_from_its_rows() -> None:
    graph = completing()
    outputs = '{"outputs":{"metadata_json":{"path":"metadata.json"}},"compression":{"360p_ratio":2.0}}'
    graph = endings.promote(graph, outputs_json=outputs, now=NOW + 20)
    job = replace(
        graph.job,
        version=12,
        retries=1,
        user_metadata_json='{"title":"x"}',
        input_json='{"path":"/media/a.mp4"}',
        warnings_json='["short"]',
        started_at=NOW + 1,
    )
    view = job_view(replace(graph, job=job), [a for a in graph.attempts if a.token == 2])

    assert view.model_dump(exclude={"tasks", "links", "video_info", "attempts"}) == {
        "job_id": "job_1",
        "tenant": "default",
        "state": JobState.COMPLETED,
        "status": JobStatus.COMPLETED,
        "version": 12,
        "profile": "web",
        "progress_percent": 100.0,
        "current_task": None,
        "priority": 5,
        "attempt": 1,
        "created_at": AT,
        "updated_at": "2027-01-15T08:00:20.000Z",
        "started_at": "2027-01-15T08:00:01.000Z",
        "completed_at": "2027-01-15T08:00:09.000Z",
        "finish_by": None,
        "expires_at": None,
        "outputs_purged_at": None,
        "webhook_url": None,
        "processing_time_seconds": 8.0,
        "eta_seconds": 0.0,
        "input": {"path": "/media/a.mp4"},
        "outputs": {"metadata_json": {"path": "metadata.json"}},
        "compression": {"360p_ratio": 2.0},
        "quality_metrics": None,
        "user_metadata": {"title": "x"},
        "error": None,
        "warnings": ("short",),
        "live": None,
    }


def test_a_job_links_to_what_belongs_to_it_and_tells_its_attempts() -> None:
    graph = completing()
    view = job_view(graph, [a for a in graph.attempts if a.token == 2])

    assert [step.name for step in view.tasks] == WEB_STEPS
    assert view.links == {
        "self": "/api/v1/jobs/job_1",
        "events": "/api/v1/jobs/job_1/events",
        "why": "/api/v1/jobs/job_1/why",
        "log": "/api/v1/jobs/job_1/log",
        "outputs": "/api/v1/jobs/job_1/outputs",
    }
    assert view.attempts == (
        AttemptView(
            task_id="tsk_1",
            kind=TaskKind.TRANSCODE,
            token=2,
            state=AttemptState.DONE,
            engine_id="eng_a",
            granted_at=AT,
            started_at=AT,
            ended_at="2027-01-15T08:00:09.000Z",
            error=None,
        ),
    )


def test_what_the_analysis_found_is_told_flat() -> None:
    view = job_view(ready_to_transcode(video(1920, 1080, rate="30000/1001", duration="1001/50")))

    assert view.video_info == VideoInfo(
        filename="my film.mp4",
        duration=20.02,
        resolution="1920x1080",
        width=1920,
        height=1080,
        size_bytes=4_000_000,
        size_mb=4.0,
        format="mov",
        codec="h264",
        bitrate=1_600_000,
        fps=29.97,
        audio_codec="aac",
        audio_bitrate=128_000,
        audio_sample_rate=48_000,
    )
    assert job_view(submitted(WEB)).video_info is None


def test_outputs_and_compression_are_null_until_the_job_has_completed() -> None:
    for graph in (submitted(WEB), encoding(), completing()):
        assert (job_view(graph).outputs, job_view(graph).compression) == (None, None)
