"""The encoders this plugin drives: how a profile's typed values become arguments, and how each is tried at start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from protocol.encoding import HARDWARE_ENCODERS, Preset
from protocol.errors import ErrorCode, ReelyardError
from protocol.recipes import PlannedRendition

PICTURE_TRIAL = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25")
GPU_TRIAL = ("-f", "lavfi", "-i", "testsrc2=size=256x144:rate=25", "-frames:v", "10")
"""Larger than the smallest picture that every hardware encoder takes."""

SOUND_TRIAL = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")


UPLOAD = "format=nv12,hwupload"
TAKES_UPLOADED = frozenset({"h264_vaapi"})
"""Encoders that take pictures only from their GPU's memory; the others upload them themselves."""

RENDER_NODES = "/dev/dri"


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """One encoder: the codec it makes and the input it is tried with, 10 frames of it."""

    name: str
    codec: str
    trial: tuple[str, ...]


ENCODERS: tuple[EncoderRow, ...] = (
    EncoderRow("libx264", "h264", (*PICTURE_TRIAL, "-frames:v", "10", "-pix_fmt", "yuv420p", "-c:v", "libx264")),
    EncoderRow("mjpeg", "mjpeg", (*PICTURE_TRIAL, "-frames:v", "10", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg")),
    EncoderRow("aac", "aac", (*SOUND_TRIAL, "-frames:a", "10", "-c:a", "aac")),
    EncoderRow("libmp3lame", "mp3", (*SOUND_TRIAL, "-frames:a", "10", "-c:a", "libmp3lame")),
)


HARDWARE_ROWS: tuple[EncoderRow, ...] = (
    EncoderRow("h264_nvenc", "h264", (*GPU_TRIAL, "-pix_fmt", "yuv420p", "-c:v", "h264_nvenc")),
    EncoderRow("h264_qsv", "h264", (*GPU_TRIAL, "-pix_fmt", "nv12", "-c:v", "h264_qsv", "-global_quality", "23")),
    EncoderRow("h264_vaapi", "h264", (*GPU_TRIAL, "-vf", UPLOAD, "-c:v", "h264_vaapi", "-rc_mode", "CQP", "-qp", "23")),
)
"""Tried once per device, after `device_arguments`: what works on one GPU tells nothing of the next."""


def device_arguments(encoders: Iterable[str], device: str | None) -> tuple[str, ...]:
    """What stands before the input to choose the GPU. `device` is a CUDA number or the name of a render node.

    An NVIDIA GPU is chosen by CUDA_VISIBLE_DEVICES in the environment, which the engine sets: it is always number 0.
    """
    options = [_DEVICE_OPTION[name] for name in dict.fromkeys(encoders) if name in _DEVICE_OPTION]
    if not options or device is None:
        return ()
    if device.isdecimal():
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"The GPU {device} is none of those that {options[0]} takes.")
    return tuple(word for option in options for word in (option, f"{RENDER_NODES}/{device}"))


_DEVICE_OPTION = {"h264_qsv": "-qsv_device", "h264_vaapi": "-vaapi_device"}


def picture_arguments(planned: PlannedRendition, *, rate: Fraction, segment_seconds: int, threads: int) -> tuple[str, ...]:
    """The video encoder's arguments. Raises ReelyardError(TOOL_MISSING) for an encoder without a row."""
    build = _PICTURE.get(planned.encoder)
    if build is None:
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"The FFmpeg plugin does not drive the encoder {planned.encoder}.")
    gop = -(-rate.numerator * segment_seconds // rate.denominator)  # frames up to the next boundary, rounded up
    own = build(planned)
    return (*own, *_group(gop, segment_seconds), *(() if planned.encoder in HARDWARE_ENCODERS else ("-threads:v", str(threads))))


def _group(gop: int, segment_seconds: int) -> tuple[str, ...]:
    """A keyframe at the first frame of every segment, never further apart, and no frame that looks across it."""
    return ("-g", str(gop), "-force_key_frames", f"expr:gte(t,n_forced*{segment_seconds})", "-flags:v", "+cgop+global_header")


def _crf(planned: PlannedRendition) -> float:
    return planned.spends.crf or 0.0


def _shape(profile: str | None, level: str | None) -> tuple[str, ...]:
    return (*(("-profile:v", profile) if profile else ()), *(("-level:v", level) if level else ()))


def _libx264(planned: PlannedRendition) -> tuple[str, ...]:
    rendition = planned.rendition
    return (
        *("-c:v", "libx264", "-preset", planned.preset.value, "-crf", f"{_crf(planned):g}"),
        *_shape(rendition.profile, rendition.level),
    )


def _nvenc(planned: PlannedRendition) -> tuple[str, ...]:
    """Constant quality is variable bit rate without a bit rate; 0 would mean that the encoder chooses the quality."""
    rendition = planned.rendition
    return (
        *("-c:v", "h264_nvenc", "-gpu", "0", "-preset", _NVENC_PRESETS[planned.preset]),
        *("-rc", "vbr", "-cq", f"{max(1, _crf(planned)):g}", "-b:v", "0"),
        *(*_shape(rendition.profile, rendition.level), "-forced-idr", "1"),
    )


def _qsv(planned: PlannedRendition) -> tuple[str, ...]:
    """`global_quality` alone is its constant quality (ICQ). Its level is a number: 31 for 3.1."""
    preset = "veryfast" if planned.preset in (Preset.ULTRAFAST, Preset.SUPERFAST) else planned.preset.value
    rendition = planned.rendition
    level = rendition.level.replace(".", "") if rendition.level else None
    return (
        *("-c:v", "h264_qsv", "-preset", preset, "-global_quality", f"{max(1, _crf(planned)):.0f}"),
        *(*_shape(rendition.profile, level), "-forced_idr", "1"),
    )


def _vaapi(planned: PlannedRendition) -> tuple[str, ...]:
    """A constant quantizer: every driver has that. Presets mean nothing to it; forced keyframes are IDR frames anyway."""
    rendition = planned.rendition
    profile = "constrained_baseline" if rendition.profile == "baseline" else rendition.profile
    return (
        *("-c:v", "h264_vaapi", "-rc_mode", "CQP", "-qp", f"{max(1, _crf(planned)):.0f}"),
        *_shape(profile, rendition.level),
    )


_NVENC_PRESETS: dict[Preset, str] = {
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
_PICTURE: dict[str, Callable[[PlannedRendition], tuple[str, ...]]] = {
    "libx264": _libx264,
    "h264_nvenc": _nvenc,
    "h264_qsv": _qsv,
    "h264_vaapi": _vaapi,
}
