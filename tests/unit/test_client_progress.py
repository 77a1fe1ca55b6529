"""Watched jobs as lines: what is new is told once, and nothing else."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from client.progress import Bars, Lines, bar_percent, changes, step_note
from client.stream import LiveProgress, with_progress
from protocol.errors import ErrorCode, FailureClass
from protocol.jobs import JobErrorView, JobView
from protocol.states import AttemptState, JobState, StepState
from tests.unit.client_views import JOB_ID, attempt, job, step

S = StepState


def told(*views: JobView) -> list[str]:
    out: list[str] = []
    with Lines(out.append) as lines:
        for view in views:
            lines.show(view)
    return out


def test_a_job_is_told_from_its_first_view_to_its_end() -> None:
    video, audio = "transcode_720p", "extract_audio_mp3"

    assert told(
        job(JobState.PENDING, step(video), step(audio)),
        job(JobState.TRANSCODING, step(video, S.RUNNING, 3), step(audio)),
        job(JobState.TRANSCODING, step(video, S.RUNNING, 9), step(audio)),
        job(JobState.TRANSCODING, step(video, S.RUNNING, 41), step(audio)),
        job(
            JobState.COMPLETING,
            step(video, S.COMPLETED, 100, duration_seconds=4.25, output_size_bytes=1_500_000),
            step(audio, S.SKIPPED, error="the input has no sound"),
        ),
        job(JobState.COMPLETED, step(video, S.COMPLETED, 100), step(audio, S.SKIPPED), processing_time_seconds=65.0),
    ) == [
        f"{JOB_ID} pending",
        f"{JOB_ID} processing",
        f"{JOB_ID} 0 %: transcode_720p",
        f"{JOB_ID} 40 %: transcode_720p",
        f"{JOB_ID} transcode_720p completed (4.2 s, 1.5 MB)",
        f"{JOB_ID} extract_audio_mp3 skipped: the input has no sound",
        f"{JOB_ID} completed in 1 min 05 s",
    ]


def test_steps_of_one_process_share_a_line() -> None:
    assert told(
        job(JobState.TRANSCODING, step("a", S.RUNNING, 12), step("b", S.RUNNING, 19), step("c", S.RUNNING, 3)),
        job(JobState.TRANSCODING, step("a", S.RUNNING, 21), step("b", S.RUNNING, 19), step("c", S.RUNNING, 29)),
    ) == [f"{JOB_ID} processing", f"{JOB_ID} 10 %: a b", f"{JOB_ID} 0 %: c", f"{JOB_ID} 20 %: a c"]


def test_a_failed_attempt_is_told_once_although_another_follows() -> None:
    failed = attempt(7, AttemptState.FAILED, error="TOOL_FAILED: no space")

    assert told(
        job(JobState.TRANSCODING, attempts=(attempt(7, AttemptState.RUNNING),)),
        job(JobState.RETRYING, attempts=(failed,)),
        job(JobState.ASSIGNED, attempts=(failed, attempt(8, AttemptState.GRANTED))),
    ) == [
        f"{JOB_ID} processing",
        f"{JOB_ID} pending",
        f"{JOB_ID} attempt 7 (transcode) failed: TOOL_FAILED: no space",
        f"{JOB_ID} processing",
    ]


def test_a_failed_job_ends_with_its_code_and_reason_on_one_line() -> None:
    error = JobErrorView.model_validate_json(
        f'{{"code": "{ErrorCode.INPUT_CORRUPT}", "message": "cut\\noff\\u001b[2J", "class": "{FailureClass.INPUT}"}}'
    )

    assert told(job(JobState.FAILED, error=error)) == [f"{JOB_ID} failed: INPUT_CORRUPT: cut off [2J"]


def test_a_cancelled_job_says_so() -> None:
    assert told(job(JobState.PENDING), job(JobState.CANCELLED)) == [f"{JOB_ID} pending", f"{JOB_ID} was cancelled"]


@given(st.sampled_from(JobState), st.sampled_from(S), st.floats(0, 100))
def test_the_same_view_again_tells_nothing(state: JobState, status: StepState, percent: float) -> None:
    view = job(state, step("noop", status, percent))

    assert changes(view, view) == []


def test_an_upload_is_told_in_tenths() -> None:
    out: list[str] = []
    lines = Lines(out.append)

    for count in (1, 50, 99, 100, 555, 1000):
        lines.sent("my.mp4", count, 1000)

    assert out == [f"upload my.mp4 {n} % of 1.0 kB" for n in (0, 10, 50, 100)]


def test_an_empty_file_is_uploaded_at_once() -> None:
    out: list[str] = []

    Lines(out.append).sent("empty", 0, 0)

    assert out == ["upload empty 100 % of 0 B"]


def test_live_progress_replaces_the_steps_it_names_and_never_falls() -> None:
    stored = job(JobState.TRANSCODING, step("a", S.COMPLETED, 100), step("b", S.RUNNING, 10), progress_percent=55.0)
    live = LiveProgress(job_id=JOB_ID, steps=(step("b", S.RUNNING, 60), step("unknown", S.RUNNING, 1)), progress_percent=50.0)

    shown = with_progress(stored, live)

    assert (shown.tasks, shown.progress_percent, shown.current_task) == (
        (step("a", S.COMPLETED, 100), step("b", S.RUNNING, 60)),
        55.0,
        "b",
    )


def test_a_step_that_needs_no_more_work_is_a_full_bar() -> None:
    assert [bar_percent(step("a", status, 20)) for status in S] == [20, 20, 100, 20, 100]


def test_what_stands_behind_a_bar() -> None:
    assert [
        step_note(step("a", S.RUNNING, 20, eta_seconds=61.0)),
        step_note(step("a", S.COMPLETED, 100, duration_seconds=2.0)),
        step_note(step("a", S.FAILED, 20, error="no space")),
        step_note(step("a")),
    ] == ["1 min 01 s left", "2.0 s", "failed: no space", ""]


def shown_by_bars(jobs: int, *views: JobView, upload: tuple[str, int, int] | None = None) -> list[list[str]]:
    """The words of each line as they stand at the end; a bar is 30 wide, and without colors only its done part is drawn."""
    out = io.StringIO()
    with Bars(Console(file=out, width=120, color_system=None), jobs=jobs) as bars:
        if upload is not None:
            bars.sent(*upload)
        for view in views:
            bars.show(view)
    return [line.split() for line in out.getvalue().splitlines() if line]


def test_bars_show_every_step_with_its_note() -> None:
    running = step("a", S.RUNNING, 40, eta_seconds=5.0)
    view = job(JobState.TRANSCODING, running, step("b", S.SKIPPED, error="too small"))

    assert shown_by_bars(1, view, upload=("my.mp4", 500, 1000)) == [
        ["upload", "my.mp4", "━" * 15, "50%", "500", "B", "of", "1.0", "kB"],
        ["a", "━" * 12, "40%", "5.0", "s", "left"],
        ["b", "━" * 30, "100%", "skipped:", "too", "small"],
    ]


def test_several_jobs_have_a_bar_each() -> None:
    view = job(JobState.TRANSCODING, step("a", S.RUNNING, 40), progress_percent=20.0)

    assert shown_by_bars(2, view) == [["job_01", "/media/sintel.mkv", "━" * 6, "20%", "processing"]]
