"""One report of an engine, held against the job: refused as stale, answered as before, or applied. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from dispatch.core import endings, lifecycle, planning
from dispatch.core.lifecycle import FailureRule
from dispatch.core.records import Attempt, Graph, Task
from dispatch.core.task_machine import advance
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Ack, Complete, Fail, Release, Report, Settlement, Start
from protocol.results import Failure, StepReport
from protocol.states import AttemptState, JobState, StepState, TaskKind, TaskState

SETTLED_BY = {"complete": AttemptState.DONE, "fail": AttemptState.FAILED, "release": AttemptState.RELEASED}


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs from outside the graph. `taken` are (job_id, path) of files other tasks staged."""

    now: float
    chance: float
    fitting_engines: Callable[[Task], int]
    taken: frozenset[tuple[str, str]] | set[tuple[str, str]] = frozenset()


def digest_of(report: Report) -> str | None:
    """The digest of a report that settles; None for one that does not."""
    return None if isinstance(report, Ack | Start) else hashlib.sha256(report.model_dump_json().encode()).hexdigest()


def stale(report: Report) -> Settlement:
    message = "the lease is no longer live: drop the attempt"
    return Settlement(task_id=report.task_id, token=report.token, error=ErrorCode.STALE_LEASE, message=message)


def settle(graph: Graph, report: Report, digest: str | None, bench: Bench) -> tuple[Graph, Settlement]:
    """The graph after the report, and the answer to it."""
    attempt = graph.attempt(report.token)
    fine = Settlement(task_id=report.task_id, token=report.token)
    if not lifecycle.is_live(graph, attempt):
        return graph, fine if _is_repeat(attempt, report, digest) else stale(report)
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


def _is_repeat(attempt: Attempt, report: Report, digest: str | None) -> bool:
    """The very call that settled it comes again, because its answer was lost: answered as the first time."""
    return digest is not None and attempt.digest == digest and attempt.state is SETTLED_BY[report.type]


def _failed(graph: Graph, report: Fail, digest: str, bench: Bench) -> Graph:
    task = graph.task(report.task_id)
    rule = FailureRule(bench.chance, bench.fitting_engines(task))
    return lifecycle.fail(graph, report.token, report.failure, rule, digest=digest, now=bench.now)


def _completed(graph: Graph, report: Complete, digest: str, bench: Bench) -> tuple[Graph, Settlement]:
    task = graph.task(report.task_id)
    failure = _unacceptable(graph, task, report, bench)
    if failure is not None:
        refused = Fail(task_id=report.task_id, token=report.token, failure=failure)
        answer = Settlement(task_id=report.task_id, token=report.token, error=failure.code, message=failure.message)
        return _failed(graph, refused, digest, bench), answer
    finished = lifecycle.complete(graph, report, digest=digest, steps_json=_final_steps(task, report), now=bench.now)
    if task.kind is TaskKind.ANALYZE:
        finished = _analyzed(finished, report, bench)
    if finished.job.state is not JobState.FAILED:
        finished = lifecycle.settle_job(finished, now=bench.now)
    if finished.job.state is JobState.COMPLETING and publishes_nothing(finished):
        finished = endings.promote(finished, outputs_json=None, now=bench.now)
    return finished, Settlement(task_id=report.task_id, token=report.token)


def _unacceptable(graph: Graph, task: Task, report: Complete, bench: Bench) -> Failure | None:
    """Why this result cannot be taken, whatever the engine says of it."""
    conflict = next((f.path for f in report.result.files if (graph.job.job_id, f.path) in bench.taken), None)
    if conflict is not None:
        message = f"another task of the job already made {conflict}"
        return Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.OUTPUT_CONFLICT, message=message)
    if task.kind is TaskKind.ANALYZE and report.result.analysis is None:
        message = "the analysis came back empty"
        return Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.PLUGIN_FAILED, message=message)
    return None


def publishes_nothing(graph: Graph) -> bool:
    """No task of it makes files, so there is nothing to promote: the job completes in the same transaction."""
    return all(task.kind is TaskKind.NOOP for task in graph.tasks)


def _final_steps(task: Task, report: Complete) -> str:
    told = {step.name: step for step in report.result.steps}
    if not told:
        return task.steps_json
    planned = planning.STEPS.validate_json(task.steps_json)
    return planning.STEPS.dump_json(tuple(_final(step, told.get(step.name)) for step in planned)).decode()


def _final(planned: StepReport, told: StepReport | None) -> StepReport:
    """What dispatch skipped stays skipped; what the engine is silent about was part of the work and is done."""
    if planned.state is StepState.SKIPPED:
        return planned
    return told or planned.model_copy(update={"state": StepState.COMPLETED, "progress": 1.0})


def _analyzed(graph: Graph, report: Complete, bench: Bench) -> Graph:
    """The transaction that ends `analyze` plans what follows, so that a job is never all done in between."""
    analysis = report.result.analysis
    follower = next((task for task in graph.tasks if task.state is TaskState.WAITING), None)
    if analysis is None or follower is None:
        return graph
    planned = planning.plan_transcode(planning.load_profile(graph.job.profile_json), analysis)
    graph = replace(graph, job=replace(graph.job, media_json=analysis.model_dump_json()))
    ready = advance(follower, "inputs_ready")
    if isinstance(planned, Failure):
        graph = lifecycle.with_task(graph, ready, now=bench.now)
        return lifecycle.give_up(graph, ready, lifecycle.failure_json(planned), now=bench.now)
    ready = replace(
        ready,
        recipe_json=planned.recipe.model_dump_json(),
        needs=tuple(sorted({*follower.needs, *planned.needs})),
        cost_s=planned.cost_s,
        steps_json=planning.STEPS.dump_json(planned.steps).decode(),
    )
    return lifecycle.with_task(graph, ready, now=bench.now)
