"""How a profile's typed values become an encoder's arguments: each encoder in a module of its kind, chosen by a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from plugins.ffmpeg.encoders.hardware import nvenc, qsv, vaapi
from plugins.ffmpeg.encoders.rows import ENCODERS as ENCODERS
from plugins.ffmpeg.encoders.rows import HARDWARE_ROWS as HARDWARE_ROWS
from plugins.ffmpeg.encoders.rows import PICTURE_TRIAL as PICTURE_TRIAL
from plugins.ffmpeg.encoders.rows import TAKES_UPLOADED as TAKES_UPLOADED
from plugins.ffmpeg.encoders.rows import UPLOAD as UPLOAD
from plugins.ffmpeg.encoders.rows import EncoderRow as EncoderRow
from plugins.ffmpeg.encoders.settings import Settings as Settings
from plugins.ffmpeg.encoders.settings import Turn as Turn
from plugins.ffmpeg.encoders.software import libsvtav1, libvpx_vp9, libx264, libx265
from protocol.encoding import HARDWARE_ENCODERS
from protocol.errors import ErrorCode, ReelyardError
from protocol.media import VideoStream
from protocol.recipes import PlannedRendition

RENDER_NODES = "/dev/dri"

TWO_PASS = frozenset({"libx264", "libx265", "libvpx-vp9"})
"""Encoders that keep to an average by a whole pass before; the others look ahead for themselves."""

TAKES_THREADS = frozenset({"libx264", "libvpx-vp9"})
"""Encoders that are told by FFmpeg's own option how many threads they may use."""

QUIET_ENVIRONMENT = (("SVT_LOG", "1"),)
"""SVT-AV1 tells of itself on stderr whatever FFmpeg was told; so it does of errors alone."""

_BY_NAME: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "libx264": libx264,
    "libx265": libx265,
    "libsvtav1": libsvtav1,
    "libvpx-vp9": libvpx_vp9,
}
_BY_FAMILY: dict[str, Callable[[Settings], tuple[str, ...]]] = {"nvenc": nvenc, "qsv": qsv, "vaapi": vaapi}
_DEVICE_OPTION = {"qsv": "-qsv_device", "vaapi": "-vaapi_device"}


def family_of(encoder: str) -> str | None:
    """`nvenc`, `qsv` or `vaapi`; None for one that runs on processors."""
    return encoder.rpartition("_")[2] if encoder in HARDWARE_ENCODERS else None


def device_arguments(encoders: Iterable[str], device: str | None) -> tuple[str, ...]:
    """What stands before the input to choose the GPU. `device` is a CUDA number or the name of a render node.

    An NVIDIA GPU is chosen by CUDA_VISIBLE_DEVICES in the environment, which the engine sets: it is always number 0.
    """
    families = dict.fromkeys(family_of(name) or "" for name in encoders)
    options = [_DEVICE_OPTION[family] for family in families if family in _DEVICE_OPTION]
    if not options or device is None:
        return ()
    if device.isdecimal():
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"The GPU {device} is none of those that {options[0]} takes.")
    return tuple(word for option in options for word in (option, f"{RENDER_NODES}/{device}"))


def picture_arguments(
    planned: PlannedRendition,
    *,
    rate: Fraction,
    segment_seconds: int,
    threads: int,
    video: VideoStream | None = None,
    turn: Turn | None = None,
) -> tuple[str, ...]:
    """The video encoder's arguments; `video` is the source that is shown. Raises ReelyardError(TOOL_MISSING) for an encoder
    that is not driven.
    """
    build = _BY_NAME.get(planned.encoder) or _BY_FAMILY.get(family_of(planned.encoder) or "")
    if build is None:
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"The FFmpeg plugin does not drive the encoder {planned.encoder}.")
    gop = -(-rate.numerator * segment_seconds // rate.denominator)  # frames up to the next boundary, rounded up
    told = ("-threads:v", str(threads)) if planned.encoder in TAKES_THREADS else ()
    return (*build(Settings(planned, threads, video, turn)), *_group(gop, segment_seconds), *told)


def _group(gop: int, segment_seconds: int) -> tuple[str, ...]:
    """A keyframe at the first frame of every segment, never further apart, and no frame that looks across it."""
    return ("-g", str(gop), "-force_key_frames", f"expr:gte(t,n_forced*{segment_seconds})", "-flags:v", "+cgop+global_header")


def environment(encoders: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What a process with these encoders needs of its environment."""
    return QUIET_ENVIRONMENT if "libsvtav1" in set(encoders) else ()
