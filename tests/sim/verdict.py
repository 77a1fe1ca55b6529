"""What must be true of a world once it has healed and is quiet."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson
from sqlalchemy import Connection, select

from dispatch.app.assembly import Core
from dispatch.core.publication import METADATA, published_rows
from dispatch.core.records import Attempt, Job, StagedRow, Task, UsageRow
from dispatch.store import rows, schema
from protocol.errors import ErrorCode, FailureClass
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState
from tests.sim.box import Box
from tests.sim.plan import JobPlan, Nature
from tests.sim.storage import Disk
from tests.sim.tenant import Client
from tests.sim.tool import Bench
from tests.sim.uploader import content_of
from tests.sim.watch import LIVE, OVER, Watch

CHARGED = frozenset({FailureClass.ENGINE, FailureClass.INTERNAL})
MOST_DEATHS = 3


class Rows:
    """Everything the database holds at the end."""

    def __init__(self, connection: Connection) -> None:
        self.jobs = [rows.load_job(row) for row in connection.execute(select(schema.jobs))]
        self.tasks: list[Task] = [rows.TASKS.load(row) for row in connection.execute(select(schema.tasks))]
        self.attempts: list[Attempt] = [rows.ATTEMPTS.load(row) for row in connection.execute(select(schema.attempts))]
        self.staged: list[StagedRow] = [rows.STAGED.load(row) for row in connection.execute(select(schema.staged_files))]
        self.usage: list[UsageRow] = [rows.USAGE.load(row) for row in connection.execute(select(*schema.USAGE_SUMS))]
        self.deletions = [row[0] for row in connection.execute(select(schema.deletions.c.path))]
        self.events = [
            rows.load_event(row).new for row in connection.execute(select(schema.events).order_by(schema.events.c.seq))
        ]

    def tasks_of(self, job_id: str) -> list[Task]:
        return [task for task in self.tasks if task.job_id == job_id]


def of_jobs(found: Rows, clients: list[Client], bench: Bench) -> Iterator[str]:
    """Every job that was accepted is there once, and ended as it had to."""
    for client in clients:
        jobs = [job for job in found.jobs if orjson.loads(job.user_metadata_json)["number"] == client.plan.number]
        if client.is_purged:
            yield from _of_purged(client, found)
            continue
        if len(jobs) != 1 or set(client.accepted) != {jobs[0].job_id}:
            yield f"job {client.plan.number} was accepted as {client.accepted} and is {[job.job_id for job in jobs]}"
            continue
        yield from _of_job(jobs[0], found, client, bench)


def _of_purged(client: Client, found: Rows) -> Iterator[str]:
    """Nothing of it is left but its events."""
    left: tuple[Sequence[Job | Task | Attempt | StagedRow], ...] = (found.jobs, found.tasks, found.attempts, found.staged)
    for rows_of in left:
        yield from (f"{row.job_id} was purged, and left {row}" for row in rows_of if row.job_id in client.accepted)


def _of_job(job: Job, found: Rows, client: Client, bench: Bench) -> Iterator[str]:
    attempts = [attempt for attempt in found.attempts if attempt.job_id == job.job_id]
    told = [event.to_state for event in found.events if event.job_id == job.job_id and event.task_id is None and event.to_state]
    if told[-1] != job.state.value:
        yield f"{job.job_id} is {job.state}, its last event says {told[-1]}"
    if client.is_cancelled and job.state is not JobState.CANCELLED:
        yield f"{job.job_id} was cancelled and is {job.state}"
    # Evidence that comes after its lease ran out is refused with the report, and so not counted.
    late = sum(attempt.state is AttemptState.EXPIRED for attempt in attempts)
    heard = bench.deaths[job.job_id] - late
    if heard > MOST_DEATHS and not client.asked_retry:
        yield f"{job.job_id} cost {heard} engine processes"
    match job.state:
        case JobState.COMPLETED:
            yield from _of_completed(job, found, bench)
        case JobState.CANCELLED:
            if not client.asked_cancel:
                yield f"{job.job_id} was cancelled by nobody"
        case JobState.FAILED:
            yield from _of_failed(job, found, client.plan)
        case _:
            yield f"{job.job_id} is still {job.state}"


def _of_completed(job: Job, found: Rows, bench: Bench) -> Iterator[str]:
    """Once, and by the last holder of each task."""
    done = [a for a in found.attempts if a.job_id == job.job_id and a.state is AttemptState.DONE]
    kinds = sorted(attempt.kind for attempt in done if _is_current(attempt, found))
    if kinds != sorted(task.kind for task in found.tasks_of(job.job_id) if task.state is not TaskState.SKIPPED):
        yield f"{job.job_id} completed by attempts {kinds}"
    if bench.watch.finished[job.job_id] != 1:
        yield f"{job.job_id} completed {bench.watch.finished[job.job_id]} times"


def _is_current(attempt: Attempt, found: Rows) -> bool:
    return any(task.task_id == attempt.task_id and task.token == attempt.token for task in found.tasks)


def _of_failed(job: Job, found: Rows, plan: JobPlan) -> Iterator[str]:
    """A job fails for a reason that was put into it, never for what the world did to it."""
    error = orjson.loads(job.error_json or "{}")
    code, failure_class = error.get("code"), error.get("failure_class")
    charged = max(task.charged for task in found.tasks_of(job.job_id))
    is_expected = (
        (code == ErrorCode.JOB_EXPIRED and plan.ttl_s is not None)
        or (code == ErrorCode.TASK_POISONOUS and plan.nature is not Nature.HEALTHY)
        or (failure_class in plan.failures and failure_class not in CHARGED | {FailureClass.INFRA})
        or (failure_class in CHARGED and charged >= plan.max_attempts and _may_be_charged(plan))
    )
    if not is_expected:
        yield f"{job.job_id} failed with {code} ({failure_class}), charged {charged}; its plan was {plan}"


def _may_be_charged(plan: JobPlan) -> bool:
    injected = sum(failure in CHARGED for failure in plan.failures)
    return plan.nature is not Nature.HEALTHY or injected >= plan.max_attempts


def of_files(found: Rows, disk: Disk) -> Iterator[str]:
    """What is published is what the settled attempts staged, of completed jobs and no others; staging is empty."""
    expected = {}
    for job in found.jobs:
        staged = published_rows(job, (row for row in found.staged if row.job_id == job.job_id))
        if job.state is JobState.COMPLETED and staged:
            expected[f"{job.tenant}/processed/{job.job_id}"] = {row.path: row.sha256 for row in staged}
    for target in disk.published.keys() | expected.keys():
        files = {path: hashlib.sha256(content).hexdigest() for path, content in disk.below(target).items()}
        metadata = files.pop(METADATA, None)
        if files != expected.get(target) or metadata is None:
            yield f"{target} holds {sorted(files)}, expected were {sorted(expected.get(target, {}))}"
        if disk.below(target) != disk.published.get(target):
            yield f"{target} was changed after it was published"
    current = {(task.task_id, task.token) for task in found.tasks if task.state is TaskState.DONE}
    strays = [row for row in found.staged if (row.task_id, row.token) not in current]
    yield from (f"{row.path} of {row.job_id} is of no settled attempt" for row in strays)
    kept = {job.job_id for job in found.jobs if job.state is JobState.FAILED}
    left = [path for path in disk.files if path.startswith("staging/") and path.split("/")[1] not in kept]
    if left:
        yield f"staging still holds {left}"


def of_purges(found: Rows, clients: list[Client], disk: Disk) -> Iterator[str]:
    """No file of a job that was purged, and no path that still has to go."""
    gone = {job_id for client in clients if client.is_purged for job_id in client.accepted}
    yield from (f"{path} is left of a purged job" for path in disk.files if any(job_id in path for job_id in gone))
    yield from (f"{path} was forgotten by the duty that removes it" for path in found.deletions)


def of_originals(found: Rows, disk: Disk, bench: Bench) -> Iterator[str]:
    """A job by URL that is past its analysis has the very bytes that the settled attempt fetched."""
    kept = {job.job_id: job.source for job in found.jobs}
    for attempt in found.attempts:
        film = bench.films.get(attempt.token)
        if film is None or attempt.state is not AttemptState.DONE or attempt.kind is not TaskKind.ANALYZE:
            continue
        source = kept[attempt.job_id]
        if source.kind != "storage" or disk.files[source.path][0] != film:
            yield f"{attempt.job_id} is past its analysis; its original ({source}) is not what attempt {attempt.token} fetched"


def of_uploads(found: Rows, disk: Disk, clients: list[Client]) -> Iterator[str]:
    """A job of an upload has the bytes that its client sent, all of them and no others."""
    sources = {job.job_id: job.source for job in found.jobs}
    for client in clients:
        source = sources.get(client.accepted[-1]) if client.plan.pieces else None
        if source is None or source.kind != "storage":
            continue
        content = disk.files[source.path][0]
        if content != content_of(client.plan) or source.size != len(content):
            yield f"{client.accepted[-1]} is made of {content!r}, which is not what its client sent"


def of_usage(found: Rows, watch: Watch) -> Iterator[str]:
    """The sums are those of all jobs there ever were, each counted as it ended last."""
    told: Counter[tuple[str, str]] = Counter()
    for row in found.usage:
        counts = {
            "created": row.jobs_created,
            JobState.COMPLETED: row.jobs_completed,
            JobState.FAILED: row.jobs_failed,
            JobState.CANCELLED: row.jobs_cancelled,
            "bytes": row.input_bytes,
        }
        told.update({(row.tenant, str(what)): count for what, count in counts.items()})
    were: Counter[tuple[str, str]] = Counter()
    for job in watch.jobs.values():
        were[job.tenant, "created"] += 1
        if job.state in OVER:
            were[job.tenant, str(job.state)] += 1
            were[job.tenant, "bytes"] += job.source.size
    if told != were:
        yield f"usage says {dict(told)}, the jobs {dict(were)}"


def of_memory(found: Rows, core: Core) -> Iterator[str]:
    """When quiet, what dispatch has in memory is what the database says."""
    over = {job.job_id for job in found.jobs if job.state in OVER}
    ready = {task.task_id for task in found.tasks if task.state is TaskState.PENDING and task.job_id not in over}
    if core.scheduler.index.snapshot() != ready:
        yield f"the index knows {sorted(core.scheduler.index.snapshot())}, ready are {sorted(ready)}"
    live = {attempt.token for attempt in found.attempts if attempt.state in LIVE}
    if len(core.table) != len(live):
        yield f"{len(core.table)} leases are in memory, live are {sorted(live)}"


def of_registries(connection: Connection, cores: Sequence[Core]) -> Iterator[str]:
    """When quiet, every server knows the engines as the database does, whether it leads or not."""
    there = Counter(EngineState(state) for (state,) in connection.execute(select(schema.engines.c.state)))
    for core in cores:
        known = Counter({state: count for state, count in core.work.registry.count_states().items() if count})
        if known != there:
            yield f"{core.outside.server.server_id} knows {dict(known)} engines, there are {dict(there)}"


def of_boxes(boxes: list[Box]) -> Iterator[str]:
    """No engine holds what nobody waits for."""
    yield from (f"{box.own.name} still holds {sorted(box.disk.rows)}" for box in boxes if box.disk.rows)
