"""What a completed job has, as its page tells it: every file with its address and its figures.

`metadata.json` tells the same without `url`, `minio_path` and `size_mb`; of a rendition it has `video` and `streaming` in one.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from protocol.base import Bytes, Message, Seconds


class Place(Message):
    """One file. `url` is stable, and answers with a link of the day; `path` is below the job's outputs, `minio_path` in the
    storage. A megabyte is a million bytes."""

    url: str
    path: str
    minio_path: str
    size_bytes: Bytes
    size_mb: float


class VideoOutput(Message):
    """Bits a second over all of the file. `processing_time_seconds` is how long its step ran. Without `url`, `path` and
    `minio_path` where only its encrypted segments are published.
    """

    url: str | None = None
    path: str | None = None
    minio_path: str | None = None
    size_bytes: Bytes
    size_mb: float | None = None
    resolution: str
    codec: str | None = None
    bitrate: int | None = None
    processing_time_seconds: Seconds | None = None


class StreamingOutput(Message):
    """The segments of its picture. `segment_duration` in seconds; `dash_url` is that of all renditions together."""

    hls_url: str | None = None
    segment_count: int | None = None
    segment_duration: float | None = None
    total_segments_size_bytes: Bytes | None = None
    total_segments_size_mb: float | None = None
    dash_url: str | None = None


class RenditionOutput(Message):
    video: VideoOutput
    streaming: StreamingOutput | None = None


class SoundFile(Place):
    """A file of sound alone. `loudness_lufs` is the integrated one as measured, where the profile levels it."""

    codec: str | None = None
    bitrate: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    duration_seconds: float | None = None
    loudness_lufs: float | None = None


class TrackOutput(SoundFile):
    track: str | None = None
    language: str | None = None


class AudioOutput(SoundFile):
    """The first track's; `tracks` are all of them, where there are several."""

    processing_time_seconds: Seconds | None = None
    tracks: tuple[TrackOutput, ...] = ()


class TranscriptionOutput(Message):
    text: Place | None = None
    srt: Place | None = None
    vtt: Place | None = None
    json_: Place | None = Field(default=None, alias="json")
    language: str | None = None
    word_count: int | None = None
    whisper_model: str | None = None
    processing_time_seconds: Seconds | None = None


class OwnThumbnail(Place):
    """The client's picture, encoded anew. `sha256` stands here where it was published as it was sent, by older versions."""

    source: str
    is_primary: bool
    sha256: str | None = None


class ThumbnailOutput(Place):
    """`position_percent` is null for one at a second; `timestamp` in seconds."""

    position_percent: int | None = None
    timestamp: float | None = None
    is_primary: bool


class ThumbnailsOutput(Message):
    custom: OwnThumbnail | None = None
    auto_generated: tuple[ThumbnailOutput, ...] = ()


class SpriteOutput(Place):
    """`count` stills on one sheet, whose `resolution` is told; `index` is the WebVTT that says where each is."""

    resolution: str
    count: int | None = None
    index: Place
    processing_time_seconds: Seconds | None = None


class SubtitleOutput(Message):
    language: str | None = None
    srt: Place | None = None
    vtt: Place | None = None


class FramesOutput(Place):
    count: int | None = None
    processing_time_seconds: Seconds | None = None


class DashOutput(Place):
    processing_time_seconds: Seconds | None = None


class SampleOutput(Place):
    codec: str | None = None
    resolution: str | None = None
    bitrate: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    vmaf: float | None = None


class ComparisonOutput(Place):
    """Settings tried side by side; `samples` by their names."""

    samples: dict[str, SampleOutput] = {}


class MetadataOutput(Message):
    url: str
    path: str
    size_bytes: Bytes
    sha256: str


class Outputs(Message):
    """Renditions stand by their names beside these."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, RenditionOutput]

    hls: Place | None = None
    dash: DashOutput | None = None
    audio: AudioOutput | None = None
    transcription: TranscriptionOutput | None = None
    thumbnails: ThumbnailsOutput | None = None
    sprite: SpriteOutput | None = None
    subtitles: dict[str, SubtitleOutput] | None = None
    chapters: Place | None = None
    frames: FramesOutput | None = None
    content: Place | None = None
    comparison: ComparisonOutput | None = None
    metadata_json: MetadataOutput


class AsOutputs:
    """Says of a field that it holds these as JSON: written as they were stored, described as they are."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found: Any = Outputs.__pydantic_core_schema__
        return handler(found)


RESERVED = frozenset(Outputs.model_fields)
"""No rendition may have one of these names."""
