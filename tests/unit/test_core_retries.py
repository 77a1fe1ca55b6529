"""Who pays for a failure: facts about the retry rules."""

from __future__ import annotations

from dataclasses import replace

from dispatch.core.endings import created
from dispatch.core.lifecycle import FailureRule, GrantTo, ack, fail, grant, start
from dispatch.core.records import NO_SOURCE, Graph, Job, Task
from dispatch.core.retry_policy import MOST_INFRA_IN_A_ROW
from protocol.errors import ErrorCode, FailureClass
from protocol.results import Failure
from protocol.states import JobState, TaskKind, TaskState

RULE = FailureRule(chance=0.5, fitting_engines=2)


def submitted() -> Graph:
    job = Job(
        job_id="job_1",
        tenant="default",
        state=JobState.PENDING,
        priority=5,
        profile_json='{"name":"noop","noop_seconds":0.0}',
        source=NO_SOURCE,
        input_json=None,
        user_metadata_json="{}",
        max_attempts=3,
        ttl_s=60.0,
        ttl_from=0.0,
        created_at=0.0,
        updated_at=0.0,
    )
    task = Task("tsk_1", "job_1", "default", TaskKind.NOOP, 0, TaskState.PENDING, 5, (), (), 1.0, 0.0, None, "[]")
    return created(job, (task,))


def after_failures(failure: Failure, count: int) -> Graph:
    """The job after so many attempts, each on an engine that takes, starts and fails it."""
    graph, now = submitted(), 0.0
    for token in range(1, count + 1):
        now = max(now, graph.tasks[0].not_before)
        to = GrantTo(token=token, engine_id=f"eng_{token % 2}", boot_id="boot", request_id="r")
        graph = start(ack(grant(graph, "tsk_1", to, now=now), token, now=now), token, now=now)
        graph = fail(graph, token, failure, RULE, digest="d", now=now)
    return replace(graph, job=replace(graph.job, updated_at=now))


def test_a_healthy_job_outlives_any_number_of_killed_engines() -> None:
    killed = Failure(failure_class=FailureClass.INFRA, code=ErrorCode.ENGINE_DIED, message="killed")

    graph = after_failures(killed, 3 * MOST_INFRA_IN_A_ROW)
    task = graph.tasks[0]

    assert (graph.job.state, task.state, task.charged, task.infra_failures) == (JobState.RETRYING, TaskState.PENDING, 0, 0)
    assert task.not_before - graph.job.updated_at <= 1.2


def test_trouble_that_engines_report_themselves_ends_the_job_at_last() -> None:
    disk = Failure(failure_class=FailureClass.INFRA, code=ErrorCode.TASK_DISK, message="full")

    assert after_failures(disk, MOST_INFRA_IN_A_ROW - 1).job.state is JobState.RETRYING
    assert after_failures(disk, MOST_INFRA_IN_A_ROW).job.state is JobState.FAILED
