"""The slow duty: staging that nobody needs, originals without a job, writes that never ended, old idempotency keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from dispatch.ports import Clock, Store
from dispatch.services.publishing import Publisher
from dispatch.services.sweeps import JobTimers
from protocol.storage import Stat, StorageError, StorageProvider

log = structlog.get_logger("housekeeping")
ORPHAN_AGE_S, MARKED_S = 86_400.0, 3600.0
"""Only what nobody references, is older than a day, and was found so an hour before is deleted."""


class Housekeeping:
    def __init__(self, store: Store, storage: StorageProvider, publisher: Publisher, timers: JobTimers, clock: Clock) -> None:
        self._store, self._storage, self._publisher = store, storage, publisher
        self._timers, self._clock = timers, clock
        self._marked: dict[str, float] = {}

    async def run_once(self) -> None:
        await self._timers.forget_keys()
        try:
            await self._storage.sweep_temporary(older_than_s=ORPHAN_AGE_S, now=self._clock.now())
            staged = {file.path.split("/")[1]: file for file in await self._storage.list("staging") if file.path.count("/") > 1}
            await self._publisher.sweep(staged)
            await self._collect(await self._orphans(staged, "staging/{}") + await self._orphans(await self._originals()))
        except StorageError as error:
            log.warning("housekeeping_waits", reason=error.reason)

    async def _originals(self) -> dict[str, Stat]:
        tenants = await self._store.read(lambda tx: tx.tenants())
        found = [file for tenant in tenants for file in await self._storage.list(f"{tenant.name}/raw")]
        return {file.path.rsplit("/", 1)[-1].split("_original.")[0]: file for file in found}

    async def _orphans(self, by_job: Mapping[str, Stat], below: str | None = None) -> list[str]:
        """What is as old as a day and belongs to no job: the file itself, or the job's directory where `below` tells it."""
        limit = self._clock.now() - ORPHAN_AGE_S
        old = {job_id: file.path for job_id, file in by_job.items() if file.modified < limit}
        known = await self._store.read(lambda tx: tx.graphs(old))
        return [below.format(job_id) if below else path for job_id, path in old.items() if job_id not in known]

    async def _collect(self, orphans: Iterable[str]) -> None:
        monotonic = self._clock.monotonic()
        self._marked = {path: self._marked.get(path, monotonic) for path in orphans}
        for path, since in list(self._marked.items()):
            if monotonic - since >= MARKED_S:
                await self._storage.delete(path)
                log.info("orphan_deleted", path=path)
