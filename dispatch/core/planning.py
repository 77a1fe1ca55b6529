"""What a job's tasks are to do: the first tasks at submit, the encode once `analyze` has told what the input is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from pydantic import TypeAdapter

from dispatch.core.records import Task
from protocol import steps as step_names
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts, VideoStream
from protocol.profiles import Profile, Rendition, SegmentFormat
from protocol.recipes import (
    AnalyzeRecipe,
    InputLimits,
    NoopRecipe,
    PlannedAudio,
    PlannedRendition,
    Recipe,
    ThumbnailShot,
    TranscodeRecipe,
)
from protocol.results import Failure, StepReport
from protocol.states import StepState, TaskKind, TaskState

PIXELS_PER_SECOND = 50e6
"""x264 `medium` on two threads of a common server core, measured on 720p film; only an estimate for queueing."""
ANALYZE_COST_S, NOOP_COST_S = 1.0, 0.01

RECIPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)
STEPS: TypeAdapter[tuple[StepReport, ...]] = TypeAdapter(tuple[StepReport, ...])


@dataclass(frozen=True, slots=True)
class Demands:
    """What a submission asks of engines, beyond what the work itself needs; both sorted."""

    needs: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What the tasks of one job share. `task_ids` are fresh ids, as many as `task_kinds(profile)`."""

    job_id: str
    tenant: str
    priority: int
    created_at: float
    task_ids: tuple[str, ...]


def task_kinds(profile: Profile) -> tuple[TaskKind, ...]:
    return (TaskKind.NOOP,) if profile.is_noop else (TaskKind.ANALYZE, TaskKind.TRANSCODE)


@lru_cache(maxsize=256)
def load_profile(profile_json: str) -> Profile:
    return Profile.model_validate_json(profile_json)


@lru_cache(maxsize=256)
def _first_recipe(profile_json: str, limits: InputLimits, kind: TaskKind) -> str | None:
    profile = load_profile(profile_json)
    match kind:
        case TaskKind.NOOP:
            return NoopRecipe(seconds=profile.noop_seconds or 0.0).model_dump_json()
        case TaskKind.ANALYZE:
            return AnalyzeRecipe(limits=limits_of(profile, limits)).model_dump_json()
        case _:
            return None


@lru_cache(maxsize=256)
def _pending_steps(profile_json: str, kind: TaskKind) -> str:
    names = step_names.steps_of_task(kind, load_profile(profile_json))
    return STEPS.dump_json(tuple(StepReport(name=name, state=StepState.PENDING) for name in names)).decode()


@lru_cache(maxsize=1024)
def load_steps(steps_json: str) -> tuple[StepReport, ...]:
    return STEPS.validate_json(steps_json)


@lru_cache(maxsize=1024)
def begun_anew(steps_json: str) -> str:
    """The steps as a new attempt finds them: what an earlier one did counts for nothing, what is skipped stays so."""
    steps = load_steps(steps_json)
    return STEPS.dump_json(
        tuple(s if s.state is StepState.SKIPPED else StepReport(name=s.name, state=StepState.PENDING) for s in steps)
    ).decode()


def limits_of(profile: Profile, limits: InputLimits) -> InputLimits:
    """The server's limits, with the smallest picture and the streams this profile can work with."""
    if not profile.renditions:
        return limits.model_copy(update={"needs_video": profile.thumbnails is not None, "needs_audio": profile.audio is not None})
    width = min(r.min_source_width for r in profile.renditions)
    height = min(r.min_source_height for r in profile.renditions)
    return limits.model_copy(update={"min_width": width, "min_height": height, "needs_video": True, "needs_audio": False})


