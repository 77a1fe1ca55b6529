"""Looking at an input without making anything of it: a job of nobody with one task, and what its end tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import orjson

from dispatch.core import endings, planning
from dispatch.core.copying import replace
from dispatch.core.followers import plan_job
from dispatch.core.ladder import allows
from dispatch.core.planning import Demands, Frame
from dispatch.core.plans import Planned
from dispatch.core.records import NO_TENANT, Graph, Job, Source
from dispatch.core.views import video_info
from protocol.care import Estimate, Problem, ValidationReply
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import (
    AnalyzeRecipe,
    HandbrakeRecipe,
    InputLimits,
    PackageRecipe,
    PlannedRendition,
    Recipe,
    TranscodeRecipe,
)
from protocol.results import Failure
from protocol.states import JobState

HIGHEST_PRIORITY = 10
BITS_PER_PIXEL = 0.09
"""x264 `medium` on 12 s of Big Buck Bunny: 0.094 at 360p (CRF 23), 0.093 at 720p (CRF 22). Other film may need twice that."""


def graph_of(frame: Frame, source: Source, profile_json: str, limits: InputLimits, demands: Demands) -> Graph:
    """A job that is over with its analysis: once, at the highest priority, in no tenant's name."""
    profile = planning.load_profile(profile_json)
    task = planning.first_tasks(frame, profile_json, limits, demands)[0]
    recipe = AnalyzeRecipe(limits=_any_size(planning.limits_of(profile, limits)))
    job = Job(
        job_id=frame.job_id,
        tenant=NO_TENANT,
        state=JobState.PENDING,
        priority=HIGHEST_PRIORITY,
        profile_json=profile_json,
        source=source,
        input_json=None,
        user_metadata_json="{}",
        max_attempts=1,
        ttl_s=3600.0,
        ttl_from=frame.created_at,
        created_at=frame.created_at,
        updated_at=frame.created_at,
    )
    return endings.created(job, (replace(task, recipe_json=recipe.model_dump_json()),))


def _any_size(limits: InputLimits) -> InputLimits:
    """A picture too small for the profile is measured all the same; planning then tells what is wrong with it."""
    return limits.model_copy(update={"min_width": 1, "min_height": 1})


def reply_of(job: Job, profiles: Iterable[Profile]) -> ValidationReply | None:
    """What the end of the job tells of its input; None when it tells nothing, because an engine or the farm failed."""
    problems = _problems(job)
    if problems is None:
        return None
    profile = planning.load_profile(job.profile_json)
    facts = None if job.media_json is None else MediaFacts.model_validate_json(job.media_json)
    return ValidationReply(
        valid=not problems,
        video_info=video_info(job),
        transcoding_options=options(facts, (profile, *profiles)),
        problems=problems,
        estimate=None if facts is None or problems else _estimate(profile, facts),
    )


def refused(code: ErrorCode, message: str, profiles: Iterable[Profile]) -> ValidationReply:
    """An input that is refused before an engine sees it."""
    problem = Problem(code=code, message=message)
    nothing = options(None, profiles)
    return ValidationReply(valid=False, video_info=None, transcoding_options=nothing, problems=(problem,), estimate=None)


def _problems(job: Job) -> tuple[Problem, ...] | None:
    if job.state is JobState.COMPLETED:
        return ()
    error = orjson.loads(job.error_json or "{}")
    if job.state is not JobState.FAILED or error.get("failure_class") != FailureClass.INPUT:
        return None
    return (Problem(code=ErrorCode(error["code"]), message=error["message"]),)


def options(facts: MediaFacts | None, profiles: Iterable[Profile]) -> dict[str, bool]:
    """Whether each rendition any profile knows can be made, the first profile's word before the others'."""
    video = None if facts is None else facts.video
    can: dict[str, bool] = {}
    for rendition in (rendition for profile in profiles for rendition in profile.renditions):
        can.setdefault(f"can_{rendition.name}", video is not None and allows(rendition, video))
    return {**can, "can_extract_audio": facts is not None and bool(facts.audio)}


def _estimate(profile: Profile, facts: MediaFacts) -> Estimate | None:
    """Of everything that would be made, but for a transcription that may find no engine."""
    plans = plan_job(profile, facts, lambda plan: False)
    if isinstance(plans, Failure):
        return None
    planned = [plan for plan in plans.values() if isinstance(plan, Planned)]
    seconds = sum(plan.cost_s for plan in planned)
    return Estimate(seconds=round(seconds, 1), bytes=round(sum(_bits_of(plan.recipe, facts) for plan in planned) / 8))


def _bits_of(recipe: Recipe, facts: MediaFacts) -> float:
    """Each rendition as a file and once more as its segments, and the sound; pictures, text and playlists weigh nothing."""
    match recipe:
        case TranscodeRecipe():
            audio = recipe.audio.audio.bitrate * float(Fraction(facts.duration)) if recipe.audio is not None else 0.0
            return audio + sum(_rendition_bits(r, facts) * (1 if r.playlist is None else 2) for r in recipe.renditions)
        case HandbrakeRecipe() | PackageRecipe():
            return sum(_rendition_bits(rendition, facts) for rendition in recipe.renditions)
        case _:
            return 0.0


def _rendition_bits(planned: PlannedRendition, facts: MediaFacts) -> float:
    rate = float(Fraction(facts.video.frame_rate)) if facts.video is not None else 0.0
    sound = planned.rendition.audio.bitrate if facts.audio else 0
    picture = min(BITS_PER_PIXEL * planned.width * planned.height * rate, facts.bitrate or float("inf"))
    return (picture + sound) * float(Fraction(facts.duration))
