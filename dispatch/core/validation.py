"""Looking at an input without making anything of it: a job of nobody with one task, and what its end tells. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson

from dispatch.core import endings, planning
from dispatch.core.copying import replace
from dispatch.core.estimating import SpeedOf, estimate
from dispatch.core.followers import Finds, plan_job
from dispatch.core.ladder import allows
from dispatch.core.planning import Demands, Frame
from dispatch.core.plans import LeftOut, Plan, Planned
from dispatch.core.records import NO_TENANT, Graph, Job, Source
from dispatch.core.views import video_info
from protocol.care import Problem, ValidationReply
from protocol.encoding import Hdr
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import AnalyzeRecipe, InputLimits
from protocol.results import Failure
from protocol.sounds import Channels, Tracks
from protocol.states import JobState

HIGHEST_PRIORITY = 10
STEREO = 2
NOT_BROUGHT = "the attachments were not looked at; of a film made of several inputs this tells of the job's own alone"
NOT_THERE_YET = "a live stream is looked at when it comes"


def graph_of(frame: Frame, source: Source, profile_json: str, limits: InputLimits, demands: Demands) -> Graph:
    """A job that is over with its analysis: once, at the highest priority, in no tenant's name."""
    profile = planning.load_profile(profile_json)
    task = planning.first_tasks(frame, profile_json, limits, demands)[0]
    recipe = AnalyzeRecipe(limits=_any_size(planning.limits_of(profile, limits)), allows_damage=frame.allows_damage)
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


def of_one_input(profile: Profile) -> Profile:
    """As if the job's own input were all of the film: only that is looked at."""
    return profile.model_copy(update={"concat": ()}) if profile.concat else profile


def _any_size(limits: InputLimits) -> InputLimits:
    """A picture too small for the profile is measured all the same; planning then tells what is wrong with it."""
    return limits.model_copy(update={"min_width": 1, "min_height": 1})


@dataclass(frozen=True, slots=True)
class Farm:
    """What is known of the engines: whether one could do a plan, and how fast they encode."""

    finds: Finds = lambda plan: False
    speed_of: SpeedOf = lambda pace: None


NO_FARM = Farm()


def reply_of(job: Job, profiles: Iterable[Profile], farm: Farm = NO_FARM) -> ValidationReply | None:
    """What the end of the job tells of its input; None when it tells nothing, because an engine or the farm failed."""
    problems = _problems(job)
    if problems is None:
        return None
    profile = planning.load_profile(job.profile_json)
    facts = None if job.media_json is None else MediaFacts.model_validate_json(job.media_json)
    planned = None if facts is None or problems else plan_job(profile, facts, farm.finds)
    plans = [] if planned is None or isinstance(planned, Failure) else list(planned.values())
    return ValidationReply(
        valid=not problems,
        video_info=video_info(job),
        transcoding_options=options(facts, (profile, *profiles)),
        problems=problems,
        estimate=estimate([plan for plan in plans if isinstance(plan, Planned)], farm.speed_of) if plans else None,
        warnings=() if facts is None else _warnings(plans, profile, facts),
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


def _warnings(plans: Sequence[Plan], profile: Profile, facts: MediaFacts) -> tuple[str, ...]:
    """What is left out, each with its reason, and what of the source is lost on the way."""
    left_out = [plan.reason for plan in plans if isinstance(plan, LeftOut)]
    skipped = [f"{step.name}: {step.reason}" for plan in plans if isinstance(plan, Planned) for step in plan.steps if step.reason]
    return tuple(dict.fromkeys((*left_out, *skipped, *(text for holds, text in LOSSES if holds(profile, facts)))))


def _is_mapped(profile: Profile, facts: MediaFacts) -> bool:
    is_hdr = facts.video is not None and facts.video.is_hdr
    return is_hdr and any(rendition.hdr is Hdr.TONE_MAP for rendition in profile.renditions)


def _is_mixed_down(profile: Profile, facts: MediaFacts) -> bool:
    keeps = profile.sound is not None and profile.sound.channels is Channels.KEEP
    return not keeps and bool(profile.renditions) and any(track.channels > STEREO for track in facts.audio[:1])


def _loses_tracks(profile: Profile, facts: MediaFacts) -> bool:
    takes_more = profile.sound is not None and (profile.sound.tracks is Tracks.ALL or bool(profile.sound.languages))
    return len(facts.audio) > 1 and not takes_more


LOSSES: tuple[tuple[Callable[[Profile, MediaFacts], bool], str], ...] = (
    (_is_mapped, "the picture is HDR and will be mapped to BT.709; renditions with hdr = keep are not"),
    (_is_mixed_down, "the sound has more than two channels and will be mixed down; sound.channels = keep does not"),
    (_loses_tracks, "only the first sound track will be taken; sound.tracks = all takes the others too"),
)
