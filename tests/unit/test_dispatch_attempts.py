"""What one attempt does to its job: granted, acked, started, failed, released, expired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.core.lifecycle import expire, is_live
from dispatch.core.planning import STEPS
from dispatch.core.records import Attempt, Graph
from dispatch.core.views import job_view
from protocol.errors import ErrorCode, FailureClass
from protocol.results import StepReport
from protocol.states import AttemptState, StepState, TaskKind
from tests.unit.dispatch_jobs import (
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
    start,
    states,
    submitted,
    video,
)

ENGINE, INPUT = failure(FailureClass.ENGINE), failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, step="transcode_360p")


def test_a_grant_is_an_attempt_under_its_token() -> None:
    graph = granted(submitted(), 7, now=NOW + 1)
    task = graph.tasks[0]

    assert states(graph) == ("assigned", "assigned")
    assert (task.token, task.engine_id, task.not_before) == (7, "eng_a", 0.0)
    assert graph.attempts == (
        Attempt(7, "tsk_0", "job_1", "eng_a", "boot-0001", "req-7", TaskKind.NOOP, AttemptState.GRANTED, NOW + 1),
    )
    assert [event.data_json for event in graph.events if event.to_state == "assigned"] == [
        '{"engine_id":"eng_a","token":7}',
        "{}",
    ]


def test_an_ack_changes_the_attempt_alone() -> None:
    graph = granted(submitted(), 1)

    acked = after(graph, ack(1), now=NOW + 3)

    assert acked == replace(graph, attempts=(replace(graph.attempt(1), state=AttemptState.ACKED, acked_at=NOW + 3),))


def test_a_start_without_its_ack_is_both() -> None:
    attempt = after(granted(submitted(), 1), start(1), now=NOW + 3).attempt(1)

    assert (attempt.state, attempt.acked_at, attempt.started_at) == (AttemptState.RUNNING, NOW + 3, NOW + 3)


def test_analyzing_does_not_start_the_job_for_its_span() -> None:
    graph = after(granted(submitted(WEB), 1), start(1))

    assert states(graph) == ("assigned", "running", "waiting")
    assert graph.job.started_at is None


def test_the_first_start_of_real_work_starts_the_job() -> None:
    graph = after(granted(ready_to_transcode(), 2, task="tsk_1"), start(2, "tsk_1"), now=NOW + 5)
    again = after(graph, release(2, "tsk_1"))
    again = after(granted(again, 3, task="tsk_1"), start(3, "tsk_1"), now=NOW + 50)

    assert states(graph) == ("transcoding", "done", "running")
    assert (graph.job.started_at, again.job.started_at) == (NOW + 5, NOW + 5)


def test_a_job_that_transcodes_stays_there_while_its_work_goes_back_and_forth() -> None:
    graph = after(granted(ready_to_transcode(), 2, task="tsk_1"), start(2, "tsk_1"))
    graph = after(graph, release(2, "tsk_1"))
    assert states(graph) == ("transcoding", "done", "pending")

    graph = granted(graph, 3, task="tsk_1")
    assert states(graph) == ("transcoding", "done", "assigned")


def test_the_last_finished_task_fixes_when_the_job_completed() -> None:
    graph = after(granted(ready_to_transcode(), 2, task="tsk_1"), complete(2, "tsk_1"), now=NOW + 9)

    assert states(graph) == ("completing", "done", "done")
    assert (graph.job.completed_at, graph.job.progress, graph.job.eta_seconds) == (NOW + 9, 1.0, 0.0)


def test_warnings_of_a_result_reach_the_client_once() -> None:
    graph = ready_to_transcode()
    task = graph.tasks[1].task_id
    warned = complete(9, task, warnings=("one frame was concealed", "one frame was concealed"))

    finished = after(granted(graph, 9, task=task), start(9, task), warned)

    assert job_view(finished).warnings == ("one frame was concealed",)


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_released_may_be_granted_at_once_and_costs_nothing(begun: bool) -> None:
    graph = granted(submitted(), 1)
    graph = after(graph, start(1)) if begun else graph

    graph = after(graph, release(1), now=NOW + 4)
    task = graph.tasks[0]

    assert states(graph) == ("transcoding" if begun else "pending", "pending")
    assert (task.charged, task.infra_failures, task.not_before, task.engine_id, task.avoid) == (0, 0, 0.0, None, ())
    assert (graph.attempt(1).state, graph.attempt(1).ended_at) == (AttemptState.RELEASED, NOW + 4)


def test_a_lease_that_ran_out_costs_nothing_either() -> None:
    graph = expire(after(granted(submitted(), 1), start(1)), 1, now=NOW + 60)
    task = graph.tasks[0]

    assert states(graph) == ("transcoding", "pending")
    assert (task.charged, task.infra_failures, task.not_before, task.engine_id) == (0, 0, 0.0, None)
    assert (graph.attempt(1).state, graph.attempt(1).digest) == (AttemptState.EXPIRED, None)
    assert not is_live(graph, graph.attempt(1))


def test_a_failed_attempt_is_tried_again_after_its_backoff_by_preference_elsewhere() -> None:
    graph = after(granted(submitted(), 1), start(1), fail(1, ENGINE))
    task = graph.tasks[0]

    assert states(graph) == ("retrying", "pending")
    assert (task.charged, task.not_before, task.avoid, task.engine_id) == (1, NOW + 1, ("eng_a",), None)
    assert (graph.job.error_json, graph.attempt(1).error_json) == (
        None,
        ENGINE.model_dump_json(exclude={"log_tail", "is_engine_death"}),
    )


def test_a_task_that_failed_for_good_takes_its_job_along_and_frees_its_siblings() -> None:
    graph = granted(granted(granted(siblings(4), 1), 2, task="tsk_1"), 3, task="tsk_2", engine="eng_b")
    graph = after(graph, start(1), start(2, "tsk_1"), complete(3, "tsk_2"))

    graph = after(graph, fail(2, INPUT, "tsk_1"), now=NOW + 7)

    assert states(graph) == ("failed", "pending", "failed", "done", "pending")
    assert (graph.attempt(1).state, graph.attempt(1).digest, graph.attempt(1).ended_at) == (AttemptState.RELEASED, None, NOW + 7)
    assert graph.task("tsk_0").engine_id is None
    assert chain(graph, "job")[-1] == ("transcoding", "failed")
    assert graph.job.error_json == graph.attempt(2).error_json


def test_three_charged_attempts_are_all_there_are() -> None:
    graph, now = submitted(), NOW
    for token in (1, 2, 3):
        assert graph.job.state != "failed"
        now = max(now, graph.tasks[0].not_before)
        graph = after(granted(graph, token, engine=f"eng_{token}", now=now), fail(token, ENGINE), now=now)

    assert states(graph) == ("failed", "failed")
    assert (graph.tasks[0].charged, graph.tasks[0].avoid) == (3, ("eng_1", "eng_2", "eng_3"))


def died(graph: Graph, token: int, engine: str, fitting: int) -> Graph:
    why = failure(FailureClass.ENGINE, ErrorCode.TASK_MEMORY, evidence={"signal": "9"}, is_engine_death=True)
    return after(granted(graph, token, engine=engine, now=NOW + 9999), fail(token, why), now=NOW + 9999, fitting=fitting)


@pytest.mark.parametrize(
    ("engines", "fitting", "quarantined"), [("aa", 2, False), ("ab", 2, True), ("ab", 1, False), ("aaa", 1, True)]
)
def test_a_task_that_kills_engines_is_quarantined_with_its_evidence(engines: str, fitting: int, quarantined: bool) -> None:
    graph = submitted(max_attempts=20)
    for token, name in enumerate(engines, start=1):
        graph = died(replace(graph, tasks=(replace(graph.tasks[0], not_before=0.0),)), token, f"eng_{name}", fitting)

    assert (graph.job.state == "failed") is quarantined
    if quarantined:
        assert graph.job.error_json is not None
        assert '"code":"TASK_POISONOUS"' in graph.job.error_json
        assert f'"engines":"{", ".join(f"eng_{name}" for name in engines)}"' in graph.job.error_json
        assert '"signal":"9"' in graph.job.error_json


def test_a_new_attempt_starts_its_steps_anew() -> None:
    graph = after(granted(ready_to_transcode(video(640, 360)), 2, task="tsk_1"), start(2, "tsk_1"))
    told = tuple(
        StepReport(name=step.name, state=StepState.COMPLETED, progress=1.0) if step.state is StepState.PENDING else step
        for step in STEPS.validate_json(graph.task("tsk_1").steps_json)
    )
    planned = graph.task("tsk_1").steps_json
    reported = replace(graph.task("tsk_1"), steps_json=STEPS.dump_json(told).decode())
    graph = replace(graph, tasks=(graph.tasks[0], reported))

    ends = [
        after(graph, release(2, "tsk_1")),
        after(graph, fail(2, ENGINE, "tsk_1")),
        expire(graph, 2, now=NOW),
    ]

    assert [end.task("tsk_1").steps_json for end in ends] == [planned] * 3


def test_the_attempt_keeps_what_ran_and_how_it_ended() -> None:
    graph = after(granted(submitted(WEB), 1), start(1), analyzed(1, video(1920, 1080)).model_copy())
    lost = after(granted(submitted(), 1), fail(1, ENGINE.model_copy(update={"log_tail": "frame=1"})))

    assert (graph.attempt(1).state, graph.attempt(1).tools_json) == (AttemptState.DONE, "[]")
    assert (lost.attempt(1).state, lost.attempt(1).log_tail) == (AttemptState.FAILED, "frame=1")
