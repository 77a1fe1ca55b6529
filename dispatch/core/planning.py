"""The tasks of a job as it is submitted: which kinds its profile takes, and what is known of each before `analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter

from dispatch.core import live_planning
from dispatch.core.picturing import parts_of
from dispatch.core.records import Task
from protocol import steps as step_names
from protocol.media import LiveInput
from protocol.profiles import Profile, Tool
from protocol.recipes import AnalyzeRecipe, InputLimits, LiveRecipe, NoopRecipe, Recipe
from protocol.results import StepReport
from protocol.states import StepState, TaskKind, TaskState

ANALYZE_COST_S, NOOP_COST_S = 1.0, 0.01
SMALLEST_PICTURE = 16
"""Pixels, either way: for what is made of any picture, such as thumbnails. Below that scalers have nothing to work with."""

RECIPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)
STEPS: TypeAdapter[tuple[StepReport, ...]] = TypeAdapter(tuple[StepReport, ...])


@dataclass(frozen=True, slots=True)
class Demands:
    """What a submission asks of engines, beyond what the work itself needs; both sorted."""

    needs: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What the tasks of one job share. `task_ids` are fresh ids, as many as `task_kinds` gives.

    Whether a job allows damage is kept in the recipe of its `analyze`.
    """

    job_id: str
    tenant: str
    priority: int
    created_at: float
    task_ids: tuple[str, ...]
    has_thumbnail: bool = False
    allows_damage: bool = False


def task_kinds(profile: Profile, has_thumbnail: bool = False) -> tuple[TaskKind, ...]:
    """In the order of their ordinals; one comes after everything it reads. A client's own thumbnail is encoded anew by
    `transcode`."""
    if profile.is_noop:
        return (TaskKind.NOOP,)
    if profile.live is not None:
        return (TaskKind.LIVE,)
    by_handbrake = profile.tool is Tool.HANDBRAKE and bool(profile.renditions)
    pictures = bool(profile.renditions) and not by_handbrake
    besides = (profile.audio, profile.thumbnails, profile.sprite, profile.subtitles, profile.transcription)
    wanted = (
        (TaskKind.MEASURE, needs_measuring(profile)),
        (TaskKind.HANDBRAKE, by_handbrake),
        (TaskKind.TRANSCODE, pictures or has_thumbnail or any(besides)),
        (TaskKind.FRAMES, profile.frames),
        (TaskKind.TRANSCRIBE, profile.transcription),
        (TaskKind.PACKAGE, profile.packaging),
    )
    return (TaskKind.ANALYZE, *(kind for kind, is_wanted in wanted if is_wanted))


def needs_measuring(profile: Profile) -> bool:
    """Whether something must be found out of the film first, or is asked for itself."""
    by_result = profile.per_title or (profile.picture is not None and profile.picture.crop_black)
    levels = profile.sound is not None and profile.sound.loudness is not None
    aimed = any(rendition.target is not None for rendition in profile.renditions)
    return bool(profile.content or profile.compare or by_result or levels or aimed)


@lru_cache(maxsize=256)
def load_profile(profile_json: str) -> Profile:
    return Profile.model_validate_json(profile_json)


@lru_cache(maxsize=256)
def _first_recipe(profile_json: str, limits: InputLimits, kind: TaskKind, allows_damage: bool) -> str | None:
    profile = load_profile(profile_json)
    match kind:
        case TaskKind.NOOP:
            return NoopRecipe(seconds=profile.noop_seconds or 0.0).model_dump_json()
        case TaskKind.ANALYZE:
            held, parts = limits_of(profile, limits), parts_of(profile)
            return AnalyzeRecipe(limits=held, parts=parts, allows_damage=allows_damage).model_dump_json()
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


def optional_speech(profile: Profile) -> bool:
    """Whether the job is complete without its transcription. One that makes nothing else is not."""
    others = (profile.renditions, profile.audio, profile.thumbnails, profile.sprite, profile.frames, profile.subtitles)
    return profile.transcription is not None and not profile.transcription.required and any(others)


def limits_of(profile: Profile, limits: InputLimits) -> InputLimits:
    """The server's limits, with the smallest picture and the streams this profile can work with.

    Where it makes no rendition that is the smallest of any.
    """
    if not profile.renditions:
        pictures = (profile.thumbnails, profile.sprite, profile.frames, profile.compare)
        needs_video = any(part is not None for part in pictures)
        needs_audio = profile.audio is not None or (profile.transcription is not None and not optional_speech(profile))
        needs = {"needs_video": needs_video, "needs_audio": needs_audio}
        return limits.model_copy(update={"min_width": SMALLEST_PICTURE, "min_height": SMALLEST_PICTURE, **needs})
    width = min(r.min_source_width for r in profile.renditions)
    height = min(r.min_source_height for r in profile.renditions)
    return limits.model_copy(update={"min_width": width, "min_height": height, "needs_video": True, "needs_audio": False})


def first_tasks(
    frame: Frame, profile_json: str, limits: InputLimits, demands: Demands, live: LiveInput | None = None
) -> tuple[Task, ...]:
    """The job's tasks at submit: the first is pending, its known successors wait. A stream has but one."""
    profile = load_profile(profile_json)
    if live is not None:
        return (_streaming(frame, profile_json, demands, live_planning.plan(profile, live)),)
    kinds = task_kinds(profile, frame.has_thumbnail)
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
            recipe_json=_first_recipe(profile_json, limits, kind, frame.allows_damage),
            steps_json=_pending_steps(profile_json, kind),
        )
        for ordinal, (kind, task_id) in enumerate(zip(kinds, frame.task_ids, strict=True))
    )


def allows_damage(tasks: Sequence[Task]) -> bool:
    """As the job's submission said."""
    first = tasks[0]
    if first.kind is not TaskKind.ANALYZE or first.recipe_json is None:
        return False
    recipe = RECIPE.validate_json(first.recipe_json)
    return isinstance(recipe, AnalyzeRecipe) and recipe.allows_damage


def _streaming(frame: Frame, profile_json: str, demands: Demands, recipe: LiveRecipe) -> Task:
    return Task(
        task_id=frame.task_ids[0],
        job_id=frame.job_id,
        tenant=frame.tenant,
        kind=TaskKind.LIVE,
        ordinal=0,
        state=TaskState.PENDING,
        priority=frame.priority,
        needs=tuple(sorted({f"operation:{TaskKind.LIVE}", *live_planning.NEEDS, *demands.needs})),
        tags=demands.tags,
        cost_s=live_planning.COST_S,
        created_at=frame.created_at,
        recipe_json=recipe.model_dump_json(),
        steps_json=_pending_steps(profile_json, TaskKind.LIVE),
    )
