"""What a rendition may be beyond its fields: what its codec, its encoder and its tool can do. One row per rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dispatch.core.packaging_rules import IN_TS
from dispatch.core.paging import refuse
from protocol.encoding import CODED_DEPTHS, SOFTWARE_ENCODERS, AudioCodec, Hdr, VideoCodec
from protocol.packaging import SegmentFormat
from protocol.profiles import Profile, Rendition, Tool

H264, HEVC, AV1, VP9 = VideoCodec.H264, VideoCodec.HEVC, VideoCodec.AV1, VideoCodec.VP9


def _levels(text: str) -> frozenset[str]:
    return frozenset(text.split())


LEVELS: Mapping[VideoCodec, frozenset[str]] = {
    H264: _levels("1.0 1.1 1.2 1.3 2.0 2.1 2.2 3.0 3.1 3.2 4.0 4.1 4.2 5.0 5.1 5.2 6.0 6.1 6.2"),
    HEVC: _levels("1.0 2.0 2.1 3.0 3.1 4.0 4.1 5.0 5.1 5.2 6.0 6.1 6.2"),
    AV1: _levels("2.0 2.1 3.0 3.1 4.0 4.1 5.0 5.1 5.2 5.3 6.0 6.1 6.2 6.3"),
    VP9: _levels("1.0 1.1 2.0 2.1 3.0 3.1 4.0 4.1 5.0 5.1 5.2 6.0 6.1 6.2"),
}
"""As ISO/IEC 14496-10 A.3, 23008-2 A.4, and the AV1 and VP9 bitstreams count them, and their encoders know them."""

LARGEST_CRF = {H264: 51, HEVC: 51, AV1: 63, VP9: 63}


LEAST_CAP_FPS = 10
"""A rate is halved until it fits, and so is more than half of this. What is slower is as long as it lasts, give or take more
than outputs may differ."""

MOST_AV1_BITRATE = 100_000_000
"""SVT-AV1's own."""


def check(profile: Profile, below: str = "") -> None:
    """`below` goes before the field. Raises VALIDATION_FAILED."""
    compared = profile.compare.renditions if profile.compare is not None else ()
    for field, renditions, rules in (("renditions", profile.renditions, RULES), ("compare", compared, BY_THEMSELVES)):
        for rendition in renditions:
            for rule in rules:
                if (problem := rule(profile, rendition)) is not None:
                    raise refuse(f"{below}{field}", f"{rendition.name}: {problem}")


def _depth(_: Profile, one: Rendition) -> str | None:
    if one.profile is None or one.bit_depth in CODED_DEPTHS[one.codec][one.profile]:
        return None
    return f"the profile {one.profile} of {one.codec} does not carry {one.bit_depth} bits; leave it out, or change bit_depth"


def _level(_: Profile, one: Rendition) -> str | None:
    if one.level is None or one.level in LEVELS[one.codec]:
        return None
    return f"{one.codec} has no level {one.level}; leave it out, or give one of {', '.join(sorted(LEVELS[one.codec]))}"


def _crf(_: Profile, one: Rendition) -> str | None:
    if one.crf is None or one.crf <= LARGEST_CRF[one.codec]:
        return None
    return f"crf of {one.codec} is at most {LARGEST_CRF[one.codec]}"


def _lossless(_: Profile, one: Rendition) -> str | None:
    if one.codec is not H264 or one.bit_depth != 8 or one.crf is None or one.crf >= 1:
        return None
    if one.profile is None:
        return None
    return f"a crf below 1 is without loss, which the profile {one.profile} of h264 does not carry; leave it out, or give crf 1"


def _rate(_: Profile, one: Rendition) -> str | None:
    if one.max_fps < LEAST_CAP_FPS:
        return f"max_fps is at least {LEAST_CAP_FPS}; single pictures are what frames and thumbnails make"
    if one.codec is AV1 and (one.bitrate or 0) > MOST_AV1_BITRATE:
        return f"bitrate of av1 is at most {MOST_AV1_BITRATE}"
    return None


def _cap(_: Profile, one: Rendition) -> str | None:
    on_processors = not one.encoders or SOFTWARE_ENCODERS[AV1] in one.encoders
    if one.codec is not AV1 or one.bitrate is None or one.max_bitrate is None or not on_processors:
        return None
    return "the encoder of av1 keeps an average without a cap, or a quality with one; give bitrate alone, or crf and max_bitrate"


def _segments(profile: Profile, one: Rendition) -> str | None:
    if profile.hls is None or profile.hls.format is not SegmentFormat.TS or one.codec in IN_TS:
        return None
    return f"TS does not carry {one.codec}; give hls.format fmp4"


def _handbrake(profile: Profile, one: Rendition) -> str | None:
    """The tool could do more than its plugin drives."""
    if profile.tool is not Tool.HANDBRAKE:
        return None
    wants = (
        (one.codec is not H264 or one.bit_depth != 8, "makes H.264 of 8 bits alone"),
        (one.bitrate is not None or one.max_bitrate is not None, "keeps a quality alone, without bitrate and max_bitrate"),
        (one.audio.codec is not AudioCodec.AAC, "makes AAC alone beside the picture"),
        (one.hdr is Hdr.KEEP, "keeps no HDR"),
        (bool(one.encoders) and SOFTWARE_ENCODERS[H264] not in one.encoders, "encodes with libx264 alone"),
    )
    return next((f"HandBrake {does} here; use the tool ffmpeg" for is_wanted, does in wants if is_wanted), None)


Rule = Callable[[Profile, Rendition], str | None]
BY_THEMSELVES: tuple[Rule, ...] = (_depth, _level, _crf, _lossless, _rate, _cap)
"""What holds wherever a rendition is made; the other rules are of how it is packaged, and by which tool."""

RULES: tuple[Rule, ...] = (_handbrake, *BY_THEMSELVES, _segments)
