"""A farm whose engine has less disk than the original is large: the job comes out whole all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.jobs import JobSubmission
from protocol.states import JobState
from tests.farm import farm
from tests.integration.test_farm_storage import MIB, assert_all_published, small_disk
from tests.media import run_ffmpeg

pytestmark = pytest.mark.integration

ALONE = {"REELYARD_ENGINE_SHARE_LOCAL": "false", "REELYARD_ENGINE_BUSY_CPU_PERCENT": "100"}
"""As an engine on another machine, whatever else this one does."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TS that is little but stuffing: 100 MB for ten seconds."""
    where = tmp_path_factory.mktemp("films") / "film.ts"
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=10", "-f", "lavfi", "-i", "sine=sample_rate=48000:d=10")
    run_ffmpeg(*inputs, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-muxrate", "80M", str(where))
    assert where.stat().st_size > 90 * MIB
    return where


async def test_an_original_larger_than_the_engines_disk_is_streamed_into_its_encode(tmp_path: Path, film: Path) -> None:
    with small_disk(tmp_path / "small", mib=100):
        async with farm(tmp_path) as made:
            await made.start_dispatch()
            engine = await made.start_engine("small", "--slots", "1", environment=ALONE)
            async with made.client() as client:
                job = await client.upload(film, JobSubmission(profile="web"))
                ended = await client.wait(job.job_id)

                ways = [engine.log.has("input_way", way=way) for way in ("ranges", "stream", "shared path")]
                assert (ended.state, ways) == (JobState.COMPLETED, [True, True, False])
                await assert_all_published(made, client, [job.job_id])
