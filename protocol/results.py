"""What an attempt gives back: staged files with facts, an analysis, progress of steps, or a failure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from protocol.base import Bytes, Message, RelativePath, Seconds, Sha256
from protocol.errors import ErrorCode, FailureClass
from protocol.live import LiveTold
from protocol.media import MediaFacts
from protocol.pictures import Crop
from protocol.sounds import TrackLoudness
from protocol.states import StepState


class FileRole(StrEnum):
    RENDITION = "rendition"
    PLAYLIST = "playlist"
    MASTER_PLAYLIST = "master_playlist"
    SEGMENT = "segment"
    INIT_SEGMENT = "init_segment"
    AUDIO = "audio"
    THUMBNAIL = "thumbnail"
    SPEECH = "speech"
    TRANSCRIPT = "transcript"
    FRAMES = "frames"
    MANIFEST = "manifest"
    SPRITE = "sprite"
    SPRITE_INDEX = "sprite_index"
    SUBTITLE = "subtitle"
    CHAPTERS = "chapters"
    CONTENT = "content"
    COMPARISON = "comparison"
    SAMPLE = "sample"


UNPUBLISHED_ROLES = frozenset({FileRole.SPEECH})
"""Staged for a sibling task alone."""


class OutputFacts(Message):
    """What verification measured of one file; None where it does not apply. `duration` and `at` are seconds."""

    role: FileRole
    rendition: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    bitrate: int | None = None
    sample_rate: int | None = None
    duration: float | None = None
    segment_count: int | None = None
    segment_seconds: float | None = None
    segments_bytes: Bytes | None = None
    percent: int | None = None
    at: float | None = None
    language: str | None = None
    word_count: int | None = None
    model: str | None = None
    frame_count: int | None = None
    track: str | None = None
    channels: int | None = None
    loudness: float | None = None
    """Integrated, in LUFS, as measured of what was made."""
    psnr: float | None = None
    ssim: float | None = None
    vmaf: float | None = None
    is_own: bool | None = None
    """The client's own thumbnail."""


class StagedFile(Message):
    """One file of an attempt, `path` below the job's root."""

    path: RelativePath
    size: Bytes
    sha256: Sha256
    facts: OutputFacts


class StagedOriginal(Message):
    """The input that an attempt fetched, staged at `path`; `path` ends as the file should."""

    path: RelativePath
    size: Bytes
    sha256: Sha256


class StepReport(Message):
    """How far one step is. `progress` is 0 to 1 and never falls within an attempt."""

    name: str
    state: StepState
    progress: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    eta_seconds: Seconds | None = None
    duration_seconds: Seconds | None = None
    reason: str | None = None
    live: LiveTold | None = None
    """Of the step that streams."""


class ToolUse(Message):
    """One tool process, for the record: what ran, and what it cost. Paths in `argv` are relative or `fd:`."""

    tool: str
    version: str
    argv: tuple[str, ...]
    wall_seconds: Seconds
    cpu_seconds: Seconds | None = None


class QualityProbe(Message):
    """One encode of the sample: what it took and what it scored. Bits a second of the sample."""

    crf: float
    vmaf: float
    bitrate: float


class FoundRate(Message):
    """The CRF that reaches a rendition's target, and the probes it follows from; `vmaf` is what is expected of it."""

    rendition: str
    crf: float
    vmaf: float
    probes: tuple[QualityProbe, ...]


class DroppedRung(Message):
    """A rendition this film does not need; `reason` is for clients."""

    rendition: str
    reason: str


class Measured(Message):
    """What `measure` found out; `loudness` by the index of the track."""

    loudness: dict[int, TrackLoudness] = {}
    crop: Crop | None = None
    rates: tuple[FoundRate, ...] = ()
    dropped: tuple[DroppedRung, ...] = ()


class AttemptResult(Message):
    files: tuple[StagedFile, ...] = ()
    analysis: MediaFacts | None = None
    measured: Measured | None = None
    original: StagedOriginal | None = None
    steps: tuple[StepReport, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    warnings: tuple[str, ...] = ()
    log_tail: str = ""


class Failure(Message):
    """Why an attempt failed. `message` is fit for a client: redacted, one or two sentences."""

    failure_class: FailureClass
    code: ErrorCode
    message: str
    step: str | None = None
    evidence: dict[str, str] = {}
    log_tail: str = ""
    is_engine_death: bool = False
    """True only with evidence that this task killed the engine or its tool from within; counts to quarantine."""
