"""Tenants as services see them: quotas that hold against many at once, files in their own directory, changes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import JsonValue

from dispatch.core.audit import AuditFilter
from dispatch.core.callers import Caller
from dispatch.core.metering import HeldCount
from dispatch.core.records import NO_TENANT
from dispatch.services.profiles import ProfileBook, ProfileService
from dispatch.services.submissions import Sent
from dispatch.services.tenants import TenantBook, TenantService
from protocol.admin import Scope, TenantPatch, TenantRequest, TenantView
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import BatchReply, BatchSubmission, JobSubmission
from protocol.profiles import Profile
from tests.contract.services_world import CLIENT, World, blocks_of, job_of, world
from tests.contract.store_adapters import ADAPTERS, job
from tests.unit.dispatch_jobs import complete

ADMIN = Caller("key_9", "default", frozenset({Scope.ADMIN}))
NOOP = JobSubmission(profile="noop")
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100)


@pytest.fixture(params=ADAPTERS)
async def farm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "in").mkdir()
    async with world(tmp_path, adapter=request.param, allowed_roots=[tmp_path / "in"]) as made:
        yield made


async def tenant(farm: World, name: str = "acme", **fields: Any) -> Caller:  # any field of the request
    """A new tenant's client."""
    await farm.core.services.tenants.create(ADMIN, TenantRequest(name=name, **fields))
    return replace(CLIENT, key_id="key_3", tenant=name)


async def patched(farm: World, name: str = "acme", **fields: Any) -> TenantView:  # as above
    return await farm.core.services.tenants.patch(ADMIN, name, TenantPatch(**fields), None)


async def attempt(farm: World, who: Caller, submission: JobSubmission = NOOP) -> str | None:
    """Which quota refused it."""
    try:
        await farm.core.services.submissions.submit(who, submission, None)
    except ReelyardError as error:
        return str(error.details.get("quota", error.code))
    return None


async def test_of_fifty_submissions_at_once_only_so_many_get_in(farm: World) -> None:
    who = await tenant(farm, max_queued=7)

    told = await asyncio.gather(*(attempt(farm, who) for _ in range(50)))

    assert sorted(map(str, told)) == ["None"] * 7 + ["max_queued"] * 43
    assert [await attempt(farm, CLIENT)] == [None]


async def test_an_ended_job_makes_room(farm: World) -> None:
    who = await tenant(farm, max_queued=1)
    job_id = await farm.submit(who)
    before = await attempt(farm, who)

    await farm.core.services.jobs.cancel(who, job_id)

    assert (before, await attempt(farm, who)) == ("max_queued", None)


async def test_a_batch_is_judged_item_by_item(farm: World) -> None:
    who = await tenant(farm, max_queued=2)
    items: list[dict[str, JsonValue]] = [{"profile": "noop"}, {"profile": "nope"}, {"profile": "noop"}, {"profile": "noop"}]

    answer = await farm.core.services.submissions.submit_batch(who, BatchSubmission(jobs=tuple(items)), None)

    reply = BatchReply.model_validate_json(answer.body)
    assert [item.status for item in reply.jobs] == [202, 422, 202, 429]
    made = [item.job_id for item in reply.jobs if item.job_id is not None]
    assert set(await farm.core.outside.store.read(lambda tx: tx.graphs(made))) == set(made)
    assert len(made) == 2


async def test_bytes_are_counted_while_a_job_waits_and_when_it_has_ended(farm: World, tmp_path: Path) -> None:
    film = tmp_path / "in" / "film.mp4"
    film.write_bytes(MP4)
    who = await tenant(farm, max_bytes_per_month=2 * len(MP4) + 1)
    by_path = JobSubmission.model_validate({"profile": "web", "input": {"path": str(film)}})
    first = job_of(await farm.core.services.submissions.submit(who, by_path, None))
    await farm.core.services.jobs.cancel(who, first)

    told = [await attempt(farm, who, by_path) for _ in range(2)]

    assert told == [None, "max_bytes_per_month"]
    farm.clock.advance(31 * 86_400.0)
    assert await attempt(farm, who, by_path) is None


async def test_a_quota_that_changes_holds_at_once(farm: World) -> None:
    who = await tenant(farm)
    await farm.submit(who)

    await patched(farm, max_queued=1)

    assert await attempt(farm, who) == "max_queued"
    await patched(farm, max_queued=None)
    assert await attempt(farm, who) is None


