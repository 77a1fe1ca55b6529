"""Scores of finished renditions, held against the same comparison made by hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dispatch.core.picturing import shown
from dispatch.core.plans import Film
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.extras import Metric, QualityMetrics
from protocol.pictures import Clip
from protocol.plugins import Conclusion
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts
from protocol.states import StepState
from protocol.steps import MEASURE_QUALITY
from tests.ffmpeg_recipes import web
from tests.integration.ffmpeg_attempts import analyze, success, transcode_work
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffmpeg_path, make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("scores") / "clip.mp4", seconds=2.4, size=(320, 180), audio=False)


def scored(clip: Path, directory: Path, metrics: QualityMetrics, **timeline: object) -> tuple[Conclusion, Attempt]:
    recipe = web(analyze(clip, directory), heights=(180,), hls=None, preset=Preset.ULTRAFAST)
    recipe = recipe.model_copy(update={"metrics": metrics, "thumbnails": (), "audio": None, **timeline})
    work = transcode_work(recipe, clip, directory, (180,))
    attempt = run_attempt(FFmpegPlugin(), type(work)(recipe, (*work.steps, MEASURE_QUALITY), work.directory, 1, work.input_path))
    return success(attempt), attempt


def by_hand(reference: Path, made: Path, name: str, pattern: str) -> float:
    """The whole of both files, by a graph of its own."""
    argv = [ffmpeg_path(), "-hide_banner", "-nostdin", "-i", str(made), "-i", str(reference)]
    done = subprocess.run([*argv, "-lavfi", name, "-f", "null", "-"], capture_output=True, check=True, timeout=60)
    found = re.findall(pattern, done.stderr.decode())
    return float(found[-1])


def facts_of(conclusion: Conclusion) -> OutputFacts:
    return next(facts for facts in conclusion.facts.values() if facts.role is FileRole.RENDITION)


def test_the_whole_is_scored_as_the_two_files_are_by_hand(clip: Path, tmp_path: Path) -> None:
    conclusion, attempt = scored(clip, tmp_path, QualityMetrics())

    facts, made = facts_of(conclusion), tmp_path / "180p/video_180p.mp4"
    assert facts.vmaf == pytest.approx(by_hand(clip, made, "libvmaf", r"VMAF score: ([0-9.]+)"), abs=0.05)
    assert facts.psnr == pytest.approx(by_hand(clip, made, "psnr", r"average:([0-9.]+)"), abs=0.05)
    assert facts.ssim == pytest.approx(by_hand(clip, made, "ssim", r"All:([0-9.]+)"), abs=0.001)
    step = next(step for step in conclusion.result.steps if step.name == MEASURE_QUALITY)
    assert (step.state, step.reason) == (StepState.COMPLETED, None)
    told = [report.progress for report in attempt.reports if report.name == MEASURE_QUALITY]
    assert told == sorted(told)


def test_a_clip_is_scored_against_its_own_frames(clip: Path, tmp_path: Path) -> None:
    film = shown(Film(Profile(name="x", clip=Clip(start=0.52, end=1.6)), analyze(clip, tmp_path)))
    assert isinstance(film, Film)
    whole = facts_of(scored(clip, tmp_path, QualityMetrics(metrics=(Metric.PSNR,)))[0])

    conclusion, _ = scored(clip, tmp_path, QualityMetrics(metrics=(Metric.PSNR,)), cut=film.cut, source=film.facts)

    part = facts_of(conclusion)
    assert part.psnr is not None
    assert whole.psnr is not None
    assert part.psnr > whole.psnr - 3  # one frame aside, this film scores 8 dB less
    assert (part.vmaf, part.ssim) == (None, None)


def test_a_sample_is_near_the_whole(clip: Path, tmp_path: Path) -> None:
    whole = facts_of(scored(clip, tmp_path, QualityMetrics(metrics=(Metric.SSIM,)))[0])

    sample = facts_of(scored(clip, tmp_path, QualityMetrics(metrics=(Metric.SSIM,), sample_seconds=1))[0])

    assert sample.ssim != whole.ssim
    assert sample.ssim == pytest.approx(whole.ssim, abs=0.02)
