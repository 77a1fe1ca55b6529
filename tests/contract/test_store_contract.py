"""What every store promises: rows as they were written, guards, order of events and tokens, nothing done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.core import lifecycle
from dispatch.core.callers import Caller
from dispatch.core.records import ApiKey, Engine, IdempotencyRow, Source, StagedRow, Tenant
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, StaleRow, Store, Transaction
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import AttemptState, EngineState, TaskState
from tests.contract.store_adapters import ADAPTERS, bare, granted, graph_of, job, noted, open_store, saved
from tests.unit.dispatch_jobs import NOW, SHA, WEB, after, complete, staged, submitted

ADMIN = Caller("key_1", "default", frozenset({Scope.ADMIN}))
ENGINE = Engine(
    engine_id="eng_1",
    name="box",
    hostname="box.local",
    boot_id="boot-0001",
    software_version="0.1",
    state=EngineState.DRAINING,
    credential_sha256=SHA,
    capabilities_json='{"provided":[]}',
    tags=("gpu:none", "site:oslo"),
    slots_json="{}",
    load_json="{}",
    registered_at=NOW,
    last_heartbeat_at=NOW + 1.5,
    wanted="drain",
    version=7,
)
KEY = ApiKey("key_1", "ci", "acme", ("jobs:read", "jobs:write"), "rk_abc", SHA, NOW, NOW + 1, NOW + 2, NOW + 3)


@pytest.fixture
def commits() -> list[Commit]:
    return []


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, commits: list[Commit]) -> AsyncIterator[Store]:
    bus = CommitBus()
    bus.add(lambda commit: commits.append(commit))
    async with open_store(request.param, tmp_path, bus) as opened:
        yield opened


# --- round trips


async def test_a_job_and_its_tasks_come_back_as_they_were(store: Store) -> None:
    new = submitted(
        WEB,
        source=Source("server", "/media/ä b.mp4", "ä b.mp4", 2**40),
        input_json='{"path":"/media/ä b.mp4"}',
        user_metadata_json='{"title":"\\u0000 and 🎬"}',
        eta_seconds=1.25,
        started_at=NOW + 0.1,
        completed_at=NOW + 0.2,
        media_json="{}",
        error_json='{"x":1}',
        outputs_json="{}",
        warnings_json='["w"]',
        retries=2,
        progress=0.5,
        version=9,
    )
    task = replace(
        new.tasks[0],
        needs=("encoder:aac", "operation:analyze"),
        tags=("site:oslo",),
        avoid=("eng_1", "eng_2"),
        deaths=("eng_1", "eng_1"),
        engine_id="eng_1",
        token=2**52,
        not_before=NOW + 0.3,
        charged=2,
        infra_failures=3,
    )
    new = replace(new, tasks=(task, *new.tasks[1:]))

    await store.transact(lambda tx: tx.insert([new]))

    assert await graph_of(store, "job_1") == bare(new)


async def test_an_attempt_and_its_files_come_back_as_they_were(store: Store) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))
    held = await saved(store, new, granted(new, 5))
    done = after(held, complete(5, "tsk_a", files=(staged("a/b.mp4", size=2**40, width=640),), log_tail="frame=1 ü"))

    found = await saved(store, held, done)

    assert found.attempts == done.attempts
    assert await store.read(lambda tx: tx.staged("job_a")) == [
        StagedRow("job_a", "a/b.mp4", "tsk_a", 5, 2**40, SHA, done.files[0].facts_json)
    ]
    assert await store.read(lambda tx: tx.staged_paths(["job_a", "job_b"])) == {("job_a", "a/b.mp4")}


async def test_engines_keys_tenants_and_answers_come_back_as_they_were(store: Store) -> None:
    answer = IdempotencyRow("acme", "submit_job", "k-1", SHA, 202, '{"job_id":"ü"}', "run_1", NOW)

    def put(tx: Transaction) -> None:
        tx.put_engine(ENGINE)
        tx.put_key(KEY)
        tx.put_tenant(Tenant("acme", 2.5, NOW))
        tx.put_idempotency(answer)

    await store.transact(put)

    def found(tx: Transaction) -> tuple[object, ...]:
        return (tx.engine("eng_1"), tx.engines(), tx.key("key_1"), tx.key_by_digest(SHA), tx.keys(), tx.tenants())

    assert await store.read(found) == (ENGINE, [ENGINE], KEY, KEY, [KEY], [Tenant("acme", 2.5, NOW)])
    assert await store.read(lambda tx: tx.idempotency("acme", "submit_job", "k-1")) == answer
    assert await store.read(lambda tx: tx.idempotency("other", "submit_job", "k-1")) is None
    assert await store.read(lambda tx: tx.idempotency("acme", "submit_batch", "k-1")) is None


async def test_a_record_put_again_replaces_itself(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for version in (1, 2):
            tx.put_engine(replace(ENGINE, version=version))
            tx.put_key(replace(KEY, name=str(version)))
            tx.put_tenant(Tenant("acme", float(version), NOW))

    await store.transact(put)

    def found(tx: Transaction) -> tuple[object, ...]:
        keys = tx.keys()
        return [engine.version for engine in tx.engines()], [key.name for key in keys], [t.weight for t in tx.tenants()]

    assert await store.read(found) == ([2], ["2"], [2.0])


async def test_an_engine_that_is_removed_is_gone_and_told_so(store: Store, commits: list[Commit]) -> None:
    await store.transact(lambda tx: tx.put_engine(ENGINE))
    await store.transact(lambda tx: tx.delete_engine("eng_1"))

    assert await store.read(lambda tx: (tx.engine("eng_1"), tx.engines())) == (None, [])
    assert [(commit.engines, commit.gone_engines) for commit in commits] == [((ENGINE,), ()), ((), ("eng_1",))]


async def test_old_answers_are_forgotten(store: Store) -> None:
    rows = [IdempotencyRow("acme", "r", f"k-{n}", SHA, 202, "{}", "run_1", NOW + n) for n in range(4)]

    def put(tx: Transaction) -> None:
        for row in rows:
            tx.put_idempotency(row)

    await store.transact(put)

    assert await store.transact(lambda tx: tx.delete_idempotency_before(NOW + 2)) == 2
    left = await store.read(lambda tx: [tx.idempotency("acme", "r", row.key) for row in rows])
    assert left == [None, None, rows[2], rows[3]]


# --- guards


async def test_a_row_that_moved_on_is_never_overwritten(store: Store) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))
    taken = await saved(store, new, granted(new, 5))

    with pytest.raises(StaleRow):
        await store.transact(lambda tx: tx.save([new], [granted(new, 6)]))

    assert await graph_of(store, "job_a") == taken


@pytest.mark.parametrize("moved", ["job", "task", "token", "attempt"])
async def test_each_guard_refuses_by_itself(store: Store, moved: str) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))
    loaded = await saved(store, new, granted(new, 5))
    task, attempt = loaded.tasks[0], loaded.attempts[0]
    wrong = {
        "job": replace(loaded, job=replace(loaded.job, version=loaded.job.version + 1)),
        "task": replace(loaded, tasks=(replace(task, version=task.version + 1),)),
        "token": replace(loaded, tasks=(replace(task, token=4),)),
        "attempt": replace(loaded, attempts=(replace(attempt, state=AttemptState.RUNNING),)),
    }[moved]
    changed = replace(
        loaded,
        job=replace(loaded.job, progress=0.5),
        tasks=(replace(task, state=TaskState.RUNNING),),
        attempts=(replace(attempt, state=AttemptState.DONE),),
    )

    with pytest.raises(StaleRow):
        await store.transact(lambda tx: tx.save([wrong], [changed]))

    assert await graph_of(store, "job_a") == loaded


async def test_every_change_raises_the_versions(store: Store) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))

    held = await saved(store, new, granted(new, 5))
    acked = await saved(store, held, lifecycle.ack(held, 5, now=NOW))

    assert [(g.job.version, g.tasks[0].version) for g in (new, held, acked)] == [(1, 1), (2, 2), (3, 2)]


async def test_what_did_not_change_is_not_written(store: Store, commits: list[Commit]) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))
    commits.clear()

    await store.transact(lambda tx: tx.save([new], [new]))

    assert [commit.jobs for commit in commits] == [()]
    assert await graph_of(store, "job_a") == bare(new)


async def test_a_function_that_lost_a_race_runs_again_and_does_nothing_twice(store: Store) -> None:
    await store.transact(lambda tx: tx.insert([job("a")]))
    tries: list[int] = []

    def put_after_a_miss(tx: Transaction) -> int:
        tries.append(len(tries))
        tx.append(noted(f"try {len(tries)}"))
        token = tx.next_tokens(1)[0]
        if len(tries) < 3:
            raise StaleRow
        return token

    assert await store.transact(put_after_a_miss) >= 1  # numbers that a try took may be lost with it
    assert len(tries) == 3
    events = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant="-", limit=10))
    assert [event.new.to_state for event in events] == ["try 3"]


async def test_a_race_lost_again_and_again_is_told(store: Store) -> None:
    def always(tx: Transaction) -> None:
        tx.append(noted("never"))
        raise StaleRow("moved on")

    with pytest.raises(StaleRow):
        await store.transact(always)

    assert await store.read(lambda tx: tx.last_seq()) == 0


# --- events and tokens


async def test_events_are_numbered_in_commit_order_without_a_gap(store: Store) -> None:
    await store.transact(lambda tx: tx.append(noted("a", "b")))
    with pytest.raises(ReelyardError):
        await store.transact(_notes_and_fails)
    await store.transact(lambda tx: tx.append(noted("c")))

    events = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=10))

    assert [(event.seq, event.new.to_state) for event in events] == [(1, "a"), (2, "b"), (3, "c")]
    assert await store.read(lambda tx: tx.last_seq()) == 3


def _notes_and_fails(tx: Transaction) -> None:
    tx.append(noted("lost"))
    raise ReelyardError(ErrorCode.JOB_NOT_FOUND)


async def test_events_are_found_by_number_job_and_tenant(store: Store) -> None:
    def make(tx: Transaction) -> None:
        tx.insert([job("a"), job("b", tenant="acme")])
        tx.append(noted("x"))

    await store.transact(make)

    async def found(seq: int, **by: str | None) -> list[int]:
        wanted = {"job_id": None, "tenant": None, **by}
        events = await store.read(lambda tx: tx.events_after(seq, limit=10, **wanted))
        return [event.seq for event in events]

    assert await found(0) == [1, 2, 3]
    assert await found(1) == [2, 3]
    assert await found(0, job_id="job_b") == [2]
    assert await found(0, tenant="acme") == [2]
    assert await found(0, tenant="acme", job_id="job_a") == []
    assert [e.seq for e in await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=2))] == [1, 2]


async def test_tokens_rise_and_are_never_given_twice(store: Store) -> None:
    first = await store.transact(lambda tx: list(tx.next_tokens(3)))
    none = await store.transact(lambda tx: list(tx.next_tokens(0)))
    with pytest.raises(ReelyardError):
        await store.transact(_takes_and_fails)
    second = await store.transact(lambda tx: list(tx.next_tokens(2)))

    assert (first, none) == ([1, 2, 3], [])
    assert min(second) > max(first)


def _takes_and_fails(tx: Transaction) -> None:
    tx.next_tokens(5)
    raise ReelyardError(ErrorCode.JOB_NOT_FOUND)


# --- failing, reading, telling


async def test_what_fails_leaves_nothing_behind_and_is_told_to_its_caller(store: Store, commits: list[Commit]) -> None:
    def half(tx: Transaction) -> None:
        tx.insert([job("a")])
        raise ReelyardError(ErrorCode.JOB_NOT_FOUND, "no such thing")

    with pytest.raises(ReelyardError, match="no such thing"):
        await store.transact(half)

    assert await store.read(lambda tx: (tx.graphs(["job_a"]), tx.last_seq())) == ({}, 0)
    assert commits == []


async def test_a_row_that_exists_already_is_the_callers_error(store: Store) -> None:
    await store.transact(lambda tx: tx.insert([job("a")]))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.transact(lambda tx: tx.insert([job("a")]))

    await store.transact(lambda tx: tx.insert([job("b")]))
    assert set(await store.read(lambda tx: tx.graphs(["job_a", "job_b"]))) == {"job_a", "job_b"}


async def test_a_reader_cannot_write(store: Store, commits: list[Commit]) -> None:
    with pytest.raises(ReelyardError) as refused:
        await store.read(lambda tx: tx.insert([job("a")]))

    assert refused.value.code is ErrorCode.DATABASE_UNAVAILABLE
    assert await store.read(lambda tx: tx.graphs(["job_a"])) == {}
    assert commits == []
    await store.transact(lambda tx: tx.insert([job("a")]))


async def test_listeners_hear_of_a_commit_before_its_caller_goes_on(store: Store, commits: list[Commit]) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))

    assert len(commits) == 1
    assert (commits[0].jobs, commits[0].tasks) == ((new.job,), new.tasks)
    assert [(event.seq, event.new) for event in commits[0].events] == [(1, new.events[0])]


async def test_a_commit_tells_rows_as_they_were_saved(store: Store, commits: list[Commit]) -> None:
    new = job("a")
    await store.transact(lambda tx: tx.insert([new]))
    held = await saved(store, new, granted(new, 5))

    commit = commits[-1]
    assert (commit.jobs, commit.tasks, commit.attempts) == ((held.job,), held.tasks, held.attempts)
