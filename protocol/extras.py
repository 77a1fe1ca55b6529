"""What is made beside renditions: stills, sprites, subtitles, frames, scores, analyses, comparisons."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from protocol.base import Message
from protocol.pictures import Language, Moment


class Thumbnails(Message):
    """Stills at percents of the film (100 is the last frame) and at seconds. Primary is the client's own, else this one."""

    percents: Annotated[tuple[Annotated[int, Field(ge=0, le=100)], ...], Field(max_length=101)] = (0, 25, 50, 75, 100)
    seconds: Annotated[tuple[Moment, ...], Field(max_length=100)] = ()
    primary_percent: Annotated[int, Field(ge=0, le=100)] = 25


class Sprite(Message):
    """Small stills on one sheet, with a WebVTT file that tells a player's seek bar where each is."""

    interval_seconds: Annotated[float, Field(ge=0.5, le=600, allow_inf_nan=False)] = 10.0
    """Longer where the sheet would hold more than `most`."""
    columns: Annotated[int, Field(ge=1, le=20)] = 10
    width: Annotated[int, Field(ge=32, le=480)] = 160
    most: Annotated[int, Field(ge=1, le=200)] = 100


class TextFormat(StrEnum):
    SRT = "srt"
    VTT = "vtt"


class Subtitles(Message):
    """The source's text tracks, and the files that come with a job, converted. `languages` empty takes all."""

    formats: Annotated[tuple[TextFormat, ...], Field(min_length=1, max_length=2)] = (TextFormat.SRT, TextFormat.VTT)
    languages: Annotated[tuple[Language, ...], Field(max_length=32)] = ()


class Transcription(Message):
    """Speech to text, made when an engine has proven a model; else the step is skipped with its reason.

    `language` None is detected. `model` None goes by duration: under 5 min tiny, under 30 min base, under 1 h small, else base.
    """

    required: bool = False
    language: Language | None = None
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


MOST_PICTURES, MOST_ZIP_BYTES = 100_000, 40 << 30
"""Of one ZIP: more than an hour of every frame; and what, with the pictures not yet in it, stays below a task's scratch."""


class Frames(Message):
    """Single pictures as a ZIP: `fps` a second, or every `every_nth` of the source; exactly one of the two.

    A job that would make more than `most_pictures`, or more than `most_bytes` of them, fails and says so.
    """

    model_config = ConfigDict(json_schema_extra=_ONE_WAY)

    fps: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False)] | None = None
    every_nth: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    format: PictureFormat = PictureFormat.JPEG
    max_height: Annotated[int, Field(ge=16, le=4352)] | None = None
    most_pictures: Annotated[int, Field(ge=1, le=MOST_PICTURES)] = MOST_PICTURES
    most_bytes: Annotated[int, Field(ge=1_000_000, le=MOST_ZIP_BYTES)] = MOST_ZIP_BYTES

    @model_validator(mode="after")
    def _one_way(self) -> Frames:
        if (self.fps is None) == (self.every_nth is None):
            raise ValueError("give either fps or every_nth")
        return self


class Metric(StrEnum):
    PSNR = "psnr"
    SSIM = "ssim"
    VMAF = "vmaf"


class QualityMetrics(Message):
    """Scores of each rendition against the source, over the whole, or over a sample of so many seconds spread over it."""

    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=3)] = (Metric.PSNR, Metric.SSIM, Metric.VMAF)
    sample_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None


class ContentAnalysis(Message):
    """What the film holds, as JSON: cuts, black, silence, and the chapters it comes with."""

    scenes: bool = True
    black: bool = True
    silence: bool = True
    chapters: bool = True


class PerTitle(Message):
    """Rungs that this film does not need are left out: each that gains less than so many points of VMAF, shown at the size
    of the largest, over the one below."""

    min_gain_vmaf: Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)] = 3.0