def first_tasks(frame: Frame, profile_json: str, limits: InputLimits, demands: Demands) -> tuple[Task, ...]:
    """The job's tasks at submit: the first is pending, its known successors wait."""
    profile = load_profile(profile_json)
    kinds = task_kinds(profile)
    return tuple(
        Task(
            task_id=task_id,
            job_id=frame.job_id,
            tenant=frame.tenant,
            kind=kind,
            ordinal=ordinal,
            state=TaskState.WAITING if ordinal else TaskState.PENDING,
            priority=frame.priority,
            needs=tuple(sorted({f"operation:{kind}", *demands.needs})),
            tags=demands.tags,
            cost_s=NOOP_COST_S + (profile.noop_seconds or 0.0) if kind is TaskKind.NOOP else ANALYZE_COST_S,
            created_at=frame.created_at,
            recipe_json=_first_recipe(profile_json, limits, kind),
            steps_json=_pending_steps(profile_json, kind),
        )
        for ordinal, (kind, task_id) in enumerate(zip(kinds, frame.task_ids, strict=True))
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """The encode: its recipe, what it needs beyond the operation, its estimated work, and its steps at the start."""

    recipe: TranscodeRecipe
    needs: tuple[str, ...]
    cost_s: float
    steps: tuple[StepReport, ...]


def plan_transcode(profile: Profile, facts: MediaFacts) -> Planned | Failure:
    """The ladder that the source allows, or why the profile cannot be made of it."""
    renditions = tuple(r for r in profile.renditions if facts.video is not None and allows(r, facts.video))
    if profile.renditions and not renditions:
        return _too_small(profile, facts.video)
    planned = tuple(_planned_rendition(r, facts.video, profile) for r in renditions if facts.video is not None)
    audio = PlannedAudio(audio=profile.audio, path="audio/audio.mp3") if profile.audio and facts.audio else None
    recipe = TranscodeRecipe(
        source=facts,
        renditions=planned,
        hls=profile.hls if planned else None,
        master_playlist="hls/master.m3u8" if profile.hls and planned else None,
        audio=audio,
        thumbnails=_thumbnails(profile, facts),
    )
    return Planned(recipe, _needs(recipe), _cost(recipe), tuple(_steps(profile, recipe)))


def allows(rendition: Rendition, video: VideoStream) -> bool:
    """Never upscaled; the source's size is asked for by its long and its short side, so portrait films count too."""
    long, short = max(video.width, video.height), min(video.width, video.height)
    needed_long = max(rendition.min_source_width, rendition.min_source_height)
    needed_short = min(rendition.min_source_width, rendition.min_source_height)
    return long >= needed_long and short >= needed_short and video.height >= rendition.height


def _too_small(profile: Profile, video: VideoStream | None) -> Failure:
    if video is None:
        message = f"profile {profile.name} makes video, and the input has none"
        return Failure(failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_NO_VIDEO, message=message)
    smallest = min(profile.renditions, key=lambda r: r.height)
    message = (
        f"the picture is {video.width}x{video.height}; profile {profile.name} needs at least "
        f"{smallest.min_source_width}x{smallest.min_source_height}"
    )
    return Failure(failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_TOO_SMALL, message=message)


def _planned_rendition(rendition: Rendition, video: VideoStream, profile: Profile) -> PlannedRendition:
    """As `scale=-2:H` does: the width that keeps the shape, rounded to even, a half upwards."""
    height = rendition.height - rendition.height % 2
    width = max(2, 2 * ((video.width * height + video.height) // (2 * video.height)))
    name = rendition.name
    playlist = segments = None
    if profile.hls is not None:
        ending = "ts" if profile.hls.format is SegmentFormat.TS else "m4s"
        playlist, segments = f"{name}/segments/playlist.m3u8", f"{name}/segments/segment_%03d.{ending}"
    return PlannedRendition(
        rendition=rendition,
        encoder=rendition.encoders[0],
        width=width,
        height=height,
        path=f"{name}/video_{name}.mp4",
        playlist=playlist,
        segments=segments,
    )


def _thumbnails(profile: Profile, facts: MediaFacts) -> tuple[ThumbnailShot, ...]:
    if profile.thumbnails is None or facts.video is None:
        return ()
    duration = Fraction(facts.video.duration or facts.duration)
    return tuple(
        ThumbnailShot(percent=percent, at=str(duration * percent / 100), path=f"thumbnails/thumb_{percent:02d}.jpg")
        for percent in sorted(set(profile.thumbnails.percents))
    )


def _needs(recipe: TranscodeRecipe) -> tuple[str, ...]:
    encoders = {f"encoder:{r.encoder}" for r in recipe.renditions}
    if recipe.renditions and recipe.source.audio:
        encoders.add("encoder:aac")
    if recipe.audio is not None:
        encoders.add("encoder:libmp3lame")
    if recipe.thumbnails:
        encoders.add("encoder:mjpeg")
    return tuple(sorted(encoders))


def _cost(recipe: TranscodeRecipe) -> float:
    duration = float(Fraction(recipe.source.duration))
    rate = float(Fraction(recipe.source.video.frame_rate)) if recipe.source.video else 0.0
    pixels = sum(r.width * r.height for r in recipe.renditions)
    return 1.0 + duration * rate * pixels / PIXELS_PER_SECOND + duration * 0.005


def _steps(profile: Profile, recipe: TranscodeRecipe) -> list[StepReport]:
    made = {r.rendition.name for r in recipe.renditions}
    reasons: dict[str, str] = {}
    for rendition in profile.renditions:
        if rendition.name not in made:
            reason = f"the source is smaller than {rendition.min_source_width}x{rendition.min_source_height}"
            reasons[step_names.transcode_step(rendition.name)] = reasons[step_names.hls_step(rendition.name)] = reason
    if recipe.audio is None:
        reasons[step_names.EXTRACT_AUDIO_MP3] = "the source has no audio"
    if not recipe.thumbnails:
        reasons[step_names.GENERATE_THUMBNAILS] = "the source has no picture"
    reasons[step_names.TRANSCRIBE_VIDEO] = "no engine offers speech to text"
    names = step_names.steps_of_task(TaskKind.TRANSCODE, profile)
    return [
        StepReport(name=name, state=StepState.SKIPPED, reason=reasons[name])
        if name in reasons
        else StepReport(name=name, state=StepState.PENDING)
        for name in names
    ]
