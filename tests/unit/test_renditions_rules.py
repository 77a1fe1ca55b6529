"""Renditions that cannot be made are refused with what is wrong, before a job is taken."""

from __future__ import annotations

import pytest

from dispatch.core import rendition_rules
from protocol.encoding import CODED_DEPTHS, AudioCodec, Hdr, VideoCodec
from protocol.errors import ErrorCode, ReelyardError
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import CODED_PROFILES, Compare, Profile, Rendition, Tool
from protocol.sounds import RenditionAudio

HEVC, H264, AV1, VP9 = VideoCodec.HEVC, VideoCodec.H264, VideoCodec.AV1, VideoCodec.VP9
OPUS = RenditionAudio(codec=AudioCodec.OPUS)


def profile(tool: Tool = Tool.FFMPEG, hls: HlsPackaging | None = None, **words: object) -> Profile:
    spent = {} if "bitrate" in words else {"crf": 20.0}
    return Profile(
        name="p", tool=tool, hls=hls, renditions=(Rendition.model_validate({"name": "r", "height": 720, **spent, **words}),)
    )


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (profile(profile="high", bit_depth=10), "the profile high of h264 does not carry 10 bits"),
        (profile(codec=HEVC, profile="main", bit_depth=10), "the profile main of hevc does not carry 10 bits"),
        (profile(codec=VP9, profile="profile2"), "the profile profile2 of vp9 does not carry 8 bits"),
        (profile(codec=HEVC, level="3.2"), "hevc has no level 3.2"),
        (profile(codec=AV1, level="1.0"), "av1 has no level 1.0"),
        (profile(crf=52.0), "crf of h264 is at most 51"),
        (profile(crf=0.5, profile="high"), "a crf below 1 is without loss"),
        (profile(max_fps=9), "max_fps is at least 10"),
        (profile(codec=AV1, bitrate=100_000_001), "bitrate of av1 is at most 100000000"),
        (profile(codec=AV1, bitrate=900_000, max_bitrate=1_000_000), "give bitrate alone, or crf and max_bitrate"),
        (profile(hls=HlsPackaging(), codec=AV1), "TS does not carry av1; give hls.format fmp4"),
        (profile(Tool.HANDBRAKE, codec=HEVC), "HandBrake makes H.264 of 8 bits alone"),
        (profile(Tool.HANDBRAKE, bit_depth=10), "HandBrake makes H.264 of 8 bits alone"),
        (profile(Tool.HANDBRAKE, bitrate=900_000), "without bitrate and max_bitrate"),
        (profile(Tool.HANDBRAKE, max_bitrate=900_000), "without bitrate and max_bitrate"),
        (profile(Tool.HANDBRAKE, audio=OPUS), "HandBrake makes AAC alone"),
        (profile(Tool.HANDBRAKE, encoders=("h264_nvenc",)), "HandBrake encodes with libx264 alone"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name_and_reason(wanted: Profile, problem: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        rendition_rules.check(wanted, "outputs.")

    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert refused.value.message.startswith("outputs.renditions: r: ")
    assert problem in refused.value.message


def test_settings_that_are_compared_are_held_against_the_same_rules() -> None:
    odd = Rendition(name="odd", height=90, crf=20, profile="high", bit_depth=10)

    with pytest.raises(ReelyardError) as refused:
        rendition_rules.check(profile().model_copy(update={"compare": Compare(renditions=(odd, odd))}))

    assert refused.value.message == (
        "compare: odd: the profile high of h264 does not carry 10 bits; leave it out, or change bit_depth"
    )


@pytest.mark.parametrize(
    "wanted",
    [
        profile(),
        profile(profile="high10", bit_depth=10, level="5.2"),
        profile(profile="high10", bit_depth=10, crf=0.0),
        profile(crf=0.0, max_fps=10),
        profile(codec=HEVC, profile="main10", bit_depth=10, hdr=Hdr.KEEP, level="5.1"),
        profile(codec=AV1, crf=60.0, max_bitrate=1_000_000),
        profile(codec=AV1, bitrate=900_000, max_bitrate=1_000_000, encoders=("av1_nvenc",)),
        profile(hls=HlsPackaging(format=SegmentFormat.FMP4), codec=VP9),
        profile(Tool.HANDBRAKE, encoders=("h264_nvenc", "libx264"), level="4.0", profile="main"),
    ],
)
def test_what_can_be_made_is_taken(wanted: Profile) -> None:
    rendition_rules.check(wanted)


def test_each_profile_of_each_codec_has_its_depths() -> None:
    assert {codec: set(names) for codec, names in CODED_PROFILES.items()} == {
        codec: set(names) for codec, names in CODED_DEPTHS.items()
    }