async def test_a_submission_without_a_profile_takes_the_tenants(farm: World) -> None:
    who = await tenant(farm, default_profile="noop")

    answer = await farm.core.services.submissions.submit(who, JobSubmission(), None)

    assert orjson.loads(answer.body)["profile"] == "noop"


async def test_a_profile_nobody_knows_cannot_be_a_default(farm: World) -> None:
    with pytest.raises(ReelyardError) as refused:
        await tenant(farm, default_profile="nope")

    assert refused.value.code is ErrorCode.PROFILE_NOT_FOUND


async def test_files_lie_where_the_tenant_keeps_them(farm: World) -> None:
    who = await tenant(farm, prefix="archive")
    submissions = farm.core.services.submissions
    place = submissions.begin_upload(who, "film.mp4")
    written = await farm.core.outside.storage.write(place.path, blocks_of(MP4))

    answer = await submissions.submit_upload(who, place, Sent(written), JobSubmission(profile="web"), None)

    job = (await farm.graph(job_of(answer))).job
    assert (place.path, job.root, job.key_id) == (f"archive/raw/{job.job_id}_original.mp4", "archive", "key_3")


async def test_a_change_meets_the_version_it_was_made_for(farm: World) -> None:
    await tenant(farm)
    first = await patched(farm, weight=2.0)

    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.tenants.patch(ADMIN, "acme", TenantPatch(weight=3.0), frozenset({1}))

    assert refused.value.code is ErrorCode.PRECONDITION_FAILED
    assert await farm.core.services.tenants.get("acme") == first
    assert (first.version, first.weight) == (2, 2.0)


async def test_every_change_of_a_tenant_is_in_the_audit_log(farm: World) -> None:
    await tenant(farm)
    await patched(farm, max_queued=3)
    await patched(farm, max_queued=3)

    log = await farm.core.outside.store.read(lambda tx: tx.list_audit(AuditFilter()).rows)

    assert [(row.action, row.target, row.actor) for row in log] == [
        ("patch_tenant", "acme", "key_9"),
        ("create_tenant", "acme", "key_9"),
    ]
    assert orjson.loads(log[0].details_json) == {"max_queued": 3}


async def test_a_tenant_nobody_made_is_not_found(farm: World) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.tenants.get("nobody")

    assert refused.value.code is ErrorCode.TENANT_NOT_FOUND


async def test_what_was_put_in_is_known_after_a_restart(farm: World) -> None:
    """Another memory over the same rows."""
    profile = Profile.model_validate_json('{"name": "mine", "thumbnails": {}}')
    await farm.core.services.profile_changes.put(ADMIN, "mine", profile, None, is_matched=False)
    await tenant(farm, max_queued=0, default_profile="mine")
    store, clock = farm.core.outside.store, farm.clock
    profiles, tenants = ProfileBook([]), TenantBook()

    await ProfileService(store, profiles, clock).load()
    await TenantService(store, farm.core.services.idempotency, tenants, profiles, clock).load(["default"])

    assert profiles.find("mine")[0] == profile
    assert (tenants.find("acme").max_queued, tenants.find("acme").default_profile) == (0, "mine")


async def test_what_engines_hold_is_found_in_the_rows(farm: World) -> None:
    """From there the scheduler counts after a restart."""
    who = await tenant(farm)
    engine_id = (await farm.register()).engine_id
    jobs = [await farm.submit(who) for _ in range(3)]
    grants = [await farm.grant(engine_id, job_id) for job_id in jobs[:2]]
    await farm.settle(engine_id, complete(grants[0].token, grants[0].task_id))

    held, counts = await farm.core.outside.store.read(lambda tx: (tx.held_tasks(), tx.held_counts(None)))

    assert [(task.job_id, task.tenant, task.engine_id) for task in held] == [(jobs[1], "acme", engine_id)]
    assert counts == [HeldCount("acme", engine_id, 1)]


async def test_figures_leave_out_what_only_looks_at_an_input(farm: World) -> None:
    looking = job("1", tenant=NO_TENANT)
    await farm.core.outside.store.transact(lambda tx: tx.insert([looking]))

    found = await farm.core.services.stats.stats(ADMIN)

    assert (found.total_jobs, found.pending) == (0, 0)
