"""The encoders this plugin drives, and how each is tried at start."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.encoding import HARDWARE_CODECS

PICTURE_TRIAL = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25")
GPU_TRIAL = ("-f", "lavfi", "-i", "testsrc2=size=256x144:rate=25", "-frames:v", "10")
"""Larger than the smallest picture that every hardware encoder takes."""

SOUND_TRIAL = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")

UPLOAD = "format=nv12,hwupload"
TAKES_UPLOADED = frozenset(name for name in HARDWARE_CODECS if name.endswith("_vaapi"))
"""Encoders that take pictures only from their GPU's memory; the others upload them themselves."""


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """One encoder: the codec it makes and the input it is tried with, 10 frames of it."""

    name: str
    codec: str
    trial: tuple[str, ...]


def _picture(name: str, codec: str, *options: str, form: str = "yuv420p") -> EncoderRow:
    return EncoderRow(name, codec, (*PICTURE_TRIAL, "-frames:v", "10", "-pix_fmt", form, "-c:v", name, *options))


def _sound(name: str, codec: str) -> EncoderRow:
    return EncoderRow(name, codec, (*SOUND_TRIAL, "-frames:a", "10", "-c:a", name))


ENCODERS: tuple[EncoderRow, ...] = (
    _picture("libx264", "h264"),
    _picture("libx265", "hevc", "-preset", "ultrafast", "-x265-params", "log-level=error:pools=1"),
    _picture("libsvtav1", "av1", "-preset", "12", "-svtav1-params", "lp=1"),
    _picture("libvpx-vp9", "vp9", "-deadline", "realtime", "-cpu-used", "8"),
    _picture("mjpeg", "mjpeg", form="yuvj420p"),
    _sound("aac", "aac"),
    _sound("libmp3lame", "mp3"),
    _sound("libopus", "opus"),
    _sound("ac3", "ac3"),
)


def _nvenc(name: str) -> tuple[str, ...]:
    return (*GPU_TRIAL, "-pix_fmt", "yuv420p", "-c:v", name)


def _qsv(name: str) -> tuple[str, ...]:
    return (*GPU_TRIAL, "-pix_fmt", "nv12", "-c:v", name, "-global_quality", "23")


def _vaapi(name: str) -> tuple[str, ...]:
    rate = ("-global_quality", "92") if name.startswith(("av1_", "vp9_")) else ("-qp", "23")
    return (*GPU_TRIAL, "-vf", UPLOAD, "-c:v", name, "-rc_mode", "CQP", *rate)


_TRIALS = {"nvenc": _nvenc, "qsv": _qsv, "vaapi": _vaapi}
HARDWARE_ROWS: tuple[EncoderRow, ...] = tuple(
    EncoderRow(name, codec.value, _TRIALS[name.rpartition("_")[2]](name)) for name, codec in HARDWARE_CODECS.items()
)
"""Tried once per device, after `device_arguments`: what works on one GPU tells nothing of the next."""
