"""A job as it goes through a farm, without the farm: analyzed, planned by dispatch, made by the plugin. And a look at pixels and
samples by a plain decode."""

from __future__ import annotations

import array
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dispatch.core.ladder import plan_transcode
from dispatch.core.picturing import parts_of, shown
from dispatch.core.plans import Film, Planned
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.media import MediaFacts
from protocol.plugins import Conclusion, Work
from protocol.profiles import Profile
from protocol.recipes import AnalyzeRecipe, InputLimits, TranscodeRecipe
from protocol.results import Failure
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffmpeg_path, ffprobe_path

LIMITS = InputLimits(min_width=16, min_height=16, min_duration_s=0.2)
SECOND = 48_000


def rung(height: int, **more: Any) -> dict[str, Any]:
    return {"name": f"{height}p", "height": height, "crf": 12, "preset": "ultrafast", **more}


def profile(*rungs: dict[str, Any], **parts: Any) -> Profile:
    return Profile.model_validate_json(json.dumps({"name": "made", "renditions": rungs or (rung(180),), **parts}))


@dataclass(frozen=True)
class Ground:
    """A directory with the job's input, and its attachments by their names."""

    directory: Path
    clip: Path
    attachments: Mapping[str, Path]

    def _work(self, recipe: AnalyzeRecipe | TranscodeRecipe, steps: tuple[str, ...]) -> Work:
        inputs = {f"attachment-{name}": str(path) for name, path in self.attachments.items()}
        work = self.directory / f"work-{recipe.kind}"
        work.mkdir(exist_ok=True)
        size = self.clip.stat().st_size
        return Work(recipe, steps, str(work), threads=1, input_path=str(self.clip), input_size=size, inputs=inputs)

    def analyze(self, wanted: Profile) -> MediaFacts | Failure:
        result = run_attempt(FFmpegPlugin(), self._work(AnalyzeRecipe(limits=LIMITS, parts=parts_of(wanted)), ())).result
        if isinstance(result, Failure):
            return result
        assert isinstance(result, Conclusion)
        assert result.result.analysis is not None
        return result.result.analysis

    def make(self, wanted: Profile) -> Attempt:
        facts = self.analyze(wanted)
        assert isinstance(facts, MediaFacts), facts
        film = shown(Film(wanted, facts))
        assert isinstance(film, Film), film
        plan = plan_transcode(film)
        assert isinstance(plan, Planned), plan
        steps = tuple(step.name for step in plan.steps)
        return run_attempt(FFmpegPlugin(), self._work(plan.recipe, steps))

    def succeed(self, wanted: Profile) -> Path:
        """Where the outputs are."""
        result = self.make(wanted).result
        assert isinstance(result, Conclusion), result
        return self.directory / "work-transcode"


@dataclass(frozen=True)
class Frame:
    """One decoded frame, as its own numbers: 8 or 10 bits."""

    width: int
    height: int
    values: tuple[int, ...]

    def luma(self, x: float, y: float) -> int:
        """At a place in shares of the picture."""
        return self.values[int(y * self.height) * self.width + int(x * self.width)]

    def chroma(self, x: float, y: float) -> tuple[int, int]:
        size, half = self.width * self.height, self.width // 2
        at = int(y * (self.height // 2)) * half + int(x * half)
        return self.values[size + at], self.values[size + size // 4 + at]

    def bright(self, limit: int = 180) -> int:
        return sum(value > limit for value in self.values[: self.width * self.height])


def frame(path: Path, number: int, *, bits: int = 8) -> Frame:
    """As the encoder had it: no filter that touches pixels."""
    stream = streams(path)["video"]
    width, height = int(stream["width"]), int(stream["height"])
    kept = f"select='eq(n,{number})'"
    argv = [ffmpeg_path(), "-v", "error", "-i", str(path), "-vf", kept, "-frames:v", "1", "-f", "rawvideo", "-"]
    raw = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    values = array.array("H" if bits > 8 else "B", raw)
    return Frame(width, height, tuple(values))


def streams(path: Path) -> dict[str, dict[str, Any]]:
    """ffprobe's own view, by codec type; frames are counted by decoding."""
    argv = [ffprobe_path(), "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}


def pitch(path: Path, begin: float, end: float) -> int:
    """How often a second the sound rises through zero: its pitch, if it is a sine; 0 in silence."""
    argv = [ffmpeg_path(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1", "-ar", str(SECOND), "-f", "s16le", "-"]
    samples = array.array("h", subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    part = samples[int(begin * SECOND) : int(end * SECOND)]
    rises = sum(1 for before, after in pairwise(part) if before < 0 <= after and abs(after - before) > 20)
    return round(rises / (end - begin))
