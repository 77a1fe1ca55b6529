"""A broker that dies, freezes or delivers twice under an engine's calls: each call ends well, by HTTP where it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from protocol.leases import digest_of
from tests.contract.api_server import until
from tests.contract.nats_world import Ground, done, ground
from tests.servers.nats import NatsServer, nats_server


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def world(tmp_path: Path, broker: NatsServer) -> AsyncIterator[Ground]:
    async with ground(tmp_path / "data", broker, "faults") as made:
        yield made


async def test_an_ask_that_is_open_when_the_broker_dies_goes_on_by_http(world: Ground) -> None:
    box = await world.box("nats")
    await box.ask("r0", wait_s=0)
    async with asyncio.timeout(7), asyncio.TaskGroup() as tasks:  # less than the ask would have waited for an answer
        asking = tasks.create_task(box.ask("r1", wait_s=8.0))
        await world.broker.kill()
        job = (await world.server.submit())["job_id"]
    assert [grant.job_id for grant in asking.result().tasks] == [job]


async def test_work_reported_while_the_broker_is_frozen_is_settled_by_http_and_its_late_copy_changes_nothing(
    world: Ground,
) -> None:
    box = await world.box("nats")
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    world.broker.freeze()
    try:
        reply = await box.ask("r2", done(grant), slots=0)
        assert [answer.digest for answer in reply.settled] == [digest_of(done(grant))]
        assert await world.state(job) == "completed"
    finally:
        world.broker.thaw()
    await world.until("EVENTS", lambda kept: sum(m.subject == world.subjects.event("JobFinished") for m in kept) == 1)
    await world.until("STATUS", lambda kept: not kept)
    assert await world.state(job) == "completed"
    assert await world.count("DEAD") == 0


async def test_an_ask_of_a_leader_that_is_gone_is_asked_of_the_next_one(world: Ground) -> None:
    """The one that is gone cannot be asked any more; what it would have answered is lost with it."""
    box = await world.box("nats")
    leader = world.subjects.leader()
    await box.ask("r0", wait_s=0)
    await world.nats.publish(leader, b"run-before")
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.reply)

    await world.nats.subscribe(world.subjects.ask("*"), cb=hear)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(box.ask("r1", wait_s=8.0))

        async def is_asked() -> bool:
            return len(heard) >= 1

        await until(is_asked)
        await world.nats.publish(leader, b"run-after")

        async def is_asked_again() -> bool:
            return len(set(heard)) >= 2

        await until(is_asked_again)
        job = (await world.server.submit())["job_id"]
    assert [grant.job_id for grant in asking.result().tasks] == [job]


async def test_leases_are_renewed_while_the_broker_is_away(world: Ground) -> None:
    box = await world.box("nats")
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    await box.write(grant)
    assert await box.beat(grant) == [grant.token]
    await world.broker.kill()
    assert await box.beat(grant) == [grant.token]


async def test_a_grant_that_comes_a_second_time_is_dropped_where_it_is_written_already(world: Ground) -> None:
    box = await world.box("nats")
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    (kept,) = await world.kept("TASKS")
    await box.write(grant)
    await world.until("TASKS", lambda left: not left)
    await world.nats.jetstream().publish(kept.subject or "", kept.data or b"")
    await world.until("TASKS", lambda left: not left)
    assert await world.count("DEAD") == 0


async def test_a_grant_that_the_broker_cannot_take_goes_by_http(tmp_path: Path) -> None:
    conf = tmp_path / "small.conf"
    conf.write_text("max_payload: 2048\n")
    async with nats_server(tmp_path / "nats", conf) as broker, ground(tmp_path / "data", broker, "small") as world:
        box = await world.box("nats")
        url = "https://example.com/" + "a" * 2000
        job = (await world.server.submit(profile="web", input={"url": url}))["job_id"]
        (grant,) = (await box.ask("r1", light_slots=1)).tasks
        assert (grant.job_id, grant.input and grant.input.remote and grant.input.remote.url) == (job, url)
        assert await world.count("TASKS") == 0


async def test_a_farm_without_its_broker_starts_and_works(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as broker:
        await broker.kill()
        async with ground(tmp_path / "data", broker, "none", is_there=False) as world:
            box = await world.box("nats")
            job = (await world.server.submit())["job_id"]
            (grant,) = (await box.ask("r1")).tasks
            await box.ask("r2", done(grant), slots=0)
            assert await world.state(job) == "completed"

            async def is_there() -> bool:
                return world.server.core.broker.problem() is None

            await broker.start()
            async with asyncio.timeout(20):
                await until(is_there)
            await world.connect()
            kept = await world.until("EVENTS", lambda found: len(found) >= 5)
            assert kept[-1].subject == world.subjects.event("VideoTranscoded")
