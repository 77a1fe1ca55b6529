"""A film that is measured before it is encoded: whole jobs on a real farm, in its sandbox, and what they publish."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from protocol.jobs import JobSubmission
from protocol.states import JobState
from tests.farm import NEVER_BUSY, farm
from tests.media import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

AIMED = """
name = "aimed"

[[renditions]]
name = "180p"
height = 180
preset = "ultrafast"
target = { vmaf = 85 }

[[renditions]]
name = "90p"
height = 90
preset = "ultrafast"
crf = 30

[clip]
start = 0.4

[sound.loudness]

[content]

[per_title]

[quality_metrics]
sample_seconds = 1

[compare]
sample_seconds = 2

[[compare.renditions]]
name = "fine"
height = 90
crf = 22
preset = "ultrafast"

[[compare.renditions]]
name = "two-pass"
height = 90
bitrate = 60000
preset = "ultrafast"
"""


async def test_a_film_is_measured_encoded_by_what_was_found_and_scored(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, size=(320, 180))
    async with farm(tmp_path / "farm", **NEVER_BUSY) as made:
        (made.data / "profiles").mkdir(parents=True)
        (made.data / "profiles/aimed.toml").write_text(AIMED)
        await made.start_dispatch()
        engine = await made.start_engine("box", environment=NEVER_BUSY)
        await engine.said("engine_registered")
        async with made.client() as client, asyncio.timeout(90):
            job = await client.wait((await client.upload(clip, JobSubmission(profile="aimed"))).job_id)
        assert job.state is JobState.COMPLETED, job.error
        assert await engine.terminate() == 0

    directory = made.storage / "default/processed" / job.job_id
    metadata: Any = json.loads((directory / "metadata.json").read_text())
    states = {step.name: step.status for step in job.tasks}
    assert (states["measure_source"], states["measure_quality"], states["transcode_180p"]) == ("completed",) * 3
    scores = metadata["quality_metrics"]
    assert scores["180p"]["vmaf"] == pytest.approx(85, abs=6)
    assert set(scores["90p"]) == {"psnr", "ssim", "vmaf"}
    content = json.loads((directory / "analysis/content.json").read_text())
    assert (content["version"], content["duration_seconds"]) == (1, pytest.approx(2.6, abs=0.05))
    report = json.loads((directory / "compare/report.json").read_text())
    assert [one["name"] for one in report["settings"]] == ["fine", "two-pass"]
    assert [one["target_bitrate"] for one in report["settings"]] == [None, 60000]
    assert (directory / "compare/two-pass.mp4").stat().st_size == report["settings"][1]["size_bytes"]
