"""A profile is a named recipe: renditions, sound, packaging, extras. Typed values only, no option strings."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from protocol.base import Message
from protocol.encoding import BitRate, Crf, Encoder, Hdr, Preset, Quality, Target, VideoCodec, codec_of
from protocol.extras import ContentAnalysis, Frames, PerTitle, QualityMetrics, Sprite, Subtitles, Thumbnails, Transcription
from protocol.packaging import CmafPackaging, HlsPackaging
from protocol.pictures import BurnIn, Clip, Name, Picture, Watermark
from protocol.sounds import AudioFile, RenditionAudio, Sound

CODED_PROFILES = {
    VideoCodec.H264: ("baseline", "main", "high", "high10"),
    VideoCodec.HEVC: ("main", "main10"),
    VideoCodec.AV1: ("main",),
    VideoCodec.VP9: ("profile0", "profile2"),
}
"""What a codec calls the sets of its features; the last of each carries 10 bits, and so does AV1's only one."""


class Rendition(Message):
    """One encoded version of the picture. Made only of sources at least `min_source_width` x `min_source_height`, and
    never enlarged.

    With `keeps_smaller` a smaller source keeps its own height; without it the source goes without this rendition.
    `encoders` are in order of preference: the first that an engine has proven on a GPU counts, else the software one;
    empty is the codec's software encoder. How bits are spent is said by exactly one of `crf`, `bitrate` (two passes),
    `target` and `quality`; `max_bitrate` caps each. `max_fps` halves a faster source's rate until it fits.
    """

    name: Name
    height: Annotated[int, Field(ge=16, le=4352)]
    keeps_smaller: bool = False
    codec: VideoCodec = VideoCodec.H264
    encoders: Annotated[tuple[Encoder, ...], Field(max_length=8)] = ()
    preset: Preset | None = None
    quality: Quality | None = None
    crf: Crf | None = None
    bitrate: BitRate | None = None
    max_bitrate: BitRate | None = None
    buffer_seconds: Annotated[float, Field(ge=0.5, le=30, allow_inf_nan=False)] = 2.0
    target: Target | None = None
    profile: Annotated[str, Field(pattern="^(baseline|main|high|high10|main10|profile0|profile2)$")] | None = None
    level: Annotated[str, Field(pattern=r"^[1-6]\.[0-3]$")] | None = None
    bit_depth: Literal[8, 10] = 8
    max_fps: Annotated[int, Field(ge=1, le=120)] = 60
    hdr: Hdr = Hdr.TONE_MAP
    audio: RenditionAudio = RenditionAudio()
    min_source_width: int = 1
    min_source_height: int = 1

    @model_validator(mode="after")
    def _fits_together(self) -> Rendition:
        told = [name for name in ("crf", "bitrate", "target", "quality") if getattr(self, name) is not None]
        if len(told) != 1:
            raise ValueError(f"give exactly one of crf, bitrate, target, quality; given: {' and '.join(told) or 'none'}")
        if self.quality is not None and self.preset is not None:
            raise ValueError("quality chooses the preset, too; give one of the two")
        if self.bitrate is not None and self.max_bitrate is not None and self.max_bitrate < self.bitrate:
            raise ValueError("max_bitrate must not be below bitrate")
        if any(codec_of(encoder) is not self.codec for encoder in self.encoders):
            raise ValueError(f"encoders must make {self.codec}")
        if self.profile is not None and self.profile not in CODED_PROFILES[self.codec]:
            raise ValueError(f"profile of {self.codec} is one of {', '.join(CODED_PROFILES[self.codec])}")
        if self.hdr is Hdr.KEEP and (self.bit_depth != 10 or self.codec is VideoCodec.H264):
            raise ValueError("hdr can be kept with bit_depth 10 and hevc, av1 or vp9")
        return self


class Compare(Message):
    """Settings tried side by side on a sample of the film: each rendition's file, its size, its time and its scores."""

    renditions: Annotated[tuple[Rendition, ...], Field(min_length=2, max_length=8)]
    sample_seconds: Annotated[int, Field(ge=2, le=600)] = 10


class Live(Message):
    """A live stream: HLS with a window of so many segments while it runs, the whole as recorded at its end."""

    segment_seconds: Annotated[int, Field(ge=1, le=10)] = 2
    window_segments: Annotated[int, Field(ge=3, le=600)] = 10
    wait_s: Annotated[int, Field(ge=5, le=86_400)] = 600
    """How long its publisher may take to come."""
    most_hours: Annotated[float, Field(gt=0, le=72, allow_inf_nan=False)] = 24.0


class Tool(StrEnum):
    """What makes the renditions."""

    FFMPEG = "ffmpeg"
    HANDBRAKE = "handbrake"


INPUT = "input"
"""What `concat` calls the job's own input."""


class _Parts(Message):
    """What a profile has and a job may have otherwise."""

    hls: HlsPackaging | None = None
    packaging: CmafPackaging | None = None
    picture: Picture | None = None
    clip: Clip | None = None
    concat: Annotated[tuple[Name, ...], Field(max_length=16)] = ()
    """Attachments and `input`, one behind the other; empty is the input alone."""
    watermark: Watermark | None = None
    burn_in: BurnIn | None = None
    sound: Sound | None = None
    audio: AudioFile | None = None
    thumbnails: Thumbnails | None = None
    sprite: Sprite | None = None
    subtitles: Subtitles | None = None
    transcription: Transcription | None = None
    frames: Frames | None = None
    quality_metrics: QualityMetrics | None = None
    content: ContentAnalysis | None = None
    per_title: PerTitle | None = None
    compare: Compare | None = None


class OutputOverrides(_Parts):
    """Parts of a profile that shall be other for one job: what is left out stays, null takes the part away.

    A rendition is one of the profile's, by its name, or one of the job's own.
    """

    renditions: Annotated[tuple[Name | Rendition, ...], Field(max_length=16)] | None = None
    tool: Tool = Tool.FFMPEG


class Profile(_Parts):
    name: Name
    description: Annotated[str, Field(max_length=500)] = ""
    renditions: Annotated[tuple[Rendition, ...], Field(max_length=16)] = ()
    live: Live | None = None
    tool: Tool = Tool.FFMPEG
    noop_seconds: float | None = None
    """Set only by the `noop` profile: a task that makes nothing, to measure or try out a farm."""

    @property
    def is_noop(self) -> bool:
        return self.noop_seconds is not None

    @property
    def attachments(self) -> frozenset[str]:
        """The names of the files that a job must bring."""
        wanted: Iterable[str | None] = (
            *(name for name in self.concat if name != INPUT),
            self.watermark.attachment if self.watermark else None,
            self.burn_in.attachment if self.burn_in else None,
        )
        return frozenset(name for name in wanted if name is not None)
