"""The encoders this plugin drives: how a profile's typed values become arguments, and how each is tried at start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from protocol.errors import ErrorCode, ReelyardError
from protocol.profiles import AudioFile, Rendition, RenditionAudio

PICTURE_TRIAL = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25")
SOUND_TRIAL = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")


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


def picture_arguments(
    encoder: str, rendition: Rendition, *, rate: Fraction, segment_seconds: int, threads: int
) -> tuple[str, ...]:
    """The video encoder's arguments. Raises ReelyardError(TOOL_MISSING) for an encoder without a row."""
    build = _PICTURE.get(encoder)
    if build is None:
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"The FFmpeg plugin does not drive the encoder {encoder}.")
    gop = -(-rate.numerator * segment_seconds // rate.denominator)  # frames up to the next boundary, rounded up
    return (*build(rendition), *_group(gop, segment_seconds), "-threads:v", str(threads))


def _group(gop: int, segment_seconds: int) -> tuple[str, ...]:
    """A keyframe at the first frame of every segment, never further apart, and no frame that looks across it."""
    return ("-g", str(gop), "-force_key_frames", f"expr:gte(t,n_forced*{segment_seconds})", "-flags:v", "+cgop+global_header")


def _libx264(rendition: Rendition) -> tuple[str, ...]:
    return (
        *("-c:v", "libx264", "-preset", rendition.preset.value, "-crf", str(rendition.crf)),
        *("-profile:v", rendition.profile, "-level:v", rendition.level),
    )


_PICTURE: dict[str, Callable[[Rendition], tuple[str, ...]]] = {"libx264": _libx264}


def sound_arguments(audio: RenditionAudio, channels: int) -> tuple[str, ...]:
    """AAC beside a picture. More than two channels are mixed down to stereo; mono stays mono."""
    return (
        *("-c:a", "aac", "-b:a", str(audio.bitrate), "-ar", str(audio.sample_rate)),
        *("-ac", str(min(channels, 2)), "-flags:a", "+global_header"),
    )


def audio_file_arguments(audio: AudioFile, channels: int) -> tuple[str, ...]:
    return ("-c:a", "libmp3lame", "-b:a", str(audio.bitrate), "-ar", str(audio.sample_rate), "-ac", str(min(channels, 2)))
