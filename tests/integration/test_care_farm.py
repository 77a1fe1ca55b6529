"""Care with real processes: looked at before it is submitted, made, fetched as one archive, purged to the last byte."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import aiohttp
import pytest

from protocol.jobs import JobInput, JobSubmission
from protocol.states import JobState
from tests.farm import fact, farm
from tests.media import make_clip

pytestmark = pytest.mark.integration


async def test_a_film_is_looked_at_made_downloaded_and_purged(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    good = make_clip(media / "good.mp4", seconds=2)
    small = make_clip(media / "small.mp4", seconds=2, size=(320, 180), audio=False)
    before = good.read_bytes()
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(media)])}
    async with farm(tmp_path / "farm", **settings) as made:
        await made.start_dispatch()
        engine = await made.start_engine("box")
        async with made.client() as client, aiohttp.ClientSession(made.url, headers={"X-API-Key": made.key}) as http:
            await engine.said("engine_registered")
            replies = {}
            for clip in (good, small):
                asked = {"profile": "web", "input": {"path": str(clip)}}
                async with http.post("/api/v1/jobs/validate", json=asked) as response:
                    replies[clip.name] = (response.status, await response.json())
            job = await client.submit(JobSubmission(input=JobInput(path=str(good)), profile="web"))
            done = await client.wait(job.job_id)
            async with http.get(f"/api/v1/jobs/{job.job_id}/outputs.zip") as response:
                archive = zipfile.ZipFile(io.BytesIO(await response.read()))
            outputs = await client.outputs(job.job_id)
            published = made.storage / "default" / "processed" / job.job_id
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == sorted(f"{job.job_id}/{file.path}" for file in outputs.files)
            for file in outputs.files:
                assert archive.read(f"{job.job_id}/{file.path}") == (published / file.path).read_bytes()
            async with http.delete(f"/api/v1/jobs/{job.job_id}?purge=true") as response:
                assert response.status == 200
            async with http.get("/api/v1/jobs") as response:
                listed = await response.json()

        await fact(lambda: not any(files for _, _, files in os.walk(made.storage)), "the storage is empty")

    status, reply = replies["good.mp4"]
    assert (status, reply["valid"], reply["video_info"]["resolution"], reply["problems"]) == (200, True, "640x360", [])
    can = reply["transcoding_options"]
    assert (can["can_360p"], can["can_720p"], can["can_extract_audio"]) == (True, False, True)
    status, reply = replies["small.mp4"]
    assert (status, reply["valid"], [problem["code"] for problem in reply["problems"]]) == (200, False, ["INPUT_TOO_SMALL"])
    assert (reply["video_info"]["width"], reply["transcoding_options"]["can_extract_audio"]) == (320, False)
    assert done.state is JobState.COMPLETED, done.error
    assert (good.read_bytes() == before, listed["total"]) == (True, 0)
