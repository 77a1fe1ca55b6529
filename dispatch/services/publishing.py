"""Completing: the staged files of a job are promoted to its outputs, then the job is complete. Safe to redo at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from dispatch.core import endings, thumbnails
from dispatch.core.publication import METADATA, Publication, publication, published_rows, sent_picture, told_rows
from dispatch.core.records import Attempt, Graph, StagedRow
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.grants import staging_prefix
from protocol.errors import ErrorCode, FailureClass
from protocol.results import Failure
from protocol.states import JobState
from protocol.storage import (
    Promoted,
    StagedFileLost,
    StorageError,
    StorageFull,
    StorageProvider,
    StorageUnavailable,
    TargetDiffers,
)

log = structlog.get_logger("publishing")
RETRY_S = 5.0
REFUSALS: dict[ErrorCode, str] = {
    ErrorCode.PUBLISH_CONFLICT: "other files stand where the outputs belong; nothing was overwritten",
    ErrorCode.STAGED_FILE_LOST: "the thumbnail that was sent with the job is missing or damaged in the storage",
}


@dataclass(frozen=True, slots=True)
class _Ready:
    graph: Graph
    staged: list[StagedRow]
    attempts: list[Attempt]


class Publisher:
    """A CommitListener that remembers which jobs entered completing, and a duty that promotes them.

    `wake` is called when there is something to do. While the storage is away a job waits in completing and is retried.
    """

    def __init__(self, store: Store, storage: StorageProvider, clock: Clock) -> None:
        self._store, self._storage, self._clock = store, storage, clock
        self._due: dict[str, float] = {}
        self.wake: Callable[[], None] = lambda: None

    def __call__(self, commit: Commit) -> None:
        entered = [job.job_id for job in commit.jobs if job.state is JobState.COMPLETING]
        for job_id in entered:
            self._due.setdefault(job_id, 0.0)
        for job in commit.jobs:
            if job.state is not JobState.COMPLETING:
                self._due.pop(job.job_id, None)
        if entered:
            self.wake()

    def forget(self) -> None:
        self._due.clear()

    async def load(self) -> None:
        """After a restart: every job found in completing is promoted again."""
        job_ids = await self._store.read(lambda tx: tx.jobs_in([JobState.COMPLETING]))
        for job_id in job_ids:
            self._due[job_id] = 0.0

    async def run_once(self) -> None:
        monotonic = self._clock.monotonic()
        for job_id in [job_id for job_id, due in self._due.items() if due <= monotonic]:
            await self._promote(job_id)

    async def _promote(self, job_id: str) -> None:
        ready = await self._store.read(lambda tx: _load(tx, job_id))
        if ready is None:
            self._due.pop(job_id, None)
            return
        made = publication(ready.graph, ready.staged, ready.attempts)
        try:
            await self._publish(ready, made)
        except StagedFileLost as lost:
            await self._give_up_or_redo(ready, lost)
        except TargetDiffers as differs:
            await self._refuse(ready, differs, ErrorCode.PUBLISH_CONFLICT)
        except (StorageUnavailable, StorageFull) as away:
            log.warning("promotion_waits", job=job_id, reason=away.reason)
            self._due[job_id] = self._clock.monotonic() + RETRY_S
        else:
            if await self._commit(ready, made):
                await self._clean(job_id)

    async def _publish(self, ready: _Ready, made: Publication) -> None:
        job = ready.graph.job
        files = [Promoted(_staged_path(row), row.path, row.size, row.sha256) for row in published_rows(job, ready.staged)]
        if (picture := sent_picture(job, ready.staged)) is not None:
            files.append(Promoted(picture.path, thumbnails.published_name(picture), picture.size, picture.sha256))
        work = f"staging/{job.job_id}/publish-{job.version}"
        await self._storage.promote(made.target, work, files, {METADATA: made.metadata})

    async def _commit(self, ready: _Ready, made: Publication) -> bool:
        now = self._clock.now()

        def commit(tx: Transaction) -> bool:
            before = tx.graphs([ready.graph.job.job_id])[ready.graph.job.job_id]
            if not _is_same_completion(before, ready.graph):
                return False
            tx.save([before], [endings.promote(before, outputs_json=made.outputs_json, now=now)])
            return True

        is_mine = await self._store.transact(commit)
        if is_mine:
            log.info("job_published", job=ready.graph.job.job_id, files=len(ready.staged))
        return is_mine

    async def _give_up_or_redo(self, ready: _Ready, lost: StagedFileLost) -> None:
        """No task can make the client's own picture again."""
        picture = sent_picture(ready.graph.job, ready.staged)
        if picture is not None and lost.path == picture.path:
            await self._refuse(ready, lost, ErrorCode.STAGED_FILE_LOST)
        else:
            await self._redo(ready, lost)

    async def _redo(self, ready: _Ready, lost: StagedFileLost) -> None:
        """The task whose file is lost is done again; every file that is missing makes its own task go again in time."""
        job_id, now = ready.graph.job.job_id, self._clock.now()
        log.error("staged_file_lost", job=job_id, path=lost.path, reason=lost.reason)
        tasks = {row.task_id for row in ready.staged if lost.path == _staged_path(row)} or {row.task_id for row in ready.staged}

        def redo(tx: Transaction) -> None:
            before = tx.graphs([job_id])[job_id]
            if _is_same_completion(before, ready.graph):
                tx.save([before], [endings.redo_lost(before, tasks, now=now)])

        await self._store.transact(redo)

    async def _refuse(self, ready: _Ready, why: StorageError, code: ErrorCode) -> None:
        job_id, now = ready.graph.job.job_id, self._clock.now()
        log.critical("publish_refused", job=job_id, code=code, path=why.path, reason=why.reason)
        failure = Failure(failure_class=FailureClass.INTERNAL, code=code, message=REFUSALS[code])

        def refuse(tx: Transaction) -> None:
            before = tx.graphs([job_id])[job_id]
            if _is_same_completion(before, ready.graph):
                tx.save([before], [endings.refuse_promotion(before, failure, now=now)])

        await self._store.transact(refuse)

    async def _clean(self, job_id: str) -> None:
        """Staged bytes go only after the commit that published them; a failure here is made up by the sweep."""
        try:
            await self._storage.delete(f"staging/{job_id}")
        except StorageError as error:
            log.warning("staging_not_removed", job=job_id, reason=error.reason)

    async def sweep(self, job_ids: Iterable[str]) -> int:
        """Remove the staging of those jobs that will never need it again."""
        wanted = list(job_ids)
        graphs = await self._store.read(lambda tx: tx.graphs(wanted))
        over = [job_id for job_id, graph in graphs.items() if graph.job.state in (JobState.COMPLETED, JobState.CANCELLED)]
        for job_id in over:
            await self._clean(job_id)
        return len(over)


def _staged_path(row: StagedRow) -> str:
    return f"{staging_prefix(row.job_id, row.task_id, row.token)}/{row.path}"


def _load(tx: Transaction, job_id: str) -> _Ready | None:
    graph = tx.graphs([job_id]).get(job_id)
    if graph is None or graph.job.state is not JobState.COMPLETING:
        return None
    return _Ready(graph, told_rows(tx.staged(job_id)), tx.job_attempts(job_id))


def _is_same_completion(now: Graph, then: Graph) -> bool:
    """The guard of every end of a promotion: the job is still in the very completing that was promoted."""
    return now.job.state is JobState.COMPLETING and now.job.completed_at == then.job.completed_at
