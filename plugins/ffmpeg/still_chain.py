"""The part of the graph that chooses single pictures."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.graph import split
from plugins.media.lengths import picture_end, timeline_rate
from plugins.media.sizes import thumbnail_size
from protocol.recipes import ThumbnailShot, TranscodeRecipe

SPARSE_SECONDS = 10
"""How often a picture is kept as a thumbnail before its moment, so that one is there should the picture end too early."""


def shots(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    if recipe.source.video is None or not recipe.thumbnails:
        return ()
    rate = timeline_rate(recipe)
    end = picture_end(recipe.source.video)
    width, height = thumbnail_size(recipe)
    scale = "" if recipe.renditions else f"scale=w={width}:h={height}:flags=bicubic,setsar=1,"
    inputs = [f"s{n}i" for n in range(len(recipe.thumbnails))]
    lines.append(f"[shots]null{split('split', inputs)}")
    for n, shot in enumerate(recipe.thumbnails):
        lines.append(f"[s{n}i]{_select(shot, rate=rate, end=end)},{scale}format=yuvj420p[s{n}]")
    return tuple(f"s{n}" for n in range(len(recipe.thumbnails)))


def _select(shot: ThumbnailShot, *, rate: Fraction, end: Fraction | None) -> str:
    """The frames of which the last one becomes the thumbnail: each overwrites the one before.

    Those shortly before the moment, and one now and then before, in case the picture ends earlier than told.
    """
    at, frame = Fraction(shot.at), 1 / rate
    if end is not None:
        at = max(Fraction(0), min(at, end - frame))
    if shot.percent == 100:
        moment, upper = at - Fraction(1, 2), ""
    else:
        moment, upper = at - frame * Fraction(3, 2), f"lte(t,{float(at + frame / 100):.6f})*"
    wanted = f"gte(t,{float(moment):.6f})+isnan(prev_selected_t)+gte(t-prev_selected_t,{SPARSE_SECONDS})"
    return f"select='{upper}({wanted})'"
