"""How much an encode has to do, for its progress."""

from __future__ import annotations

from fractions import Fraction

from plugins.media.lengths import output_rate, picture_end
from plugins.media.progress import Goal
from protocol.recipes import TranscodeRecipe


def goal_of(recipe: TranscodeRecipe) -> Goal:
    video = recipe.source.video
    seconds = Fraction(recipe.source.duration)
    if video is None or not recipe.renditions:
        return Goal(frames=0, seconds=float(seconds), rate=0.0)
    end = picture_end(video) or seconds
    return Goal(frames=max(1, round(end * output_rate(video))), seconds=float(end), rate=float(output_rate(video)))
