"""What duties and lists look for in the store: found by every adapter alike, in the same order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.core import endings
from dispatch.core.callers import Caller
from dispatch.core.job_list import JobFilter, parse
from dispatch.core.paging import Wanted, cursor_of
from dispatch.ports import Store
from protocol.admin import Scope
from protocol.errors import FailureClass
from protocol.states import JobState, TaskKind, TaskState
from tests.contract.store_adapters import ADAPTERS, granted, job, open_store, saved
from tests.unit.dispatch_jobs import NOW, after, complete, fail, failure, staged, start

ADMIN = Caller("key_1", "default", frozenset({Scope.ADMIN}))


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def test_ready_tasks_are_those_that_may_be_granted(store: Store) -> None:
    dead = after(granted(job("dead"), 9), fail(9, failure(FailureClass.INPUT), "tsk_dead"))
    waiting = replace(
        job("film"), tasks=(job("film").tasks[0], replace(job("film").tasks[0], task_id="tsk_w", state=TaskState.WAITING))
    )
    new = [job("a"), job("b"), job("dead"), waiting]
    await store.transact(lambda tx: tx.insert(new))
    await saved(store, job("dead"), dead)
    await saved(store, job("b"), granted(job("b"), 3))

    assert {task.task_id for task in await store.read(lambda tx: tx.ready_tasks())} == {"tsk_a", "tsk_film"}


async def test_live_attempts_are_found_by_engine(store: Store) -> None:
    await store.transact(lambda tx: tx.insert([job("a"), job("b")]))
    held = await saved(store, job("a"), granted(job("a"), 3))
    done = await saved(store, job("b"), granted(job("b"), 4))
    await saved(store, done, after(done, complete(4, "tsk_b")))

    assert await store.read(lambda tx: (tx.live_attempts(), tx.live_attempts("eng_1"), tx.live_attempts("eng_2"))) == (
        list(held.attempts),
        list(held.attempts),
        [],
    )


async def test_overdue_jobs_come_oldest_first(store: Store) -> None:
    late = [job(name, ttl_from=NOW - age) for name, age in (("a", 100.0), ("b", 200.0), ("c", 59.0))]
    begun = job("d", ttl_from=NOW - 300, started_at=NOW - 1)
    over = job("e", ttl_from=NOW - 300, state=JobState.COMPLETED)
    await store.transact(lambda tx: tx.insert([*late, begun, over]))

    assert await store.read(lambda tx: tx.expired_jobs(NOW, 10)) == ["job_b", "job_a"]
    assert await store.read(lambda tx: tx.expired_jobs(NOW, 1)) == ["job_b"]
    assert await store.read(lambda tx: tx.jobs_in([JobState.COMPLETED])) == ["job_e"]


async def test_a_list_is_walked_by_its_cursor_while_jobs_come_in(store: Store) -> None:
    await store.transact(lambda tx: tx.insert([job(f"{n:02d}", created_at=NOW + n // 3) for n in range(20)]))
    seen: list[str] = []
    query: dict[str, str] = {"limit": "6"}
    for step in range(4):
        wanted = parse(query, ADMIN)
        found = await store.read(lambda tx, wanted=wanted: tx.list_jobs(wanted))  # type: ignore[misc]
        assert (found.total, found.last is None) == (20 + step, step == 3)
        seen += [row.job_id for row in found.rows]
        query = {"limit": "6", "cursor": cursor_of(wanted.listing, found.last or ())}
        await store.transact(lambda tx, step=step: tx.insert([job(f"new{step}", created_at=NOW + 1000)]))  # type: ignore[misc]

    assert seen == sorted((f"job_{n:02d}" for n in range(20)), reverse=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (JobFilter(), ["c", "b", "a"]),
        (JobFilter(descending=False), ["a", "b", "c"]),
        (JobFilter(tenant="acme"), ["c"]),
        (JobFilter(states=("completed",)), ["b"]),
        (JobFilter(created_after=NOW, created_before=NOW + 2), ["b"]),
        (JobFilter(sort="priority"), ["a", "c", "b"]),
        (JobFilter(sort="completed_at"), ["b", "c", "a"]),
        (JobFilter(page=Wanted(limit=1, offset=1)), ["b"]),
        (JobFilter(states=("assigned",), is_validating=True), []),
        (JobFilter(states=("pending",), is_validating=False), ["c", "a"]),
    ],
)
async def test_a_list_is_what_was_asked_for(store: Store, wanted: JobFilter, found: list[str]) -> None:
    jobs = [
        job("a", priority=9),
        job("b", created_at=NOW + 1, state=JobState.COMPLETED, completed_at=NOW + 5, priority=1),
        job("c", created_at=NOW + 2, tenant="acme"),
    ]
    await store.transact(lambda tx: tx.insert(jobs))

    rows = (await store.read(lambda tx: tx.list_jobs(wanted))).rows

    assert [row.job_id for row in rows] == [f"job_{name}" for name in found]


async def test_more_ids_than_one_statement_takes_are_found(store: Store) -> None:
    names = [f"{n:05d}" for n in range(2500)]
    await store.transact(lambda tx: tx.insert([job(name) for name in names]))

    found = await store.read(lambda tx: tx.graphs([f"job_{name}" for name in names] + ["job_none"] * 40_000))

    assert set(found) == {f"job_{name}" for name in names}
    assert await store.read(lambda tx: len(tx.jobs_of_tasks([f"tsk_{name}" for name in names]))) == 2500


async def test_lost_files_are_forgotten_with_the_task_that_made_them(store: Store) -> None:
    film = replace(job("a"), tasks=(replace(job("a").tasks[0], kind=TaskKind.TRANSCODE),))
    await store.transact(lambda tx: tx.insert([film]))
    held = await saved(store, film, granted(film, 5))
    done = await saved(store, held, after(held, start(5, "tsk_a"), complete(5, "tsk_a", files=(staged("a.mp4"),))))
    assert done.job.state is JobState.COMPLETING

    again = await saved(store, done, endings.redo_lost(done, ["tsk_a"], now=NOW))

    assert await store.read(lambda tx: tx.staged("job_a")) == []
    assert (again.job.state, again.tasks[0].state) == (JobState.RETRYING, TaskState.PENDING)
