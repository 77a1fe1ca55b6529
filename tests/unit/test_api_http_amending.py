"""What may change of a waiting job, over graphs."""

from __future__ import annotations

import pytest

from dispatch.core import amending, endings
from dispatch.core.machine import InvalidTransition
from protocol.events import EventType
from protocol.states import TaskState
from tests.unit.dispatch_jobs import NOW, WEB, granted, submitted


def test_new_priority_reaches_every_task_that_is_still_to_run() -> None:
    changed = amending.amend(submitted(WEB), {"priority": 9}, now=NOW + 5)

    assert (changed.job.priority, {task.priority for task in changed.tasks}) == (9, {9})
    assert (changed.job.updated_at, changed.events[-1].type, changed.events[-1].data_json) == (
        NOW + 5,
        EventType.JOB_CHANGED,
        '{"fields":["priority"]}',
    )


def test_what_the_job_says_already_is_no_change() -> None:
    before = submitted()

    assert amending.amend(before, {"priority": 5, "user_metadata_json": "{}", "webhook_url": None}, now=NOW + 5) is before


def test_metadata_leaves_the_tasks_alone() -> None:
    before = submitted()
    changed = amending.amend(before, {"user_metadata_json": '{"a":1}', "webhook_url": "https://a.example/"}, now=NOW)

    assert changed.tasks == before.tasks
    assert (changed.job.user_metadata_json, changed.job.webhook_url) == ('{"a":1}', "https://a.example/")
    assert changed.events[-1].data_json == '{"fields":["user_metadata","webhook_url"]}'


def test_job_that_is_held_or_has_ended_is_left_alone() -> None:
    held = granted(submitted(), 1)
    ended = endings.cancel(submitted(), now=NOW)

    for graph in (held, ended):
        with pytest.raises(InvalidTransition):
            amending.amend(graph, {"priority": 9}, now=NOW)
    assert held.tasks[0].state is TaskState.ASSIGNED
