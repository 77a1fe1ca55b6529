"""Scores of finished renditions, held against the same comparison made by hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.followers import plan_job
from dispatch.core.plans import Planned
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.extras import Metric, QualityMetrics
from protocol.pictures import Clip, Crop, Picture
from protocol.plugins import Conclusion, Work
from protocol.profiles import Profile, Rendition
from protocol.results import Failure, FileRole, OutputFacts
from protocol.states import StepState, TaskKind
from protocol.steps import MEASURE_QUALITY
from tests.ffmpeg_recipes import web
from tests.integration.ffmpeg_attempts import analyze, success, transcode_work
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffmpeg_path, make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("scores") / "clip.mp4", seconds=2.4, size=(320, 180), audio=False)


def scored(clip: Path, directory: Path, metrics: QualityMetrics) -> tuple[Conclusion, Attempt]:
    recipe = web(analyze(clip, directory), heights=(180,), hls=None, preset=Preset.ULTRAFAST)
    recipe = recipe.model_copy(update={"metrics": metrics, "thumbnails": (), "audio": None})
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


def test_a_sample_is_near_the_whole(clip: Path, tmp_path: Path) -> None:
    whole = facts_of(scored(clip, tmp_path, QualityMetrics(metrics=(Metric.SSIM,)))[0])

    sample = facts_of(scored(clip, tmp_path, QualityMetrics(metrics=(Metric.SSIM,), sample_seconds=1))[0])

    assert (sample.vmaf, sample.psnr) == (None, None)
    assert sample.ssim != whole.ssim
    assert sample.ssim == pytest.approx(whole.ssim, abs=0.02)


RENDITION = Rendition(name="90p", height=90, crf=6, preset=Preset.ULTRAFAST)
ODD = ("-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr")
TIMELINES: list[Any] = [
    (ODD, {"clip": Clip(start=0.3, end=1.6)}),
    ((), {"concat": ("input", "more"), "picture": Picture(pad_to="1:1", rotate=90, crop=Crop(left=10))}),
    pytest.param(("-r", "50"), {"renditions": (RENDITION.model_copy(update={"max_fps": 25}),)}, marks=pytest.mark.trust),
    pytest.param(("-vf", "fps=50,interlace", "-flags", "+ilme+ildct"), {}, marks=pytest.mark.trust),
]


@pytest.mark.parametrize(("options", "parts"), TIMELINES)
def test_what_is_nearly_lossless_scores_so_on_every_timeline(tmp_path: Path, options: Any, parts: dict[str, Any]) -> None:
    """One frame aside, this film scores a VMAF of 87 and 38 dB."""
    clip = make_clip(tmp_path / "odd.mp4", seconds=2, size=(320, 180), audio=False, options=("-crf", "5", *options))
    facts = analyze(clip, tmp_path)
    profile = Profile(name="x", **{"renditions": (RENDITION,), "quality_metrics": QualityMetrics(), **parts})
    plans = plan_job(profile, facts.model_copy(update={"parts": {"attachment-more": facts}}), lambda _: True)
    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    inputs = {"attachment-more": str(clip)}
    steps = tuple(step.name for step in plan.steps)
    work = Work(plan.recipe, steps, str(tmp_path), 1, str(clip), input_size=clip.stat().st_size, inputs=inputs)

    told = facts_of(success(run_attempt(FFmpegPlugin(), work)))

    assert told.vmaf is not None
    assert told.psnr is not None
    assert told.vmaf > 95
    assert told.psnr > 40
