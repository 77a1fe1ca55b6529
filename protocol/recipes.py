"""What one task is to do, as dispatch plans it and a plugin reads it. Complete: a plugin needs nothing else."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from protocol.base import Bytes, Message, RelativePath
from protocol.capabilities import SlotKind
from protocol.media import MediaFacts, Rational
from protocol.profiles import HARDWARE_ENCODERS, AudioFile, CmafPackaging, Frames, HlsPackaging, Rendition
from protocol.states import LIGHT_TASK_KINDS, TaskKind


class InputLimits(Message):
    """What an input may be. The defaults are those of the built-in profiles; `min_*` sizes come from the profile."""

    min_width: int = 640
    min_height: int = 360
    max_width: int = 8192
    max_height: int = 4352
    max_fps: int = 120
    max_streams: int = 64
    max_bytes: Bytes = 20_000_000_000
    min_duration_s: float = 1.0
    max_duration_s: float = 86_400.0
    needs_video: bool = True
    needs_audio: bool = False


class AnalyzeRecipe(Message):
    """Probe the input, prove that its first frames decode, hold it against the limits."""

    kind: Literal["analyze"] = "analyze"
    limits: InputLimits


class ThumbnailShot(Message):
    """One picture: the frame shown at `at` seconds from the start; 100 % is the last decodable frame."""

    percent: int
    at: Rational
    path: RelativePath


class PlannedRendition(Message):
    """One rendition with its exact size and where its files go. `playlist` and `segments` are None without HLS.

    `segments` is a path like the others, in the playlist's directory, with one `%03d` for the number.
    """

    rendition: Rendition
    encoder: str
    width: int
    height: int
    path: RelativePath
    playlist: RelativePath | None = None
    segments: str | None = None


class PlannedAudio(Message):
    audio: AudioFile
    path: RelativePath


GroupSeconds = Annotated[int, Field(ge=1, le=60)] | None
"""A keyframe stands at every multiple of so many seconds, for a later `package`; None where nothing is cut later."""


class TranscodeRecipe(Message):
    """Decode once, write every output in one process, then verify each."""

    kind: Literal["transcode"] = "transcode"
    source: MediaFacts
    renditions: tuple[PlannedRendition, ...]
    hls: HlsPackaging | None = None
    master_playlist: RelativePath | None = None
    audio: PlannedAudio | None = None
    thumbnails: tuple[ThumbnailShot, ...] = ()
    speech: RelativePath | None = None
    """Where the sound goes as 16 kHz mono s16le, for a later `transcribe`; staged, never published."""
    group_seconds: GroupSeconds = None


class HandbrakeRecipe(Message):
    """The MP4s of a ladder by HandBrake, one process each."""

    kind: Literal["handbrake"] = "handbrake"
    source: MediaFacts
    renditions: tuple[PlannedRendition, ...]
    group_seconds: GroupSeconds = None


class TranscribeRecipe(Message):
    """Speech to text from raw 16 kHz mono s16le. `language` None is to be detected. `paths` are by format."""

    kind: Literal["transcribe"] = "transcribe"
    duration: Rational
    language: str | None = None
    model: str
    paths: dict[Literal["txt", "srt", "vtt", "json"], RelativePath]


class FramesRecipe(Message):
    """Single pictures of the source, by rate or every nth frame, together in one ZIP."""

    kind: Literal["frames"] = "frames"
    source: MediaFacts
    frames: Frames
    path: RelativePath


class PackageRecipe(Message):
    """CMAF segments and playlists of finished renditions. `renditions` are the MP4s, by name of the task's input."""

    kind: Literal["package"] = "package"
    source: MediaFacts
    packaging: CmafPackaging
    renditions: tuple[PlannedRendition, ...]
    directory: RelativePath
    hls_master: RelativePath | None = None
    dash_manifest: RelativePath | None = None


class NoopRecipe(Message):
    kind: Literal["noop"] = "noop"
    seconds: float = 0.0


Recipe = Annotated[
    AnalyzeRecipe | TranscodeRecipe | HandbrakeRecipe | TranscribeRecipe | FramesRecipe | PackageRecipe | NoopRecipe,
    Field(discriminator="kind"),
]


def sessions_of(recipe: Recipe) -> int:
    """How many encoder sessions on a GPU the task opens: one for each rendition that is planned for one."""
    return sum(one.encoder in HARDWARE_ENCODERS for one in recipe.renditions) if isinstance(recipe, TranscodeRecipe) else 0


class Pace(NamedTuple):
    """What speeds are measured by: the encoder of a ladder's tallest rendition, and its height."""

    encoder: str
    height: int


def pace_of(recipe: Recipe) -> Pace | None:
    """None where no picture is encoded by the one process that makes a ladder."""
    if not isinstance(recipe, TranscodeRecipe) or not recipe.renditions:
        return None
    tallest = max(recipe.renditions, key=lambda planned: planned.height)
    return Pace(tallest.encoder, tallest.height)


def slot_kind(kind: TaskKind, recipe: Recipe) -> SlotKind:
    """The only kind of slot that may hold the task."""
    if kind in LIGHT_TASK_KINDS:
        return SlotKind.LIGHT
    return SlotKind.GPU if sessions_of(recipe) else SlotKind.CPU
