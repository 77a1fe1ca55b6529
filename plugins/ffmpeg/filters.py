"""The filter graph of a decode-once transcode: one decoded picture and one decoded sound, split for every output."""

from __future__ import annotations

from plugins.ffmpeg.finishing import finished
from plugins.ffmpeg.graph import Graph, has_stills
from plugins.ffmpeg.picture_chain import pictures
from plugins.ffmpeg.sound_chain import sounds
from plugins.ffmpeg.still_chain import SHEET, shots
from protocol.recipes import TranscodeRecipe


def build(recipe: TranscodeRecipe) -> Graph:
    """Pictures only where the source has one, sounds likewise."""
    lines: list[str] = []
    made = finished(recipe, pictures(recipe, lines), lines)
    stills = shots(recipe, lines)
    return Graph(
        sounds=sounds(recipe, lines),
        pictures=made,
        shots=stills,
        sheet=SHEET if recipe.sprite and has_stills(recipe) else None,
        text=";".join(lines),
    )
