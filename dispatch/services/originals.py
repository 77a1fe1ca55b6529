"""Takes over what `analyze` fetched: a staged original gets its lasting name before the row that refers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dispatch.core import lifecycle
from dispatch.core.originals import original_path, second_path
from dispatch.core.records import Job, Source
from dispatch.core.settlement import Original
from dispatch.ports import Store, Transaction
from dispatch.services.grants import staging_prefix
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Complete, Report
from protocol.results import Failure, StagedOriginal
from protocol.storage import AlreadyExists, InvalidPath, StagedFileLost, StorageError, StorageProvider

log = structlog.get_logger("originals")


@dataclass(frozen=True, slots=True)
class _Brought:
    """A live attempt's report with the original it staged."""

    job: Job
    task_id: str
    token: int
    staged: StagedOriginal


class OriginalService:
    """Nothing here is committed: a name given for a report that turns out stale is removed by housekeeping."""

    def __init__(self, store: Store, storage: StorageProvider) -> None:
        self._store, self._storage = store, storage

    async def take_over(self, engine_id: str, reports: Sequence[Report]) -> dict[int, Original]:
        """By token: where each original lies now, or why it does not. Reports of attempts that are over touch no file."""
        bringing = [r for r in reports if isinstance(r, Complete) and r.result.original is not None]
        if not bringing:
            return {}
        live = await self._store.read(lambda tx: _live(tx, engine_id, bringing))
        return {brought.token: await self._take(brought) for brought in live}

    async def _take(self, brought: _Brought) -> Original:
        try:
            path = await self._link(brought)
        except (StagedFileLost, AlreadyExists, InvalidPath) as lost:
            log.error("original_lost", job=brought.job.job_id, token=brought.token, reason=lost.reason)
            message = "the fetched original is missing or damaged in the storage; it is fetched again"
            return Failure(failure_class=FailureClass.INFRA, code=ErrorCode.STAGED_FILE_LOST, message=message)
        except StorageError as away:
            log.warning("original_waits", job=brought.job.job_id, token=brought.token, reason=away.reason)
            return ErrorCode.STORAGE_UNAVAILABLE
        return Source("storage", path, brought.job.source.filename, brought.staged.size, brought.staged.sha256)

    async def _link(self, brought: _Brought) -> str:
        """An earlier attempt that never committed may have left other bytes under the name: they stay, this gets its own."""
        job, staged = brought.job, brought.staged
        lies_at = f"{staging_prefix(job.job_id, brought.task_id, brought.token)}/{staged.path}"
        first = original_path(job, staged.path)
        try:
            await self._storage.link(lies_at, first, size=staged.size, sha256=staged.sha256)
        except AlreadyExists:
            second = second_path(job, staged.path, brought.token)
            await self._storage.link(lies_at, second, size=staged.size, sha256=staged.sha256)
            return second
        return first


def _live(tx: Transaction, engine_id: str, reports: Sequence[Complete]) -> list[_Brought]:
    attempts = tx.attempts_of({report.token for report in reports})
    graphs = tx.graphs({attempt.job_id for attempt in attempts.values()}, attempts=attempts.values())
    found = []
    for report in reports:
        attempt, staged = attempts.get(report.token), report.result.original
        if attempt is None or staged is None or (attempt.task_id, attempt.engine_id) != (report.task_id, engine_id):
            continue
        graph = graphs.get(attempt.job_id)
        if graph is not None and graph.job.source.kind == "url" and lifecycle.is_live(graph, attempt):
            found.append(_Brought(graph.job, report.task_id, report.token, staged))
    return found
