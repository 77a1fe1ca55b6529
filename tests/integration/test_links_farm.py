"""A farm on a bucket: a film goes up, is encoded, published and fetched, and none of its bytes pass through dispatch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from client.api import ReelyardClient
from protocol.jobs import JobInput, JobSubmission, OutputsReply, S3Object
from protocol.states import AttemptState, JobState, TaskKind
from tests.farm import Farm, encoders_below, fact, farm
from tests.media import run_ffmpeg
from tests.published import assert_plays
from tests.servers import seaweed
from tests.servers.fault_proxy import FaultProxy

pytestmark = [pytest.mark.integration, pytest.mark.trust]

FILM_BYTES, KEY = 12_000_000, "footage/film of others.ts"
TALK_BYTES = 2_000_000
"""What polls, heartbeats, events and answers come to at most, with playlists and `metadata.json`."""

OWN = {"REELYARD_ENGINE_SHARE_LOCAL": "false"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A TS that is little but stuffing: 13 MB for four seconds; it lies in a bucket of others, too."""
    where = tmp_path_factory.mktemp("films") / "film.ts"
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=4", "-f", "lavfi", "-i", "sine=sample_rate=48000:d=4")
    run_ffmpeg(*inputs, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-muxrate", "26M", str(where))
    assert where.stat().st_size > FILM_BYTES
    eye = seaweed.shared().client()
    eye.upload_file(str(where), seaweed.BUCKET, KEY)
    yield where
    assert eye.head_object(Bucket=seaweed.BUCKET, Key=KEY)["ContentLength"] == where.stat().st_size
    eye.close()


@dataclass
class Yard:
    """`to_dispatch` and `to_bucket` are the only ways there for clients and engines."""

    farm: Farm
    to_dispatch: FaultProxy
    to_bucket: FaultProxy
    prefix: str


@asynccontextmanager
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    server, prefix = seaweed.shared(), seaweed.own_prefix()
    to_bucket, to_dispatch = FaultProxy(_place(server.url)), FaultProxy(("127.0.0.1", 0))
    await to_bucket.open()
    reach = {"endpoint": server.url, "path_style": True, "credentials_file": str(server.credentials)}
    links = {"public_endpoint": f"http://127.0.0.1:{to_bucket.port}", "whole_bytes": 20_000, "link_part_bytes": 5 << 20}
    settings = {
        "REELYARD_DISPATCH_LEASES__LEASE_S": "120",  # an engine that is killed comes back before anybody else is asked
        "REELYARD_DISPATCH_STORAGE__ADAPTER": "s3",
        "REELYARD_DISPATCH_STORAGE__S3": json.dumps({"bucket": seaweed.BUCKET, "prefix": prefix, **reach, **links}),
        "REELYARD_DISPATCH_INPUTS__S3": json.dumps([{"buckets": [seaweed.BUCKET], **reach}]),
    }
    try:
        async with farm(tmp_path, **settings) as made:
            await made.start_dispatch()
            to_dispatch.target = _place(made.url)
            await to_dispatch.open()
            made.url = f"http://127.0.0.1:{to_dispatch.port}"
            yield Yard(made, to_dispatch, to_bucket, prefix)
    finally:
        for proxy in (to_dispatch, to_bucket):
            await proxy.close()
            await proxy.ended()


def _place(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


async def fetched(client: ReelyardClient, told: OutputsReply, directory: Path) -> Path:
    for link in told.files:
        await client.download(link, directory)
    return directory


async def test_films_pass_by_dispatch_all_the_way_and_a_killed_engine_goes_on_with_its_upload(tmp_path: Path, film: Path) -> None:
    async with yard(tmp_path) as made:
        engine = await made.farm.start_engine("box", "--slots", "1", environment=OWN)
        scratch = made.farm.engine_data("box") / "scratch"
        async with made.farm.client() as client:
            job = await client.submit_file(film, JobSubmission(profile="web"))
            await fact(lambda: bool(encoders_below(engine.pid)), "the encode runs")
            made.to_bucket.silence()
            await fact(lambda: any(scratch.glob("*/parts/*.json")), "a result is on its way up, in parts")
            await engine.kill()
            made.to_bucket.heal()
            await made.farm.start_engine("box", "--slots", "1", environment=OWN)
            in_place = JobInput(s3=S3Object(bucket=seaweed.BUCKET, key=KEY))
            other = await client.submit(JobSubmission(input=in_place, profile="web"))

            ended, also = await client.wait(job.job_id), await client.wait(other.job_id)
            directory = await fetched(client, await client.outputs(job.job_id), tmp_path / "fetched")
            encodes = [one.state for one in ended.attempts if one.kind is TaskKind.TRANSCODE]
            link = (await client.playback(job.job_id)).url
            played = await playlists_and_media(link)

        assert (ended.state, also.state, encodes) == (JobState.COMPLETED, JobState.COMPLETED, [AttemptState.DONE])
        assert_plays(directory, seconds=4.0, size=(640, 360))
        assert played
        assert made.to_dispatch.passed < TALK_BYTES
        assert made.to_bucket.passed > 3 * FILM_BYTES  # up by the client, down by the engine, twice


async def playlists_and_media(url: str) -> bool:
    """Whether all that the playlists name is there, read as a player does."""
    async with aiohttp.ClientSession() as http:
        waiting, count = [url], 0
        while waiting:
            at = waiting.pop()
            async with http.get(at) as response:
                assert response.status == 200, at
                body = await response.read()
            count += 1
            if at.endswith(".m3u8"):
                names = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
                waiting += [f"{at.rpartition('/')[0]}/{name}" for name in names]
    return count > 2
