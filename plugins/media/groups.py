"""What a master playlist names beside its variants: sound in other tracks, and subtitles."""

from __future__ import annotations

from dataclasses import dataclass

from plugins.media.soundtracks import own_playlists
from protocol.extras import TextFormat
from protocol.recipes import PlannedSubtitle, TranscodeRecipe

START = 10
"""Seconds at which playlists begin that are played together: past any shift that reordered frames or an encoder's priming
would bring, so that all of them tell the same time."""

TICKS = 90_000
"""MPEG-2 timestamps in a second."""


@dataclass(frozen=True, slots=True)
class StreamedText:
    """Subtitles as HLS has them: one WebVTT segment that tells how its times fit those of the picture, and its playlist."""

    planned: PlannedSubtitle
    playlist: str
    segment: str


def streamed_texts(recipe: TranscodeRecipe) -> tuple[StreamedText, ...]:
    """Of the subtitles that become WebVTT, where the renditions become HLS."""
    if recipe.hls is None or recipe.master_playlist is None:
        return ()
    return tuple(
        StreamedText(one, f"subtitles/{one.name}/playlist.m3u8", f"subtitles/{one.name}/segment_000.vtt")
        for one in recipe.subtitles
        if TextFormat.VTT in one.paths
    )


def has_groups(recipe: TranscodeRecipe) -> bool:
    return recipe.hls is not None and bool(own_playlists(recipe) or streamed_texts(recipe))
