"""The slow duty: staging that nobody needs, originals without a job, writes that never ended, old idempotency keys,
limits that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import structlog

from dispatch.core.originals import is_left_behind, job_of_original
from dispatch.core.records import NO_TENANT, Job
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.publishing import Publisher
from dispatch.services.sweeps import JobTimers
from protocol.storage import Stat, StorageError, StorageProvider

log = structlog.get_logger("housekeeping")
ORPHAN_AGE_S, MARKED_S = 86_400.0, 3600.0
"""Only what nobody references, is older than a day, and was found so an hour before is deleted."""

JOBS_AT_ONCE = 500
"""A week's originals may be a hundred thousand: their jobs are never in memory all at once."""


class Housekeeping:
    def __init__(self, store: Store, storage: StorageProvider, publisher: Publisher, timers: JobTimers, clock: Clock) -> None:
        self._store, self._storage, self._publisher = store, storage, publisher
        self._timers, self._clock = timers, clock
        self._marked: dict[str, float] = {}

    def forget(self) -> None:
        """An hour is an hour of one look after the other."""
        self._marked = {}

    async def load(self) -> None:
        """Nothing: what is marked is found anew."""

    async def run_once(self) -> None:
        await self._timers.forget_keys()
        await self._store.transact(lambda tx: tx.forget_rate_windows())
        await self._store.transact(lambda tx: tx.drop_changes())
        try:
            await self._storage.sweep_temporary(older_than_s=ORPHAN_AGE_S, now=self._clock.now())
            staged = {file.path.split("/")[1]: file for file in await self._storage.list("staging") if file.path.count("/") > 1}
            await self._publisher.sweep(staged)
            await self._late_for_purged(staged)
            orphans = [await self._staging_of_nobody(staged), await self._originals_of_nobody(), await self._uploads_of_nobody()]
            await self._collect([path for found in orphans for path in found])
        except StorageError as error:
            log.warning("housekeeping_waits", reason=error.reason)

    async def _late_for_purged(self, staged: Iterable[str]) -> None:
        """What a zombie staged, or a late report named, for a job that was purged meanwhile: it never comes back."""
        made_for = {f"staging/{job_id}": job_id for job_id in staged}
        made_for |= {path: job_id for path in await self._originals() if (job_id := job_of_original(path)) is not None}
        purged = await self._store.search(lambda tx: _purged(tx, set(made_for.values())))
        for path in sorted(path for path, job_id in made_for.items() if job_id in purged):
            await self._storage.delete(path)
            log.info("late_bytes_removed", path=path)

    async def _staging_of_nobody(self, by_job: Mapping[str, Stat]) -> list[str]:
        """The directories of jobs that do not exist."""
        old = {job_id for job_id, file in by_job.items() if self._is_old(file)}
        known = await self._store.search(lambda tx: tx.known_jobs(old))
        return [f"staging/{job_id}" for job_id in sorted(old - known)]

    async def _originals_of_nobody(self) -> list[str]:
        """Files below `raw/` that no job refers to: of uploads that became no job, of reports that came too late."""
        found = await self._originals()
        return await self._unreferenced([path for path, file in found.items() if self._is_old(file)])

    async def _originals(self) -> dict[str, Stat]:
        tenants = await self._store.search(lambda tx: tx.tenants())
        roots = {NO_TENANT, *(tenant.prefix or tenant.name for tenant in tenants)}
        return {file.path: file for root in sorted(roots) for file in await self._storage.list(f"{root}/raw")}

    async def _uploads_of_nobody(self) -> list[str]:
        """Uploads without a row: put together by a server that died before it told of them."""
        old = [file.path for file in await self._storage.list("uploads") if self._is_old(file)]
        return await self._unknown_uploads(old)

    async def _unknown_uploads(self, paths: list[str]) -> list[str]:
        by_id = {path.rpartition("/")[2]: path for path in paths}
        known = await self._store.search(lambda tx: set(tx.uploads_of(by_id)))
        return [path for upload_id, path in by_id.items() if upload_id not in known]

    async def _unreferenced(self, paths: Iterable[str]) -> list[str]:
        """A job that still works on it may take a file over at any moment: then it stays, whatever the row says."""
        made_for = {path: job_id for path in paths if (job_id := job_of_original(path)) is not None}
        found: list[str] = []
        for some in _in_parts(sorted(made_for)):
            jobs = await self._jobs({made_for[path] for path in some})
            found += [path for path in some if made_for[path] not in jobs or is_left_behind(path, jobs[made_for[path]])]
        return found

    async def _jobs(self, job_ids: set[str]) -> dict[str, Job]:
        return await self._store.search(lambda tx: {job_id: graph.job for job_id, graph in tx.graphs(job_ids).items()})

    def _is_old(self, file: Stat) -> bool:
        return file.modified < self._clock.now() - ORPHAN_AGE_S

    async def _collect(self, orphans: Iterable[str]) -> None:
        monotonic = self._clock.monotonic()
        self._marked = {path: self._marked.get(path, monotonic) for path in orphans}
        for path, since in list(self._marked.items()):
            if monotonic - since >= MARKED_S and await self._is_still_nobodys(path):
                await self._storage.delete(path)
                log.info("orphan_deleted", path=path)

    async def _is_still_nobodys(self, path: str) -> bool:
        """Asked anew before each delete: those before it took their time."""
        if path.startswith("uploads/"):
            return await self._unknown_uploads([path]) == [path]
        return path.startswith("staging/") or await self._unreferenced([path]) == [path]


def _in_parts(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    return (paths[start : start + JOBS_AT_ONCE] for start in range(0, len(paths), JOBS_AT_ONCE))


def _purged(tx: Transaction, job_ids: set[str]) -> set[str]:
    """Those that are gone because they were purged, and not merely unknown yet."""
    return tx.purged_jobs(job_ids - tx.known_jobs(job_ids))
