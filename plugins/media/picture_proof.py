"""Holds the picture of a made rendition against its plan: codec, size, frames, bits, colours, and the cap on its rate."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from plugins.media.lengths import SLACK_FRAMES, rendition_rate
from plugins.media.rejected import Rejected
from protocol.encoding import VideoCodec
from protocol.errors import ErrorCode
from protocol.media import VideoStream
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.steps import transcode_step

CAP_SLACK: Mapping[VideoCodec, Fraction] = {
    **dict.fromkeys((VideoCodec.H264, VideoCodec.HEVC), Fraction(11, 10)),
    **dict.fromkeys((VideoCodec.AV1, VideoCodec.VP9), Fraction(5, 4)),
}
"""By how much a film may lie over its cap and the buffer that is full at its start. The encoders of AV1 and VP9 keep to caps
on average, and a short film is over before they have."""


def hold_picture(recipe: TranscodeRecipe, planned: PlannedRendition, video: VideoStream | None) -> None:
    """`video` is what the made file tells. Raises Rejected."""
    asked = (planned.rendition.codec.value, planned.width, planned.height, planned.rendition.bit_depth)
    if video is None or (video.codec, video.coded_width, video.coded_height, video.bit_depth) != asked:
        raise _rejected(planned, f"The picture of {planned.path} is not what was asked for.")
    rate = rendition_rate(recipe, planned)
    counted = Fraction(video.frames or 0) / rate
    if video.duration is None or abs(counted - Fraction(video.duration)) > SLACK_FRAMES / rate:
        raise _rejected(planned, f"{planned.path} lacks frames.")
    if planned.keeps_hdr and recipe.source.video is not None and video.colour.transfer != recipe.source.video.colour.transfer:
        raise _rejected(planned, f"{planned.path} does not say that it has the source's dynamic range.")
    _hold_cap(planned, video, Fraction(video.duration))


def _hold_cap(planned: PlannedRendition, video: VideoStream, seconds: Fraction) -> None:
    cap = planned.spends.max_bitrate
    if cap is None or video.bitrate is None:
        return
    most = cap * (seconds + Fraction(planned.spends.buffer_seconds)) * CAP_SLACK[planned.rendition.codec]
    if video.bitrate * seconds > most:
        raise _rejected(planned, f"{planned.path} takes {video.bitrate} bits a second, over the cap of {cap}.")


def _rejected(planned: PlannedRendition, message: str) -> Rejected:
    return Rejected(ErrorCode.OUTPUT_INVALID, message, transcode_step(planned.rendition.name))
