"""One analysis or one transcode by the real plugin and the real tools, and a look at what came out by ffprobe."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.media import MediaFacts
from protocol.packaging import HlsPackaging
from protocol.plugins import Conclusion, Work
from protocol.recipes import AnalyzeRecipe, InputLimits, TranscodeRecipe
from protocol.results import Failure
from protocol.steps import UPLOAD_SOURCE, VALIDATE_VIDEO
from tests.ffmpeg_recipes import steps, web
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffmpeg_path, ffprobe_path

LIMITS = InputLimits(min_width=16, min_height=16)
SEGMENTS = HlsPackaging(segment_seconds=2)


def run_analysis(clip: Path, directory: Path, limits: InputLimits = LIMITS) -> Conclusion | Failure:
    recipe, steps = AnalyzeRecipe(limits=limits), (VALIDATE_VIDEO, UPLOAD_SOURCE)
    work = Work(recipe, steps, str(directory), threads=1, input_path=str(clip), input_size=clip.stat().st_size)
    result = run_attempt(FFmpegPlugin(), work).result
    assert result is not None
    return result


def analyze(clip: Path, directory: Path) -> MediaFacts:
    result = run_analysis(clip, directory)
    assert isinstance(result, Conclusion), result
    assert result.result.analysis is not None
    return result.result.analysis


def refusal(clip: Path, directory: Path, limits: InputLimits = LIMITS) -> Failure:
    result = run_analysis(clip, directory, limits)
    assert isinstance(result, Failure), result
    return result


def transcode_work(recipe: TranscodeRecipe, clip: Path, directory: Path, heights: tuple[int, ...]) -> Work:
    return Work(recipe, steps(heights), str(directory), threads=1, input_path=str(clip), input_size=clip.stat().st_size)


def transcode(
    clip: Path,
    directory: Path,
    *,
    heights: tuple[int, ...] = (180,),
    hls: HlsPackaging | None = SEGMENTS,
    preset: Preset = Preset.ULTRAFAST,
) -> tuple[MediaFacts, Attempt]:
    """Analyze and transcode; small and fast unless the test is about the real thing."""
    facts = analyze(clip, directory)
    recipe = web(facts, heights=heights, hls=hls, preset=preset)
    return facts, run_attempt(FFmpegPlugin(), transcode_work(recipe, clip, directory, heights))


def success(attempt: Attempt) -> Conclusion:
    assert isinstance(attempt.result, Conclusion), attempt.result
    return attempt.result


def streams(path: Path) -> dict[str, dict[str, Any]]:
    """ffprobe's own view, by codec type; frames are counted by decoding."""
    argv = [ffprobe_path(), "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}


def brightness(picture: Path) -> int:
    """The mean of a grey picture, 0 to 255."""
    argv = [ffmpeg_path(), "-v", "error", "-i", str(picture), "-vf", "scale=1:1:flags=area,format=rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return done.stdout[0]


def keyframe_moments(path: Path) -> list[float]:
    entries = ("-show_entries", "packet=pts_time,flags", "-of", "csv=p=0")
    argv = [ffprobe_path(), "-v", "error", "-select_streams", "v:0", *entries, str(path)]
    lines = subprocess.run(argv, capture_output=True, check=True, timeout=60, text=True).stdout.splitlines()
    return [float(line.split(",")[0]) for line in lines if "K" in line]
