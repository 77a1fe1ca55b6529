"""Everything beside the renditions in one whole job on a real farm, in its sandbox: what is published, and that the job's page
and `metadata.json` tell the same of it."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from protocol.jobs import Attachment, JobInput, JobSubmission, JobView, Thumbnail
from protocol.states import JobState
from tests.farm import NEVER_BUSY, Farm, farm
from tests.media import run_ffmpeg

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

RICH = """
name = "rich"

[[renditions]]
name = "90p"
height = 90
preset = "ultrafast"
crf = 30

[hls]
segment_seconds = 1

[audio]

[clip]
start = 0.5

[thumbnails]
percents = [0, 25, 100]
seconds = [1.2, 60]

[sprite]
interval_seconds = 0.5
width = 32

[subtitles]

[frames]
fps = 2
"""
SPOKEN = "1\n00:00:00,000 --> 00:00:01,000\nGood evening.\n\n2\n00:00:02,000 --> 00:00:02,500\nGoodbye.\n"
CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "words.srt").write_text(SPOKEN, encoding="utf-8")
    (tmp_path / "chapters.txt").write_text(CHAPTERS, encoding="utf-8")
    (tmp_path / "mine.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\nCaf\xe9\n".encode("latin-1"))
    run_ffmpeg("-f", "lavfi", "-i", "color=color=red:size=400x300", "-frames:v", "1", "-update", "1", str(tmp_path / "own.png"))
    moving = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=3", "-f", "lavfi", "-i", "sine=duration=3")
    words = ("-i", str(tmp_path / "words.srt"), "-i", str(tmp_path / "chapters.txt"))
    mapped = ("-map", "0", "-map", "1", "-map", "2", "-map_chapters", "3", "-metadata:s:s:0", "language=eng")
    codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-c:s", "srt", "-t", "3")
    run_ffmpeg(*moving, *words, *mapped, *codecs, str(tmp_path / "film.mkv"))
    return tmp_path / "film.mkv"


async def submitted(made: Farm, film: Path) -> JobView:
    async with made.client() as client, asyncio.timeout(90):
        own = Thumbnail(upload_id=await client.send_file(film.with_name("own.png")))
        mine = Attachment(upload_id=await client.send_file(film.with_name("mine.srt")), language="fr")
        given = JobInput(upload_id=await client.send_file(film))
        told = JobSubmission(input=given, profile="rich", thumbnail=own, attachments={"mine": mine})
        return await client.wait((await client.submit(told)).job_id)


async def test_everything_beside_the_renditions_is_made_published_and_told(film: Path) -> None:
    async with farm(film.parent / "farm", **NEVER_BUSY) as made:
        (made.data / "profiles").mkdir(parents=True)
        (made.data / "profiles/rich.toml").write_text(RICH)
        await made.start_dispatch()
        engine = await made.start_engine("box", environment=NEVER_BUSY)
        await engine.said("engine_registered")
        job = await submitted(made, film)
        assert job.state is JobState.COMPLETED, job.error
        assert await engine.terminate() == 0

    directory = made.storage / "default/processed" / job.job_id
    metadata: Any = json.loads((directory / "metadata.json").read_text())
    told, shown = metadata["outputs"], job.outputs
    assert isinstance(shown, dict)
    assert set(told) == {"90p", "hls", "audio", "thumbnails", "sprite", "subtitles", "chapters", "frames"}
    assert {key: without_addresses(shown[key]) for key in set(told) - {"90p"}} == {key: told[key] for key in set(told) - {"90p"}}
    assert "There is no thumbnail at 60 s: the film ends at 2.500 s." in job.warnings

    assert told["thumbnails"]["custom"]["path"] == "thumbnails/thumb_custom.jpg"
    assert [one["path"].rpartition("/")[2] for one in told["thumbnails"]["auto_generated"]] == [
        *("thumb_00.jpg", "thumb_25.jpg", "thumb_at_1200ms.jpg", "thumb_100.jpg")
    ]
    assert (told["sprite"]["count"], told["sprite"]["resolution"]) == (5, "160x18")
    assert set(told["subtitles"]) == {"fr", "en"}
    assert (directory / "subtitles/fr.vtt").read_text(encoding="utf-8") == "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nCafé\n"
    assert "00:00:00.000 --> 00:00:00.500\nGood evening." in (directory / "subtitles/en.vtt").read_text(encoding="utf-8")
    assert "00:00:00.000 --> 00:00:01.000\nOne" in (directory / "subtitles/chapters.vtt").read_text(encoding="utf-8")
    with zipfile.ZipFile(directory / "frames/frames.zip") as archive:
        assert len(archive.namelist()) == told["frames"]["count"] == 5
    master = (directory / "hls/master.m3u8").read_text()
    assert master.count("TYPE=SUBTITLES") == 2
    assert "Café" in (directory / "subtitles/fr/segment_000.vtt").read_text(encoding="utf-8")
    for path, digest in metadata["recipe"]["sha256"].items():
        assert len(digest) == 64
        assert (directory / path).stat().st_size


def without_addresses(value: Any) -> Any:  # JSON of any shape
    """What the API tells, without what it alone tells of files."""
    if isinstance(value, list):
        return [without_addresses(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: without_addresses(one) for key, one in value.items() if key not in ("url", "minio_path", "size_mb")}
