"""What is saved is read again, whichever one field of a row has changed: updates name only some columns."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from dispatch.core.records import Attempt, Graph, Job, Source, Task
from dispatch.ports import StaleRow
from protocol.states import AttemptState, JobState, TaskState
from tests.contract.store_adapters import ADAPTERS, bare, granted, job, open_store, saved

JOB_STANDS = "job_id tenant profile_json input_json created_at max_attempts ttl_s key_id prefix finish_by version"
TASK_STANDS = "task_id job_id tenant kind ordinal created_at version"
ATTEMPT_STANDS = "token task_id job_id engine_id boot_id request_id kind granted_at"
WORDS: dict[str, Any] = {  # any field of a record
    "source": Source("url", "https://example.org/a.mp4", "a.mp4", 7),
    "needs": ("operation:noop", "x:y"),
    "tags": ("gpu",),
    "avoid": ("eng_9",),
    "deaths": ("eng_8", "eng_8"),
    "webhook_url": "https://example.org/hook",
    "engine_id": "eng_7",
    "digest": "f" * 64,
    "keys_sealed": "sealed",
    "log_tail": "the end of a log",
}


def _other(value: Any, name: str) -> Any:  # any field of a record
    if name in WORDS:
        return WORDS[name]
    states = {JobState: JobState.TRANSCODING, TaskState: TaskState.RUNNING, AttemptState: AttemptState.RUNNING}
    if type(value) in states:
        return states[type(value)]
    return value + 1 if isinstance(value, int | float) else '{"other":1}' if name.endswith("_json") else 8.5


def _names(kind: type[Job | Task | Attempt], stands: str) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in stands.split()]


def _with(graph: Graph, kind: type[Job | Task | Attempt], name: str) -> Graph:
    row: Any = {Job: graph.job, Task: graph.tasks[0], Attempt: graph.attempts[0]}[kind]
    changed = replace(row, **{name: _other(getattr(row, name), name)})
    if kind is Job:
        return replace(graph, job=changed)
    return replace(graph, tasks=(changed,)) if kind is Task else replace(graph, attempts=(changed,))


CASES = [
    *((Job, name) for name in _names(Job, JOB_STANDS)),
    *((Task, name) for name in _names(Task, TASK_STANDS)),
    *((Attempt, name) for name in _names(Attempt, ATTEMPT_STANDS)),
]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind.__name__}.{name}" for kind, name in CASES])
async def test_any_one_field_that_changes_is_written(tmp_path: Any, kind: type[Job | Task | Attempt], name: str) -> None:
    async with open_store("inline", tmp_path) as store:
        new = job("1")
        await store.transact(lambda tx: tx.insert([new]))
        before = await saved(store, bare(new), bare(granted(new, 1)))

        found = await saved(store, before, wanted := _with(before, kind, name))

        raised = replace(wanted.job, version=before.job.version + 1)
        tasks = tuple(replace(t, version=t.version + 1) for t in wanted.tasks) if kind is Task else wanted.tasks
        assert found == replace(wanted, job=raised, tasks=tasks)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["progress", "priority"])
async def test_a_row_that_has_moved_on_is_refused_whichever_columns_change(tmp_path: Any, adapter: str, name: str) -> None:
    async with open_store(adapter, tmp_path) as store:
        new = job("1")
        await store.transact(lambda tx: tx.insert([new]))
        before = await saved(store, bare(new), bare(granted(new, 1)))
        await saved(store, before, _with(before, Job, "retries"))

        with pytest.raises(StaleRow):
            await saved(store, before, _with(before, Job, name))
