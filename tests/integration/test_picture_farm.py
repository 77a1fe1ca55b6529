"""A film of two files, clipped, marked and written on, made by a real farm in its sandbox: attachments reach the tool, letters
find their font, and a clip that cannot be is refused with its code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.jobs import Attachment, JobInput, JobSubmission, JobView
from protocol.states import JobState
from tests.contract.picture_jobs import frame, streams
from tests.farm import NEVER_BUSY, Farm, farm
from tests.media import run_ffmpeg

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

SHAPED = """
name = "shaped"
concat = ["intro", "input"]

[[renditions]]
name = "180p"
height = 180
preset = "ultrafast"
crf = 20

[clip]
start = 0.4
end = END

[watermark]
attachment = "logo"
position = "top-left"
opacity = 1.0
width_percent = 20
margin_percent = 0

[burn_in]
attachment = "words"
"""
WORDS = "1\n00:00:01,400 --> 00:00:01,900\nWWWWWW\n"
PICTURE = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """`intro` is a grey second, `film` two black ones, both with sound of their own kind."""
    for name, colour, size, seconds, rate in (("intro", "gray", "160x120", 1, 44_100), ("film", "black", "320x180", 2, 48_000)):
        moving = ("-f", "lavfi", "-i", f"color=c={colour}:s={size}:r=25:d={seconds}")
        sound = ("-f", "lavfi", "-i", f"sine=d={seconds}:r={rate}")
        run_ffmpeg(*moving, *sound, *PICTURE, "-c:a", "aac", str(tmp_path / f"{name}.mp4"))
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x32:d=1,format=rgba", "-frames:v", "1", str(tmp_path / "logo.png"))
    (tmp_path / "words.srt").write_text(WORDS, encoding="utf-8")
    return tmp_path


async def submitted(made: Farm, films: Path, profile: str) -> JobView:
    async with made.client() as client, asyncio.timeout(90):
        files = {"intro": "intro.mp4", "logo": "logo.png", "words": "words.srt"}
        sent = {name: Attachment(upload_id=await client.send_file(films / path)) for name, path in files.items()}
        given = JobInput(upload_id=await client.send_file(films / "film.mp4"))
        return await client.wait((await client.submit(JobSubmission(input=given, profile=profile, attachments=sent))).job_id)


async def test_a_film_of_two_is_clipped_marked_and_written_on(films: Path) -> None:
    async with farm(films / "farm", **NEVER_BUSY) as made:
        (made.data / "profiles").mkdir(parents=True)
        for name, end in (("shaped", "2.4"), ("beyond", "9")):
            text = SHAPED.replace("END", end).replace('name = "shaped"', f'name = "{name}"')
            (made.data / f"profiles/{name}.toml").write_text(text)
        await made.start_dispatch()
        engine = await made.start_engine("box", environment=NEVER_BUSY)
        await engine.said("engine_registered")
        job, refused = await submitted(made, films, "shaped"), await submitted(made, films, "beyond")
        assert job.state is JobState.COMPLETED, job.error
        assert await engine.terminate() == 0
        picture = made.storage / "default/processed" / job.job_id / "180p/video_180p.mp4"

    told = streams(picture)
    seen = {n: frame(picture, n) for n in (0, 14, 15, 20, 24, 25, 30, 37, 38)}
    words = {n: seen[n].bright() > 20 for n in (20, 24, 25, 30, 37, 38)}
    assert (told["video"]["nb_read_frames"], told["audio"]["sample_rate"]) == ("50", "48000")
    assert (seen[14].luma(0.5, 0.5) > 100, seen[15].luma(0.5, 0.5) < 30) == (True, True)
    assert seen[0].luma(0.01, 0.5) < 20, "the intro is narrower than the film, with bars beside it"
    assert words == {20: False, 24: False, 25: True, 30: True, 37: True, 38: False}
    assert all(one.chroma(0.1, 0.1)[1] > 200 and one.chroma(0.3, 0.1)[1] < 140 for one in seen.values())
    assert refused.error is not None
    assert (refused.state, refused.error.code) == (JobState.FAILED, ErrorCode.INPUT_CLIP)
