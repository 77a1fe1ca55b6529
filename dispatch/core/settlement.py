"""One report of an engine, held against the job: refused as stale, answered as before, or applied. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dispatch.core import endings, followers, lifecycle, planning
from dispatch.core.copying import replace
from dispatch.core.lifecycle import FailureRule
from dispatch.core.plans import Planned
from dispatch.core.publication import METADATA
from dispatch.core.records import Attempt, Graph, Job, Source, Task
from dispatch.core.texts import beside
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Ack, Complete, Fail, Release, Report, Settlement, Start
from protocol.media import MediaFacts
from protocol.recipes import Recipe
from protocol.results import Failure, Measured, StepReport
from protocol.states import AttemptState, JobState, StepState, TaskKind, TaskState

MOST_WITHOUT_FOLLOWERS = 2
"""A job of `analyze` and one more task has nobody who waits for that."""

SETTLED_BY = {"complete": AttemptState.DONE, "fail": AttemptState.FAILED, "release": AttemptState.RELEASED}


Original = Source | Failure | ErrorCode
"""A fetched original in its lasting place, why it cannot be taken, or the code that says: report it again later."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs from outside the graph. `taken` are (job_id, path) of files other tasks staged.

    `originals` are those that live attempts brought, by token.
    """

    now: float
    chance: float
    fitting_engines: Callable[[Task], int]
    taken: frozenset[tuple[str, str]] | set[tuple[str, str]] = frozenset()
    originals: Mapping[int, Original] = field(default_factory=dict)


def stale(report: Report) -> Settlement:
    message = "the lease is no longer live: drop the attempt"
    return Settlement(task_id=report.task_id, token=report.token, error=ErrorCode.STALE_LEASE, message=message)


def settle(graph: Graph, report: Report, digest: str | None, bench: Bench) -> tuple[Graph, Settlement]:
    """The graph after the report, and the answer to it."""
    attempt = graph.attempt(report.token)
    fine = Settlement(task_id=report.task_id, token=report.token, digest=digest)
    if not lifecycle.is_live(graph, attempt):
        return graph, _said_before(attempt, report, digest) or stale(report)
    match report:
        case Ack():
            return lifecycle.ack(graph, report.token, now=bench.now), fine
        case Start():
            return lifecycle.start(graph, report.token, now=bench.now), fine
        case Release():
            return lifecycle.release(graph, report.token, digest=digest or "", now=bench.now), fine
        case Fail():
            return _failed(graph, report, digest or "", bench), fine
        case Complete():
            return _completed(graph, report, digest or "", bench)


def _said_before(attempt: Attempt, report: Report, digest: str | None) -> Settlement | None:
    """The very call that settled it comes again, because its answer was lost: answered as the first time."""
    if digest is None or attempt.digest != digest:
        return None
    if attempt.state is SETTLED_BY[report.type]:
        return Settlement(task_id=report.task_id, token=report.token, digest=digest)
    if isinstance(report, Complete) and attempt.error_json is not None:
        return _refusal(report, Failure.model_validate_json(attempt.error_json))
    return None


def _refusal(report: Complete, why: Failure) -> Settlement:
    return Settlement(task_id=report.task_id, token=report.token, error=why.code, message=why.message)


def _failed(graph: Graph, report: Fail, digest: str, bench: Bench) -> Graph:
    task = graph.task(report.task_id)
    rule = FailureRule(bench.chance, bench.fitting_engines(task))
    return lifecycle.fail(graph, report.token, report.failure, rule, digest=digest, now=bench.now)


def _completed(graph: Graph, report: Complete, digest: str, bench: Bench) -> tuple[Graph, Settlement]:
    task, analysis = graph.task(report.task_id), report.result.analysis
    original = bench.originals.get(report.token)
    if isinstance(original, ErrorCode):
        message = "the storage cannot be reached: report it again"
        return graph, Settlement(task_id=report.task_id, token=report.token, error=original, message=message)
    wrong = _unacceptable(graph, task, report, bench)
    plans: followers.Plans | None = None
    if wrong is None and task.kind is TaskKind.ANALYZE and analysis is not None:
        job = replace(graph.job, media_json=analysis.model_dump_json(), source=_source_after(graph.job, original))
        graph = replace(graph, job=job)
        plans, wrong = _split(_plans(graph, bench))
    elif wrong is None and task.kind is TaskKind.LIVE and analysis is not None:
        source = replace(graph.job.source, size=analysis.size_bytes)
        graph = replace(graph, job=replace(graph.job, media_json=analysis.model_dump_json(), source=source))
    elif wrong is None and report.result.measured is not None and task.kind is TaskKind.MEASURE:
        found = graph.job.measured_json or report.result.measured.model_dump_json()  # others may be planned by it already
        graph = replace(graph, job=replace(graph.job, measured_json=found))
        plans, wrong = _split(_plans(graph, bench))
    if wrong is not None:
        refused = Fail(task_id=report.task_id, token=report.token, failure=wrong)
        return _failed(graph, refused, digest, bench), _refusal(report, wrong)
    finished = lifecycle.complete(graph, report, digest=digest, steps_json=_final_steps(task, report), now=bench.now)
    if plans is not None:
        finished = followers.put_plans(finished, plans, _fits(bench), now=bench.now)
    elif len(finished.tasks) > MOST_WITHOUT_FOLLOWERS:
        finished = followers.let_on(finished, _fits(bench), now=bench.now)
    finished = lifecycle.settle_job(finished, now=bench.now)
    if finished.job.state is JobState.COMPLETING and publishes_nothing(finished):
        finished = endings.promote(finished, outputs_json=None, now=bench.now)
    return finished, Settlement(task_id=report.task_id, token=report.token, digest=digest)


def _unacceptable(graph: Graph, task: Task, report: Complete, bench: Bench) -> Failure | None:
    """Why this result cannot be taken, whatever the engine says of it."""
    conflict = _conflict(graph, report, bench)
    if conflict is not None:
        message = f"{conflict} is made already, or stands where another file of the job has to lie"
        return Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.OUTPUT_CONFLICT, message=message)
    found = {TaskKind.ANALYZE: report.result.analysis, TaskKind.MEASURE: report.result.measured}
    if found.get(task.kind, report) is None:
        message = "the analysis came back empty"
        return Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.PLUGIN_FAILED, message=message)
    if graph.job.source.kind == "url":
        return _without_original(bench.originals.get(report.token))
    return None


def _without_original(original: Original | None) -> Failure | None:
    """A job by URL goes on only with its original in the storage."""
    if isinstance(original, Failure):
        return original
    if isinstance(original, Source):
        return None
    message = "the analysis came back without the original it fetched"
    return Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.PLUGIN_FAILED, message=message)


def _source_after(job: Job, original: Original | None) -> Source:
    """From here on a job by URL reads what was fetched, like an upload."""
    return original if job.source.kind == "url" and isinstance(original, Source) else job.source


def _conflict(graph: Graph, report: Complete, bench: Bench) -> str | None:
    """The first path that cannot lie in one directory with the rest: made twice, or a directory and a file."""
    if not report.result.files:
        return None
    job_id, seen = graph.job.job_id, {METADATA, *(row.path for row in graph.files)}
    directories = {above for file in report.result.files for above in _above(file.path)}
    for file in report.result.files:
        if file.path in seen or file.path in directories or (job_id, file.path) in bench.taken:
            return file.path
        seen.add(file.path)
    return next((above for above in sorted(directories) if above in seen or (job_id, above) in bench.taken), None)


def _above(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def publishes_nothing(graph: Graph) -> bool:
    """No task of it makes files (it only looks, or does nothing): the job completes in the same transaction."""
    return all(task.kind in (TaskKind.NOOP, TaskKind.ANALYZE) for task in graph.tasks)


def _final_steps(task: Task, report: Complete) -> str:
    told = {step.name: step for step in report.result.steps}
    if not told:
        return task.steps_json
    planned = planning.load_steps(task.steps_json)
    return planning.STEPS.dump_json(tuple(_final(step, told.get(step.name)) for step in planned)).decode()


def _final(planned: StepReport, told: StepReport | None) -> StepReport:
    """What dispatch skipped stays skipped; what the engine is silent about, or left open, was part of the work: done."""
    if planned.state is StepState.SKIPPED:
        return planned
    last = told or planned
    is_open = last.state in (StepState.PENDING, StepState.RUNNING)
    return last.model_copy(update={"state": StepState.COMPLETED, "progress": 1.0}) if is_open else last


def _split(outcome: followers.Plans | Failure) -> tuple[followers.Plans | None, Failure | None]:
    return (None, outcome) if isinstance(outcome, Failure) else (outcome, None)


def _plans(graph: Graph, bench: Bench) -> followers.Plans | Failure:
    """Not yet in the graph; an optional transcription, or an encode on a GPU, is asked for as the task it would be."""
    waiting = {task.kind: task for task in graph.tasks if task.state is TaskState.WAITING}
    job = graph.job
    measured = None if job.measured_json is None else Measured.model_validate_json(job.measured_json)

    def finds(plan: Planned[Recipe]) -> bool:
        task = waiting.get(TaskKind(plan.recipe.kind))
        return task is not None and bench.fitting_engines(followers.planned_task(task, plan)) > 0

    facts = MediaFacts.model_validate_json(job.media_json or "")
    profile = planning.load_profile(job.profile_json)
    came = replace(beside(job, profile), allows_damage=planning.allows_damage(graph.tasks))
    return followers.plan_job(profile, facts, finds, measured, came)


def _fits(bench: Bench) -> followers.Fits:
    return lambda task: bench.fitting_engines(task) > 0
