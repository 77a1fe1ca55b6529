"""Engines: who registers as whom, what is kept and given back, what operators ask, who has fallen silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.api import answers
from protocol.admin import EnginePatch
from protocol.capabilities import Capabilities, HeldTask, Kept
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Ack, Order, RunningTask, Start
from protocol.results import StepReport
from protocol.states import EngineState, StepState
from tests.contract.services_world import BOOT, CAN, CLIENT, OPERATOR, World, world
from tests.unit.dispatch_jobs import complete


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def state_of(farm: World, engine_id: str) -> EngineState:
    return (await farm.core.services.engines.get(engine_id)).state


def held(*pairs: tuple[str, int]) -> tuple[HeldTask, ...]:
    return tuple(HeldTask(task_id=task_id, token=token) for task_id, token in pairs)


async def test_a_new_engine_gets_an_identity_and_a_credential_of_its_own(farm: World) -> None:
    one, other = await farm.register(), await farm.register()

    assert one.engine_id != other.engine_id
    assert one.credential is not None
    assert await farm.core.services.engines.authenticate(one.credential) == one.engine_id
    assert (one.lease_s, await state_of(farm, one.engine_id)) == (60.0, EngineState.ONLINE)


async def test_a_known_engine_keeps_its_identity_and_is_told_no_secret(farm: World) -> None:
    first = await farm.register()
    again = await farm.register("renamed", boot="boot-0002", credential=first.credential)

    view = await farm.core.services.engines.get(first.engine_id)
    assert (again.engine_id, again.credential) == (first.engine_id, None)
    assert (view.name, view.boot_id, view.version) == ("renamed", "boot-0002", 2)


async def test_a_stranger_is_refused(farm: World) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.register(credential="guess")

    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert (await farm.core.services.engines.list()).total == 0


async def test_a_new_run_gives_back_what_it_does_not_hold_and_keeps_what_it_does(farm: World) -> None:
    engine = await farm.register()
    kept, lost = await farm.submit(), await farm.submit()
    grants = [await farm.grant(engine.engine_id, job_id) for job_id in (kept, lost)]
    one = (grants[0].task_id, grants[0].token)

    again = await farm.register(boot="boot-0002", credential=engine.credential, held=held(one, ("tsk_foreign", 99)))

    assert again.held == (
        Kept(task_id=one[0], token=one[1], keep=True, lease_s=60.0),
        Kept(task_id="tsk_foreign", token=99, keep=False, lease_s=60.0),
    )
    assert await farm.states(kept) == ("assigned", "assigned")
    assert await farm.states(lost) == ("pending", "pending")
    assert (await farm.attempt(lost, grants[1].token)).state == "expired"


async def test_a_token_of_before_is_not_kept(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    await farm.grant(engine.engine_id, await farm.submit())
    grant = await farm.grant(engine.engine_id, job_id)

    again = await farm.register(boot="boot-0002", credential=engine.credential, held=held((grant.task_id, grant.token - 1)))

    assert [kept.keep for kept in again.held] == [False]
    assert await farm.states(job_id) == ("pending", "pending")


async def test_a_removed_engine_loses_its_work_and_its_credential(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    await farm.grant(engine.engine_id, job_id)

    await farm.core.services.engines.delete(OPERATOR, engine.engine_id)

    assert await farm.states(job_id) == ("pending", "pending")
    assert engine.credential is not None
    for call in (
        farm.core.services.engines.authenticate(engine.credential),
        farm.register(credential=engine.credential),
    ):
        with pytest.raises(ReelyardError, match="UNAUTHORIZED"):
            await call
    with pytest.raises(ReelyardError, match="ENGINE_NOT_FOUND"):
        await farm.beat(engine.engine_id)


async def test_a_goodbye_gives_everything_back_at_once(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token))

    await farm.core.services.engines.offline(engine.engine_id, BOOT)

    assert await farm.states(job_id) == ("transcoding", "pending")
    assert await state_of(farm, engine.engine_id) is EngineState.OFFLINE


async def test_an_order_to_drain_comes_at_once_and_again_until_it_is_heard(farm: World) -> None:
    engine = await farm.register()
    drain = Order(order="drain")

    view = await farm.core.services.engines.drain(OPERATOR, engine.engine_id)

    assert view.state is EngineState.DRAINING
    assert (await farm.poll(engine.engine_id)).orders == (drain,)
    assert (await farm.beat(engine.engine_id)).orders == (drain,)
    assert (await farm.beat(engine.engine_id, state=EngineState.DRAINING)).orders == ()
    assert await state_of(farm, engine.engine_id) is EngineState.DRAINING


async def test_an_engine_that_is_undrained_takes_work_again(farm: World) -> None:
    engine = await farm.register()
    await farm.core.services.engines.drain(OPERATOR, engine.engine_id)
    view = await farm.core.services.engines.undrain(OPERATOR, engine.engine_id)

    assert view.state is EngineState.ONLINE
    assert (await farm.poll(engine.engine_id)).orders == (Order(order="undrain"),)
    assert (await farm.beat(engine.engine_id, state=EngineState.DRAINING)).orders == (Order(order="undrain"),)
    assert (await farm.beat(engine.engine_id)).orders == ()


async def test_what_was_asked_of_an_engine_holds_over_its_restart(farm: World) -> None:
    draining, paused = await farm.register(), await farm.register()
    await farm.core.services.engines.drain(OPERATOR, draining.engine_id)
    await farm.core.services.engines.patch(OPERATOR, paused.engine_id, EnginePatch(paused=True))

    for engine in (draining, paused):
        await farm.register(boot="boot-0002", credential=engine.credential)
        await farm.beat(engine.engine_id, boot="boot-0002")

    assert await state_of(farm, draining.engine_id) is EngineState.DRAINING
    assert await state_of(farm, paused.engine_id) is EngineState.PAUSED


async def test_ending_a_pause_does_not_end_a_drain(farm: World) -> None:
    engine = await farm.register()
    await farm.core.services.engines.drain(OPERATOR, engine.engine_id)

    view = await farm.core.services.engines.patch(OPERATOR, engine.engine_id, EnginePatch(paused=False))

    assert view.state is EngineState.DRAINING
    assert (await farm.poll(engine.engine_id)).orders == (Order(order="drain"),)
    assert (await farm.beat(engine.engine_id)).orders == (Order(order="drain"),)


async def test_undraining_does_not_end_a_pause(farm: World) -> None:
    engine = await farm.register()
    await farm.core.services.engines.patch(OPERATOR, engine.engine_id, EnginePatch(paused=True))

    assert (await farm.core.services.engines.undrain(OPERATOR, engine.engine_id)).state is EngineState.PAUSED


@pytest.mark.parametrize(("brought", "in_force"), [({"site:oslo"}, {"disk:fast"}), ({"site:bergen"}, {"site:bergen"})])
async def test_tags_of_an_operator_stand_until_the_engine_brings_other_ones(
    farm: World, brought: set[str], in_force: set[str]
) -> None:
    engine = await farm.register(tags={"site:oslo"})
    await farm.core.services.engines.patch(OPERATOR, engine.engine_id, EnginePatch(tags=frozenset({"disk:fast"})))

    await farm.register(credential=engine.credential, boot="boot-0002", tags=brought)

    assert (await farm.core.services.engines.get(engine.engine_id)).tags == in_force


async def test_a_late_goodbye_of_an_earlier_run_is_not_meant_for_the_new_one(farm: World) -> None:
    engine = await farm.register()

    await farm.core.services.engines.offline(engine.engine_id, "boot-0000")

    assert (await farm.core.services.engines.get(engine.engine_id)).state is EngineState.ONLINE


@pytest.mark.parametrize("ask", ["drain", "undrain", "pause", "resume", "tag"])
async def test_an_operator_never_brings_a_gone_engine_to_life(farm: World, ask: str) -> None:
    engine = await farm.register()
    engines = farm.core.services.engines
    await engines.offline(engine.engine_id, BOOT)
    asks = {
        "drain": lambda: engines.drain(OPERATOR, engine.engine_id),
        "undrain": lambda: engines.undrain(OPERATOR, engine.engine_id),
        "pause": lambda: engines.patch(OPERATOR, engine.engine_id, EnginePatch(paused=True)),
        "resume": lambda: engines.patch(OPERATOR, engine.engine_id, EnginePatch(paused=False)),
        "tag": lambda: engines.patch(OPERATOR, engine.engine_id, EnginePatch(tags=frozenset({"site:oslo"}))),
    }

    assert (await asks[ask]()).state is EngineState.OFFLINE


async def test_a_silent_engine_is_lost_and_comes_back_with_a_word(farm: World) -> None:
    engine = await farm.register()
    farm.clock.advance(60.5)
    await farm.duty("leases")
    assert await state_of(farm, engine.engine_id) is EngineState.LOST

    await farm.beat(engine.engine_id)

    assert await state_of(farm, engine.engine_id) is EngineState.ONLINE


async def test_only_its_own_word_tells_that_an_engine_lives(farm: World) -> None:
    engine = await farm.register()
    farm.clock.advance(50.0)
    await farm.core.services.engines.patch(OPERATOR, engine.engine_id, EnginePatch(tags=frozenset({"site:oslo"})))
    farm.clock.advance(10.5)

    await farm.duty("leases")

    assert await state_of(farm, engine.engine_id) is EngineState.LOST


async def test_an_engine_shows_what_it_runs(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    one = await farm.grant(engine.engine_id, job_id)
    two = await farm.grant(engine.engine_id, await farm.submit())
    await farm.settle(engine.engine_id, Start(task_id=two.task_id, token=two.token))
    running = (
        RunningTask(task_id=one.task_id, token=one.token, started=False),
        RunningTask(task_id=two.task_id, token=two.token, started=True),
    )

    assert (await farm.core.services.engines.get(engine.engine_id)).running == running
    assert [view.running for view in (await farm.core.services.engines.list()).engines] == [running]
    await farm.settle(engine.engine_id, complete(one.token, one.task_id))
    assert (await farm.core.services.engines.get(engine.engine_id)).running == running[1:]


async def test_the_tag_of_an_engine_changes_with_what_it_runs(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)

    async def tag() -> str:
        return answers.engine(await farm.core.services.engines.get(engine.engine_id)).headers["ETag"]

    tags = [await tag()]
    await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token))
    tags.append(await tag())
    await farm.settle(engine.engine_id, complete(grant.token, grant.task_id))
    tags.append(await tag())

    assert len(set(tags)) == 3
    assert tags[-1] == await tag()


# --- heartbeats


async def test_a_heartbeat_renews_what_is_live_and_nothing_else(farm: World) -> None:
    engine, other = await farm.register(), await farm.register()
    mine, foreign = (
        await farm.grant(engine.engine_id, await farm.submit()),
        await farm.grant(other.engine_id, await farm.submit()),
    )
    for holder, grant in ((engine, mine), (other, foreign)):
        await farm.settle(holder.engine_id, Ack(task_id=grant.task_id, token=grant.token))
    told = [RunningTask(task_id=g.task_id, token=g.token, started=True) for g in (mine, foreign)]
    stale = RunningTask(task_id=mine.task_id, token=mine.token + 50, started=True)

    reply = await farm.beat(engine.engine_id, *told, stale)

    assert [(renewal.task_id, renewal.token) for renewal in reply.renewed] == [(mine.task_id, mine.token)]


async def test_an_idle_engine_beats_seldom_and_one_that_works_often(farm: World) -> None:
    engine = await farm.register()
    grant = await farm.grant(engine.engine_id, await farm.submit())

    idle = await farm.beat(engine.engine_id)
    working = await farm.beat(engine.engine_id, RunningTask(task_id=grant.task_id, token=grant.token, started=True))

    assert (idle.heartbeat_s, working.heartbeat_s) == (15.0, 1.0)


async def test_progress_is_stored_fenced_by_its_token(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token))

    def running(token: int, progress: float) -> RunningTask:
        step = StepReport(name="noop", state=StepState.RUNNING, progress=progress, eta_seconds=3.0)
        return RunningTask(task_id=grant.task_id, token=token, started=True, steps=(step,))

    await farm.beat(engine.engine_id, running(grant.token, 0.5))
    await farm.beat(engine.engine_id, running(grant.token + 1, 0.9))
    half = (await farm.graph(job_id)).job
    await farm.beat(engine.engine_id, running(grant.token, 0.25))
    later = (await farm.graph(job_id)).job

    assert (half.progress, half.eta_seconds) == (0.5, 3.0)
    assert later.progress == 0.5


async def test_a_heartbeat_without_news_raises_no_version(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token))
    step = StepReport(name="noop", state=StepState.RUNNING, progress=0.5)
    told = RunningTask(task_id=grant.task_id, token=grant.token, started=True, steps=(step,))

    await farm.beat(engine.engine_id, told)
    once = (await farm.graph(job_id)).job.version
    await farm.beat(engine.engine_id, told)

    assert (await farm.graph(job_id)).job.version == once


async def test_capabilities_change_when_they_are_told(farm: World) -> None:
    engine = await farm.register()
    await farm.beat(engine.engine_id)
    assert (await farm.core.services.engines.get(engine.engine_id)).capabilities.provided == CAN

    await farm.beat(engine.engine_id, capabilities=Capabilities(provided=frozenset({"operation:noop"})))

    assert (await farm.core.services.engines.get(engine.engine_id)).capabilities.provided == {"operation:noop"}


async def test_the_heartbeat_of_another_run_changes_nothing(farm: World) -> None:
    engine = await farm.register(boot="boot-0002")
    farm.clock.advance(5)

    with pytest.raises(ReelyardError, match="ENGINE_NOT_FOUND"):
        await farm.beat(engine.engine_id, boot="boot-0001", state=EngineState.BUSY)

    assert await state_of(farm, engine.engine_id) is EngineState.ONLINE


# --- orders


async def test_cancelling_orders_the_holder_to_end_and_no_other(farm: World) -> None:
    engine, other = await farm.register(), await farm.register()
    job_id = await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)

    await farm.core.services.jobs.cancel(CLIENT, job_id)

    assert (await farm.poll(engine.engine_id)).orders == (Order(order="cancel", task_id=grant.task_id, token=grant.token),)
    assert (await farm.poll(other.engine_id)).orders == ()
    assert (await farm.poll(engine.engine_id, "poll-2")).orders == ()


async def test_what_was_taken_back_is_to_be_dropped(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    farm.clock.advance(10.5)

    await farm.duty("leases")

    assert (await farm.poll(engine.engine_id)).orders == (Order(order="drop", task_id=grant.task_id, token=grant.token),)


async def test_what_an_engine_settled_itself_needs_no_order(farm: World) -> None:
    engine, job_id = await farm.register(), await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, complete(grant.token, grant.task_id))

    assert (await farm.poll(engine.engine_id)).orders == ()


async def test_an_engines_weight_is_an_operators_and_stays_over_its_restart(farm: World) -> None:
    engine = await farm.register()

    view = await farm.core.services.engines.patch(OPERATOR, engine.engine_id, EnginePatch(weight=2.5))
    await farm.register(boot="boot-0002", credential=engine.credential)

    assert view.weight == 2.5
    assert (await farm.core.services.engines.get(engine.engine_id)).weight == 2.5
