"""Reports of engines held against a job: taken, answered as before, or refused."""

from __future__ import annotations

import pytest

from dispatch.core.planning import STEPS
from dispatch.core.publication import METADATA
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Complete, Fail, Release, Report, Settlement, digest_of
from protocol.results import StepReport
from protocol.states import AttemptState, StepState
from tests.unit.dispatch_jobs import (
    NOOP,
    NOW,
    WEB,
    ack,
    after,
    analyzed,
    chain,
    complete,
    fail,
    failure,
    granted,
    ready_to_transcode,
    release,
    siblings,
    staged,
    start,
    states,
    submitted,
    told,
    video,
)

INPUT = failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)
SETTLING: list[Report] = [complete(1), fail(1, INPUT), release(1)]


def refused(code: ErrorCode, token: int = 1, task: str = "tsk_0") -> tuple[str, int, ErrorCode]:
    return task, token, code


def head(answer: Settlement) -> tuple[str, int, ErrorCode | None]:
    return answer.task_id, answer.token, answer.error


@pytest.mark.parametrize("report", SETTLING, ids=lambda r: str(r.type))
def test_the_same_report_again_is_answered_as_the_first_time(report: Report) -> None:
    once, first = told(granted(submitted(), 1), report)
    twice, second = told(once, report)

    assert (twice, second) == (once, first)


@pytest.mark.parametrize("report", SETTLING, ids=lambda r: str(r.type))
def test_the_same_report_is_answered_as_the_first_time_whatever_was_granted_since(report: Report) -> None:
    graph = granted(siblings(2), 1)
    graph = after(graph, report)
    if graph.task("tsk_0").state == "pending":
        graph = granted(graph, 2)

    assert told(graph, report) == (graph, [Settlement(task_id="tsk_0", token=1, digest=digest_of(report))])


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (complete(1), complete(1, log_tail="another")),
        (complete(1), release(1)),
        (release(1), complete(1)),
        (release(1), release(1, reason="another")),
        (fail(1, INPUT), complete(1)),
        (complete(1), ack(1)),
        (complete(1), start(1)),
    ],
)
def test_another_report_about_a_settled_attempt_is_stale(first: Report, then: Report) -> None:
    graph = after(granted(siblings(2), 1), first)

    same, answers = told(graph, then)

    assert same is graph
    assert head(answers[0]) == refused(ErrorCode.STALE_LEASE)


def test_a_zombie_changes_nothing_once_the_task_is_granted_anew() -> None:
    graph = after(granted(submitted(), 1), ack(1), start(1), release(1))
    graph = granted(graph, 2, engine="eng_b")

    for report in (ack(1), start(1), complete(1), fail(1, INPUT)):
        same, answers = told(graph, report)
        assert same is graph
        assert head(answers[0]) == refused(ErrorCode.STALE_LEASE)


def test_acks_and_starts_may_come_twice() -> None:
    once = after(granted(submitted(), 1), ack(1), start(1))

    assert after(once, ack(1), start(1)) == once


def test_short_work_starts_and_ends_in_one_report() -> None:
    graph = after(granted(submitted(NOOP), 1), complete(1), now=NOW + 2)
    attempt = graph.attempt(1)

    assert states(graph) == ("completed", "done")
    assert chain(graph, "job") == [
        (None, "pending"),
        ("pending", "assigned"),
        ("assigned", "completing"),
        ("completing", "completed"),
    ]
    assert chain(graph, "tsk_0") == [("pending", "assigned"), ("assigned", "done")]
    assert (attempt.acked_at, attempt.started_at, attempt.ended_at) == (NOW + 2, NOW + 2, NOW + 2)
    assert (graph.job.started_at, graph.job.completed_at, graph.job.progress) == (NOW + 2, NOW + 2, 1.0)


def test_an_analysis_readies_the_encode() -> None:
    graph = ready_to_transcode()
    task = graph.task("tsk_1")

    assert states(graph) == ("pending", "done", "pending")
    assert task.needs == ("encoder:aac", "encoder:libmp3lame", "encoder:libx264", "encoder:mjpeg", "operation:transcode")
    assert task.recipe_json is not None
    assert graph.job.media_json == video(1920, 1080).model_dump_json()
    assert graph.job.started_at is None


def test_analyze_without_an_analysis_is_a_fault_of_the_engine() -> None:
    graph, answers = told(granted(submitted(WEB), 1), start(1), complete(1))

    assert head(answers[1]) == refused(ErrorCode.PLUGIN_FAILED)
    assert states(graph) == ("retrying", "pending", "waiting")
    assert graph.tasks[0].charged == 1
    assert graph.attempt(1).state is AttemptState.FAILED


