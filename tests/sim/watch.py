"""Promises held against every commit, the moment it is on disk, and against every answer dispatch gives an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable

import orjson

from dispatch.core.records import Attempt, Event, Job, Task
from dispatch.ports import Commit
from engine.core.attempts import Key
from protocol.errors import ErrorCode, FailureClass
from protocol.events import EventType
from protocol.leases import LeaseReply, LeaseRequest
from protocol.states import AttemptState as A
from protocol.states import JobState as J
from protocol.states import TaskKind
from protocol.states import TaskState as T
from tests.sim.ground import Broken, Ground
from tests.sim.measures import unplanned
from tests.sim.plan import Plan
from tests.sim.siblings import unfed

# The tables of the design, written out once more: the code's own are what is under test.
JOB_MOVES: dict[str | None, frozenset[str]] = {
    None: frozenset({J.PENDING}),
    J.PENDING: frozenset({J.ASSIGNED, J.CANCELLED, J.FAILED}),
    J.ASSIGNED: frozenset({J.TRANSCODING, J.COMPLETING, J.PENDING, J.RETRYING, J.FAILED, J.CANCELLED}),
    J.TRANSCODING: frozenset({J.COMPLETING, J.RETRYING, J.FAILED, J.CANCELLED}),
    J.COMPLETING: frozenset({J.COMPLETED, J.RETRYING, J.FAILED}),
    J.RETRYING: frozenset({J.PENDING, J.ASSIGNED, J.TRANSCODING, J.COMPLETING, J.FAILED, J.CANCELLED}),
    J.FAILED: frozenset({J.RETRYING}),
    J.COMPLETED: frozenset(),
    J.CANCELLED: frozenset(),
}
TASK_MOVES: dict[str, frozenset[str]] = {
    T.WAITING: frozenset({T.PENDING, T.SKIPPED, T.CANCELLED}),
    T.PENDING: frozenset({T.ASSIGNED, T.SKIPPED, T.FAILED, T.CANCELLED}),
    T.ASSIGNED: frozenset({T.RUNNING, T.DONE, T.PENDING, T.FAILED, T.CANCELLED}),
    T.RUNNING: frozenset({T.DONE, T.PENDING, T.FAILED, T.CANCELLED}),
    T.FAILED: frozenset({T.PENDING}),
    T.DONE: frozenset({T.PENDING}),
    T.CANCELLED: frozenset(),
    T.SKIPPED: frozenset(),
}
LIVE = frozenset({A.GRANTED, A.ACKED, A.RUNNING})
BEGUN = frozenset({T.PENDING, T.ASSIGNED, T.RUNNING, T.DONE})
OVER = frozenset({J.COMPLETED, J.FAILED, J.CANCELLED})
NEVER_RETRIED = frozenset({FailureClass.INPUT, FailureClass.POLICY})
LEAST_SANDBOX = 2
LAG_S = 4.0
"""Memory follows the database by so much at the most: a slow commit, and those in front of it."""


class Watch:
    """A CommitListener. `numbers` tells a job's number in the plan; `finished` counts JobFinished events.

    `refused` are tokens that an engine was told not to keep, or not that it keeps them. `stored` are the paths of files.
    """

    def __init__(self, ground: Ground, plan: Plan, stored: Container[str]) -> None:
        self._ground, self._plan, self._stored = ground, plan, stored
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[int, Attempt] = {}
        self.numbers: dict[str, int] = {}
        self.finished: Counter[str] = Counter()
        self._told: dict[str, str] = {}
        self._last_seq = self._last_token = 0
        self._renewed: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._gone: set[str] = set()
        self._leaving: Counter[str] = Counter()
        self._settled: dict[tuple[int, str], object] = {}
        self._up_since = 0.0
        self._in_memory: set[int] = set()
        self._sandboxes = {own.name: own.sandbox for own in plan.engines}
        self._tiers: dict[str, int] = {}
        self.refused: set[int] = set()
        self.purged: dict[str, str] = {}
        """By job: what was purged last, `job` when all of it is gone."""

    def __call__(self, commit: Commit) -> None:
        for event in commit.events:
            self._event(event)
        self._tiers.update((engine.engine_id, self._sandboxes[engine.name]) for engine in commit.engines)
        for job in commit.jobs:
            self._job(job)
        for task in commit.tasks:
            self._task(task)
        for attempt in sorted(commit.attempts, key=lambda attempt: attempt.token):
            self._attempt(attempt)
        for job_id in {job.job_id for job in commit.jobs} | {task.job_id for task in commit.tasks}:
            self._whole(job_id)
        self._below_caps()
        self._gone.update(job_id for job_id, scope in self.purged.items() if scope == "job")

    def _below_caps(self) -> None:
        """Of a tenant with a cap only so many tasks are held."""
        if not self._plan.caps:
            return
        held = Counter(task.tenant for task in self.tasks.values() if task.state in (T.ASSIGNED, T.RUNNING))
        for tenant, cap in self._plan.caps:
            self._ground.count["at the cap"] += held[tenant] == cap
            if held[tenant] > cap:
                raise self._wrong(f"{held[tenant]} tasks of {tenant} are held, {cap} may be")

    def objection(self, path: str) -> str | None:
        """Why the bytes of a file must stay: rows go first."""
        name = path.rpartition("/")[2]
        job_id = path.split("/")[2] if path.split("/")[1:2] == ["processed"] else name.partition("_original")[0]
        if path.startswith("staging/") or job_id in self.purged:
            return None
        if path.split("/")[1:2] == ["processed"]:
            return "it is published, and was not purged"
        job = self.jobs.get(job_id)
        return "a job refers to it" if job is not None and job.source.path == path else None

    def _wrong(self, promise: str) -> Broken:
        return self._ground.broken(promise)

    # --- rows and events

    def _event(self, event: Event) -> None:
        new = event.new
        if event.seq != self._last_seq + 1:
            raise self._wrong(f"event {event.seq} follows {self._last_seq}")
        self._last_seq = event.seq
        self._ground.note(new.type.value, new.task_id or new.job_id, new.from_state, new.to_state)
        subject = new.task_id or new.job_id
        if new.type is EventType.JOB_PURGED and new.job_id is not None:
            self._purge(new.job_id, orjson.loads(new.data_json))
        if subject in self._gone:
            raise self._wrong(f"{subject} is purged, and something happens to it")
        if subject is None or new.to_state is None:
            return
        known = self._told.get(subject)
        if new.task_id is not None and known is None:
            known = self.tasks[subject].state.value
        if new.from_state != known:
            raise self._wrong(f"{subject} goes from {new.from_state}, but was {known}")
        moves = JOB_MOVES[known] if new.task_id is None else TASK_MOVES[known or ""]
        if new.to_state not in moves:
            raise self._wrong(f"{subject} goes from {known} to {new.to_state}, which is in no table")
        self._told[subject] = new.to_state
        if new.type is EventType.JOB_FINISHED:
            self.finished[subject] += 1

    def _purge(self, job_id: str, told: dict[str, str]) -> None:
        if self.jobs[job_id].state not in OVER:
            raise self._wrong(f"{job_id} was purged while {self.jobs[job_id].state}")
        self._ground.count[f"purged {told['scope']}"] += 1
        self.purged[job_id] = told["scope"]

    def _job(self, job: Job) -> None:
        if job.job_id in self._gone:
            raise self._wrong(f"{job.job_id} is purged, and has a row")
        known = self.jobs.get(job.job_id)
        if known is None:
            self.numbers[job.job_id] = orjson.loads(job.user_metadata_json)["number"]
        elif job.version <= known.version:
            raise self._wrong(f"{job.job_id} went from version {known.version} to {job.version}")
        elif job.progress < known.progress:
            raise self._wrong(f"{job.job_id}'s progress fell from {known.progress} to {job.progress}")
        if self._told.get(job.job_id) != job.state.value:
            raise self._wrong(f"{job.job_id} is {job.state}, its events say {self._told.get(job.job_id)}")
        if job.source.kind == "storage" and job.source.path not in self._stored:
            raise self._wrong(f"{job.job_id} refers to {job.source.path}, which is not there")
        self.jobs[job.job_id] = job

    def _task(self, task: Task) -> None:
        if self._told.get(task.task_id, task.state.value) != task.state.value:
            raise self._wrong(f"{task.task_id} is {task.state}, its events say {self._told[task.task_id]}")
        if task.charged > self.jobs[task.job_id].max_attempts:
            raise self._wrong(f"{task.task_id} was charged {task.charged} times")
        known = self.tasks.get(task.task_id)
        if known is not None and known.state is not task.state and task.task_id not in self._told:
            raise self._wrong(f"{task.task_id} went from {known.state} to {task.state} without an event")
        self.tasks[task.task_id] = task

    def _attempt(self, attempt: Attempt) -> None:
        known = self.attempts.get(attempt.token)
        if known is None:
            self._granted(attempt)
        elif known.state not in LIVE and (known.state, known.digest) != (attempt.state, attempt.digest):
            raise self._wrong(f"attempt {attempt.token} was {known.state} for good, and is {attempt.state}")
        self.attempts[attempt.token] = attempt
        if attempt.state in LIVE:
            return
        self._ended.setdefault(attempt.token, self._ground.time)
        if known is not None and known.state in LIVE and attempt.state is A.EXPIRED:
            self._expired(known)
        if known is not None and known.state in LIVE and attempt.state is A.FAILED and attempt.error_json is not None:
            failure = orjson.loads(attempt.error_json)
            task = self.tasks[attempt.task_id]
            if failure["failure_class"] in NEVER_RETRIED and task.state is not T.FAILED:
                raise self._wrong(f"{attempt.task_id} failed by its {failure['failure_class']} and is {task.state}")

    def _granted(self, attempt: Attempt) -> None:
        if attempt.token <= self._last_token:
            raise self._wrong(f"token {attempt.token} follows {self._last_token}")
        self._last_token = attempt.token
        self._renewed[attempt.token] = self._ground.time
        if self.jobs[attempt.job_id].state in OVER:
            raise self._wrong(f"{attempt.task_id} was granted while its job is {self.jobs[attempt.job_id].state}")
        self._in_a_sandbox(attempt)
        other = [a.token for a in self.attempts.values() if a.task_id == attempt.task_id and a.state in LIVE]
        if other:
            raise self._wrong(f"{attempt.task_id} is held under {other} and was granted as {attempt.token}")

    def _in_a_sandbox(self, attempt: Attempt) -> None:
        tenant, tier = self.jobs[attempt.job_id].tenant, self._tiers[attempt.engine_id]
        if tenant not in self._plan.untrusted:
            return
        self._ground.count["in a sandbox"] += 1
        if tier < LEAST_SANDBOX:
            raise self._wrong(f"{attempt.task_id} of {tenant}, who is not trusted, was granted to an engine of tier {tier}")

    def _expired(self, was: Attempt) -> None:
        """A lease runs out by true time alone, or because its engine came back without it."""
        if self._leaving[was.engine_id]:
            return
        since = max(self._renewed[was.token], self._up_since)
        span = self._ground.time - since
        allowed = self._plan.ack_s if was.state is A.GRANTED else self._plan.lease_s
        if span < allowed - LAG_S:
            raise self._wrong(f"the lease of attempt {was.token} ended {span:.1f} s after it was renewed")

    def _whole(self, job_id: str) -> None:
        """What a job is follows from its tasks."""
        job = self.jobs[job_id]
        tasks = [task for task in self.tasks.values() if task.job_id == job_id]
        states = {task.state for task in tasks}
        held = [task for task in tasks if task.state in (T.ASSIGNED, T.RUNNING)]
        live = {a.task_id: a for a in self.attempts.values() if a.job_id == job_id and a.state in LIVE}
        if sorted(live) != sorted(task.task_id for task in held):
            raise self._wrong(f"{job_id}: held are {[t.task_id for t in held]}, live are {sorted(live)}")
        for task in held:
            if live[task.task_id].token != task.token or live[task.task_id].engine_id != task.engine_id:
                raise self._wrong(f"{task.task_id} is held under {task.token} by {task.engine_id}, not by its live attempt")
            if (why := unfed(task, tasks) or unplanned(task, tasks, job)) is not None:
                raise self._wrong(why)
        if job.source.kind == "url" and any(t.kind is not TaskKind.ANALYZE and t.state in BEGUN for t in tasks):
            raise self._wrong(f"{job_id} is past its analysis, and its original was not kept")
        if not self._fits(job.state, tasks, states, bool(held)):
            raise self._wrong(f"{job_id} is {job.state} with tasks {[str(task.state) for task in tasks]}")

    def _fits(self, state: J, tasks: list[Task], states: set[T], is_held: bool) -> bool:
        is_done = states <= {T.DONE, T.SKIPPED}
        encodes = any(t.state is T.RUNNING and t.kind is not TaskKind.ANALYZE for t in tasks)
        match state:
            case J.COMPLETING | J.COMPLETED:
                return is_done
            case J.FAILED:
                return not is_held and (T.FAILED in states or is_done)
            case J.CANCELLED:
                return states <= {T.DONE, T.SKIPPED, T.CANCELLED}
            case J.TRANSCODING:
                return not (is_done or T.FAILED in states)
            case J.ASSIGNED:
                return is_held and not encodes and T.FAILED not in states
            case _:
                return not (is_held or is_done or T.FAILED in states)

    # --- answers to engines

    def is_live(self, token: int) -> bool:
        attempt = self.attempts.get(token)
        return attempt is not None and attempt.state in LIVE

    def _is_gone(self, token: int) -> bool:
        """Whether all of its job is purged, which only a job that has ended can be."""
        attempt = self.attempts.get(token)
        return attempt is not None and attempt.job_id in self._gone

    def live_of_request(self, engine_id: str, request_id: str) -> set[Key]:
        """The live grants of a request that dispatch has in memory."""
        return {
            Key(a.task_id, a.token)
            for a in self.attempts.values()
            if (a.engine_id, a.request_id) == (engine_id, request_id) and a.state in LIVE and a.token in self._in_memory
        }

    def follow(self, commit: Commit) -> None:
        """Memory has been told of this commit."""
        self._in_memory.update(attempt.token for attempt in commit.attempts)

    def answered(self, request: LeaseRequest, reply: LeaseReply, before: set[Key]) -> None:
        """A repeated call returns its grants that still live; a settled report is answered as the first time.

        But for one of a job that is purged whole: of its attempts nothing is known any more, whatever they once reported.
        """
        missing = {key for key in before if self.is_live(key.token)} - {Key(g.task_id, g.token) for g in reply.tasks}
        if missing:
            raise self._wrong(f"request {request.request_id} came again and was not given its {sorted(missing)}")
        for report, answer in zip(request.reports, reply.settled, strict=True):
            if report.type in ("ack", "start") or answer.error is ErrorCode.STORAGE_UNAVAILABLE:
                continue  # the latter asks for the report once more
            if answer.error is ErrorCode.STALE_LEASE and self._is_gone(report.token):
                continue  # the rows that remembered are purged; to the engine it is as final
            first = self._settled.setdefault((report.token, report.type), answer)
            if first != answer:
                raise self._wrong(f"{report.type} of {report.token} was answered {first}, and then {answer}")

    def renewed(self, engine_id: str, keys: Iterable[Key]) -> None:
        """A lease is renewed for its holder alone, and only while it lives."""
        now = self._ground.time
        for key in keys:
            attempt = self.attempts.get(key.token)
            if attempt is None or (attempt.task_id, attempt.engine_id) != (key.task_id, engine_id):
                raise self._wrong(f"{engine_id} was told to keep {key}, which it does not hold")
            if attempt.state not in LIVE and now - self._ended[key.token] > LAG_S:
                raise self._wrong(f"{engine_id} was told to keep {key}, which had ended")
            self._renewed[key.token] = now

    def is_leaving(self, engine_id: str) -> bool:
        return self._leaving[engine_id] > 0

    def leaving(self, engine_id: str | None, change: int) -> None:
        """While an engine registers or says goodbye, what it does not hold ends at once."""
        if engine_id is not None:
            self._leaving[engine_id] += change

    def dispatch_came(self) -> None:
        """It has loaded what the database says."""
        self._up_since = self._ground.time
        self._in_memory = {attempt.token for attempt in self.attempts.values() if attempt.state in LIVE}

    def dispatch_went(self) -> None:
        self._leaving.clear()
        self._in_memory.clear()
