"""Codecs, the encoders that make them, and the words for how an encoder spends time and bits."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from protocol.base import Message


class VideoCodec(StrEnum):
    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    VP9 = "vp9"


class AudioCodec(StrEnum):
    AAC = "aac"
    OPUS = "opus"
    MP3 = "mp3"
    AC3 = "ac3"


class Preset(StrEnum):
    """x264's speed words. Other encoders translate them into their own."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


class Quality(StrEnum):
    """A preset and a CRF in one word."""

    DRAFT = "draft"
    FAST = "fast"
    BALANCED = "balanced"
    HIGH = "high"
    MAX = "max"


class Hdr(StrEnum):
    """What becomes of HDR10 and HLG: kept, where codec and bit depth can carry it, or mapped to BT.709."""

    KEEP = "keep"
    TONE_MAP = "tone-map"


SOFTWARE_ENCODERS: Mapping[VideoCodec, str] = {
    VideoCodec.H264: "libx264",
    VideoCodec.HEVC: "libx265",
    VideoCodec.AV1: "libsvtav1",
    VideoCodec.VP9: "libvpx-vp9",
}

HARDWARE_CODECS: Mapping[str, VideoCodec] = {
    **{f"h264_{family}": VideoCodec.H264 for family in ("nvenc", "qsv", "vaapi")},
    **{f"hevc_{family}": VideoCodec.HEVC for family in ("nvenc", "qsv", "vaapi")},
    **{f"av1_{family}": VideoCodec.AV1 for family in ("nvenc", "qsv", "vaapi")},
    **{f"vp9_{family}": VideoCodec.VP9 for family in ("qsv", "vaapi")},
}

HARDWARE_ENCODERS = frozenset(HARDWARE_CODECS)
"""Encoders that work on a GPU; all others work on processors."""

CODED_DEPTHS: Mapping[VideoCodec, Mapping[str, frozenset[int]]] = {
    VideoCodec.H264: {**dict.fromkeys(("baseline", "main", "high"), frozenset({8})), "high10": frozenset({8, 10})},
    VideoCodec.HEVC: {"main": frozenset({8}), "main10": frozenset({8, 10})},
    VideoCodec.AV1: {"main": frozenset({8, 10})},
    VideoCodec.VP9: {"profile0": frozenset({8}), "profile2": frozenset({10})},
}
"""How many bits a sample may have in each of a codec's profiles."""

DEVICE_DECODERS: Mapping[str, str] = {"nvenc": "cuda", "qsv": "qsv", "vaapi": "vaapi"}
"""What decodes on the GPU of a family of encoders, and keeps the pictures there."""

DECODED_ON_DEVICE = ("h264", "hevc")
"""The codecs of inputs that GPUs are tried with."""

Encoder = Annotated[
    str,
    Field(pattern="^(libx264|libx265|libsvtav1|libvpx-vp9|(h264|hevc|av1)_(nvenc|qsv|vaapi)|vp9_(qsv|vaapi))$"),
]


def codec_of(encoder: str) -> VideoCodec:
    """What an encoder makes. Raises KeyError for one that is none of ours."""
    software = {name: codec for codec, name in SOFTWARE_ENCODERS.items()}
    return HARDWARE_CODECS[encoder] if encoder in HARDWARE_CODECS else software[encoder]


def family_of(encoder: str) -> str | None:
    """`nvenc`, `qsv` or `vaapi`; None for one that runs on processors."""
    return encoder.rpartition("_")[2] if encoder in HARDWARE_ENCODERS else None


def is_nvenc(encoder: str) -> bool:
    """NVIDIA limits how many of these may be open at once."""
    return encoder.endswith("_nvenc")


BitRate = Annotated[int, Field(ge=10_000, le=400_000_000)]
Crf = Annotated[float, Field(ge=0, le=63, allow_inf_nan=False)]


class Rate(Message):
    """How bits are spent: constant quality by `crf`, or two passes to an average `bitrate`; exactly one of the two.

    `max_bitrate` caps what a decoder's buffer of `buffer_seconds` must take (VBV). Bits a second.
    """

    crf: Crf | None = None
    bitrate: BitRate | None = None
    max_bitrate: BitRate | None = None
    buffer_seconds: Annotated[float, Field(ge=0.5, le=30, allow_inf_nan=False)] = 2.0


class Target(Message):
    """A quality that is to be reached, whatever CRF that takes: the mean VMAF of the rendition, by its own size's model."""

    vmaf: Annotated[float, Field(ge=50, le=99, allow_inf_nan=False)]
