"""What is known about a media file. Media time is text of a Fraction in seconds ("1001/30000"), never a float."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field

from protocol.base import Bytes, Message


def _rational(text: str) -> str:
    Fraction(text)  # ValueError and ZeroDivisionError are told to the sender by pydantic
    return text


Rational = Annotated[str, Field(pattern=r"^-?\d{1,18}(/[1-9]\d{0,17})?$"), AfterValidator(_rational)]


class VideoStream(Message):
    """The picture as displayed: `width` and `height` are square-pixel sizes after rotation."""

    index: int
    codec: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    sample_aspect_ratio: Rational = "1"
    rotation: int = 0
    frame_rate: Rational
    pixel_format: str = ""
    bit_depth: int = 8
    is_interlaced: bool = False
    is_hdr: bool = False
    duration: Rational | None = None
    frames: int | None = None
    bitrate: int | None = None
    start: Rational = "0"


class AudioStream(Message):
    index: int
    codec: str
    channels: int
    sample_rate: int
    bitrate: int | None = None
    language: str | None = None
    duration: Rational | None = None
    start: Rational = "0"


class MediaFacts(Message):
    """What `analyze` learnt of an input. `duration` is the presentation span in seconds."""

    container: str
    duration: Rational
    size_bytes: Bytes
    bitrate: int | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...] = ()
    streams: int


class VideoInfo(Message):
    """The same for clients, in the flat form of the API."""

    filename: str
    duration: float
    resolution: str | None
    width: int | None
    height: int | None
    size_bytes: Bytes
    size_mb: float
    format: str
    codec: str | None
    bitrate: int | None
    fps: float | None
    audio_codec: str | None
    audio_bitrate: int | None
    audio_sample_rate: int | None
