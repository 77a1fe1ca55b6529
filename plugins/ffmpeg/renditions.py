"""The outputs of one rendition: its MP4, and its HLS from the same encode."""

from __future__ import annotations

from math import gcd

from plugins.ffmpeg.encoders import Turn, picture_arguments
from plugins.ffmpeg.passes import BY_PLACE, turn
from plugins.ffmpeg.sound_encoders import beside_picture
from plugins.ffmpeg.streams import targets
from plugins.media.lengths import rendition_rate
from plugins.media.soundtracks import heard
from protocol.recipes import PlannedRendition, TranscodeRecipe

DEFAULT_GROUP_SECONDS = 10


def rendition(
    recipe: TranscodeRecipe, planned: PlannedRendition, labels: tuple[str, tuple[str, ...]], threads: int
) -> tuple[str, ...]:
    """`labels` are those of the graph: the picture's, and each sound track's."""
    picture, sounds = labels
    arguments = ("-map", f"[{picture}]", *encode(recipe, planned, threads, turn(planned, 2)), "-fps_mode", "passthrough")
    arguments += beside_picture(planned.rendition.audio, heard(recipe), sounds)
    if recipe.hls is None or planned.playlist is None or planned.segments is None:
        return (*arguments, "-movflags", "+faststart", "-f", "mp4", f"file:{planned.path}")
    return (*arguments, "-f", "tee", targets(recipe, planned))


def first_pass(recipe: TranscodeRecipe, planned: PlannedRendition, picture: str, threads: int) -> list[tuple[str, ...]]:
    """The first of two passes, which makes nothing but statistics; `recipe` is the one of the encode that comes after. Of a
    rendition in one pass nothing is encoded: it is there for its rate.

    Streams that are only copied, to nowhere, keep the place of a later rendition that goes by it.
    """
    nowhere = ("-f", "null", "-")
    if turn(planned, 1) is None:
        return [("-map", f"[{picture}]", "-c:v", "wrapped_avframe", *nowhere)]
    made = ("-map", f"[{picture}]", *encode(recipe, planned, threads, turn(planned, 1)), "-fps_mode", "passthrough", *nowhere)
    if planned.encoder not in BY_PLACE or recipe.source.video is None:
        return [made]
    return [made, *[("-map", f"0:{recipe.source.video.index}", "-c", "copy", *nowhere)] * len(heard(recipe))]


def encode(recipe: TranscodeRecipe, planned: PlannedRendition, threads: int, turn: Turn | None = None) -> tuple[str, ...]:
    """The picture's encoder, with groups that end where segments do."""
    seconds = gcd(recipe.hls.segment_seconds if recipe.hls else 0, recipe.group_seconds or 0) or DEFAULT_GROUP_SECONDS
    rate, video = rendition_rate(recipe, planned), recipe.source.video
    return picture_arguments(planned, rate=rate, segment_seconds=seconds, threads=threads, video=video, turn=turn)
