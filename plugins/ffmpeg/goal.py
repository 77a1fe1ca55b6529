"""How much an encode has to do, for its progress."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.passes import in_order
from plugins.media.lengths import picture_end, rendition_rate
from plugins.media.progress import Goal
from protocol.recipes import TranscodeRecipe


def goal_of(recipe: TranscodeRecipe) -> Goal:
    video = recipe.source.video
    seconds = Fraction(recipe.source.duration)
    if video is None or not recipe.renditions:
        return Goal(frames=0, seconds=float(seconds), rate=0.0)
    end = picture_end(video) or seconds
    rate = rendition_rate(recipe, recipe.renditions[in_order(recipe.renditions)[0]])  # FFmpeg counts its first picture's frames
    return Goal(frames=max(1, round(end * rate)), seconds=float(end), rate=float(rate))
