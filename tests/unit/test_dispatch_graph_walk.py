"""Any order of legal events keeps a job consistent: state, tasks, attempts, tokens and events tell one story."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch.core import endings, lifecycle
from dispatch.core.job_machine import JOB_ROWS, state_of_tasks
from dispatch.core.lifecycle import is_live
from dispatch.core.records import Graph, Task
from dispatch.core.task_machine import TASK_ROWS
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Report
from protocol.states import HELD_TASK_STATES, LIVE_ATTEMPT_STATES, JobState, TaskKind, TaskState
from tests.unit.dispatch_jobs import (
    NOW,
    SHA,
    ack,
    after,
    complete,
    fail,
    failure,
    granted,
    ready_to_transcode,
    release,
    staged,
    start,
    states,
    told,
)

JOB_MOVES = {(row.source, row.target) for row in JOB_ROWS}
TASK_MOVES = {(row.source, row.target) for row in TASK_ROWS}
BY_TASKS = frozenset({JobState.PENDING, JobState.ASSIGNED, JobState.TRANSCODING, JobState.RETRYING})


def first() -> Graph:
    """An analyzed film with two encodes, the second of which waits like a chunk that is not cut yet."""
    graph = ready_to_transcode()
    second = replace(graph.tasks[1], task_id="tsk_2", ordinal=2)
    return replace(graph, tasks=(*graph.tasks, second), events=(), attempts=())


class JobWalk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.graph, self.now, self.token = first(), NOW, 10
        self.start_state, self.start_tasks = self.graph.job.state, {t.task_id: t.state for t in self.graph.tasks}
        self.settled: list[tuple[Report, object]] = []

    def held(self) -> list[Task]:
        return [task for task in self.graph.tasks if task.state in HELD_TASK_STATES]

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 30.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        self.graph = endings.pass_backoff(self.graph, now=self.now)

    @precondition(lambda self: any(self.may_grant(task) for task in self.graph.tasks))
    @rule(draw=st.data(), engine=st.sampled_from(["eng_a", "eng_b"]))
    def grant(self, draw: st.DataObject, engine: str) -> None:
        task = draw.draw(st.sampled_from([task for task in self.graph.tasks if self.may_grant(task)]))
        self.token += 1
        self.graph = granted(self.graph, self.token, task=task.task_id, engine=engine, now=self.now)

    def may_grant(self, task: Task) -> bool:
        is_open = self.graph.job.state not in (JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED)
        return task.state is TaskState.PENDING and task.not_before <= self.now and is_open

    @precondition(lambda self: self.held())
    @rule(draw=st.data(), what=st.sampled_from(["ack", "start", "complete", "release", "engine", "input", "infra", "death"]))
    def report(self, draw: st.DataObject, what: str) -> None:
        task = draw.draw(st.sampled_from(self.held()))
        report = self.made(what, task)
        graph = self.graph
        self.graph = after(graph, report, now=self.now, fitting=2)
        if what not in ("ack", "start"):
            self.settled.append((report, told(self.graph, report, now=self.now)[1]))

    def made(self, what: str, task: Task) -> Report:
        match what:
            case "ack":
                return ack(task.token, task.task_id)
            case "start":
                return start(task.token, task.task_id)
            case "release":
                return release(task.token, task.task_id)
            case "complete":
                files = (staged(f"{task.task_id}.mp4"),)
                return complete(task.token, task.task_id, files=files)
            case "death":
                why = failure(FailureClass.ENGINE, ErrorCode.TASK_MEMORY, is_engine_death=True)
                return fail(task.token, why, task.task_id)
            case _:
                return fail(task.token, failure(FailureClass(what)), task.task_id)

    @precondition(lambda self: self.held())
    @rule(draw=st.data())
    def expire(self, draw: st.DataObject) -> None:
        task = draw.draw(st.sampled_from(self.held()))
        self.graph = lifecycle.expire(self.graph, task.token, now=self.now)

    @precondition(lambda self: self.settled)
    @rule(draw=st.data())
    def a_settled_report_comes_again(self, draw: st.DataObject) -> None:
        report, answer = draw.draw(st.sampled_from(self.settled))
        same, answers = told(self.graph, report, now=self.now)

        assert (same, answers) == (self.graph, answer)

    @precondition(lambda self: self.graph.job.state is JobState.FAILED)
    @rule()
    def retry(self) -> None:
        self.graph = endings.retry(self.graph, priority=10, now=self.now)

    @precondition(lambda self: self.graph.job.state is JobState.COMPLETING)
    @rule(draw=st.data(), what=st.sampled_from(["promote", "lose", "refuse"]))
    def promotion(self, draw: st.DataObject, what: str) -> None:
        if what == "promote":
            self.graph = endings.promote(self.graph, outputs_json="{}", now=self.now)
        elif what == "refuse":
            self.graph = endings.refuse_promotion(self.graph, failure(FailureClass.INTERNAL), now=self.now)
        else:
            lost = draw.draw(st.sampled_from(sorted({row.task_id for row in self.graph.files})))
            self.graph = endings.redo_lost(self.graph, [lost], now=self.now)
            self.graph = replace(self.graph, files=tuple(row for row in self.graph.files if row.task_id != lost))

    @precondition(lambda self: self.graph.job.state in BY_TASKS)
    @rule(seldom=st.integers(0, 9))
    def cancel(self, seldom: int) -> None:
        if seldom == 0:
            self.graph = endings.cancel(self.graph, now=self.now)

    @precondition(lambda self: endings.is_overdue(self.graph, now=self.now))
    @rule()
    def run_out_of_time(self) -> None:
        self.graph = endings.expire_job(self.graph, now=self.now)

    # --- what holds always

    @invariant()
    def the_state_follows_from_the_tasks(self) -> None:
        job = self.graph.job
        if job.state in BY_TASKS:
            # Retry asked says "retrying" by itself; its moment passes with the next look at the clock.
            derived = state_of_tasks(job.state, self.graph.tasks, now=self.now)
            assert derived is job.state or job.state is JobState.RETRYING, states(self.graph)

    @invariant()
    def a_held_task_has_one_live_attempt_and_no_other_task_has_any(self) -> None:
        live = {(a.task_id, a.token, a.engine_id) for a in self.graph.attempts if is_live(self.graph, a)}

        assert live == {(task.task_id, task.token, task.engine_id) for task in self.held()}
        assert len(live) == sum(a.state in LIVE_ATTEMPT_STATES for a in self.graph.attempts)

    @invariant()
    def tokens_are_used_once_and_rise_within_a_task(self) -> None:
        tokens = [attempt.token for attempt in self.graph.attempts]
        assert len(set(tokens)) == len(tokens)
        for task in self.graph.tasks:
            assert task.token == max((a.token for a in self.graph.attempts if a.task_id == task.task_id), default=task.token)

    @invariant()
    def events_form_unbroken_chains_by_the_tables(self) -> None:
        at: dict[str, str] = {"job": self.start_state.value} | {k: v.value for k, v in self.start_tasks.items()}
        for event in self.graph.events:
            subject = event.task_id or "job"
            assert event.from_state == at[subject]
            assert event.from_state is not None
            assert event.to_state is not None
            assert (event.from_state, event.to_state) in (JOB_MOVES if event.task_id is None else TASK_MOVES)
            at[subject] = event.to_state
        assert at == {"job": self.graph.job.state.value} | {t.task_id: t.state.value for t in self.graph.tasks}

    @invariant()
    def nothing_of_a_job_that_is_over_is_held(self) -> None:
        if self.graph.job.state not in BY_TASKS:
            assert self.held() == []

    @invariant()
    def what_failed_tells_why_and_what_did_not_does_not(self) -> None:
        assert (self.graph.job.error_json is not None) == (self.graph.job.state is JobState.FAILED)

    @invariant()
    def the_files_of_a_completing_job_are_those_of_its_finished_tasks(self) -> None:
        job = self.graph.job
        if job.state in (JobState.COMPLETING, JobState.COMPLETED):
            done = {task.task_id for task in self.graph.tasks if task.kind is TaskKind.TRANSCODE}
            assert {row.task_id for row in self.graph.files} == done
            assert {row.sha256 for row in self.graph.files} == {SHA}
            assert job.completed_at is not None


TestJobWalk = JobWalk.TestCase
TestJobWalk.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
