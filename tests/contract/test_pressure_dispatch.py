"""What dispatch does about an engine that says it has enough to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from protocol.leases import LeaseReply, LeaseRequest
from protocol.states import EngineState
from tests.contract.services_world import BOOT, World, world


async def leased(farm: World, engine_id: str, request_id: str) -> LeaseReply:
    """A long poll that offers one slot of each size."""
    request = LeaseRequest(boot_id=BOOT, slots=1, light_slots=1, wait_s=60.0, request_id=request_id)
    return await farm.core.services.leases.lease(engine_id, request)


@asynccontextmanager
async def scheduling(directory: Path) -> AsyncIterator[tuple[World, asyncio.TaskGroup]]:
    async with world(directory) as farm, asyncio.TaskGroup() as group:
        scheduler = group.create_task(farm.core.scheduler.run())
        yield farm, group
        scheduler.cancel()


async def test_an_engine_that_turns_busy_gets_nothing_on_its_open_poll_and_work_again_after(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as (farm, group):
        pressed, other = (await farm.register("one")).engine_id, (await farm.register("two")).engine_id
        waiting = group.create_task(leased(farm, pressed, "poll-1"))
        await asyncio.sleep(0)  # the poll is open now
        await farm.beat(pressed, state=EngineState.BUSY)

        first = await farm.submit()
        taken = await leased(farm, other, "poll-2")
        was_open = not waiting.done()
        second = await farm.submit()
        await farm.beat(pressed, state=EngineState.ONLINE)
        after = await waiting

    assert [grant.job_id for grant in taken.tasks] == [first]
    assert was_open
    assert [grant.job_id for grant in after.tasks] == [second]
