"""The whisper plugin with a real model: speech made by espeak-ng becomes text in four forms."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.whisper.plugin import WhisperPlugin
from protocol.errors import ErrorCode
from protocol.plugins import Conclusion, Work
from protocol.recipes import TranscribeRecipe
from protocol.results import Failure, FileRole
from tests.integration.ffmpeg_runner import made_files, run_attempt, run_process
from tests.media import ffmpeg_path

SPOKEN = "The train to the city leaves in the morning. We are going to build a small farm of machines. Please open the window."
RECIPE = TranscribeRecipe(
    duration="7",
    language="en",
    model="tiny",
    paths={
        "txt": "transcription/transcript.txt",
        "srt": "transcription/transcript.srt",
        "vtt": "transcription/transcript.vtt",
        "json": "transcription/transcript.json",
    },
)
pytestmark = [
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng makes the speech, and is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("moonshine_voice") is None, reason="needs the extra [moonshine]"),
]


def speech(directory: Path) -> tuple[Path, float]:
    """16 kHz mono s16le, and how long it is."""
    spoken, raw = directory / "spoken.wav", directory / "speech"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(spoken), SPOKEN], check=True)
    sound = ("-ar", "16000", "-ac", "1", "-f", "s16le")
    subprocess.run([ffmpeg_path(), "-loglevel", "error", "-i", str(spoken), *sound, str(raw)], check=True)
    return raw, raw.stat().st_size / 32000


def work_in(directory: Path, source: Path, duration: float) -> Work:
    place = directory / "work"
    place.mkdir()
    recipe = RECIPE.model_copy(update={"duration": f"{round(duration * 1000)}/1000"})
    return Work(recipe, ("transcribe_video",), str(place), 2, inputs={"speech": str(source)})


def test_speech_becomes_text_subtitles_and_json(tmp_path: Path) -> None:
    source, duration = speech(tmp_path)
    work = work_in(tmp_path, source, duration)

    attempt = run_attempt(WhisperPlugin(), work)

    assert isinstance(attempt.result, Conclusion), attempt.result
    facts = attempt.result.facts["transcription/transcript.json"]
    files = {form: (Path(work.directory) / path).read_text() for form, path in RECIPE.paths.items()}
    wanted = set(SPOKEN.lower().replace(".", "").split())
    heard = {word.strip(".,").lower() for word in files["txt"].split()}
    assert len(wanted & heard) >= 0.7 * len(wanted), files["txt"]
    told = json.loads(files["json"])
    assert (facts.role, facts.language, facts.model) == (FileRole.TRANSCRIPT, "en", "moonshine-tiny.en")
    assert facts.word_count == told["word_count"]
    assert facts.duration == pytest.approx(duration, abs=0.001)
    assert set(attempt.result.facts) == set(RECIPE.paths.values()) == {file.path for file in made_files(Path(work.directory))}
    assert files["srt"].startswith("1\n00:00:0")
    assert files["vtt"].startswith("WEBVTT\n\n00:00:0")
    assert [step.state.value for step in attempt.result.result.steps] == ["completed"]
    assert str(tmp_path) not in repr(attempt.result.result.tools)


def test_progress_is_told_by_the_end_of_each_segment(tmp_path: Path) -> None:
    plugin, work = WhisperPlugin(), work_in(tmp_path, tmp_path / "none", 10.0)
    hear = plugin.plan(work)[0]

    told = [plugin.read(work, hear, line) for line in ('{"at": 2.5}', "a library's own words", '{"at": 99}')]

    assert [[step.progress for step in steps] for steps in told] == [[0.25], [], [1.0]]


def test_a_model_is_proven_by_running_and_one_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.bin").write_bytes(b"no model")
    monkeypatch.setenv("REELYARD_WHISPER_MODELS", str(tmp_path))
    plugin = WhisperPlugin()

    described = plugin.describe([run_process(probe, tmp_path) for probe in plugin.probes(str(tmp_path))])

    assert described.operations == ("transcribe",)
    assert described.capabilities == ("operation:transcribe", "model:moonshine-tiny.en", "speech:en")
    broken = "these speech models do not run: tiny" if importlib.util.find_spec("faster_whisper") else None
    assert described.problem == broken


def test_a_transcript_that_was_changed_behind_the_tool_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "speech"
    source.write_bytes(array("h", [0] * 16000).tobytes())
    work = work_in(tmp_path, source, 1.0)
    plugin = WhisperPlugin()
    hear = run_process(plugin.plan(work)[0], Path(work.directory))
    (Path(work.directory) / RECIPE.paths["txt"]).write_text("words nobody said\n")
    checks = plugin.checks(work, made_files(Path(work.directory)))
    assert not isinstance(checks, Failure)

    refused = plugin.conclude(work, [hear, run_process(checks[0], Path(work.directory))], ())

    assert isinstance(refused, Failure)
    assert (refused.code, refused.message) == (
        ErrorCode.OUTPUT_INVALID,
        "The transcript does not hold: the txt tells something else than the JSON.",
    )


def test_a_tool_that_dies_is_the_engines_failure_and_tells_nothing_that_was_said(tmp_path: Path) -> None:
    source = tmp_path / "speech"
    source.write_bytes(b"")
    work = work_in(tmp_path, source, 1.0)
    plugin = WhisperPlugin()

    outcome = run_process(plugin.plan(work)[0], Path(work.directory))
    failure = plugin.judge(work, outcome)

    assert failure is not None
    assert (failure.code, failure.evidence) == (ErrorCode.TOOL_FAILED, {"exit_code": "1", "last_line": "ValueError"})
    assert plugin.judge(work, replace(outcome, exit_code=0)) is None