def test_an_input_no_ladder_can_be_made_of_fails_its_analysis() -> None:
    graph, answers = told(granted(submitted(WEB), 1), start(1), analyzed(1, video(320, 240)))

    assert head(answers[1]) == refused(ErrorCode.INPUT_TOO_SMALL)
    assert states(graph) == ("failed", "failed", "waiting")
    assert graph.job.error_json is not None
    assert "INPUT_TOO_SMALL" in graph.job.error_json
    assert graph.job.media_json == video(320, 240).model_dump_json()


def test_a_refused_result_is_refused_in_the_same_words_when_it_comes_again() -> None:
    report = analyzed(1, video(320, 240))
    once, first = told(granted(submitted(WEB), 1), report)
    twice, second = told(once, report)

    assert (twice, second) == (once, first)
    assert first[0].message is not None


def test_a_path_another_task_staged_is_refused() -> None:
    graph = granted(ready_to_transcode(), 2, task="tsk_1")
    report = complete(2, "tsk_1", files=(staged("720p/video_720p.mp4"),))

    changed, answers = told(graph, report, taken=frozenset({("job_1", "720p/video_720p.mp4")}))

    assert head(answers[0]) == refused(ErrorCode.OUTPUT_CONFLICT, 2, "tsk_1")
    assert (changed.files, changed.task("tsk_1").charged) == ((), 1)


def test_two_reports_of_one_call_cannot_name_one_path() -> None:
    graph = granted(granted(siblings(2), 1), 2, task="tsk_1")
    both = [complete(token, task, files=(staged("a/b.mp4"),)) for token, task in ((1, "tsk_0"), (2, "tsk_1"))]

    changed, answers = told(graph, *both)

    assert [answer.error for answer in answers] == [None, ErrorCode.OUTPUT_CONFLICT]
    assert [(row.path, row.task_id) for row in changed.files] == [("a/b.mp4", "tsk_0")]


@pytest.mark.parametrize("paths", [("a/b", "a/b"), ("a", "a/b"), ("a/b/c", "a"), (METADATA,), (f"{METADATA}/x",)])
def test_paths_that_cannot_lie_in_one_directory_are_refused(paths: tuple[str, ...]) -> None:
    graph = granted(ready_to_transcode(), 2, task="tsk_1")

    changed, answers = told(graph, complete(2, "tsk_1", files=tuple(staged(path) for path in paths)))

    assert head(answers[0]) == refused(ErrorCode.OUTPUT_CONFLICT, 2, "tsk_1")
    assert changed.files == ()


def test_what_the_engine_is_silent_about_was_done_and_what_dispatch_skipped_stays_skipped() -> None:
    graph = granted(ready_to_transcode(video(640, 360)), 2, task="tsk_1")
    half = StepReport(name="transcode_360p", state=StepState.RUNNING, progress=0.5, duration_seconds=9.0)
    skipped = StepReport(name="generate_thumbnails", state=StepState.SKIPPED, reason="none decodes")
    wrong = StepReport(name="transcode_720p", state=StepState.COMPLETED, progress=1.0)

    done = after(graph, complete(2, "tsk_1", steps=(half, skipped, wrong)))
    steps = {step.name: (step.state, step.progress, step.duration_seconds) for step in _steps(done.task("tsk_1").steps_json)}

    assert steps == {
        "generate_thumbnails": (StepState.SKIPPED, 0.0, None),
        "transcode_360p": (StepState.COMPLETED, 1.0, 9.0),
        "transcode_720p": (StepState.SKIPPED, 0.0, None),
        "extract_audio_mp3": (StepState.COMPLETED, 1.0, None),
        "prepare_hls_360p": (StepState.COMPLETED, 1.0, None),
        "prepare_hls_720p": (StepState.SKIPPED, 0.0, None),
    }


def _steps(steps_json: str) -> tuple[StepReport, ...]:
    return STEPS.validate_json(steps_json)


def test_only_reports_that_settle_have_a_digest_and_it_tells_them_apart() -> None:
    reports: list[Complete | Fail | Release] = [complete(1), complete(2), fail(1, INPUT), release(1)]
    digests = {digest_of(report) for report in reports}

    assert (digest_of(ack(1)), digest_of(start(1))) == (None, None)
    assert len(digests) == 4
    assert None not in digests
