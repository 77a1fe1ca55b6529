"""A farm whose engines are killed with kill -9 under a running FFmpeg, and are back before the lease is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from client.api import ReelyardClient
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, JobState, TaskKind
from tests.farm import QUICK, Farm, Member, encoders_below, fact, farm, is_over
from tests.media import make_clip
from tests.published import assert_plays, assert_published

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

SECONDS = 2
PATIENT = {**QUICK, "REELYARD_DISPATCH_LEASES__LEASE_S": "60", "REELYARD_ENGINE_REATTACH_S": "60"}
"""A lease is longer than any start of an engine, however busy the machine of the test is."""


@dataclass
class Ground:
    farm: Farm
    client: ReelyardClient
    clip: Path

    async def encoding(self, engine: Member) -> tuple[JobView, psutil.Process]:
        """A job whose encode this engine runs, and the FFmpeg that does it."""
        await engine.said("engine_registered")
        job = await self.client.upload(self.clip, JobSubmission(profile="web"))
        await engine.said("attempt_started", kind="transcode")
        await fact(lambda: bool(encoders_below(engine.pid)), "FFmpeg encodes")
        return job, encoders_below(engine.pid)[0]

    def scratch(self, name: str) -> list[Path]:
        return list((self.farm.engine_data(name) / "scratch").iterdir())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    clip = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=SECONDS, size=(1280, 720))
    async with farm(tmp_path_factory.mktemp("farm"), **PATIENT) as made:
        await made.start_dispatch()
        async with made.client() as client:
            yield Ground(made, client, clip)


def encodes(job: JobView) -> list[AttemptState]:
    return [attempt.state for attempt in job.attempts if attempt.kind is TaskKind.TRANSCODE]


async def test_an_engine_that_is_back_within_the_lease_finishes_the_encode_it_had_begun(ground: Ground) -> None:
    first = await ground.farm.start_engine("back", "--slots", "1")
    job, encoder = await ground.encoding(first)
    encoder.suspend()  # it shall not have ended when the engine is back

    await first.kill()
    again = await ground.farm.start_engine("back", "--slots", "1")
    taken = await again.said("tool_taken_over")
    encoder.resume()
    done = await ground.client.wait(job.job_id)

    assert (taken["invocation"], again.log.has("attempt_failed")) == ("encode", False)
    assert (done.state, done.attempt, encodes(done)) == (JobState.COMPLETED, 1, [AttemptState.DONE])
    directory = ground.farm.storage / "default/processed" / job.job_id
    assert_published(directory, await ground.client.outputs(job.job_id))
    assert_plays(directory / "360p", seconds=SECONDS, size=(640, 360))
    assert (await again.terminate(), ground.scratch("back")) == (0, [])


async def test_an_engine_that_has_lost_its_queue_ends_the_tools_it_does_not_know(ground: Ground) -> None:
    first = await ground.farm.start_engine("forgetful", "--slots", "1")
    job, encoder = await ground.encoding(first)
    (left,) = ground.scratch("forgetful")

    await first.kill()
    for file in ground.farm.engine_data("forgetful").glob("engine.db*"):
        file.unlink()
    again = await ground.farm.start_engine("forgetful", "--slots", "1")
    await again.said("engine_started")
    is_gone = (is_over(encoder), left.exists())
    await ground.client.cancel(job.job_id)

    assert is_gone == (True, False)
    assert await again.terminate() == 0
