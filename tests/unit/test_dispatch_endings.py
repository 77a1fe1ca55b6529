"""What clients, operators, timers and promotion do to a whole job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.core import endings
from dispatch.core.machine import InvalidTransition
from dispatch.core.records import Graph
from protocol.errors import ErrorCode, FailureClass
from protocol.states import AttemptState, JobState, TaskState
from tests.unit.dispatch_jobs import (
    NOW,
    ack,
    after,
    chain,
    complete,
    fail,
    failure,
    granted,
    ready_to_transcode,
    siblings,
    staged,
    start,
    states,
    submitted,
)

ENGINE = failure(FailureClass.ENGINE)
INPUT = failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)


def failed(graph: Graph | None = None) -> Graph:
    return after(granted(graph or siblings(1), 1), start(1), fail(1, INPUT))


def completing() -> Graph:
    files = (staged("a.mp4"), staged("b.mp4"))
    return after(granted(ready_to_transcode(), 2, task="tsk_1"), start(2, "tsk_1"), complete(2, "tsk_1", files=files))


# --- cancel


def test_cancel_ends_everything_that_is_not_done() -> None:
    graph = granted(granted(siblings(4), 1), 2, task="tsk_1")
    graph = after(graph, start(1), complete(2, "tsk_1"))
    graph = granted(graph, 3, task="tsk_2")

    graph = endings.cancel(graph, now=NOW + 5)

    assert states(graph) == ("cancelled", "cancelled", "done", "cancelled", "cancelled")
    assert [attempt.state for attempt in graph.attempts] == [AttemptState.CANCELLED, AttemptState.DONE, AttemptState.CANCELLED]
    assert [attempt.ended_at for attempt in graph.attempts] == [NOW + 5, NOW, NOW + 5]
    assert {task.engine_id for task in graph.tasks if task.state is TaskState.CANCELLED} == {None}


def test_cancel_twice_is_cancel_once() -> None:
    graph = endings.cancel(submitted(), now=NOW)

    assert endings.cancel(graph, now=NOW + 1) is graph


@pytest.mark.parametrize("ended", [completing(), failed(), after(granted(submitted(), 1), complete(1))])
def test_what_completes_or_has_ended_cannot_be_cancelled(ended: Graph) -> None:
    with pytest.raises(InvalidTransition) as refused:
        endings.cancel(ended, now=NOW)

    assert refused.value.details == {"state": ended.job.state}


# --- retry


def test_retry_starts_what_failed_afresh_and_keeps_what_is_done() -> None:
    graph = granted(granted(siblings(3), 1), 2, task="tsk_1")
    graph = after(graph, complete(2, "tsk_1"), fail(1, INPUT))

    graph = endings.retry(graph, priority=10, now=NOW + 100)
    again, kept, other = graph.tasks

    assert states(graph) == ("retrying", "pending", "done", "pending")
    assert (again.not_before, again.charged, again.infra_failures, again.avoid, again.deaths) == (NOW + 100, 0, 0, (), ())
    assert (other.not_before, kept.token) == (NOW + 100, 2)
    assert {task.priority for task in graph.tasks} == {10}
    job = graph.job
    assert (job.retries, job.error_json, job.ttl_from, job.completed_at, job.priority) == (1, None, NOW + 100, None, 10)


@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.FAILED}))
def test_only_a_failed_job_is_retried(state: JobState) -> None:
    with pytest.raises(InvalidTransition):
        endings.retry(submitted(state=state), priority=10, now=NOW)


def test_a_retried_job_waits_once_its_moment_has_come() -> None:
    graph = endings.retry(failed(), priority=10, now=NOW)

    assert states(endings.pass_backoff(graph, now=NOW)) == ("pending", "pending")
    assert states(granted(graph, 2)) == ("assigned", "assigned")


def test_retry_after_a_refused_promotion_goes_straight_to_completing() -> None:
    graph = endings.refuse_promotion(completing(), failure(FailureClass.INTERNAL, ErrorCode.PUBLISH_CONFLICT), now=NOW + 1)
    assert states(graph) == ("failed", "done", "done")

    graph = endings.retry(graph, priority=10, now=NOW + 100)

    assert states(graph) == ("completing", "done", "done")
    assert (graph.job.completed_at, graph.job.error_json) == (NOW + 100, None)
    assert chain(graph, "job")[-3:] == [("completing", "failed"), ("failed", "retrying"), ("retrying", "completing")]


# --- backoffs


def backing_off() -> Graph:
    return after(granted(submitted(), 1), start(1), fail(1, ENGINE))


def test_a_backoff_that_lies_ahead_changes_nothing() -> None:
    graph = backing_off()

    assert endings.pass_backoff(graph, now=NOW + 0.9) is graph


def test_a_backoff_that_has_passed_is_over_even_if_the_clock_is_set_back() -> None:
    graph = endings.pass_backoff(backing_off(), now=NOW + 1)

    assert states(graph) == ("pending", "pending")
    assert graph.tasks[0].not_before == 0.0


def test_of_two_backoffs_the_first_that_passes_ends_neither_the_other_nor_the_waiting() -> None:
    graph = granted(granted(siblings(2), 1), 2, task="tsk_1")
    graph = after(graph, fail(1, ENGINE))
    graph = after(graph, fail(2, ENGINE, "tsk_1"), now=NOW + 10)

    graph = endings.pass_backoff(graph, now=NOW + 5)

    assert [task.not_before for task in graph.tasks] == [0.0, NOW + 11]
    assert graph.job.state is JobState.RETRYING


# --- the span of a job


def test_a_job_is_overdue_when_it_waited_too_long_and_nobody_holds_it() -> None:
    waiting = submitted()

    assert not endings.is_overdue(waiting, now=NOW + 59)
    assert endings.is_overdue(waiting, now=NOW + 60)
    assert endings.is_overdue(backing_off_unstarted(), now=NOW + 60)


def backing_off_unstarted() -> Graph:
    graph = backing_off()
    return replace(graph, job=replace(graph.job, started_at=None))


@pytest.mark.parametrize(
    "graph",
    [
        granted(submitted(), 1),
        after(granted(ready_to_transcode(), 2, task="tsk_1"), start(2, "tsk_1")),
        backing_off(),
        failed(),
        completing(),
        endings.cancel(submitted(), now=NOW),
    ],
)
def test_a_job_that_is_held_started_or_over_is_never_overdue(graph: Graph) -> None:
    assert not endings.is_overdue(graph, now=NOW + 10_000)


def test_an_expired_job_fails_with_its_reason_and_may_be_retried() -> None:
    graph = endings.expire_job(submitted(ttl_s=3600.0), now=NOW + 3600)

    assert states(graph) == ("failed", "failed")
    assert graph.job.error_json is not None
    assert '"code":"JOB_EXPIRED"' in graph.job.error_json
    assert '"reason":"Expired"' in graph.job.error_json
    again = endings.retry(graph, priority=10, now=NOW + 4000)
    assert (endings.is_overdue(again, now=NOW + 7599), endings.is_overdue(again, now=NOW + 7600)) == (False, True)


def test_an_analyzed_job_nobody_starts_expires_too() -> None:
    graph = endings.expire_job(ready_to_transcode(), now=NOW + 60)

    assert states(graph) == ("failed", "done", "failed")


# --- promotion


def test_a_promoted_job_is_complete() -> None:
    graph = endings.promote(completing(), outputs_json='{"outputs":{}}', now=NOW + 20)

    assert states(graph) == ("completed", "done", "done")
    assert (graph.job.outputs_json, graph.job.completed_at, graph.job.updated_at) == ('{"outputs":{}}', NOW, NOW + 20)


def test_a_lost_file_makes_its_task_again_and_keeps_the_rest() -> None:
    graph = endings.redo_lost(completing(), ["tsk_1", "tsk_1"], now=NOW + 20)

    assert states(graph) == ("retrying", "done", "pending")
    assert (graph.task("tsk_1").not_before, graph.task("tsk_1").charged) == (NOW + 21, 0)
    assert (graph.lost_files_of, graph.job.completed_at) == (("tsk_1",), None)


def test_a_refused_promotion_fails_the_job_and_keeps_its_tasks() -> None:
    why = failure(FailureClass.INTERNAL, ErrorCode.PUBLISH_CONFLICT)

    graph = endings.refuse_promotion(completing(), why, now=NOW + 20)

    assert states(graph) == ("failed", "done", "done")
    assert graph.job.error_json is not None
    assert '"code":"PUBLISH_CONFLICT"' in graph.job.error_json


@pytest.mark.parametrize("graph", [submitted(), granted(submitted(), 1), backing_off(), failed()])
def test_nothing_but_a_completing_job_is_promoted(graph: Graph) -> None:
    with pytest.raises(InvalidTransition):
        endings.promote(graph, outputs_json=None, now=NOW)


def test_a_new_job_tells_of_itself() -> None:
    graph = submitted()

    assert [(e.type, e.tenant, e.job_id, e.from_state, e.to_state) for e in graph.events] == [
        ("JobCreated", "default", "job_1", None, "pending")
    ]
    assert after(granted(graph, 1), ack(1)).attempts[0].acked_at == NOW
