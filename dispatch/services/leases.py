"""Grants and reports: the calls engines make about work. Each is one transaction over sets of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dispatch.core import followers, lifecycle, settlement
from dispatch.core.lease_table import LeaseTable
from dispatch.core.lifecycle import GrantTo
from dispatch.core.records import Attempt, Graph, Source, StagedRow, Task
from dispatch.core.settlement import Bench
from dispatch.ports import Choice, Clock, Commit, Store, Transaction
from dispatch.services.grants import GrantWriter
from dispatch.services.originals import OriginalService
from dispatch.services.registry import EngineRegistry
from dispatch.services.shared_files import SharedFiles
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Complete, Grant, Report, Settlement, SharedFile, digest_of
from protocol.states import TERMINAL_JOB_STATES, TaskKind, TaskState

Pair = tuple[Task, Attempt, Graph]
Staged = Mapping[str, Sequence[StagedRow]]
"""What the tasks of a job staged, by job; of those alone of which a task reads its siblings' files."""


Shared = Mapping[Source, SharedFile]


class Chance(Protocol):
    def draw(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Judging:
    """What a report is held against besides its own job."""

    registry: EngineRegistry
    originals: OriginalService
    chance: Chance


class LeaseService:
    """Satisfies `dispatch.ports.Granting`. A CommitListener: the table of live leases follows the commits."""

    def __init__(
        self, store: Store, table: LeaseTable, judging: Judging, writer: GrantWriter, clock: Clock, shared: SharedFiles
    ) -> None:
        self._store, self._table, self._judging = store, table, judging
        self._writer, self._clock, self._shared = writer, clock, shared

    def __call__(self, commit: Commit) -> None:
        self._table.apply(commit.attempts, monotonic=self._clock.monotonic())

    def forget(self) -> None:
        self._table.forget()

    async def load(self) -> None:
        """After a restart, and with a new leader: every live lease has one lease length of grace, and so has every engine."""
        live = await self._store.read(lambda tx: tx.live_attempts())
        self._judging.registry.hear_all()
        self._table.is_kept = True
        self._table.apply(live, monotonic=self._clock.monotonic())

    # --- granting

    async def grant(self, choices: Sequence[Choice]) -> list[tuple[Grant, ...]]:
        """Turn the scheduler's wishes into grants; what a guard refuses is left out."""
        now = self._clock.now()

        def hand_out(tx: Transaction) -> tuple[list[list[Pair]], Staged]:
            made = _hand_out(tx, choices, now=now)
            return made, _staged(tx, (task for pairs in made for task, _, _ in pairs))

        made, staged = await self._store.transact(hand_out)
        shared = await self._shared.of(graph.job.source for pairs in made for _, _, graph in pairs)
        return [tuple(self._write(task, graph, staged, shared, now=now) for task, _, graph in pairs) for pairs in made]

    def _write(self, task: Task, graph: Graph, staged: Staged, shared: Shared, *, now: float) -> Grant:
        rows = staged.get(task.job_id, ())
        return self._writer.write(task, graph.job, now=now, staged=rows, shared=shared.get(graph.job.source))

    async def granted_before(self, engine_id: str, request_id: str) -> tuple[Grant, ...]:
        """The still live grants of a lease call that comes again with the same `request_id`."""
        require_kept(self._table)
        leases = self._table.of_request(engine_id, request_id)
        if not leases:
            return ()

        def load(tx: Transaction) -> tuple[Mapping[str, Graph], Staged]:
            graphs = tx.graphs({lease.job_id for lease in leases})
            return graphs, _staged(tx, (task for graph in graphs.values() for task in graph.tasks))

        graphs, staged = await self._store.read(load)
        shared, now = await self._shared.of(graph.job.source for graph in graphs.values()), self._clock.now()
        return tuple(
            self._write(graph.task(lease.task_id), graph, staged, shared, now=now)
            for lease in leases
            if (graph := graphs.get(lease.job_id)) is not None and graph.task(lease.task_id).token == lease.token
        )

    # --- reports

    async def settle(self, engine_id: str, reports: Sequence[Report]) -> tuple[Settlement, ...]:
        """Every report held against its own attempt, all in one transaction; each answered for itself."""
        if not reports:
            return ()
        digests = [digest_of(report) for report in reports]
        originals = await self._judging.originals.take_over(engine_id, reports)
        chance, now = self._judging.chance.draw(), self._clock.now()

        def settle(tx: Transaction) -> tuple[Settlement, ...]:
            bench = Bench(now, chance, self._judging.registry.count_fitting, _taken(tx, reports), originals)
            return _settle_all(tx, engine_id, list(zip(reports, digests, strict=True)), bench)

        return await self._store.transact(settle)


def require_kept(table: LeaseTable) -> None:
    """Raises NOT_LEADER where no leases are known: what an engine holds must not be told to be lost by that."""
    if not table.is_kept:
        raise ReelyardError(ErrorCode.NOT_LEADER)


def _hand_out(tx: Transaction, choices: Sequence[Choice], *, now: float) -> list[list[Pair]]:
    job_ids = tx.jobs_of_tasks(task_id for choice in choices for task_id in choice.task_ids)
    before = tx.graphs(job_ids.values())
    after = dict(before)
    granted: list[list[Pair]] = []
    tokens = iter(tx.next_tokens(sum(len(choice.task_ids) for choice in choices)))
    for choice in choices:
        engine = tx.engine(choice.engine_id)
        pairs: list[Pair] = []
        granted.append(pairs)
        if engine is None or engine.boot_id != choice.boot_id:
            continue
        for task_id in choice.task_ids:
            graph = after.get(job_ids.get(task_id, ""))
            if graph is None or not _is_grantable(graph, task_id, now=now):
                continue
            to = GrantTo(next(tokens), choice.engine_id, choice.boot_id, choice.request_id)
            graph = after[graph.job.job_id] = lifecycle.grant(graph, task_id, to, now=now)
            pairs.append((graph.task(task_id), graph.attempt(to.token), graph))
    tx.save(before.values(), (after[job_id] for job_id in before))
    return granted


def _staged(tx: Transaction, tasks: Iterable[Task]) -> Staged:
    return {job_id: tx.staged(job_id) for job_id in {task.job_id for task in tasks if task.kind in followers.READS}}


def _is_grantable(graph: Graph, task_id: str, *, now: float) -> bool:
    """The guard behind the index, which is only a hint."""
    task = graph.task(task_id)
    if graph.job.source.kind == "url" and task.kind is not TaskKind.ANALYZE:
        return False  # only analyze may read what is not fetched yet
    if not followers.is_fed(graph, task):
        return False  # what it reads is being made again
    return task.state is TaskState.PENDING and task.not_before <= now and graph.job.state not in TERMINAL_JOB_STATES


def _taken(tx: Transaction, reports: Sequence[Report]) -> set[tuple[str, str]]:
    """Files that finished tasks of the same jobs staged; asked only when a report brings files."""
    bringing = [report.task_id for report in reports if isinstance(report, Complete) and report.result.files]
    return tx.staged_paths(set(tx.jobs_of_tasks(bringing).values())) if bringing else set()


def _settle_all(
    tx: Transaction, engine_id: str, reports: Sequence[tuple[Report, str | None]], bench: Bench
) -> tuple[Settlement, ...]:
    attempts = tx.attempts_of({report.token for report, _ in reports})
    before = tx.graphs({attempt.job_id for attempt in attempts.values()}, attempts=attempts.values())
    after = dict(before)
    answers = []
    for report, digest in reports:
        attempt = attempts.get(report.token)
        if attempt is None or (attempt.task_id, attempt.engine_id) != (report.task_id, engine_id):
            answers.append(settlement.stale(report))
            continue
        after[attempt.job_id], answer = settlement.settle(after[attempt.job_id], report, digest, bench)
        answers.append(answer)
    tx.save(before.values(), (after[job_id] for job_id in before))
    return tuple(answers)
