"""A farm that transcribes: the sound of the one decode goes to a speech model, and what that heard is published."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from protocol.extras import Transcription
from protocol.jobs import JobSubmission
from protocol.profiles import OutputOverrides
from protocol.states import JobState
from tests.farm import fact, farm
from tests.media import run_ffmpeg

NEVER_BUSY = {"REELYARD_ENGINE_BUSY_CPU_PERCENT": "100", "REELYARD_ENGINE_BUSY_IO_WAIT_PERCENT": "100"}
SPOKEN = "We are going to build a small farm of machines."
pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio,
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng makes the speech, and is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("moonshine_voice") is None, reason="needs the extra [moonshine]"),
]


@pytest.fixture
def speaker(tmp_path: Path) -> Path:
    """4 s of 640x360 in which a sentence is said."""
    spoken, clip = tmp_path / "spoken.wav", tmp_path / "speaker.mp4"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(spoken), SPOKEN], check=True)
    picture = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10", "-i", str(spoken), "-t", "4")
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
    run_ffmpeg(*picture, "-af", "apad", *codec, str(clip))
    return clip


async def test_a_film_is_published_with_what_is_said_in_it(tmp_path: Path, speaker: Path) -> None:
    wish = OutputOverrides(renditions=("360p",), transcription=Transcription(language="en", required=True))
    submission = JobSubmission(profile="web", outputs=wish)
    async with farm(tmp_path / "farm", **NEVER_BUSY) as made:
        await made.start_dispatch()
        engine = await made.start_engine("box")
        await engine.said("engine_registered")
        async with made.client() as client, asyncio.timeout(60):
            job = await client.wait((await client.upload(speaker, submission)).job_id)
            outputs = await client.outputs(job.job_id)
        directory = made.storage / "default/processed" / job.job_id
        files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
        metadata = json.loads((directory / "metadata.json").read_text())
        await fact(lambda: not (made.storage / "staging" / job.job_id).exists(), "what was staged for a sibling alone goes")
        words = (directory / "transcription/transcript.txt").read_text()
        assert await engine.terminate() == 0

    assert (job.state, job.warnings) == (JobState.COMPLETED, ())
    assert {file.rpartition(".")[2] for file in files if file.startswith("transcription/")} == {"txt", "srt", "vtt", "json"}
    assert {link.path for link in outputs.files} == files
    assert [file for file in files if "speech" in file] == []
    told = metadata["outputs"]["transcription"]
    assert (metadata["transcription_language"], metadata["whisper_model"]) == ("en", "moonshine-tiny.en")
    assert (told["language"], told["word_count"], told["srt"]["path"]) == (
        "en",
        len(words.split()),
        "transcription/transcript.srt",
    )
    assert job.outputs is not None
    assert "url" in json.loads(json.dumps(job.outputs))["transcription"]["vtt"]
    assert {step.name: step.status.value for step in job.tasks}["transcribe_video"] == "completed"
    assert len(set(SPOKEN.lower().strip(".").split()) & {word.strip(".,").lower() for word in words.split()}) >= 7
