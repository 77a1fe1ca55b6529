"""The outputs of one rendition: its MP4, and its HLS from the same encode."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from plugins.ffmpeg.encoders import picture_arguments
from plugins.ffmpeg.sound_encoders import sound_arguments
from plugins.media.lengths import output_rate
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.recipes import PlannedRendition, TranscodeRecipe

DEFAULT_GROUP_SECONDS = 10
INIT_SEGMENT = "init.mp4"


def rendition(
    recipe: TranscodeRecipe, planned: PlannedRendition, labels: tuple[str, str | None], threads: int
) -> tuple[str, ...]:
    video = recipe.source.video
    picture, sound = labels
    rate = output_rate(video) if video else Fraction(25)
    seconds = gcd(recipe.hls.segment_seconds if recipe.hls else 0, recipe.group_seconds or 0) or DEFAULT_GROUP_SECONDS
    encode = picture_arguments(planned, rate=rate, segment_seconds=seconds, threads=threads)
    arguments = ("-map", f"[{picture}]", *encode, "-fps_mode", "passthrough")
    if sound is not None:
        arguments += ("-map", f"[{sound}]", *sound_arguments(planned.rendition.audio, recipe.source.audio[0].channels))
    if recipe.hls is None or planned.playlist is None or planned.segments is None:
        return (*arguments, "-movflags", "+faststart", "-f", "mp4", f"file:{planned.path}")
    targets = f"[f=mp4:movflags=+faststart]file:{planned.path}|{_hls(recipe.hls, planned.playlist, planned.segments)}"
    return (*arguments, "-f", "tee", targets)


def _hls(hls: HlsPackaging, playlist: str, segments: str) -> str:
    """The HLS branch of a `tee`. Names need no escaping: paths of a recipe hold only letters, digits and `._-/%`."""
    options = [f"hls_time={hls.segment_seconds}", "hls_list_size=0", "hls_playlist_type=vod", "hls_flags=independent_segments"]
    if hls.format is SegmentFormat.FMP4:
        options += ["hls_segment_type=fmp4", f"hls_fmp4_init_filename={INIT_SEGMENT}"]
    return f"[f=hls:{':'.join(options)}:hls_segment_filename={segments}]file:{playlist}"
