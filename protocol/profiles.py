"""A profile is a named recipe: renditions, audio, packaging, thumbnails. Typed values only, no option strings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from protocol.base import Message

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")]


class VideoCodec(StrEnum):
    H264 = "h264"


class Preset(StrEnum):
    """x264's speed words."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


class SegmentFormat(StrEnum):
    TS = "ts"
    FMP4 = "fmp4"


class RenditionAudio(Message):
    codec: Annotated[str, Field(pattern="^aac$")] = "aac"
    bitrate: Annotated[int, Field(ge=16_000, le=512_000)]
    sample_rate: Annotated[int, Field(ge=8_000, le=96_000)]


Encoder = Annotated[str, Field(pattern="^(libx264|h264_nvenc|h264_qsv|h264_vaapi)$")]
HARDWARE_ENCODERS = frozenset({"h264_nvenc", "h264_qsv", "h264_vaapi"})
"""Encoders that work on a GPU; all others work on processors."""


class Rendition(Message):
    """One encoded version of the picture. Made only of sources at least `min_source_width` x `min_source_height`.

    `encoders` are in order of preference: the first that an engine has proven on a GPU counts, else the software one.
    """

    name: Name
    height: Annotated[int, Field(ge=16, le=4352)]
    codec: VideoCodec = VideoCodec.H264
    encoders: Annotated[tuple[Encoder, ...], Field(min_length=1)] = ("libx264",)
    preset: Preset = Preset.MEDIUM
    crf: Annotated[int, Field(ge=0, le=51)]
    profile: Annotated[str, Field(pattern="^(baseline|main|high)$")]
    level: Annotated[str, Field(pattern=r"^[1-6]\.[0-2]$")]
    audio: RenditionAudio
    min_source_width: int
    min_source_height: int


class HlsPackaging(Message):
    segment_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    format: SegmentFormat = SegmentFormat.TS


class AudioFile(Message):
    """A separate audio file of the first audio track."""

    codec: Annotated[str, Field(pattern="^mp3$")] = "mp3"
    bitrate: Annotated[int, Field(ge=32_000, le=320_000)] = 192_000
    sample_rate: Annotated[int, Field(ge=16_000, le=48_000)] = 48_000


class Thumbnails(Message):
    percents: tuple[Annotated[int, Field(ge=0, le=100)], ...] = (0, 25, 50, 75, 100)
    primary_percent: Annotated[int, Field(ge=0, le=100)] = 25


class Transcription(Message):
    """Speech to text, made when an engine has proven a model; else the step is skipped with its reason.

    `language` None is detected. `model` None goes by duration: under 5 min tiny, under 30 min base, under 1 h small, else base.
    """

    required: bool = False
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._\-]{0,39}$")] | None = None


class PictureFormat(StrEnum):
    JPEG = "jpeg"
    PNG = "png"


_ONE_WAY: JsonDict = {
    "oneOf": [
        {"required": ["fps"], "properties": {"fps": {"type": "number"}}},
        {"required": ["every_nth"], "properties": {"every_nth": {"type": "integer"}}},
    ]
}


class Frames(Message):
    """Single pictures as a ZIP: `fps` a second, or every `every_nth` of the source; exactly one of the two."""

    model_config = ConfigDict(json_schema_extra=_ONE_WAY)

    fps: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False)] | None = None
    every_nth: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    format: PictureFormat = PictureFormat.JPEG
    max_height: Annotated[int, Field(ge=16, le=4352)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Frames:
        if (self.fps is None) == (self.every_nth is None):
            raise ValueError("give either fps or every_nth")
        return self


_ANY_OF_TWO: JsonDict = {"anyOf": [{"properties": {"hls": {"const": True}}}, {"properties": {"dash": {"const": True}}}]}


class CmafPackaging(Message):
    """HLS and DASH from the same fragmented MP4 segments; at least one of the two."""

    model_config = ConfigDict(json_schema_extra=_ANY_OF_TWO)

    segment_seconds: Annotated[int, Field(ge=1, le=60)] = 6
    hls: bool = True
    dash: bool = True


class Tool(StrEnum):
    """What makes the renditions."""

    FFMPEG = "ffmpeg"
    HANDBRAKE = "handbrake"


class OutputOverrides(Message):
    """Parts of a profile that shall be other for one job: what is left out stays, null takes the part away.

    A rendition is one of the profile's, by its name, or one of the job's own.
    """

    renditions: Annotated[tuple[Name | Rendition, ...], Field(max_length=16)] | None = None
    hls: HlsPackaging | None = None
    audio: AudioFile | None = None
    thumbnails: Thumbnails | None = None
    transcription: Transcription | None = None


class Profile(Message):
    name: Name
    description: str = ""
    renditions: tuple[Rendition, ...] = ()
    hls: HlsPackaging | None = None
    audio: AudioFile | None = None
    thumbnails: Thumbnails | None = None
    transcription: Transcription | None = None
    frames: Frames | None = None
    packaging: CmafPackaging | None = None
    tool: Tool = Tool.FFMPEG
    noop_seconds: float | None = None
    """Set only by the `noop` profile: a task that makes nothing, to measure or try out a farm."""

    @property
    def is_noop(self) -> bool:
        return self.noop_seconds is not None
