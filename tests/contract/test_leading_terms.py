"""What a term leaves behind when it ends, and what the next one begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Ack, LeaseReply, LeaseRequest, RunningTask
from protocol.states import EngineState
from tests.contract.services_world import BOOT, World, world


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def refusal(call: Awaitable[Any]) -> ErrorCode:
    with pytest.raises(ReelyardError) as caught:
        await call
    return caught.value.code


async def test_without_a_term_no_engine_is_told_what_it_holds(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    running = RunningTask(task_id=grant.task_id, token=grant.token, started=True)
    farm.core.cluster.term.end()

    told = [
        await refusal(farm.beat(engine.engine_id, running)),
        await refusal(farm.poll(engine.engine_id)),
        await refusal(farm.register(credential=engine.credential)),
    ]

    assert told == [ErrorCode.NOT_LEADER] * 3


async def test_reports_are_settled_without_a_term(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    farm.core.cluster.term.end()

    (settled,) = await farm.settle(engine.engine_id, Ack(task_id=grant.task_id, token=grant.token))

    assert settled.error is None
    assert (await farm.attempt(job_id, grant.token)).state == "acked"


async def test_the_end_of_a_term_answers_who_waits_for_work(farm: World) -> None:
    engine = await farm.register()
    request = LeaseRequest(boot_id=BOOT, slots=1, light_slots=1, wait_s=30.0, request_id="poll-1")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(farm.core.services.leases.lease(engine.engine_id, request))
        for _ in range(20):
            await asyncio.sleep(0)  # it waits by then: what comes later is refused
        farm.core.cluster.term.end()

    assert waiting.result() == LeaseReply()


async def test_a_new_term_gives_each_lease_and_each_engine_a_whole_lease(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Ack(task_id=grant.task_id, token=grant.token))
    farm.clock.advance(59.0)
    farm.core.cluster.term.end()
    await farm.core.cluster.term.begin()
    farm.clock.advance(59.0)
    await farm.duty("leases")
    kept = (await farm.states(job_id), (await farm.core.services.engines.get(engine.engine_id)).state)
    farm.clock.advance(2.0)
    await farm.duty("leases")

    assert kept == (("assigned", "assigned"), EngineState.ONLINE)
    assert await farm.states(job_id) == ("pending", "pending")
    assert (await farm.core.services.engines.get(engine.engine_id)).state is EngineState.LOST


async def test_what_was_submitted_between_two_terms_is_known_in_the_second(farm: World) -> None:
    farm.core.cluster.term.end()
    job_id = await farm.submit()
    missed = len(farm.core.scheduler.index)
    await farm.core.cluster.term.begin()
    later = await farm.submit()

    tasks = [task for one in (job_id, later) for task in (await farm.graph(one)).tasks]
    assert (missed, farm.core.scheduler.index.snapshot()) == (0, frozenset(task.task_id for task in tasks))
