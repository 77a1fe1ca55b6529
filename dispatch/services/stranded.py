"""Optional transcriptions whose last engine has left: after a while the job is complete without, rather than waiting for ever."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dispatch.core import followers
from dispatch.core.records import Task
from dispatch.ports import Clock, Commit, Store, Transaction
from protocol.states import TaskKind, TaskState

log = structlog.get_logger("stranded")
PATIENCE_S = 300.0
"""How long such a task waits for an engine to come back: longer than the longest restart."""


class Stranded:
    """A CommitListener that knows the pending transcriptions, and a duty that ends the wait of those nobody can do.

    `fitting` counts the engines that are there and could do a task.
    """

    def __init__(self, store: Store, fitting: Callable[[Task], int], clock: Clock) -> None:
        self._store, self._fitting, self._clock = store, fitting, clock
        self._pending: dict[str, Task] = {}
        self._alone_since: dict[str, float] = {}
        self._is_loaded = False

    def __call__(self, commit: Commit) -> None:
        for task in commit.tasks:
            if task.kind is TaskKind.TRANSCRIBE:
                self._follow(task)

    def forget(self) -> None:
        self._pending.clear()
        self._alone_since.clear()
        self._is_loaded = False

    async def load(self) -> None:
        """What was pending before this process began, or before it came to lead."""
        found = await self._store.read(lambda tx: tx.ready_tasks_of(TaskKind.TRANSCRIBE))
        self._pending = {task.task_id: task for task in found} | self._pending
        self._is_loaded = True

    def _follow(self, task: Task) -> None:
        if task.state is TaskState.PENDING:
            self._pending[task.task_id] = task
        else:
            self._forget(task)

    def _forget(self, task: Task) -> None:
        self._pending.pop(task.task_id, None)
        self._alone_since.pop(task.task_id, None)

    async def run_once(self) -> None:
        if not self._is_loaded:
            await self.load()
        now = self._clock.monotonic()
        due: list[Task] = []
        for task in self._pending.values():
            if self._fitting(task):
                self._alone_since.pop(task.task_id, None)
            elif now - self._alone_since.setdefault(task.task_id, now) >= PATIENCE_S:
                due.append(task)
        if due:
            await self._store.transact(lambda tx: self._end(tx, due))
            for task in due:
                self._forget(task)
                log.info("transcription_left_out", task=task.task_id, job=task.job_id)

    def _end(self, tx: Transaction, due: list[Task]) -> None:
        now = self._clock.now()
        before = tx.graphs({task.job_id for task in due})
        after = dict(before)
        for task in due:
            graph = after.get(task.job_id)
            if graph is not None:
                after[task.job_id] = followers.do_without(graph, task.task_id, now=now)
        tx.save(before.values(), [after[job_id] for job_id in before])
