"""What a rendition's words mean to its encoder: the preset and the rate that follow from a quality word or a target."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from protocol.encoding import Preset, Quality, Rate, VideoCodec
from protocol.profiles import Rendition

QUALITY_PRESETS: Mapping[Quality, Preset] = {
    Quality.DRAFT: Preset.ULTRAFAST,
    Quality.FAST: Preset.FAST,
    Quality.BALANCED: Preset.MEDIUM,
    Quality.HIGH: Preset.SLOW,
    Quality.MAX: Preset.VERYSLOW,
}

QUALITY_CRFS: Mapping[VideoCodec, Mapping[Quality, float]] = {
    VideoCodec.H264: {Quality.DRAFT: 28, Quality.FAST: 25, Quality.BALANCED: 23, Quality.HIGH: 20, Quality.MAX: 18},
    VideoCodec.HEVC: {Quality.DRAFT: 23, Quality.FAST: 26, Quality.BALANCED: 24, Quality.HIGH: 23, Quality.MAX: 22},
    VideoCodec.AV1: {Quality.DRAFT: 42, Quality.FAST: 43, Quality.BALANCED: 37, Quality.HIGH: 28, Quality.MAX: 25},
    VideoCodec.VP9: {Quality.DRAFT: 36, Quality.FAST: 33, Quality.BALANCED: 30, Quality.HIGH: 24, Quality.MAX: 21},
}
"""With the preset of the same word, for the VMAF that x264 reaches on film: measured, see ADR 28. A CRF of one preset is not
the quality of another: x265 `ultrafast` leaves out so much that it needs a lower one than `fast`."""


def preset_of(rendition: Rendition) -> Preset:
    if rendition.quality is not None:
        return QUALITY_PRESETS[rendition.quality]
    return rendition.preset or Preset.MEDIUM


def rate_of(rendition: Rendition) -> Rate:
    """A target that was not measured is aimed at by the CRF of `balanced`."""
    crf = rendition.crf
    if rendition.bitrate is None and crf is None:
        crf = QUALITY_CRFS[rendition.codec][rendition.quality or Quality.BALANCED]
    cap, seconds = rendition.max_bitrate, rendition.buffer_seconds
    return Rate(crf=crf, bitrate=rendition.bitrate, max_bitrate=cap, buffer_seconds=seconds)


HIGHEST_RATE = 60
"""Frames a second of a timeline, where no rendition asks for more."""


def capped_rate(rate: Fraction, most: int = HIGHEST_RATE) -> Fraction:
    """The source's frame rate, halved until it is at most `most`: every frame that is left was one of the source."""
    while rate > most:
        rate /= 2
    return rate
