"""What one task is to do, as dispatch plans it and a plugin reads it. Complete: a plugin needs nothing else."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from protocol.base import Bytes, Message, RelativePath
from protocol.capabilities import SlotKind
from protocol.encoding import HARDWARE_ENCODERS, Preset, Rate
from protocol.extras import ContentAnalysis, Frames, PerTitle, QualityMetrics, TextFormat
from protocol.media import LiveInput, MediaFacts, Rational
from protocol.packaging import CmafPackaging, HlsPackaging
from protocol.pictures import Crop, Name, Watermark
from protocol.profiles import Live, Rendition
from protocol.rates import preset_of, rate_of
from protocol.sounds import AudioFile, Loudness, TrackLoudness
from protocol.states import LIGHT_TASK_KINDS, TaskKind

InputName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
"""What a task calls one of its further inputs."""


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
    strict: bool = False
    """The input is decoded to its end before anything is made of it, and refused where it is damaged or shorter than it tells."""


class AnalyzeRecipe(Message):
    """Probe the input, prove that its first frames decode, hold it against the limits.

    `parts` are the names of further inputs of the task, for a film made of several: each is probed and held alike.
    With `allows_damage` the whole decode of a strict input warns of damage, where it else refuses.
    """

    kind: Literal["analyze"] = "analyze"
    limits: InputLimits
    parts: tuple[InputName, ...] = ()
    allows_damage: bool = False


class ThumbnailShot(Message):
    """One picture: the frame shown at `at` seconds from the start; 100 % is the last decodable frame.

    `percent` is None for one that was asked for by its second.
    """

    percent: int | None
    at: Rational
    path: RelativePath


class PlannedRendition(Message):
    """One rendition with its exact size and where its files go. `playlist` and `segments` are None without HLS.

    `segments` is a path like the others, in the playlist's directory, with one `%03d` for the number. `rate` is None
    where the rendition says it itself, `frame_rate` where it is that of the timeline.
    """

    rendition: Rendition
    encoder: str
    width: int
    height: int
    path: RelativePath
    playlist: RelativePath | None = None
    segments: str | None = None
    rate: Rate | None = None
    frame_rate: Rational | None = None
    keeps_hdr: bool = False

    @property
    def spends(self) -> Rate:
        return self.rate or rate_of(self.rendition)

    @property
    def preset(self) -> Preset:
        return preset_of(self.rendition)


class PlannedTrack(Message):
    """One sound track as the outputs carry it. `stream` is its index in the source, `name` a word for paths, once a job.

    `measured` and `loudness` are None where its loudness stays as it is.
    """

    stream: int
    name: Name
    language: str | None = None
    title: str | None = None
    channels: int = 2
    is_default: bool = False
    loudness: Loudness | None = None
    measured: TrackLoudness | None = None
    playlist: RelativePath | None = None
    """Where its own HLS playlist goes; None where it stands beside the picture."""
    segments: str | None = None


class PlannedAudio(Message):
    """A file of sound alone. `track` is a PlannedTrack's name; None is the first."""

    audio: AudioFile
    path: RelativePath
    track: Name | None = None


class PlannedSprite(Message):
    """`count` stills, `interval` seconds apart, each `width` x `height`, in rows of `columns`; their index in WebVTT."""

    interval: Rational
    count: int
    columns: int
    width: int
    height: int
    path: RelativePath
    index: RelativePath


class PlannedSubtitle(Message):
    """Text to be converted: a track of the source by its index, or a file that came with the job by its input's name.

    `offset` is where the timeline begins within it, in seconds.
    """

    name: Name
    stream: int | None = None
    attachment: str | None = None
    language: str | None = None
    is_forced: bool = False
    offset: Rational = "0"
    paths: dict[TextFormat, RelativePath]


class PlannedOverlay(Message):
    """A watermark; `attachment` is the name of the task's input."""

    watermark: Watermark
    attachment: str


class PlannedBurnIn(Message):
    """Subtitles drawn into the picture: a track of the source by its index, or a file by the name of the task's input.

    `offset` is what the text's clock says when the timeline begins, in seconds.
    """

    stream: int | None = None
    attachment: str | None = None
    offset: Rational = "0"


class Cut(Message):
    """The part of the input that is taken, seconds from its start."""

    start: Rational
    end: Rational


class SourcePart(Message):
    """One of several inputs shown one behind the other. `attachment` is its name among the task's inputs, None the job's own.

    It is shown from `start` on for `length` seconds; None is to its end.
    """

    facts: MediaFacts
    attachment: str | None = None
    start: Rational = "0"
    length: Rational | None = None


class PicturePlan(Message):
    """What is done to the picture before it is scaled. `crop` in pixels of the picture as shown; `pad` is its shape after."""

    deinterlace: bool | None = None
    """None: as the facts say."""
    crop: Crop | None = None
    pad: Rational | None = None
    rotate: int = 0
    overlay: PlannedOverlay | None = None
    burn_in: PlannedBurnIn | None = None


