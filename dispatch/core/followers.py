"""What the end of a task lets go on: its followers are readied, or skipped with a reason, in the same transaction. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dispatch.core import lifecycle
from dispatch.core.besides import NO_SPEECH, plan_frames, plan_package, plan_transcribe
from dispatch.core.copying import replace
from dispatch.core.encoders import gpus
from dispatch.core.ladder import plan_handbrake, plan_renditions, plan_transcode
from dispatch.core.measuring import plan_measure
from dispatch.core.picturing import shown
from dispatch.core.planning import STEPS, load_profile, load_steps, optional_speech, task_kinds
from dispatch.core.plans import NOTHING_BESIDE, Beside, Film, LeftOut, Plan, Planned
from dispatch.core.records import Graph, Task
from dispatch.core.task_machine import advance
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import Recipe, TranscodeRecipe
from protocol.results import Failure, Measured, StepReport
from protocol.states import TERMINAL_JOB_STATES, StepState, TaskKind, TaskState

ENDED = (TaskState.DONE, TaskState.SKIPPED)
READS: Mapping[TaskKind, tuple[TaskKind, ...]] = {
    TaskKind.TRANSCRIBE: (TaskKind.TRANSCODE,),
    TaskKind.PACKAGE: (TaskKind.HANDBRAKE, TaskKind.TRANSCODE),
}
"""Whose staged files a task reads, of those kinds that the job has. Every other task reads the input."""

PLANNED_BY: Mapping[TaskKind, tuple[TaskKind, ...]] = {
    TaskKind.TRANSCODE: (TaskKind.MEASURE,),
    TaskKind.HANDBRAKE: (TaskKind.MEASURE,),
    TaskKind.TRANSCRIBE: (TaskKind.MEASURE,),
    TaskKind.PACKAGE: (TaskKind.MEASURE,),
}
"""Whose result a task is planned by anew."""

Plans = Mapping[TaskKind, Plan]
Finds = Callable[[Planned[Recipe]], bool]
Fits = Callable[[Task], bool]
"""Whether an engine that is there could do this task."""


def plan_job(
    profile: Profile, facts: MediaFacts, finds: Finds, measured: Measured | None = None, beside: Beside = NOTHING_BESIDE
) -> Plans | Failure:
    """What becomes of every task behind `analyze`; once more with what `measure` found, where the job has one. `finds`
    tells whether a plan has an engine: an optional transcription without one is left out, and an encode goes to a GPU only
    where there is one for it.

    An input of which nothing would be made is refused.
    """
    plans: dict[TaskKind, Plan] = {}
    kinds = task_kinds(profile, beside.has_thumbnail)[1:]
    film = shown(Film(profile, facts, measured, beside=beside))
    if isinstance(film, Failure):
        return film
    for kind in sorted(kinds, key=lambda kind: kind is not TaskKind.TRANSCRIBE):  # what `transcode` stages depends on it
        plan = _plan(kind, film, facts, plans, finds)
        if isinstance(plan, Failure):
            return plan
        if kind is TaskKind.TRANSCRIBE and isinstance(plan, Planned) and optional_speech(profile) and not finds(plan):
            plan = LeftOut(NO_SPEECH)
        plans[kind] = plan
    if kinds and all(isinstance(plan, LeftOut) for plan in plans.values()):
        return _nothing(profile, facts)
    return plans


def _plan(kind: TaskKind, film: Film, whole: MediaFacts, plans: Plans, finds: Finds) -> Plan | Failure:
    """`whole` are the facts of the input, those of `film` of its timeline."""
    profile, facts = film.profile, film.facts
    match kind:
        case TaskKind.MEASURE:
            return _measure(film, whole, plans, finds)
        case TaskKind.TRANSCRIBE:
            return plan_transcribe(profile, facts)
        case TaskKind.HANDBRAKE:
            return plan_handbrake(film)
        case TaskKind.FRAMES:
            return plan_frames(film, whole)
        case TaskKind.PACKAGE:
            return _package(film, plans)
        case _:
            return _transcode(film, plans, finds)


def _package(film: Film, plans: Plans) -> Plan | Failure:
    """Of the renditions as the task before makes them."""
    encode = plans.get(TaskKind.TRANSCODE)
    made = encode.recipe if isinstance(encode, Planned) else None
    if isinstance(made, TranscodeRecipe) and made.renditions:
        return plan_package(film.profile, film.facts, made.renditions, made)
    ladder = plan_renditions(film)
    return ladder if isinstance(ladder, Failure) else plan_package(film.profile, film.facts, ladder)


def _measure(film: Film, facts: MediaFacts, plans: Plans, finds: Finds) -> Plan | Failure:
    """For the encode as it is going to be: with the encoders that there are. `facts` are those of the input."""
    encode = _transcode(film, plans, finds)
    recipe = encode.recipe if isinstance(encode, Planned) else None
    ladder = recipe.renditions if isinstance(recipe, TranscodeRecipe) else ()
    return encode if isinstance(encode, Failure) else plan_measure(film, facts, ladder)


def _transcode(film: Film, plans: Plans, finds: Finds) -> Plan | Failure:
    speech = isinstance(plans.get(TaskKind.TRANSCRIBE), Planned)
    for gpu in gpus(film.profile):
        plan = plan_transcode(film, speech=speech, gpu=gpu)
        if isinstance(plan, Planned) and finds(plan):
            return plan
    return plan_transcode(film, speech=speech)


def _nothing(profile: Profile, facts: MediaFacts) -> Failure:
    if facts.video is None:
        code, message = ErrorCode.INPUT_NO_VIDEO, f"profile {profile.name} makes pictures, and the input has none"
    else:
        code, message = ErrorCode.INPUT_FORMAT, f"profile {profile.name} makes sound, and the input has none"
    return Failure(failure_class=FailureClass.INPUT, code=code, message=message)


# --- what they do to the graph


def planned_task(task: Task, plan: Planned[Recipe]) -> Task:
    return replace(
        task,
        recipe_json=plan.recipe.model_dump_json(),
        needs=tuple(sorted({*task.needs, *plan.needs})),
        cost_s=plan.cost_s,
        steps_json=STEPS.dump_json(plan.steps).decode(),
    )


def put_plans(graph: Graph, plans: Plans, fits: Fits, *, now: float) -> Graph:
    """The end of `analyze`, and of `measure`: every task that waits learns what it is to do, and those that are fed are
    readied."""
    for task in graph.tasks:
        plan = plans.get(task.kind)
        if task.state is not TaskState.WAITING or plan is None:
            continue
        changed = planned_task(task, plan) if isinstance(plan, Planned) else skipped(task, plan.reason)
        graph = lifecycle.with_task(graph, changed, now=now)
    return let_on(graph, fits, now=now)


def let_on(graph: Graph, fits: Fits, *, now: float) -> Graph:
    """Tasks whose siblings have ended are readied. An optional one that nobody can do any more is skipped."""
    profile = load_profile(graph.job.profile_json)
    for task in graph.tasks:
        if task.state is not TaskState.WAITING or task.recipe_json is None or not is_fed(graph, task):
            continue
        is_spare = task.kind is TaskKind.TRANSCRIBE and optional_speech(profile) and not fits(task)
        graph = lifecycle.with_task(graph, skipped(task, NO_SPEECH) if is_spare else advance(task, "inputs_ready"), now=now)
    return graph


def do_without(graph: Graph, task_id: str, *, now: float) -> Graph:
    """A pending transcription that nobody can do is skipped where the job is complete without it."""
    task = graph.task(task_id)
    is_spare = task.kind is TaskKind.TRANSCRIBE and optional_speech(load_profile(graph.job.profile_json))
    if task.state is not TaskState.PENDING or graph.job.state in TERMINAL_JOB_STATES or not is_spare:
        return graph
    left = lifecycle.with_task(graph, replace(skipped(task, NO_SPEECH), not_before=0.0), now=now)
    return lifecycle.settle_job(left, now=now)


def is_fed(graph: Graph, task: Task) -> bool:
    """What the task reads of its siblings is staged, and what it is planned by is known: the fence before every grant."""
    before = (*sources_of(graph, task), *_siblings(graph, PLANNED_BY.get(task.kind, ())))
    return all(sibling.state in ENDED for sibling in before)


def sources_of(graph: Graph, task: Task) -> tuple[Task, ...]:
    """The siblings whose staged files it may read."""
    return _siblings(graph, READS.get(task.kind, ()))


def _siblings(graph: Graph, kinds: tuple[TaskKind, ...]) -> tuple[Task, ...]:
    return tuple(sibling for sibling in graph.tasks if sibling.kind in kinds)


def skipped(task: Task, reason: str) -> Task:
    """It will not be done, and neither will its steps."""
    steps = tuple(
        StepReport(name=step.name, state=StepState.SKIPPED, reason=step.reason or reason) for step in load_steps(task.steps_json)
    )
    return replace(advance(task, "skip"), steps_json=STEPS.dump_json(steps).decode())
