"""The outputs of one rendition: its MP4, and its HLS from the same encode."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from plugins.ffmpeg.encoders import picture_arguments
from plugins.ffmpeg.sound_encoders import beside_picture
from plugins.ffmpeg.streams import targets
from plugins.media.lengths import output_rate
from plugins.media.soundtracks import heard
from protocol.recipes import PlannedRendition, TranscodeRecipe

DEFAULT_GROUP_SECONDS = 10


def rendition(
    recipe: TranscodeRecipe, planned: PlannedRendition, labels: tuple[str, tuple[str, ...]], threads: int
) -> tuple[str, ...]:
    """`labels` are those of the graph: the picture's, and each sound track's."""
    video = recipe.source.video
    picture, sounds = labels
    rate = output_rate(video) if video else Fraction(25)
    seconds = gcd(recipe.hls.segment_seconds if recipe.hls else 0, recipe.group_seconds or 0) or DEFAULT_GROUP_SECONDS
    encode = picture_arguments(planned, rate=rate, segment_seconds=seconds, threads=threads)
    arguments = ("-map", f"[{picture}]", *encode, "-fps_mode", "passthrough")
    arguments += beside_picture(planned.rendition.audio, heard(recipe), sounds)
    if recipe.hls is None or planned.playlist is None or planned.segments is None:
        return (*arguments, "-movflags", "+faststart", "-f", "mp4", f"file:{planned.path}")
    return (*arguments, "-f", "tee", targets(recipe, planned))
