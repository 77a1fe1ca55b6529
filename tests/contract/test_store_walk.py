"""Any order of writes leaves the store equal to a plain dictionary of what was written."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch.core import endings, lifecycle
from dispatch.core.lifecycle import GrantTo
from dispatch.core.records import Graph, NewEvent
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, StaleRow, Store, Transaction
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import LIVE_ATTEMPT_STATES, TERMINAL_JOB_STATES, JobState, TaskState
from tests.contract.store_adapters import bare, graph_of, job, open_store
from tests.unit.dispatch_jobs import NOW, after, complete, staged, start

Wish = tuple[Graph, Graph]


class StoreWalk(RuleBasedStateMachine):
    """`graphs` is the model: what was acknowledged, with every attempt ever made."""

    adapter = "inline"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.commits: list[Commit] = []
        bus = CommitBus()
        bus.add(lambda commit: self.commits.append(commit))
        self.opened: AbstractAsyncContextManager[Store] = open_store(self.adapter, Path(self.directory.name), bus)
        self.store = self.runner.run(self.opened.__aenter__())
        self.graphs: dict[str, Graph] = {}
        self.events: list[NewEvent] = []
        self.token = 0

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()
        self.directory.cleanup()

    def transact(self, *wishes: Wish) -> None:
        befores, afters = [before for before, _ in wishes], [changed for _, changed in wishes]
        self.runner.run(self.store.transact(lambda tx: tx.save(befores, afters)))

    def numbers(self, count: int, found: list[int]) -> list[int]:
        """What the events shall be numbered."""
        return list(range(1, count + 1))

    def stored(self, name: str) -> Graph:
        return self.runner.run(graph_of(self.store, name))

    def apply(self, changed: Graph) -> None:
        """Save it, and hold what is found against what was asked for."""
        was = self.graphs[changed.job.job_id]
        self.transact((was, changed))
        self.events += changed.events
        self.graphs[changed.job.job_id] = found = self.stored(changed.job.job_id)
        assert found.job == replace(changed.job, version=was.job.version + 1)
        assert [replace(t, version=0) for t in found.tasks] == [replace(t, version=0) for t in changed.tasks]
        assert sorted(found.attempts, key=lambda a: a.token) == sorted(changed.attempts, key=lambda a: a.token)

    @rule(count=st.integers(1, 3))
    def insert(self, count: int) -> None:
        new = [job(f"{len(self.graphs) + n}", created_at=NOW + len(self.graphs)) for n in range(count)]
        self.runner.run(self.store.transact(lambda tx: tx.insert(new)))
        self.graphs |= {graph.job.job_id: bare(graph) for graph in new}
        self.events += [event for graph in new for event in graph.events]

    def some(self, draw: st.DataObject, *states: TaskState) -> Graph | None:
        fitting = [g for g in self.graphs.values() if g.tasks[0].state in states and g.job.state not in TERMINAL_JOB_STATES]
        return draw.draw(st.sampled_from(fitting)) if fitting else None

    @rule(draw=st.data(), engine=st.sampled_from(["eng_1", "eng_2"]))
    def grant(self, draw: st.DataObject, engine: str) -> None:
        graph = self.some(draw, TaskState.PENDING)
        if graph is not None:
            token = self.runner.run(self.store.transact(lambda tx: tx.next_tokens(1)[0]))
            assert token > self.token
            self.token = token
            to = GrantTo(token, engine, "boot-0001", "req-1")
            self.apply(lifecycle.grant(graph, graph.tasks[0].task_id, to, now=NOW))

    @rule(draw=st.data(), what=st.sampled_from(["start", "complete", "expire", "cancel"]))
    def go_on(self, draw: st.DataObject, what: str) -> None:
        graph = self.some(draw, TaskState.ASSIGNED, TaskState.RUNNING)
        if graph is None:
            return
        task = graph.tasks[0]
        match what:
            case "start" if task.state is TaskState.ASSIGNED:
                self.apply(after(graph, start(task.token, task.task_id)))
            case "complete":
                self.apply(after(graph, complete(task.token, task.task_id, files=(staged(f"{task.token}.mp4"),))))
            case "expire":
                self.apply(lifecycle.expire(graph, task.token, now=NOW))
            case "cancel":
                self.apply(endings.cancel(graph, now=NOW))
            case _:
                pass

    @precondition(lambda self: any(graph.job.version > 1 for graph in self.graphs.values()))
    @rule(draw=st.data())
    def a_stale_writer_changes_nothing(self, draw: st.DataObject) -> None:
        graph = draw.draw(st.sampled_from([g for g in self.graphs.values() if g.job.version > 1]))
        stale = replace(graph, job=replace(graph.job, version=graph.job.version - 1))
        try:
            self.transact((stale, replace(graph, job=replace(graph.job, progress=0.99))))
        except StaleRow:
            return
        raise AssertionError("a stale row was overwritten")

    @rule()
    def a_function_that_fails_changes_nothing(self) -> None:
        def fails(tx: Transaction) -> None:
            tx.insert([job("never")])
            tx.next_tokens(3)
            raise ReelyardError(ErrorCode.JOB_NOT_FOUND)

        try:
            self.runner.run(self.store.transact(fails))
        except ReelyardError:
            return
        raise AssertionError("the error was swallowed")

    # --- what holds always

    @invariant()
    def the_store_holds_what_was_written(self) -> None:
        names = list(self.graphs)
        found = self.runner.run(self.store.read(lambda tx: tx.graphs([*names, "job_never"])))
        assert {key: (graph.job, graph.tasks) for key, graph in found.items()} == {
            key: (graph.job, graph.tasks) for key, graph in self.graphs.items()
        }

    @invariant()
    def what_is_live_and_ready_follows(self) -> None:
        live, ready = self.runner.run(self.store.read(lambda tx: (tx.live_attempts(), tx.ready_tasks())))
        attempts = [a for graph in self.graphs.values() for a in graph.attempts if a.state in LIVE_ATTEMPT_STATES]
        assert {a.token: a for a in live} == {a.token: a for a in attempts}
        open_jobs = [graph for graph in self.graphs.values() if graph.job.state not in TERMINAL_JOB_STATES]
        assert {t.task_id for t in ready} == {t.task_id for g in open_jobs for t in g.tasks if t.state is TaskState.PENDING}

    @invariant()
    def events_are_numbered_without_a_gap_and_told_in_order(self) -> None:
        found = self.runner.run(self.store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=10_000)))
        assert [event.new for event in found] == self.events
        assert [event.seq for event in found] == self.numbers(len(self.events), [event.seq for event in found])
        assert [event for commit in self.commits for event in commit.events] == found

    @invariant()
    def the_list_holds_every_job(self) -> None:
        completing = self.runner.run(self.store.read(lambda tx: tx.jobs_in([JobState.COMPLETED, JobState.CANCELLED])))
        over = (JobState.COMPLETED, JobState.CANCELLED)
        assert set(completing) == {key for key, graph in self.graphs.items() if graph.job.state in over}


class SqliteWalk(StoreWalk):
    adapter = "sqlite"


class PostgresWalk(StoreWalk):
    """Its numbers rise and may leave gaps."""

    adapter = "postgres"

    def numbers(self, count: int, found: list[int]) -> list[int]:
        return sorted(set(found))


TestInlineWalk = StoreWalk.TestCase
TestInlineWalk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSqliteWalk = SqliteWalk.TestCase
TestSqliteWalk.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
TestPostgresWalk = PostgresWalk.TestCase
TestPostgresWalk.settings = settings(max_examples=3, stateful_step_count=20, deadline=None)

LONG = settings(max_examples=500, stateful_step_count=50, deadline=None)


class LongSqliteWalk(SqliteWalk):
    """Of a type of its own, as each has its settings."""


class LongPostgresWalk(PostgresWalk):
    """As above."""


TestLongSqliteWalk = pytest.mark.trust(pytest.mark.timeout(3600)(LongSqliteWalk.TestCase))
TestLongSqliteWalk.settings = LONG
TestLongPostgresWalk = pytest.mark.trust(pytest.mark.timeout(3600)(LongPostgresWalk.TestCase))
TestLongPostgresWalk.settings = LONG
