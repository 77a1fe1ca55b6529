"""Every code an input can be refused with, by real files: looked at beforehand, and submitted all the same. Never tried twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client.api import ReelyardClient
from protocol.errors import ReelyardError
from protocol.jobs import JobInput, JobSubmission
from tests.farm import NEVER_BUSY, farm
from tests.media import run_ffmpeg

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

MOST_BYTES, MOST_SECONDS = 400_000, 4
SMALL = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-pix_fmt", "yuv420p")
Json = dict[str, Any]  # Any: what the server answers has no narrower type


@dataclass
class Trial:
    """What the server says of an input beforehand, and what becomes of it when it is submitted."""

    client: ReelyardClient
    http: aiohttp.ClientSession
    media: Path

    async def validated(self, name: str, **fields: object) -> Json:
        asked = {"profile": "web", "input": {"path": str(self.media / name)}, **fields}
        async with self.http.post("/api/v1/jobs/validate", json=asked) as answer:
            told: Json = await answer.json()
            assert answer.status == 200, told
            return told

    async def codes(self, name: str, **fields: object) -> tuple[list[str], str, int]:
        """The codes of the dry run, the code of the submission, and how many attempts were made."""
        foretold = [problem["code"] for problem in (await self.validated(name, **fields))["problems"]]
        submission = JobSubmission.model_validate(
            {"profile": "web", "input": JobInput(path=str(self.media / name)), "max_attempts": 5, **fields}
        )
        try:
            job = await self.client.wait((await self.client.submit(submission)).job_id)
        except ReelyardError as refused:
            return foretold, refused.code.value, 0
        return foretold, job.error.code.value if job.error else "", len(job.attempts)


@asynccontextmanager
async def trial(root: Path) -> AsyncIterator[Trial]:
    media = root / "media"
    media.mkdir()
    settings = {
        "REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(media)]),
        "REELYARD_DISPATCH_INPUTS__LIMITS__MAX_BYTES": str(MOST_BYTES),
        "REELYARD_DISPATCH_INPUTS__LIMITS__MAX_DURATION_S": str(MOST_SECONDS),
        **NEVER_BUSY,
    }
    async with farm(root / "farm", **settings) as made:
        await made.start_dispatch()
        engine = await made.start_engine("box")
        async with made.client() as client, aiohttp.ClientSession(made.url, headers={"X-API-Key": made.key}) as http:
            await engine.said("engine_registered")
            yield Trial(client, http, media)


def picture(path: Path, *, seconds: float, size: str = "640x360", rate: int = 10) -> Path:
    run_ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}", "-t", f"{seconds}", *SMALL, str(path))
    return path


def flipped(clip: Path, share: float) -> bytes:
    """The file with forty bytes of its media the other way round."""
    data = bytearray(clip.read_bytes())
    start = int(len(data) * share)
    data[start : start + 40] = bytes(byte ^ 0xFF for byte in data[start : start + 40])
    return bytes(data)


def bad_files(media: Path) -> None:
    good = picture(media / "good.mp4", seconds=1.5)
    (media / "words.mp4").write_text("no film at all, only words")
    (media / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (media / "large.mp4").write_bytes(good.read_bytes() + bytes(MOST_BYTES))
    picture(media / "small.mp4", seconds=1.5, size="320x180")
    picture(media / "short.mp4", seconds=0.4)
    picture(media / "long.mp4", seconds=MOST_SECONDS + 2, rate=2)
    picture(media / "fast.mp4", seconds=1.2, rate=200)
    run_ffmpeg("-f", "lavfi", "-i", "sine", "-t", "2", "-c:a", "aac", str(media / "sound.mp4"))


REFUSED_AT_ONCE = {"none.mp4": "INPUT_NOT_FOUND", "words.mp4": "INPUT_FORMAT", "large.mp4": "INPUT_TOO_LARGE"}
REFUSED_BY_AN_ENGINE = {
    "cut.mp4": "INPUT_CORRUPT",
    "small.mp4": "INPUT_TOO_SMALL",
    "short.mp4": "INPUT_TOO_SHORT",
    "long.mp4": "INPUT_TOO_LONG",
    "fast.mp4": "INPUT_LIMITS",
    "sound.mp4": "INPUT_NO_VIDEO",
}


async def test_each_code_is_told_beforehand_and_by_the_job_which_is_tried_once(tmp_path: Path) -> None:
    async with trial(tmp_path) as made:
        bad_files(made.media)
        found = {name: await made.codes(name) for name in (*REFUSED_AT_ONCE, *REFUSED_BY_AN_ENGINE)}
        good = await made.validated("good.mp4")

    assert found == {
        **{name: ([code], code, 0) for name, code in REFUSED_AT_ONCE.items()},
        **{name: ([code], code, 1) for name, code in REFUSED_BY_AN_ENGINE.items()},
    }
    assert (good["valid"], good["video_info"]["resolution"], good["problems"]) == (True, "640x360", [])
    options = good["transcoding_options"]
    assert (options["can_360p"], options["can_720p"], options["can_extract_audio"]) == (True, False, False)
    assert (good["estimate"]["bytes"] > 0, "extract_audio_mp3: the source has no audio" in good["warnings"]) == (True, True)


@pytest.mark.trust
async def test_a_submission_and_a_tenant_may_be_stricter_than_the_server(tmp_path: Path) -> None:
    """`integrity` finds the damage before anything is encoded; limits of a tenant hold at once."""
    async with trial(tmp_path) as made:
        whole = picture(made.media / "whole.mp4", seconds=3)
        (made.media / "flipped.mp4").write_bytes(flipped(whole, 0.6))
        loose = await made.validated("flipped.mp4")
        strict = await made.codes("flipped.mp4", integrity="strict")
        sound = await made.validated("whole.mp4", integrity="strict")
        async with made.http.get("/api/v1/admin/tenants/default") as answer:
            tag = answer.headers["ETag"]
        limits = {"limits": {"max_fps": 5}}
        async with made.http.patch("/api/v1/admin/tenants/default", json=limits, headers={"If-Match": tag}) as answer:
            patched = await answer.json()
        limited = await made.codes("whole.mp4")

    assert (loose["valid"], strict, sound["valid"]) == (True, (["INPUT_CORRUPT"], "INPUT_CORRUPT", 1), True)
    assert (patched["limits"]["max_fps"], limited) == (5, (["INPUT_LIMITS"], "INPUT_LIMITS", 1))


@pytest.mark.trust
async def test_what_a_damaged_film_gives_is_published_with_a_warning_where_its_client_wants_that(tmp_path: Path) -> None:
    async with trial(tmp_path) as made:
        whole = picture(made.media / "whole.mkv", seconds=3).read_bytes()
        (made.media / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
        refused = await made.codes("cut.mkv")
        wanted = JobSubmission(profile="web", input=JobInput(path=str(made.media / "cut.mkv")), allow_damaged=True)
        job = await made.client.wait((await made.client.submit(wanted)).job_id)
        assert job.outputs is not None, job.error
        told: Json = dict(job.outputs)
        async with made.http.get(told["metadata_json"]["url"]) as answer:
            metadata = await answer.json(content_type=None)
        frames = JobSubmission(profile="frames", input=wanted.input, allow_damaged=True)
        with pytest.raises(ReelyardError, match="allow_damaged"):
            await made.client.submit(frames)

    assert refused == ([], "INPUT_CORRUPT", 2)  # looked at, and encoded once
    assert (job.status, "360p" in told) == ("completed", True)
    assert job.warnings[0].startswith("The picture should end at 3.00 s, but decodes to ")
    assert metadata["warnings"] == list(job.warnings)
