"""What is told of a job out of memory is what would be built of its rows, at every commit of its life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispatch.core.job_list import JobFilter
from dispatch.core.views import job_view
from dispatch.ports import Transaction
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.jobs import JobPatch, JobView, RetryRequest
from protocol.leases import Ack, Complete, Fail, RunningTask, Start
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState
from tests.contract.services_world import CLIENT, OTHER, World, world


async def built(farm: World, job_id: str) -> tuple[JobView, JobView]:
    """Alone, and in a list."""

    def build(tx: Transaction) -> tuple[JobView, JobView]:
        graph = tx.graphs([job_id])[job_id]
        return job_view(graph, tx.job_attempts(job_id)), job_view(graph)

    return await farm.core.outside.store.read(build)


async def told(farm: World, job_id: str) -> tuple[JobView, JobView]:
    jobs = farm.core.services.jobs
    listed = (await jobs.list(CLIENT, JobFilter(tenant="default"))).jobs
    return await jobs.get(CLIENT, job_id), next(view for view in listed if view.job_id == job_id)


async def test_every_step_of_a_jobs_life_is_told_as_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        job_id, engine = await farm.submit(), (await farm.register()).engine_id
        pairs = [(await told(farm, job_id), await built(farm, job_id))]

        async def look() -> None:
            pairs.append((await told(farm, job_id), await built(farm, job_id)))

        jobs = farm.core.services.jobs
        await jobs.patch(CLIENT, job_id, JobPatch(priority=9), None)
        await look()
        for is_good in (False, True):
            grant = await farm.grant(engine, job_id)
            await look()
            ids: dict[str, Any] = {"task_id": grant.task_id, "token": grant.token}  # fields of several kinds of reports
            await farm.settle(engine, Ack(**ids))
            await look()
            await farm.settle(engine, Start(**ids))
            await look()
            step = StepReport(name="noop", state=StepState.RUNNING, progress=0.5)
            await farm.beat(engine, RunningTask(**ids, started=True, steps=(step,)))
            await look()
            failure = Failure(failure_class=FailureClass.INPUT, code=ErrorCode.TOOL_FAILED, message="it broke")
            await farm.settle(engine, Complete(**ids, result=AttemptResult()) if is_good else Fail(**ids, failure=failure))
            await look()
            if not is_good:
                await jobs.retry(CLIENT, job_id, RetryRequest(), None)
                await look()
        await farm.duty("promotion")
        await look()

    assert [one for one, _ in pairs] == [other for _, other in pairs]
    assert (pairs[0][0][0].status, pairs[-1][0][0].status, len({one[0].version for one, _ in pairs}) > 6) == (
        "pending",
        "completed",
        True,
    )


async def test_what_is_kept_is_shown_to_nobody_else(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        job_id = await farm.submit()
        await told(farm, job_id)
        with pytest.raises(ReelyardError) as refused:
            await farm.core.services.jobs.get(OTHER, job_id)
        listed = await farm.core.services.jobs.list(OTHER, JobFilter(tenant=OTHER.tenant))

    assert (refused.value.code, listed.jobs) == (ErrorCode.JOB_NOT_FOUND, ())
