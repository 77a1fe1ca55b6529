"""One transaction over a Core connection: load graphs, save what differs, append events. Synchronous, no commit here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, func, select

from dispatch.core.copying import replace
from dispatch.core.records import Attempt, Delivery, Event, Graph, Job, NewEvent, ProfileRow, StagedRow, Task, WebhookEndpoint
from dispatch.core.usage import Tally
from dispatch.ports import Commit
from dispatch.store import rows, schema
from dispatch.store.accounts import AccountQueries
from dispatch.store.care import CareQueries
from dispatch.store.cluster import ClusterQueries
from dispatch.store.listing import ListingQueries
from dispatch.store.registry import RegistryQueries
from dispatch.store.sequences import take
from dispatch.store.statements import Lookup, Statement, Values, by_ids, inserting
from dispatch.store.updates import Columns, Update
from dispatch.store.uploads import UploadQueries
from dispatch.store.webhooks import Receivers, WebhookQueries
from protocol.states import HELD_TASK_STATES, TERMINAL_JOB_STATES, TaskKind

R = TypeVar("R")


UPDATE_JOB = Update(
    schema.jobs,
    Job,
    Columns(
        guards=("job_id", "state", "version"),
        keeps="job_id tenant profile_json input_json created_at max_attempts ttl_s key_id prefix finish_by",
        usual="state updated_at version progress eta_seconds started_at completed_at ended_at",
    ),
    rows.job_values_of,
)
UPDATE_TASK = Update(
    schema.tasks,
    Task,
    Columns(
        guards=("task_id", "state", "token", "version"),
        keeps="task_id job_id tenant kind ordinal created_at",
        usual="state version token engine_id not_before infra_failures steps_json",
    ),
    rows.TASKS.values_of,
)
UPDATE_ATTEMPT = Update(
    schema.attempts,
    Attempt,
    Columns(
        guards=("token", "state"),
        keeps="token task_id job_id engine_id boot_id request_id kind granted_at",
        usual="state acked_at started_at ended_at digest",
    ),
    rows.ATTEMPTS.values_of,
)
INSERT_JOB, INSERT_TASK = inserting(schema.jobs), inserting(schema.tasks)
INSERT_ATTEMPT, INSERT_EVENT = inserting(schema.attempts), inserting(schema.events)
INSERT_STAGED = inserting(schema.staged_files)

JOBS_BY_ID = Lookup(by_ids(schema.jobs, "job_id"))
TASKS_BY_JOB = Lookup(by_ids(schema.tasks, "job_id"))
ATTEMPTS_BY_TOKEN = Lookup(by_ids(schema.attempts, "token"))
STAGED_PATHS = Lookup(by_ids(schema.staged_files, "job_id", "job_id", "path"))
JOB_IDS = Lookup(by_ids(schema.tasks, "task_id", "task_id", "job_id"))
SELECT_LIVE = select(schema.attempts).where(schema.IS_LIVE)
SELECT_ALL_LIVE = Statement(SELECT_LIVE)
SELECT_LIVE_OF = Statement(SELECT_LIVE.where(schema.attempts.c.engine_id == bindparam("of_engine")), ("of_engine",))
SELECT_JOB_ATTEMPTS = Statement(
    select(schema.attempts).where(schema.attempts.c.job_id == bindparam("of_job")).order_by(schema.attempts.c.token), ("of_job",)
)
SELECT_STAGED = Statement(
    select(schema.staged_files).where(schema.staged_files.c.job_id == bindparam("of_job")).order_by(schema.staged_files.c.path),
    ("of_job",),
)
SELECT_READY = (
    select(schema.tasks)
    .join(schema.jobs, schema.jobs.c.job_id == schema.tasks.c.job_id)
    .where(schema.IS_PENDING, schema.jobs.c.state.not_in([s.value for s in TERMINAL_JOB_STATES]))
)
SELECT_EVENTS = select(schema.events).where(schema.events.c.seq > bindparam("after")).order_by(schema.events.c.seq)
SELECT_EVENTS_SINCE = Statement(SELECT_EVENTS, ("after",))


class SqlTransaction(RegistryQueries, ListingQueries, WebhookQueries, UploadQueries, AccountQueries, CareQueries, ClusterQueries):
    """Satisfies `dispatch.ports.Transaction`. Remembers what it changed, for the listeners of the commit."""

    def __init__(
        self,
        connection: Connection,
        receivers: Receivers | None = None,
        used_before: Tally | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`receivers` are those of the batch, who are told; `used_before` is what the batch used so far.

        `clock` stands in for the database's own.
        """
        super().__init__(connection)
        self._clock = clock
        self._facts = []
        self._audits = []
        self.forgotten = []
        self._active = None
        self.used, self.used_before = Tally(), used_before or Tally()
        self.put_profiles: list[ProfileRow] = []
        self.gone_profiles: list[str] = []
        self._receivers = receivers or Receivers()
        self._endpoints: list[WebhookEndpoint] = []
        self._gone_endpoints: list[str] = []
        self._deliveries: list[Delivery] = []
        self._pending_events: list[NewEvent] = []
        self._events: list[Event] = []
        self._jobs: list[Job] = []
        self._tasks: list[Task] = []
        self._attempts: list[Attempt] = []

    # --- jobs, tasks, attempts

    def graphs(self, job_ids: Iterable[str], *, attempts: Iterable[Attempt] = ()) -> dict[str, Graph]:
        """The jobs that exist, each with all its tasks, the attempts that hold them, and those of `attempts` of its own."""
        ids = list(dict.fromkeys(job_ids))
        if not ids:
            return {}
        by_job: dict[str, list[Task]] = {}
        for row in TASKS_BY_JOB.rows(self._connection, ids):
            task = rows.TASKS.load(row)
            by_job.setdefault(task.job_id, []).append(task)
        for tasks in by_job.values():
            if len(tasks) > 1:
                tasks.sort(key=_ordinal)
        known = {attempt.token: attempt for attempt in attempts}
        holding = {t.token for tasks in by_job.values() for t in tasks if t.state in HELD_TASK_STATES}
        known |= self.attempts_of(holding - known.keys())
        held: dict[str, list[Attempt]] = {}
        for attempt in known.values():
            held.setdefault(attempt.job_id, []).append(attempt)
        found = map(rows.load_job, JOBS_BY_ID.rows(self._connection, ids))
        return {j.job_id: Graph(j, tuple(by_job.get(j.job_id, ())), tuple(held.get(j.job_id, ()))) for j in found}

    def attempts_of(self, tokens: Iterable[int]) -> dict[int, Attempt]:
        loaded = map(rows.ATTEMPTS.load, ATTEMPTS_BY_TOKEN.rows(self._connection, tokens))
        return {attempt.token: attempt for attempt in loaded}

    def live_attempts(self, engine_id: str | None = None) -> list[Attempt]:
        if engine_id is None:
            found = SELECT_ALL_LIVE.rows(self._connection)
        else:
            found = SELECT_LIVE_OF.rows(self._connection, (engine_id,))
        return [rows.ATTEMPTS.load(row) for row in found]

    def job_attempts(self, job_id: str) -> list[Attempt]:
        return [rows.ATTEMPTS.load(row) for row in SELECT_JOB_ATTEMPTS.rows(self._connection, (job_id,))]

    def jobs_of_tasks(self, task_ids: Iterable[str]) -> dict[str, str]:
        return {row[0]: row[1] for row in JOB_IDS.rows(self._connection, task_ids)}

    def staged_paths(self, job_ids: Iterable[str]) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in STAGED_PATHS.rows(self._connection, job_ids)}

    def staged(self, job_id: str) -> list[StagedRow]:
        return [rows.STAGED.load(row) for row in SELECT_STAGED.rows(self._connection, (job_id,))]

    def ready_tasks(self) -> list[Task]:
        return [rows.TASKS.load(row) for row in self._connection.execute(SELECT_READY)]

    def ready_tasks_of(self, kind: TaskKind) -> list[Task]:
        return [rows.TASKS.load(row) for row in self._connection.execute(SELECT_READY.where(schema.tasks.c.kind == kind.value))]

    # --- saving

    def insert(self, graphs: Iterable[Graph]) -> None:
        """New jobs with their tasks and events."""
        new = list(graphs)
        tasks = [task for graph in new for task in graph.tasks]
        INSERT_JOB.run_many(self._connection, [rows.job_values(graph.job) for graph in new])
        INSERT_TASK.run_many(self._connection, [rows.TASKS.values(task) for task in tasks])
        for graph in new:
            self.used.take_in(graph.job)
            self._jobs.append(graph.job)
        self._tasks.extend(tasks)
        self.append(event for graph in new for event in graph.events)

    def save(self, before: Iterable[Graph], after: Iterable[Graph]) -> None:
        """Write each row that differs, guarded by what was loaded, a statement per table. Raises StaleRow."""
        jobs: list[tuple[Job, Job]] = []
        tasks: list[tuple[Task, Task]] = []
        attempts: list[tuple[Attempt, Attempt]] = []
        new_attempts: list[Values] = []
        files: list[Values] = []
        for old, new in zip(before, after, strict=True):
            if old is new:
                continue
            self.used.follow(old.job, new.job)
            self._save_job(old, new, jobs)
            self._save_tasks(old, new, tasks)
            self._save_attempts(old, new, attempts, new_attempts)
            files.extend(map(rows.STAGED.values, new.files))
            self._forget_files(new)
            self.append(new.events)
        UPDATE_TASK.run(self._connection, tasks)
        INSERT_ATTEMPT.run_many(self._connection, new_attempts)
        UPDATE_ATTEMPT.run(self._connection, attempts)
        UPDATE_JOB.run(self._connection, jobs)
        INSERT_STAGED.run_many(self._connection, files)

    def _save_job(self, old: Graph, new: Graph, out: list[tuple[Job, Job]]) -> None:
        """Any change of a task, an attempt or an output raises the job's version: its ETag follows from it."""
        self.touch(job := _raised(new.job, old.job.version))
        out.append((old.job, job))

    def touch(self, job: Job) -> None:
        self._jobs.append(job)

    def _save_tasks(self, old: Graph, new: Graph, out: list[tuple[Task, Task]]) -> None:
        for was, task in zip(old.tasks, new.tasks, strict=True):
            if was is task:
                continue
            raised = _raised(task, was.version)
            out.append((was, raised))
            self._tasks.append(raised)

    def _save_attempts(self, old: Graph, new: Graph, changed: list[tuple[Attempt, Attempt]], made: list[Values]) -> None:
        known = {attempt.token: attempt for attempt in old.attempts}
        for attempt in new.attempts:
            was = known.get(attempt.token)
            if was is attempt:
                continue
            if was is None:
                made.append(rows.ATTEMPTS.values(attempt))
            else:
                changed.append((was, attempt))
            self._attempts.append(attempt)

    def _forget_files(self, new: Graph) -> None:
        for task_id in new.lost_files_of:
            files = schema.staged_files
            self._connection.execute(delete(files).where(files.c.job_id == new.job.job_id, files.c.task_id == task_id))

    # --- events and sequences

    @property
    def has_unnumbered(self) -> bool:
        return bool(self._pending_events or self._audits)

    def append(self, events: Iterable[NewEvent]) -> None:
        self._pending_events.extend(events)

    def flush(self) -> None:
        self.flush_events()
        self.flush_audits()

    def flush_events(self) -> None:
        """Number the events and write them, with who is to be told. Called once, just before the commit."""
        if not self._pending_events:
            return
        made = self.number_events(iter(self._take("event", len(self._pending_events))))
        INSERT_EVENT.run_many(self._connection, [rows.event_values(event) for event in made])
        self.make_deliveries(made, self._jobs)

    def number_events(self, numbers: Iterator[int]) -> list[Event]:
        """As many of the numbers as there are events, which are still to be written."""
        made = [Event(next(numbers), new) for new in self._pending_events]
        self._events.extend(made)
        self._pending_events.clear()
        return made

    @property
    def unnumbered(self) -> int:
        return len(self._pending_events)

    def next_tokens(self, count: int) -> range:
        return self._take("token", count)

    def _take(self, which: str, count: int) -> range:
        return take(self._connection, which, count)

    def events_after(self, seq: int, *, job_id: str | None, tenant: str | None, limit: int) -> list[Event]:
        statement = SELECT_EVENTS.limit(limit)
        if job_id is not None:
            statement = statement.where(schema.events.c.job_id == job_id)
        if tenant is not None:
            statement = statement.where(schema.events.c.tenant == tenant)
        return [rows.load_event(row) for row in self._connection.execute(statement, {"after": seq})]

    def last_seq(self) -> int:
        return int(self._connection.execute(select(func.max(schema.events.c.seq))).scalar() or 0)

    # --- the commit

    @property
    def jobs(self) -> list[Job]:
        return self._jobs

    def changes(self) -> Commit:
        return Commit(
            tuple(self._events),
            tuple(self._jobs),
            tuple(self._tasks),
            tuple(self._attempts),
            tuple(self._engines),
            tuple(self._tenants),
            tuple(self._gone_engines),
            tuple(self._deliveries),
            tuple(self._endpoints),
            tuple(self._gone_endpoints),
            tuple(self.put_profiles),
            tuple(self.gone_profiles),
            tuple(self._keys),
            tuple(self._facts),
        )


def flush_all(connection: Connection, transactions: Sequence[SqlTransaction]) -> None:
    """What each would do by `flush`, with one statement for the events of all: others wait meanwhile."""
    numbers = iter(take(connection, "event", sum(transaction.unnumbered for transaction in transactions)))
    numbered = [(transaction, transaction.number_events(numbers)) for transaction in transactions]
    INSERT_EVENT.run_many(connection, [rows.event_values(event) for _, made in numbered for event in made])
    for transaction, made in numbered:
        transaction.make_deliveries(made, transaction.jobs)
        transaction.flush_audits()


def _ordinal(task: Task) -> int:
    return task.ordinal


def _raised(record: R, version: int) -> R:
    return replace(record, version=version + 1)  # type: ignore[type-var]  # jobs and tasks both have a version
