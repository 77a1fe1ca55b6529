"""A farm whose engines are stopped, killed or told to cancel while they encode, and whose dispatch goes away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from client.api import ReelyardClient
from protocol.admin import EnginePatch
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, EngineState, JobState, TaskKind
from tests.farm import Farm, Member, encoders_below, fact, farm, is_over, told, tools_below
from tests.media import make_clip
from tests.published import assert_plays, assert_published

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

SECONDS = 3
LEASE_S = 4.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes some seconds to encode with profile `web`: time enough to be disturbed."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=SECONDS, size=(1280, 720))


@dataclass
class Ground:
    """One dispatch for the module; each test starts the engines it disturbs, and ends them."""

    farm: Farm
    dispatch: Member
    client: ReelyardClient
    clip: Path
    engines: int = 0

    async def engine(self) -> Member:
        self.engines += 1
        member = await self.farm.start_engine(f"engine{self.engines}", "--slots", "1")
        await member.said("engine_registered")
        return member

    async def reserve(self) -> Member:
        """An engine that takes no work before `relieve` says so: its start takes longer than some encodes."""
        engine = await self.engine()
        await self.client.patch_engine(await self.engine_id(engine), EnginePatch(paused=True))
        return engine

    async def relieve(self, engine: Member) -> None:
        await self.client.patch_engine(await self.engine_id(engine), EnginePatch(paused=False))

    async def engine_id(self, engine: Member) -> str:
        return str((await engine.said("engine_registered"))["engine"])

    async def encoding(self, engine: Member) -> JobView:
        """A job of which this engine runs the encode."""
        job = await self.client.upload(self.clip, JobSubmission(profile="web"))
        await engine.said("attempt_started", kind="transcode")
        await fact(lambda: bool(encoders_below(engine.pid)), "FFmpeg encodes")
        return job

    async def ended(self, job: JobView) -> JobView:
        async with asyncio.timeout(60):
            return await self.client.wait(job.job_id)

    async def assert_published(self, job: JobView) -> None:
        directory = self.farm.storage / "default/processed" / job.job_id
        assert_published(directory, await self.client.outputs(job.job_id))
        assert_plays(directory / "360p", seconds=SECONDS, size=(640, 360))

    async def until(self, engine: Member, state: EngineState) -> None:
        engine_id = await self.engine_id(engine)
        await told(lambda: self.client.engine(engine_id), lambda view: view.state is state, f"{engine.name} is {state}")

    def scratch(self, engine: Member) -> list[Path]:
        return list((self.farm.engine_data(engine.name) / "scratch").iterdir())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> AsyncIterator[Ground]:
    async with farm(tmp_path_factory.mktemp("farm")) as made:
        dispatch = await made.start_dispatch()
        async with made.client() as client:
            yield Ground(made, dispatch, client, clip)


def encodes(job: JobView) -> list[AttemptState]:
    return [attempt.state for attempt in job.attempts if attempt.kind is TaskKind.TRANSCODE]


async def test_a_stopped_engine_finishes_what_it_encodes_and_leaves(ground: Ground) -> None:
    engine = await ground.engine()
    job = await ground.encoding(engine)
    below = psutil.Process(engine.pid).children(recursive=True)

    code = await engine.terminate()
    done = await ground.ended(job)

    assert (code, done.state, encodes(done)) == (0, JobState.COMPLETED, [AttemptState.DONE])
    assert (all(is_over(process) for process in below), ground.scratch(engine)) == (True, [])
    await ground.assert_published(done)


async def test_an_engine_stopped_twice_hands_back_at_once_and_another_does_it(ground: Ground) -> None:
    second, first = await ground.reserve(), await ground.engine()
    job = await ground.encoding(first)
    tools = tools_below(first.pid)

    first.signal(signal.SIGTERM)
    await ground.until(first, EngineState.DRAINING)
    code = await first.terminate()
    await ground.relieve(second)
    handed_back = await ground.client.get(job.job_id)
    done = await ground.ended(job)

    assert (code, all(is_over(tool) for tool in tools), ground.scratch(first)) == (0, True, [])
    assert encodes(handed_back)[0] is AttemptState.RELEASED
    assert (done.state, encodes(done)) == (JobState.COMPLETED, [AttemptState.RELEASED, AttemptState.DONE])
    assert await second.terminate() == 0


async def test_ffmpeg_outlives_its_engine_by_a_lease_and_another_engine_does_the_job(ground: Ground) -> None:
    second, first = await ground.reserve(), await ground.engine()
    job = await ground.encoding(first)
    tools = tools_below(first.pid)

    await first.kill()
    await ground.relieve(second)
    await fact(lambda: all(is_over(tool) for tool in tools), "FFmpeg is gone within a lease", within_s=LEASE_S + 3.0)
    done = await ground.ended(job)

    assert (done.state, encodes(done)) == (JobState.COMPLETED, [AttemptState.EXPIRED, AttemptState.DONE])
    await ground.assert_published(done)
    assert await second.terminate() == 0


async def test_an_engine_frozen_for_longer_than_its_lease_changes_nothing_when_it_thaws(ground: Ground) -> None:
    second, frozen = await ground.reserve(), await ground.engine()
    job = await ground.encoding(frozen)

    frozen.signal(signal.SIGSTOP)
    await ground.relieve(second)
    done = await ground.ended(job)
    assert await second.terminate() == 0
    frozen.signal(signal.SIGCONT)
    await fact(lambda: not ground.scratch(frozen) and not tools_below(frozen.pid), "the thawed engine has dropped it")

    assert (done.state, encodes(done)) == (JobState.COMPLETED, [AttemptState.EXPIRED, AttemptState.DONE])
    assert await ground.client.get(job.job_id) == done
    await ground.assert_published(done)
    assert await frozen.terminate() == 0


async def test_a_cancelled_encode_is_gone_within_8_seconds_and_leaves_nothing(ground: Ground) -> None:
    engine = await ground.engine()
    job = await ground.encoding(engine)
    encoder = encoders_below(engine.pid)

    cancelled = await ground.client.cancel(job.job_id)
    await fact(lambda: engine.log.has("attempt_stopping"), "the order has acted", within_s=1.0)
    await fact(lambda: all(is_over(tool) for tool in encoder), "FFmpeg is gone", within_s=8.0)
    await engine.said("attempt_stopped")
    await fact(lambda: not ground.scratch(engine), "the scratch directory is empty", within_s=5.0)

    assert (cancelled.state, encodes(cancelled)) == (JobState.CANCELLED, [AttemptState.CANCELLED])
    assert (await ground.client.get(job.job_id)).state is JobState.CANCELLED
    assert not (ground.farm.storage / "default/processed" / job.job_id).exists()
    assert await engine.terminate() == 0


async def test_an_encode_outlives_a_dispatch_that_is_away_for_longer_than_a_lease(ground: Ground) -> None:
    engine = await ground.engine()
    job = await ground.encoding(engine)

    await ground.dispatch.kill()
    clock = asyncio.get_running_loop().time
    until = clock() + 1.2 * LEASE_S
    await fact(lambda: clock() > until, "more than the time of a lease has passed")
    ground.dispatch = await ground.farm.start_dispatch()
    done = await ground.ended(job)

    assert (done.state, encodes(done), done.attempt) == (JobState.COMPLETED, [AttemptState.DONE], 1)
    assert await engine.terminate() == 0
