"""Jobs of tenants that are not trusted wait for an engine with a sandbox, and say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.core.callers import Caller
from dispatch.core.records import Task
from protocol.admin import Scope, TenantPatch, TenantRequest
from protocol.capabilities import Capabilities
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from tests.contract.services_world import CLIENT, World, world
from tests.contract.store_adapters import ADAPTERS

ADMIN = Caller("key_9", "default", frozenset({Scope.ADMIN}))
STRANGER = replace(CLIENT, key_id="key_3", tenant="stranger")
NOOP, SANDBOXED = "operation:noop", "sandbox:2"


@pytest.fixture(params=ADAPTERS)
async def farm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, adapter=request.param) as made:
        await made.core.services.tenants.create(ADMIN, TenantRequest(name="stranger", untrusted=True))
        yield made


async def tasks_of(farm: World, job_id: str) -> tuple[Task, ...]:
    return (await farm.graph(job_id)).tasks


async def test_every_task_of_an_untrusted_tenant_asks_for_a_sandbox(farm: World) -> None:
    theirs, ours = await farm.submit(STRANGER), await farm.submit()

    assert [task.needs for task in await tasks_of(farm, theirs)] == [(NOOP, SANDBOXED)]
    assert [task.needs for task in await tasks_of(farm, ours)] == [(NOOP,)]


async def test_only_an_engine_that_has_one_fits_and_why_tells(farm: World) -> None:
    bare, safe = await farm.register("bare"), await farm.register("safe")
    await farm.beat(safe.engine_id, capabilities=Capabilities(provided=frozenset({NOOP, "sandbox:1", SANDBOXED})))
    theirs, ours = await farm.submit(STRANGER), await farm.submit()

    told = [await farm.core.services.jobs.why(who, job_id) for who, job_id in ((STRANGER, theirs), (CLIENT, ours))]

    idle = "does not ask for work at this moment"
    assert [{seen.engine_id: seen.reason for seen in why.engines} for why in told] == [
        {bare.engine_id: "lacks sandbox:2", safe.engine_id: idle},
        {bare.engine_id: idle, safe.engine_id: idle},
    ]


async def test_the_mark_holds_from_the_next_submission(farm: World) -> None:
    before = await farm.submit(STRANGER)
    await farm.core.services.tenants.patch(ADMIN, "stranger", TenantPatch(untrusted=False), None)
    after = await farm.submit(STRANGER)

    needs = [(await tasks_of(farm, job_id))[0].needs for job_id in (before, after)]

    assert needs == [(NOOP, SANDBOXED), (NOOP,)]


async def test_a_mark_is_true_or_false(farm: World) -> None:
    with pytest.raises(ReelyardError, match="untrusted") as refused:
        await farm.core.services.tenants.patch(ADMIN, "stranger", TenantPatch(untrusted=None), None)

    assert refused.value.code is ErrorCode.VALIDATION_FAILED


async def test_anybody_may_ask_for_a_sandbox(farm: World) -> None:
    wish = JobSubmission(profile="noop", requires=frozenset({"sandbox:3"}))
    job_id = await farm.submit(requires=wish.requires)

    assert (await tasks_of(farm, job_id))[0].needs == (NOOP, "sandbox:3")
