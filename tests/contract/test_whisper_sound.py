"""The sound for a transcription comes out of the one decode, and is held to the length of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.errors import ErrorCode
from protocol.results import Failure, FileRole, OutputFacts
from tests.ffmpeg_recipes import web
from tests.integration.ffmpeg_attempts import analyze, success, transcode_work
from tests.integration.ffmpeg_runner import prove_again, run_attempt
from tests.media import make_clip

SPEECH = "speech/speech.s16le"


@pytest.mark.parametrize("is_alone", [False, True])
def test_the_sound_is_staged_whole_as_the_models_hear_it(tmp_path: Path, is_alone: bool) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, size=(320, 180))
    recipe = web(analyze(clip, tmp_path), heights=() if is_alone else (180,), hls=None).model_copy(update={"speech": SPEECH})
    if is_alone:
        recipe = recipe.model_copy(update={"thumbnails": (), "audio": None})
    work = transcode_work(recipe, clip, tmp_path, (180,))
    plugin = FFmpegPlugin()

    attempt = run_attempt(plugin, work)
    made = tmp_path / SPEECH

    seconds = made.stat().st_size / 32_000
    assert success(attempt).facts[SPEECH] == OutputFacts(
        role=FileRole.SPEECH, codec="pcm_s16le", sample_rate=16_000, duration=seconds
    )
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert any(made.read_bytes())

    made.write_bytes(made.read_bytes()[:48_000])
    refused = prove_again(plugin, work, attempt)
    assert isinstance(refused, Failure)
    assert refused.code in (ErrorCode.OUTPUT_INVALID, ErrorCode.INPUT_CORRUPT)
