"""Timers over leases and jobs: what runs out, what waits, and what holds still while the wall clock jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.core.callers import IdempotencyKey
from dispatch.services.gate import Verdict, Watermarks, judge
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.jobs import JobSubmission
from protocol.leases import Ack, RunningTask, UploadsRequest
from protocol.storage import Space
from tests.contract.services_world import CLIENT, World, job_of, world
from tests.unit.dispatch_jobs import complete, fail, failure

KEY = IdempotencyKey("submit_job", "k-1", "f" * 64)
DAY = 86_400.0


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def code_of(farm: World, job_id: str) -> str:
    error_json = (await farm.graph(job_id)).job.error_json
    assert error_json is not None
    return error_json.split('"code":"', 1)[1].split('"', 1)[0]


# --- leases


async def test_a_grant_that_is_not_acked_is_taken_back_after_ten_seconds(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)

    farm.clock.advance(9.5)
    await farm.duty("leases")
    assert await farm.states(job_id) == ("assigned", "assigned")

    farm.clock.advance(1.0)
    await farm.duty("leases")
    assert await farm.states(job_id) == ("pending", "pending")
    late = await farm.settle(engine.engine_id, Ack(task_id=grant.task_id, token=grant.token))
    assert [answer.error for answer in late] == [ErrorCode.STALE_LEASE]


async def test_a_lease_lives_by_heartbeats_and_ends_without_them(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Ack(task_id=grant.task_id, token=grant.token))
    for _ in range(10):
        farm.clock.advance(45.0)
        await farm.duty("leases")
        await farm.beat(engine.engine_id, RunningTask(task_id=grant.task_id, token=grant.token, started=False))
    assert await farm.states(job_id) == ("assigned", "assigned")

    farm.clock.advance(60.5)
    await farm.duty("leases")

    assert await farm.states(job_id) == ("pending", "pending")
    assert (await farm.beat(engine.engine_id, RunningTask(task_id=grant.task_id, token=grant.token, started=False))).renewed == ()


async def test_leases_do_not_care_for_the_wall_clock(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Ack(task_id=grant.task_id, token=grant.token))

    farm.clock.jump(DAY)
    await farm.duty("leases")

    assert await farm.states(job_id) == ("assigned", "assigned")


async def test_staging_is_offered_to_live_attempts_alone(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    request = UploadsRequest(token=grant.token, paths=("a.mp4",))
    uploads = farm.core.services.leases.uploads

    reply = await uploads(engine.engine_id, grant.task_id, request)
    assert [target.path for target in reply.uploads] == ["a.mp4"]
    assert reply.uploads[0].url.endswith(f"/staging/{job_id}/{grant.task_id}/{grant.token}/a.mp4")

    await farm.settle(engine.engine_id, complete(grant.token, grant.task_id))
    for asked in (request, UploadsRequest(token=99, paths=("a.mp4",))):
        with pytest.raises(ReelyardError, match="STALE_LEASE"):
            await uploads(engine.engine_id, grant.task_id, asked)


# --- jobs


async def test_a_backoff_passes_by_itself(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, fail(grant.token, failure(FailureClass.ENGINE), grant.task_id))
    assert await farm.states(job_id) == ("retrying", "pending")

    farm.clock.advance(0.5)
    await farm.duty("timers")
    assert await farm.states(job_id) == ("retrying", "pending")
    farm.clock.advance(0.6)
    await farm.duty("timers")

    assert await farm.states(job_id) == ("pending", "pending")


async def test_a_job_nobody_starts_expires(farm: World) -> None:
    short, long = await farm.submit(ttl_s=60), await farm.submit()

    farm.clock.advance(60.0)
    await farm.duty("timers")

    assert await farm.states(short) == ("failed", "failed")
    assert await code_of(farm, short) == "JOB_EXPIRED"
    assert await farm.states(long) == ("pending", "pending")


async def test_a_job_that_is_held_does_not_expire(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit(ttl_s=60)
    await farm.grant(engine.engine_id, job_id)

    farm.clock.advance(60.0)
    await farm.duty("timers")

    assert await farm.states(job_id) == ("assigned", "assigned")


async def test_a_wall_clock_that_jumps_expires_nothing_at_that_moment(farm: World) -> None:
    job_id = await farm.submit(ttl_s=3600)

    farm.clock.jump(DAY)
    await farm.duty("timers")

    assert await farm.states(job_id) == ("pending", "pending")


async def test_keys_of_yesterday_are_forgotten_and_those_of_today_are_not(farm: World) -> None:
    submissions, noop = farm.core.services.submissions, JobSubmission(profile="noop")
    first = await submissions.submit(CLIENT, noop, KEY)

    farm.clock.advance(DAY - 10)
    await farm.duty("housekeeping")
    assert job_of(await submissions.submit(CLIENT, noop, KEY)) == job_of(first)

    farm.clock.advance(20)
    await farm.duty("housekeeping")
    assert job_of(await submissions.submit(CLIENT, noop, KEY)) != job_of(first)


async def test_a_wall_clock_that_jumps_forgets_no_key_at_that_moment(farm: World) -> None:
    submissions, noop = farm.core.services.submissions, JobSubmission(profile="noop")
    first = await submissions.submit(CLIENT, noop, KEY)

    farm.clock.jump(2 * DAY)
    await farm.duty("timers")
    await farm.duty("housekeeping")

    assert job_of(await submissions.submit(CLIENT, noop, KEY)) == job_of(first)


async def test_timers_look_only_at_what_is_due(farm: World) -> None:
    engine = await farm.register()
    due, ahead = await farm.submit(), await farm.submit()
    for job_id, at in ((due, 0.0), (ahead, 0.9)):
        farm.clock.advance(at)
        grant = await farm.grant(engine.engine_id, job_id)
        await farm.settle(engine.engine_id, fail(grant.token, failure(FailureClass.ENGINE), grant.task_id))
    farm.clock.advance(0.2)

    store = farm.core.outside.store
    assert await store.read(lambda tx: tx.jobs_past_backoff(farm.clock.now(), farm.clock.now() + DAY, 10)) == [due]
    await farm.duty("timers")
    assert await store.read(lambda tx: tx.jobs_past_backoff(farm.clock.now(), farm.clock.now() + DAY, 10)) == []


# --- the gate

GIB = 1 << 30
FULL = ErrorCode.STORAGE_FULL


@pytest.mark.parametrize(
    ("free", "total", "grants", "submissions"),
    [
        (60, 10_000, None, None),  # plenty, whatever the share
        (20, 100, None, None),
        (15, 100, None, None),
        (12, 100, None, None),
        (10, 100, None, None),
        (9, 100, FULL, None),
        (5, 100, FULL, None),
        (4, 100, FULL, FULL),
        (0, 100, FULL, FULL),
        (0, 0, FULL, FULL),
    ],
)
def test_room_decides_what_may_come_in(free: int, total: int, grants: ErrorCode | None, submissions: ErrorCode | None) -> None:
    verdict = judge(Space(free * GIB, total * GIB), Watermarks())

    assert (verdict.grants, verdict.submissions) == (grants, submissions)
    assert (verdict == Verdict()) is (free >= 15)


async def test_a_storage_that_comes_and_goes_stops_and_starts_the_work(farm: World, tmp_path: Path) -> None:
    job_id = await farm.submit()
    (tmp_path / "storage").rename(tmp_path / "unplugged")
    await farm.duty("storage")

    why = (await farm.core.services.jobs.why(CLIENT, job_id)).summary
    ready = await farm.core.services.health.ready()
    with pytest.raises(ReelyardError) as refused:
        await farm.submit()
    assert (refused.value.code, refused.value.status) == (ErrorCode.STORAGE_UNAVAILABLE, 503)
    assert refused.value.retry_after is not None
    assert ready.status == "unavailable"
    assert why.startswith("No work is handed out now")

    (tmp_path / "unplugged").rename(tmp_path / "storage")
    await farm.duty("storage")
    assert await farm.submit()
    assert (await farm.core.services.health.ready()).status == "ok"
