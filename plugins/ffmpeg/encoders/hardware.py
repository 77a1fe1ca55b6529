"""Encoders that run on GPUs, by family: NVENC, Quick Sync and VAAPI. Their quality steps are their own, near those of x264."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.encoders.settings import Settings, buffer, shape
from protocol.encoding import Preset, VideoCodec, codec_of

NVENC_PRESETS: dict[Preset, str] = {
    Preset.ULTRAFAST: "p1",
    Preset.SUPERFAST: "p1",
    Preset.VERYFAST: "p2",
    Preset.FASTER: "p3",
    Preset.FAST: "p3",
    Preset.MEDIUM: "p4",
    Preset.SLOW: "p5",
    Preset.SLOWER: "p6",
    Preset.VERYSLOW: "p7",
}
LARGEST_STEP = {VideoCodec.H264: 51, VideoCodec.HEVC: 51, VideoCodec.AV1: 63, VideoCodec.VP9: 63}
NVENC_LARGEST_STEP = 51
"""Of `-cq`, for every codec: later versions take more for AV1, earlier ones refuse it."""

VAAPI_INDEXES = 4
"""AV1 and VP9 count their quantizers to 255; a step of CRF is so many of theirs."""

NO_PROFILE = frozenset({"av1_nvenc", "av1_qsv", "av1_vaapi", "vp9_vaapi"})
"""AV1 has one profile for all that we make; VAAPI chooses that of VP9 by the picture's format."""

UNDER_CAP = Fraction(4, 5)
"""The average that is told besides a cap, where one must be told: equal to it would mean a constant bit rate."""


def nvenc(settings: Settings) -> tuple[str, ...]:
    """Constant quality is variable bit rate without a bit rate; 0 would mean that the encoder chooses the quality.

    An average is kept by two passes of its own over every frame, in one process.
    """
    planned = settings.planned
    rendition, name, bitrate = planned.rendition, planned.encoder, planned.spends.bitrate
    if bitrate is None:
        rate: tuple[str, ...] = ("-rc", "vbr", "-cq", f"{_step(settings, NVENC_LARGEST_STEP):g}", "-b:v", "0")
    else:
        rate = ("-rc", "vbr", "-multipass", "fullres", "-b:v", str(bitrate))
    profile = None if name in NO_PROFILE else rendition.profile
    return (
        *("-c:v", name, "-gpu", "0", "-preset", NVENC_PRESETS[planned.preset]),
        *(*rate, *buffer(settings), *shape(profile, rendition.level)),
        *("-forced-idr", "1", *_tag(name)),
    )


def qsv(settings: Settings) -> tuple[str, ...]:
    """`global_quality` alone is its constant quality (ICQ), with a cap besides it one that is bounded (QVBR).

    Its level is a number: 31 for 3.1.
    """
    planned = settings.planned
    rendition, name, spends = planned.rendition, planned.encoder, planned.spends
    preset = "veryfast" if planned.preset in (Preset.ULTRAFAST, Preset.SUPERFAST) else planned.preset.value
    level = rendition.level.replace(".", "") if rendition.level and codec_of(name) is not VideoCodec.VP9 else None
    if spends.bitrate is not None:
        rate: tuple[str, ...] = ("-b:v", str(spends.bitrate), *buffer(settings))
    else:
        rate = ("-global_quality", f"{_step(settings):.0f}", *_bounded(settings))
    profile = None if name in NO_PROFILE else rendition.profile
    return ("-c:v", name, "-preset", preset, *rate, *shape(profile, level), "-forced_idr", "1", *_tag(name))


def vaapi(settings: Settings) -> tuple[str, ...]:
    """A constant quantizer, which every driver has; bounded by a cap it is QVBR. Presets mean nothing to it, and keyframes
    that are forced are IDR frames anyway."""
    planned = settings.planned
    rendition, name, spends = planned.rendition, planned.encoder, planned.spends
    codec = codec_of(name)
    is_fine = codec in (VideoCodec.AV1, VideoCodec.VP9)
    step = f"{_step(settings) * (VAAPI_INDEXES if is_fine else 1):.0f}"
    if spends.bitrate is not None:
        rate: tuple[str, ...] = ("-rc_mode", "VBR", "-b:v", str(spends.bitrate), *buffer(settings))
    elif spends.max_bitrate is not None:
        rate = ("-rc_mode", "QVBR", "-global_quality", step, *_bounded(settings))
    else:
        rate = ("-rc_mode", "CQP", "-global_quality" if is_fine else "-qp", step)
    profile = "constrained_baseline" if rendition.profile == "baseline" else rendition.profile
    profile = None if name in NO_PROFILE else profile
    return ("-c:v", name, *rate, *shape(profile, _vaapi_level(codec, rendition.level)), *_tag(name))


def _vaapi_level(codec: VideoCodec, level: str | None) -> str | None:
    """VP9 has none. H.264 and HEVC know `4` and would take `4.0` for the number 4, AV1 knows nothing but `4.0`."""
    if level is None or codec is VideoCodec.VP9:
        return None
    return level if codec is VideoCodec.AV1 else level.removesuffix(".0")


def _step(settings: Settings, largest: int | None = None) -> float:
    most = LARGEST_STEP[codec_of(settings.planned.encoder)] if largest is None else largest
    return min(most, max(1, settings.crf))


def _bounded(settings: Settings) -> tuple[str, ...]:
    cap = settings.planned.spends.max_bitrate
    return ("-b:v", str(round(cap * UNDER_CAP)), *buffer(settings)) if cap else ()


def _tag(encoder: str) -> tuple[str, ...]:
    return ("-tag:v", "hvc1") if codec_of(encoder) is VideoCodec.HEVC else ()
