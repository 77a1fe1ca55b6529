"""Purges: the rows of what goes, and the paths of its bytes, in one transaction; the bytes are removed afterwards."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dispatch.core import purging
from dispatch.core.callers import Caller
from dispatch.core.purging import Purge, Reason
from dispatch.core.records import Deletion
from dispatch.core.views import job_view
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.jobs import Versions, visible
from protocol.events import EventType
from protocol.jobs import JobView
from protocol.storage import InvalidPath, StorageError, StorageProvider

log = structlog.get_logger("purging")
PATHS_AT_ONCE = 200


def save_purge(tx: Transaction, purge: Purge, *, now: float) -> None:
    """The rows without what is purged, its event, and the paths whose bytes have to go."""
    job_id = purge.before.job.job_id
    tx.append([purge.event])
    tx.put_deletions(Deletion(path, job_id, now) for path in purge.paths)
    if purge.after is None:
        tx.forget_jobs([purge.before])
        return
    if purge.after.job.outputs_purged_at is not None:
        tx.forget_staged(job_id)
    tx.save([purge.before], [purge.after])


class PurgeService:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def purge_outputs(self, who: Caller, job_id: str, versions: Versions = None) -> JobView:
        """What a completed job published. Repeated it is harmless. Raises OUTPUTS_NOT_READY."""
        now = self._clock.now()

        def purge(tx: Transaction) -> JobView:
            taken = purging.outputs(visible(tx, who, job_id, versions), Reason.ASKED, now=now)
            if taken is not None:
                save_purge(tx, taken, now=now)
                audited(tx, who, "purge_outputs", job_id, now=now)
            return job_view(visible(tx, who, job_id), tx.job_attempts(job_id))

        return await self._store.transact(purge)

    async def purge_job(self, who: Caller, job_id: str, versions: Versions = None) -> JobView:
        """All of it. Answers with the job as it was. Raises INVALID_TRANSITION unless it has ended."""
        now = self._clock.now()

        def purge(tx: Transaction) -> JobView:
            graph = visible(tx, who, job_id, versions)
            last = job_view(graph, tx.job_attempts(job_id))
            save_purge(tx, purging.everything(graph, Reason.ASKED, now=now), now=now)
            audited(tx, who, "delete_job", job_id, {"purge": True, "state": str(graph.job.state)}, now=now)
            return last

        return await self._store.transact(purge)


class Remover:
    """A CommitListener and a duty: removes the bytes of what was purged, then forgets their paths. Safe to redo."""

    def __init__(self, store: Store, storage: StorageProvider) -> None:
        self._store, self._storage = store, storage
        self.wake: Callable[[], None] = lambda: None

    def __call__(self, commit: Commit) -> None:
        for event in commit.events:  # a loop: six of them come with each job
            if event.new.type is EventType.JOB_PURGED:
                self.wake()
                return

    async def run_once(self) -> None:
        """Every path once; what the storage does not let go of now is tried again with the next run."""
        after = ""
        while True:
            waiting = await self._some_after(after)
            if not waiting:
                return
            after = waiting[-1].path
            gone = [deletion.path for deletion in waiting if await self._is_removed(deletion)]
            await self._forget(gone)

    async def _some_after(self, path: str) -> list[Deletion]:
        return await self._store.read(lambda tx: tx.deletions(path, PATHS_AT_ONCE))

    async def _forget(self, paths: list[str]) -> None:
        if paths:
            await self._store.transact(lambda tx: tx.drop_deletions(paths))

    async def _is_removed(self, deletion: Deletion) -> bool:
        try:
            await self._storage.delete(deletion.path)
        except InvalidPath as never:
            log.error("purged_path_impossible", path=deletion.path, job=deletion.job_id, reason=never.reason)
        except StorageError as error:
            log.warning("purged_bytes_wait", path=deletion.path, job=deletion.job_id, reason=error.reason)
            return False
        else:
            log.info("purged_bytes_removed", path=deletion.path, job=deletion.job_id)
        return True
