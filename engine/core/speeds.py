"""How fast encoders are on this engine, learnt from what it has encoded: source frames a second of whole ladders."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from protocol.capabilities import FASTEST_FPS, MOST_SPEEDS, SLOWEST_FPS, Capabilities, EncoderSpeed
from protocol.recipes import Pace, Recipe, TranscodeRecipe, pace_of
from protocol.results import AttemptResult
from protocol.steps import transcode_step

LEAST_S = 3.0
"""A shorter encode tells of the tool's start and end as much as of its speed."""

NEWEST = 0.3
"""How much the newest encode counts; what was ten encodes ago counts for less than a hundredth."""

WORTH_TELLING = 0.1
"""A speed that is off what was told by less than this share is not told again: what is told changes seldom."""

Measured = tuple[Pace, float]


def measured(recipe: Recipe, result: AttemptResult) -> Measured | None:
    """The speed of this encode; None where it tells nothing. One FFmpeg makes the ladder: each of its steps took all its time."""
    pace = pace_of(recipe)
    if pace is None or not isinstance(recipe, TranscodeRecipe) or recipe.source.video is None:
        return None
    step = transcode_step(max(recipe.renditions, key=lambda planned: planned.height).rendition.name)
    seconds = next((told.duration_seconds for told in result.steps if told.name == step), None)
    video = recipe.source.video
    frames = float(Fraction(video.duration or recipe.source.duration) * Fraction(video.frame_rate))
    if seconds is None or seconds < LEAST_S or frames < 1:
        return None
    return pace, min(max(frames / seconds, SLOWEST_FPS), FASTEST_FPS)


class Speeds:
    """The speeds that are known, the latest measured last, and what of them is told."""

    def __init__(self) -> None:
        self._known: dict[Pace, float] = {}
        self._told: dict[Pace, EncoderSpeed] = {}

    def restore(self, speeds: Iterable[EncoderSpeed]) -> None:
        """What an earlier run knew, the latest measured last."""
        self._known = {Pace(one.encoder, one.height): one.fps for one in speeds}
        self._told = {pace: _rounded(pace, fps) for pace, fps in self._known.items()}

    def learn(self, measurement: Measured) -> tuple[EncoderSpeed, ...]:
        """All that is known from now on. What was measured longest ago is forgotten when it is too much."""
        pace, fps = measurement
        before = self._known.pop(pace, None)
        self._known[pace] = now = fps if before is None else before + NEWEST * (fps - before)
        told = self._told.get(pace)
        if told is None or abs(now - told.fps) > WORTH_TELLING * told.fps:
            self._told[pace] = _rounded(pace, now)
        if len(self._known) > MOST_SPEEDS:
            oldest = next(iter(self._known))
            del self._known[oldest], self._told[oldest]
        return tuple(EncoderSpeed(encoder=pace.encoder, height=pace.height, fps=fps) for pace, fps in self._known.items())

    def told(self, capabilities: Capabilities) -> Capabilities:
        """What dispatch is told."""
        if not self._told:
            return capabilities
        return capabilities.model_copy(update={"speeds": tuple(self._told[pace] for pace in sorted(self._told))})


def _rounded(pace: Pace, fps: float) -> EncoderSpeed:
    return EncoderSpeed(encoder=pace.encoder, height=pace.height, fps=max(0.01, round(fps, 2)))