GroupSeconds = Annotated[int, Field(ge=1, le=60)] | None
"""A keyframe stands at every multiple of so many seconds, for a later `package`; None where nothing is cut later."""


class TranscodeRecipe(Message):
    """Decode once, write every output in one process, then verify each.

    `source` is the timeline that all outputs show: the input, or what `cut` takes of it, or `parts` one behind the other,
    which know their own cuts. Its picture's `width` and `height` are those after `picture`.
    """

    kind: Literal["transcode"] = "transcode"
    source: MediaFacts
    parts: tuple[SourcePart, ...] = ()
    cut: Cut | None = None
    picture: PicturePlan = PicturePlan()
    renditions: tuple[PlannedRendition, ...]
    hls: HlsPackaging | None = None
    master_playlist: RelativePath | None = None
    tracks: tuple[PlannedTrack, ...] = ()
    audio: PlannedAudio | None = None
    more_audio: tuple[PlannedAudio, ...] = ()
    """The files of the tracks after the first."""
    thumbnails: tuple[ThumbnailShot, ...] = ()
    own_thumbnail: RelativePath | None = None
    """Where the client's own picture goes, encoded anew; the task's input `thumbnail`."""
    sprite: PlannedSprite | None = None
    subtitles: tuple[PlannedSubtitle, ...] = ()
    chapters: RelativePath | None = None
    """Where the chapters of the timeline go, as WebVTT."""
    notes: tuple[str, ...] = ()
    """What was asked for and cannot be made, in words for the client: warnings of the job."""
    metrics: QualityMetrics | None = None
    speech: RelativePath | None = None
    """Where the sound goes as 16 kHz mono s16le, for a later `transcribe`; staged, never published."""
    group_seconds: GroupSeconds = None
    decoder: Annotated[str, Field(pattern="^(h264|hevc)_(cuda|qsv|vaapi)$")] | None = None
    """Decodes and scales on the GPU of the encoders, which are all of its family; None on processors."""
    allows_damage: bool = False
    """Outputs may be of another length than the source tells: a warning says so."""


class MeasureRecipe(Message):
    """What must be known of the film before it is encoded, or is asked for itself: nothing here makes a rendition.

    `tracks` are the indexes of sound tracks whose loudness is measured, against `loudness`, each mixed to as many channels
    as stand at its place in `channels` (empty: as it is), since that is what the second pass is given. `probes` are
    renditions with a target; of those that a GPU's encoder makes no CRF is looked for. With `per_title` all of `ladder` is
    weighed. `compare` names settings to be tried on a sample.
    """

    kind: Literal["measure"] = "measure"
    source: MediaFacts
    parts: tuple[SourcePart, ...] = ()
    cut: Cut | None = None
    picture: PicturePlan = PicturePlan()
    whole: tuple[int, int] | None = None
    """Width and height of the picture as the input shows it, before anything is done to it; bars are told in its pixels."""
    tracks: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    loudness: Loudness | None = None
    finds_crop: bool = False
    content: ContentAnalysis | None = None
    content_path: RelativePath | None = None
    probes: tuple[PlannedRendition, ...] = ()
    per_title: PerTitle | None = None
    ladder: tuple[PlannedRendition, ...] = ()
    compare: tuple[PlannedRendition, ...] = ()
    sample_seconds: int = 10
    comparison_path: RelativePath | None = None


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
    """Single pictures of the source, by rate or every nth frame, together in one ZIP.

    `source` are the facts of what `cut` takes of the input.
    """

    kind: Literal["frames"] = "frames"
    source: MediaFacts
    cut: Cut | None = None
    frames: Frames
    path: RelativePath


class PackageRecipe(Message):
    """Segments and playlists of finished renditions. `renditions` are the MP4s, by name of the task's input.

    `tracks` are the sound tracks those hold, in order; empty is one. `subtitles` are WebVTT files, by name of the task's
    input. Keys for its encryption come with the grant, never in here. With `allows_damage` tracks are held against the
    renditions, which may be shorter than the source tells.
    """

    kind: Literal["package"] = "package"
    source: MediaFacts
    packaging: CmafPackaging
    renditions: tuple[PlannedRendition, ...]
    tracks: tuple[PlannedTrack, ...] = ()
    subtitles: tuple[PlannedSubtitle, ...] = ()
    directory: RelativePath
    hls_master: RelativePath | None = None
    dash_manifest: RelativePath | None = None
    allows_damage: bool = False


class LiveRecipe(Message):
    """Receive a live stream, encode its ladder, and publish segments while it runs; at its end they are the recording."""

    kind: Literal["live"] = "live"
    source: LiveInput
    live: Live
    renditions: tuple[PlannedRendition, ...]
    master_playlist: RelativePath


class NoopRecipe(Message):
    kind: Literal["noop"] = "noop"
    seconds: float = 0.0


Recipe = Annotated[
    AnalyzeRecipe
    | MeasureRecipe
    | TranscodeRecipe
    | HandbrakeRecipe
    | TranscribeRecipe
    | FramesRecipe
    | PackageRecipe
    | LiveRecipe
    | NoopRecipe,
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
