"""What is known about a media file. Media time is text of a Fraction in seconds ("1001/30000"), never a float."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from protocol.base import Bytes, Message


def _rational(text: str) -> str:
    Fraction(text)  # ValueError and ZeroDivisionError are told to the sender by pydantic
    return text


Rational = Annotated[str, Field(pattern=r"^-?\d{1,18}(/[1-9]\d{0,17})?$"), AfterValidator(_rational)]


class Colour(Message):
    """As the stream tells it, in FFmpeg's words; "" where it does not."""

    primaries: str = ""
    transfer: str = ""
    matrix: str = ""
    range: str = ""


class MasteringDisplay(Message):
    """SMPTE ST 2086 and CTA-861.3, as HEVC's SEI has them: chromaticities in 1/50000, luminances in 1/10000 cd/m2, light
    levels in cd/m2. Points are (x, y) of red, green, blue and white."""

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    luminance: tuple[int, int]
    """Least and greatest."""
    max_content: int | None = None
    max_average: int | None = None


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
    colour: Colour = Colour()
    mastering: MasteringDisplay | None = None
    dolby_vision: int | None = None
    """Its profile; 5 has no picture that other players could show."""


class AudioStream(Message):
    index: int
    codec: str
    channels: int
    sample_rate: int
    bitrate: int | None = None
    language: str | None = None
    duration: Rational | None = None
    start: Rational = "0"
    title: str | None = None
    is_default: bool = False
    layout: str = ""


class SubtitleStream(Message):
    """`is_text` is false for pictures of text, which cannot be converted."""

    index: int
    codec: str
    language: str | None = None
    title: str | None = None
    is_text: bool = True
    is_forced: bool = False


class Chapter(Message):
    """Seconds from the start."""

    start: Rational
    end: Rational
    title: str = ""


class LiveInput(Message):
    """Where a live stream comes from: an engine listens for `rtmp` or `srt`, or fetches the playlist of `hls`."""

    protocol: Literal["rtmp", "srt", "hls"]
    url: Annotated[str, Field(max_length=4096)] | None = Field(default=None, repr=False)
    """The playlist; None for a listener."""


class MediaFacts(Message):
    """What `analyze` learnt of an input. `duration` is the presentation span in seconds. `parts` are further inputs."""

    container: str
    duration: Rational
    size_bytes: Bytes
    bitrate: int | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...] = ()
    streams: int
    subtitles: tuple[SubtitleStream, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    parts: dict[str, MediaFacts] = {}


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
