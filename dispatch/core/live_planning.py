"""The recipe of a live stream: known at submit, for there is nothing to look at before. Pure."""

from __future__ import annotations

from dispatch.core.paging import refuse
from protocol.encoding import SOFTWARE_ENCODERS, AudioCodec, VideoCodec
from protocol.media import LiveInput
from protocol.profiles import Profile, Rendition
from protocol.recipes import LiveRecipe, PlannedRendition

NEEDS = ("encoder:aac", "encoder:libx264")
COST_S = 3600.0
"""As if every stream lasted an hour: only an estimate for queueing, and too long to be prefetched."""

UNUSED = ("hls", "packaging", "picture", "clip", "concat", "watermark", "burn_in", "sound", "audio", "thumbnails", "sprite")
UNUSED_TOO = ("subtitles", "transcription", "frames", "quality_metrics", "content", "per_title", "compare")


def check(profile: Profile, below: str = "") -> None:
    """What a profile that streams may be: one encode that keeps up with the clock. Raises VALIDATION_FAILED."""
    if not profile.renditions:
        raise refuse(f"{below}renditions", "a live profile needs at least one")
    for rendition in profile.renditions:
        if rendition.codec is not VideoCodec.H264 or rendition.audio.codec is not AudioCodec.AAC:
            raise refuse(f"{below}renditions", f"{rendition.name}: live streams are H.264 and AAC")
        if rendition.target is not None or rendition.bit_depth != 8:
            raise refuse(f"{below}renditions", f"{rendition.name}: give crf, bitrate or quality, and 8 bits, for a live stream")
    asked = [name for name in (*UNUSED, *UNUSED_TOO) if getattr(profile, name)]
    if asked:
        raise refuse(f"{below}{asked[0]}", "is not made of a live stream; submit its recording for it")


def plan(profile: Profile, source: LiveInput) -> LiveRecipe:
    """Widths are those of 16:9; what is made follows from the stream's first frames. Raises VALIDATION_FAILED."""
    if profile.live is None:
        raise refuse("profile", f"{profile.name} is no profile for a live stream")
    return LiveRecipe(
        source=source,
        live=profile.live,
        renditions=tuple(_planned(rendition) for rendition in profile.renditions),
        master_playlist="hls/master.m3u8",
    )


def _planned(rendition: Rendition) -> PlannedRendition:
    name, height = rendition.name, rendition.height - rendition.height % 2
    return PlannedRendition(
        rendition=rendition,
        encoder=SOFTWARE_ENCODERS[VideoCodec.H264],
        width=2 * round(height * 8 / 9),
        height=height,
        path=f"{name}/video_{name}.mp4",
        playlist=f"{name}/segments/playlist.m3u8",
        segments=f"{name}/segments/segment_%03d.ts",
    )
