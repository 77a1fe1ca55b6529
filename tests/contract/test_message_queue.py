"""What an engine may rely on, whichever way its calls go: over HTTP, or over NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.leases import Ack, Fail, Order, Settlement, Start, digest_of
from protocol.results import Failure
from tests.contract.nats_world import Box, Ground, done, ground
from tests.servers.nats import NatsServer, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, broker: NatsServer) -> AsyncIterator[Ground]:
    async with ground(tmp_path_factory.mktemp("data"), broker, "suite") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", params=["http", "nats"])
async def box(request: pytest.FixtureRequest, world: Ground) -> AsyncIterator[Box]:
    made = await world.box(request.param, name=f"box-{request.node.name.replace('[', '-').rstrip(']')}"[:60])
    yield made
    for job in (await world.server.call("GET", "/api/v1/jobs?limit=100")).json["jobs"]:
        await world.server.call("POST", f"/api/v1/jobs/{job['job_id']}/cancel")
    await world.server.call("DELETE", f"/api/v1/engines/{made.who.engine_id}")


async def test_work_is_granted_reported_and_settled(world: Ground, box: Box) -> None:
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    await box.write(grant)
    final = done(grant)
    reply = await box.ask("r2", Ack(task_id=grant.task_id, token=grant.token), final)
    assert reply.settled == (
        Settlement(task_id=grant.task_id, token=grant.token),
        Settlement(task_id=grant.task_id, token=grant.token, digest=digest_of(final)),
    )
    assert (grant.job_id, await world.state(job)) == (job, "completed")


async def test_an_open_ask_gets_the_work_that_comes(world: Ground, box: Box) -> None:
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(box.ask("r1"))
        job = (await world.server.submit())["job_id"]
    (grant,) = asking.result().tasks
    assert grant.job_id == job


async def test_an_ask_without_work_is_answered_empty(box: Box) -> None:
    reply = await box.ask("r1", wait_s=0.05)
    assert (reply.tasks, reply.orders, reply.settled) == ((), (), ())


async def test_the_same_ask_again_gets_the_same_grant(world: Ground, box: Box) -> None:
    await world.server.submit()
    first = await box.ask("r1", slots=1)
    again = await box.ask("r1", slots=1)
    assert [(g.task_id, g.token) for g in again.tasks] == [(g.task_id, g.token) for g in first.tasks]
    assert len(first.tasks) == 1


async def test_the_same_report_again_is_settled_as_the_first_time(world: Ground, box: Box) -> None:
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    first = await box.ask("r2", done(grant))
    again = await box.ask("r3", done(grant))
    assert again.settled == first.settled
    assert again.settled[0].error is None


async def test_a_report_of_a_cancelled_attempt_is_stale(world: Ground, box: Box) -> None:
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    await world.server.call("POST", f"/api/v1/jobs/{job}/cancel")
    (answer,) = (await box.ask("r2", done(grant))).settled
    assert (answer.error, await world.state(job)) == (ErrorCode.STALE_LEASE, "cancelled")


async def test_a_report_of_another_engines_attempt_is_stale(world: Ground, box: Box) -> None:
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    other = await world.box("nats", name="thief")
    (answer,) = (await other.ask("r1", done(grant), slots=0, wait_s=0)).settled
    assert (answer.error, await world.state(job)) == (ErrorCode.STALE_LEASE, "assigned")


async def test_a_cancel_is_ordered_on_the_open_ask(world: Ground, box: Box) -> None:
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(box.ask("r2", slots=0))
        await world.server.call("POST", f"/api/v1/jobs/{job}/cancel")
    assert asking.result().orders == (Order(order="cancel", task_id=grant.task_id, token=grant.token),)


async def test_a_heartbeat_renews_what_is_held_and_nothing_else(world: Ground, box: Box) -> None:
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    await box.write(grant)
    await box.ask("r2", Ack(task_id=grant.task_id, token=grant.token), wait_s=0)
    forged = grant.model_copy(update={"token": grant.token + 1_000_000})
    assert await box.beat(grant, forged) == [grant.token]


async def test_reports_of_all_kinds_are_settled_in_their_order(world: Ground, box: Box) -> None:
    await world.server.call("POST", "/api/v1/jobs/batch", json={"jobs": [{"profile": "noop"}] * 3})
    grants = (await box.ask("r1", slots=4)).tasks
    while len(grants) < 3:
        grants += (await box.ask(f"r1-{len(grants)}", slots=4)).tasks
    one, two, three = grants
    failure = Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.PLUGIN_FAILED, message="it broke")
    reports = (
        done(one),
        Ack(task_id=two.task_id, token=two.token),
        Start(task_id=two.task_id, token=two.token),
        Fail(task_id=three.task_id, token=three.token, failure=failure),
        done(two),
    )
    settled = (await box.ask("r9", *reports)).settled
    assert [(s.token, s.error, s.digest) for s in settled] == [(r.token, None, digest_of(r)) for r in reports]


async def test_an_engine_that_is_not_known_any_more_is_refused(world: Ground, box: Box) -> None:
    await box.ask("r1", wait_s=0)
    await world.server.call("DELETE", f"/api/v1/engines/{box.who.engine_id}")
    with pytest.raises(ReelyardError) as refused:
        await box.ask("r2", wait_s=0)
    assert refused.value.code is ErrorCode.UNAUTHORIZED
