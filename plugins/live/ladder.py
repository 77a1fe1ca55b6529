"""What is made of a stream once its first frames are known: which renditions, how large, at which rate."""

from __future__ import annotations

from fractions import Fraction

from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.recipes import LiveRecipe, PlannedRendition, TranscodeRecipe
from protocol.steps import STREAM_LIVE

LEAST_RATE, MOST_RATE = Fraction(5), Fraction(120)
"""What a stream may say of itself and be believed; a capture without a steady rate says anything."""

CHANNELS = 2
"""Of the sound, whatever comes in: a stream may change over to another number, and its segments may not."""


def chosen(recipe: LiveRecipe, facts: MediaFacts) -> tuple[PlannedRendition, ...]:
    """Never enlarged; as wide as keeps the shape, rounded to even. Raises Rejected."""
    video = facts.video
    if video is None:
        raise Rejected(ErrorCode.INPUT_NO_VIDEO, "The stream has no picture.", STREAM_LIVE)
    fit = tuple(planned for planned in recipe.renditions if _allows(planned, video))
    if not fit:
        least = min(planned.height for planned in recipe.renditions)
        message = f"The stream's picture is {video.width}x{video.height}; its profile needs a height of {least}."
        raise Rejected(ErrorCode.INPUT_TOO_SMALL, message, STREAM_LIVE)
    return tuple(_sized(planned, video) for planned in fit)


def _allows(planned: PlannedRendition, video: VideoStream) -> bool:
    long, short = max(video.width, video.height), min(video.width, video.height)
    needed = (planned.rendition.min_source_width, planned.rendition.min_source_height)
    return video.height >= planned.height and long >= max(needed) and short >= min(needed)


def _sized(planned: PlannedRendition, video: VideoStream) -> PlannedRendition:
    height = planned.height - planned.height % 2
    width = max(2, 2 * ((video.width * height + video.height) // (2 * video.height)))
    return planned.model_copy(update={"width": width, "height": height})


def rate_of(renditions: tuple[PlannedRendition, ...], facts: MediaFacts) -> Fraction:
    """One for all: the stream's own, halved until every rendition takes it."""
    told = Fraction(facts.video.frame_rate) if facts.video else Fraction(25)
    rate = min(max(told, LEAST_RATE), MOST_RATE)
    most = min(planned.rendition.max_fps for planned in renditions)
    while rate > most:
        rate /= 2
    return rate


def as_recorded(recipe: LiveRecipe, facts: MediaFacts, frames: int | None) -> TranscodeRecipe:
    """The recording as if it had been made of a film that shows just what was encoded: the same proofs hold for it.

    `frames` is how many the encoder says it made; None where that is not known.
    """
    renditions = chosen(recipe, facts)
    rate = rate_of(renditions, facts)
    length = None if frames is None else str(frames / rate)
    sound = tuple(
        AudioStream(index=1, codec=one.codec, channels=CHANNELS, sample_rate=one.sample_rate) for one in facts.audio[:1]
    )
    shown = {"frame_rate": str(rate), "duration": length, "frames": frames, "start": "0"}
    picture = facts.video.model_copy(update=shown) if facts.video else None
    source = MediaFacts(
        container="mpegts",
        duration=length or "1",
        size_bytes=0,
        bitrate=None,
        video=picture,
        audio=sound,
        streams=1 + len(sound),
    )
    hls = HlsPackaging(segment_seconds=recipe.live.segment_seconds, format=SegmentFormat.TS)
    return TranscodeRecipe(source=source, renditions=renditions, hls=hls, master_playlist=recipe.master_playlist)
