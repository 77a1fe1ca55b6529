"""What a job that waits says of itself, through the assembled services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Fail, Start
from protocol.results import Failure
from tests.contract.services_world import CLIENT, World, world

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_a_job_whose_next_try_is_put_off_tells_why_the_last_one_failed(farm: World) -> None:
    engine = await farm.register()
    job_id = await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    failure = Failure(code=ErrorCode.TASK_DISK, failure_class=FailureClass.ENGINE, message="59 MiB are free.")

    await farm.settle(
        engine.engine_id,
        Start(task_id=grant.task_id, token=grant.token),
        Fail(task_id=grant.task_id, token=grant.token, failure=failure),
    )

    told = await farm.core.services.jobs.why(CLIENT, job_id)
    assert (
        told.summary
        == f"The next try of noop is not before {told.not_before}. The last one failed with TASK_DISK: 59 MiB are free."
    )
