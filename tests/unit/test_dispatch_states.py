"""The tables of jobs and tasks, held against the words of the design."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.job_machine import EVENT_OF_STATE, JOB_ROWS, JOB_TABLE, state_of_tasks
from dispatch.core.lifecycle import with_job_state
from dispatch.core.machine import InvalidTransition
from dispatch.core.records import Task
from dispatch.core.task_machine import TASK_ROWS, advance
from protocol.states import JobState, TaskKind, TaskState
from tests.unit.dispatch_jobs import NOW, submitted

JOBS = {
    "pending": "assigned, cancelled, failed",
    "assigned": "transcoding, completing, pending, retrying, failed, cancelled",
    "transcoding": "completing, retrying, failed, cancelled",
    "completing": "completed, retrying, failed",
    "retrying": "pending, assigned, transcoding, completing, failed, cancelled",
    "failed": "retrying",
    "completed": "",
    "cancelled": "",
}
TASKS = {
    "waiting": "pending, skipped, cancelled",
    "pending": "assigned, skipped, failed, cancelled",
    "assigned": "running, done, pending, failed, cancelled",
    "running": "done, pending, failed, cancelled",
    "failed": "pending",
    "done": "pending",
    "cancelled": "",
    "skipped": "",
}


def pairs(table: dict[str, str]) -> set[tuple[str, str]]:
    return {(source, target) for source, targets in table.items() for target in targets.split(", ") if target}


def test_the_table_of_jobs_is_the_one_of_the_design() -> None:
    assert {(row.source, row.target) for row in JOB_ROWS} == pairs(JOBS)
    assert set(JOBS) == set(JobState)


def test_the_table_of_tasks_is_the_one_of_the_design() -> None:
    assert {(row.source, row.target) for row in TASK_ROWS} == pairs(TASKS)
    assert set(TASKS) == set(TaskState)


def test_every_state_of_a_job_has_an_event_of_its_own() -> None:
    assert set(EVENT_OF_STATE) == set(JobState)
    assert len(set(EVENT_OF_STATE.values())) == len(JobState)


@pytest.mark.parametrize(("source", "target"), sorted(set(product(JobState, JobState)) - {(s, s) for s in JobState}))
def test_a_job_moves_by_the_table_or_not_at_all(source: JobState, target: JobState) -> None:
    before = replace(submitted(state=source), events=())

    if (source.value, target.value) in pairs(JOBS):
        moved = with_job_state(before, target, now=NOW + 1)
        event = moved.events[0]
        assert (moved.job.state, moved.job.updated_at) == (target, NOW + 1)
        assert (event.type, event.from_state, event.to_state) == (EVENT_OF_STATE[target], source.value, target.value)
    else:
        with pytest.raises(InvalidTransition) as refused:
            with_job_state(before, target, now=NOW + 1)
        assert refused.value.message == f"job_1: becoming {target} is not possible while {source}"
        assert refused.value.details == {"state": source.value}


def test_a_job_never_moves_to_the_state_it_is_in() -> None:
    for state in JobState:
        with pytest.raises(InvalidTransition):
            JOB_TABLE.check("job_1", state, state)


TRIGGERS = sorted({row.trigger for row in TASK_ROWS})


@pytest.mark.parametrize(("state", "trigger"), sorted(product(TaskState, TRIGGERS)))
def test_a_task_moves_by_the_table_or_not_at_all(state: TaskState, trigger: str) -> None:
    task = replace(submitted().tasks[0], state=state)
    targets = [row.target for row in TASK_ROWS if (row.source, row.trigger) == (state, trigger)]

    if targets:
        assert advance(task, trigger) == replace(task, state=TaskState(targets[0]))
        assert len(targets) == 1
    else:
        with pytest.raises(InvalidTransition) as refused:
            advance(task, trigger)
        assert refused.value.message == f"tsk_0: {trigger} is not possible while {state}"


def design_says(previous: JobState, tasks: list[Task], now: float) -> str:
    """The sentence of the design, word for word, first match wins."""
    was = previous == "transcoding"
    held = [task for task in tasks if task.state.value in ("assigned", "running")]
    rules = [
        ("failed", any(task.state == "failed" for task in tasks)),
        ("completing", all(task.state.value in ("done", "skipped") for task in tasks)),
        ("transcoding", any(task.state == "running" and task.kind != "analyze" for task in tasks)),
        ("transcoding", bool(held) and was),
        ("assigned", bool(held)),
        ("retrying", any(task.state == "pending" and task.not_before > now for task in tasks)),
        ("transcoding", was),
        ("pending", True),
    ]
    return next(state for state, holds in rules if holds)


TASK = submitted().tasks[0]
some_task = st.builds(
    lambda kind, state, ahead: replace(TASK, kind=kind, state=state, not_before=NOW + ahead),
    st.sampled_from(TaskKind),
    st.sampled_from(TaskState),
    st.sampled_from([-NOW, -1.0, 0.0, 1.0]),
)


@given(st.sampled_from(JobState), st.lists(some_task, min_size=1, max_size=5))
def test_the_state_follows_from_the_tasks_as_the_design_says(previous: JobState, tasks: list[Task]) -> None:
    assert state_of_tasks(previous, tasks, now=NOW) == design_says(previous, tasks, NOW)
