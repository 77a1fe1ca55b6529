"""Real engines and what they are ordered: drained, also over a restart; removed; asked to hand back what only waits."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.api import ReelyardClient
from engine.core.agent import EXIT_DRAINED, EXIT_NOT_ALLOWED
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, JobState
from tests.farm import Farm, Member, fact, farm, processes_of, told

NAP, DOZE = ('name = "nap"\nnoop_seconds = 300.0\n', 'name = "doze"\nnoop_seconds = 50.0\n')


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[tuple[Farm, ReelyardClient]]:
    async with farm(tmp_path) as made:
        (made.data / "profiles").mkdir(parents=True)
        (made.data / "profiles/nap.toml").write_text(NAP)
        (made.data / "profiles/doze.toml").write_text(DOZE)
        await made.start_dispatch()
        async with made.client() as client:
            yield made, client


async def napping(client: ReelyardClient, engine: Member) -> JobView:
    """A job whose tool this engine runs."""
    job = await client.submit(JobSubmission(profile="nap"))
    await engine.said("attempt_started")
    return job


async def test_a_drained_engine_that_is_started_again_stays_drained_until_that_is_taken_back(
    ground: tuple[Farm, ReelyardClient],
) -> None:
    made, client = ground
    first = await made.start_engine("box")
    engine_id = str((await first.said("engine_registered"))["engine"])
    await client.drain(engine_id)
    ordered = await first.ended()
    job = await client.submit(JobSubmission(profile="noop"))

    restarted = await (await made.start_engine("box")).ended()
    untouched = await client.get(job.job_id)
    await client.undrain(engine_id)
    third = await made.start_engine("box")
    done = await client.wait(job.job_id)

    assert (ordered, restarted) == (EXIT_DRAINED, EXIT_DRAINED)
    assert (untouched.state, done.state) == (JobState.PENDING, JobState.COMPLETED)
    assert (await third.said("engine_registered"))["engine"] == engine_id
    assert await third.terminate() == EXIT_DRAINED


async def test_a_removed_engine_registers_anew_with_its_token_and_drops_what_it_held(
    ground: tuple[Farm, ReelyardClient],
) -> None:
    made, client = ground
    engine = await made.start_engine("box", "--slots", "1")
    first = await engine.said("engine_registered")
    job = await napping(client, engine)
    seen = len(engine.log.lines)

    await client.delete_engine(str(first["engine"]))
    second = await engine.said("engine_registered", after=seen)
    await engine.said("attempt_stopped", after=seen)
    await engine.said("attempt_started", after=seen)
    attempts = (await client.get(job.job_id)).attempts
    await client.cancel(job.job_id)

    assert second["engine"] != first["engine"]
    assert ([attempt.state for attempt in attempts][:-1], len(attempts)) == ([AttemptState.EXPIRED], 2)
    assert await engine.terminate() == EXIT_DRAINED


async def test_a_removed_engine_without_a_good_token_stops_and_says_what_to_do(ground: tuple[Farm, ReelyardClient]) -> None:
    made, client = ground
    assert await _registers_and_leaves(await made.start_engine("box")) == EXIT_DRAINED
    stale = made.root / "stale.token"
    stale.write_text("no token that is good now\n")
    engine = await made.start_engine("box", "--token-file", str(stale))
    known = await engine.said("engine_registered")
    await napping(client, engine)

    await client.delete_engine(str(known["engine"]))
    code = await engine.ended()

    assert code == EXIT_NOT_ALLOWED
    assert any("Give a valid registration token with --token-file" in line for line in engine.log.text)
    await fact(lambda: not [line for line in processes_of(made.engine_data("box")) if "sleep" in line], "its tool is gone")


async def test_what_runs_longer_than_a_drain_may_take_is_handed_back(ground: tuple[Farm, ReelyardClient]) -> None:
    made, client = ground
    engine = await made.start_engine("box", "--slots", "1", environment={"REELYARD_ENGINE_DRAIN_TIMEOUT_S": "0.5"})
    job = await napping(client, engine)

    engine.signal(signal.SIGINT)
    code = await engine.ended()
    handed_back = await client.get(job.job_id)

    assert (code, processes_of(made.engine_data("box"))) == (EXIT_DRAINED, [])
    assert [attempt.state for attempt in handed_back.attempts] == [AttemptState.RELEASED]


async def test_a_task_that_waits_at_a_busy_engine_goes_to_one_that_joins(ground: tuple[Farm, ReelyardClient]) -> None:
    made, client = ground
    busy = await made.start_engine("busy", "--slots", "1")
    first, second = [await client.submit(JobSubmission(profile="doze")) for _ in range(2)]
    held = await told(lambda: client.get(second.job_id), lambda job: job.state is JobState.ASSIGNED, "the second waits there")
    await busy.said("attempt_started", task=(await client.get(first.job_id)).attempts[0].task_id)

    idle = await made.start_engine("idle", "--slots", "1")
    await idle.said("attempt_started", task=held.attempts[0].task_id)
    attempts = (await client.get(second.job_id)).attempts
    for job in (first, second):
        await client.cancel(job.job_id)

    assert ([attempt.state for attempt in attempts][:-1], len(attempts)) == ([AttemptState.RELEASED], 2)
    assert [await engine.terminate() for engine in (busy, idle)] == [EXIT_DRAINED] * 2


async def _registers_and_leaves(engine: Member) -> int:
    await engine.said("engine_registered")
    return await engine.terminate()
