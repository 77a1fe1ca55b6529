"""The part of the graph that chooses single pictures."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.graph import STILLS, has_stills, split
from plugins.media.lengths import picture_end, timeline_rate
from plugins.media.sizes import has_frames_to_share, thumbnail_size
from protocol.recipes import PlannedSprite, ThumbnailShot, TranscodeRecipe

SPARSE_SECONDS = 10
"""How often a picture is kept as a thumbnail before its moment, so that one is there should the picture end too early."""


SHEET = "sheet"
EPSILON = Fraction(1, 1_000_000)
"""Seconds: moments are compared as floating numbers."""


def shots(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    """The labels of the thumbnails, in their order; the sprite's sheet is `SHEET`."""
    if recipe.source.video is None or not has_stills(recipe):
        return ()
    rate = timeline_rate(recipe)
    end = picture_end(recipe.source.video)
    width, height = thumbnail_size(recipe)
    scale = "" if has_frames_to_share(recipe) else f"scale=w={width}:h={height}:flags=bicubic,setsar=1,"
    inputs = [f"s{n}i" for n in range(len(recipe.thumbnails))] + ([f"{SHEET}i"] if recipe.sprite else [])
    lines.append(f"[{STILLS}]null{split('split', inputs)}")
    for n, shot in enumerate(recipe.thumbnails):
        lines.append(f"[s{n}i]{_select(shot, rate=rate, end=end)},{scale}format=yuvj420p[s{n}]")
    if recipe.sprite is not None:
        lines.append(f"[{SHEET}i]{_tiled(recipe.sprite)}[{SHEET}]")
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


def _tiled(sprite: PlannedSprite) -> str:
    """The first frame at or after each multiple of the interval, made small before it is laid beside the others."""
    interval, epsilon = float(Fraction(sprite.interval)), float(EPSILON)
    place = f"floor((t+{epsilon:.6f})/{interval:.3f})"
    before = f"floor((prev_selected_t+{epsilon:.6f})/{interval:.3f})"
    rows = -(-sprite.count // sprite.columns)
    return (
        f"select='isnan(prev_selected_t)+gt({place},{before})',scale=w={sprite.width}:h={sprite.height}:flags=area,"
        f"setsar=1,tile=layout={sprite.columns}x{rows},format=yuvj420p"
    )
