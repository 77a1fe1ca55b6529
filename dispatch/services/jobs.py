"""Looking at jobs, cancelling and retrying them. A foreign job is the same 404 as a missing one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from dispatch.core import endings
from dispatch.core.callers import Caller
from dispatch.core.job_list import JobFilter
from dispatch.core.paging import page_fields
from dispatch.core.publication import METADATA, published_prefix
from dispatch.core.records import Attempt, Graph, Job, StagedRow, Task
from dispatch.core.times import rfc3339
from dispatch.core.views import job_view
from dispatch.ports import Clock, Store, Transaction
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import AttemptLog, JobLog, JobPage, JobView, OutputLink, OutputsReply, RetryRequest, WhyReply
from protocol.results import OutputFacts
from protocol.states import JobState

LINK_S = 3600


class Explainer(Protocol):
    """The scheduler, as far as `why` needs it."""

    def why(self, job: Job, tasks: Sequence[Task]) -> WhyReply: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    graph: Graph
    attempts: Sequence[Attempt]


class JobService:
    def __init__(self, store: Store, explainer: Explainer, clock: Clock, secret: bytes) -> None:
        self._store, self._explainer, self._clock, self._secret = store, explainer, clock, secret

    async def get(self, who: Caller, job_id: str) -> JobView:
        loaded = await self._load(who, job_id)
        return job_view(loaded.graph, loaded.attempts)

    async def list(self, who: Caller, wanted: JobFilter) -> JobPage:
        found = await self._store.read(lambda tx: tx.list_jobs(wanted))
        views = tuple(job_view(graph) for graph in found.rows)
        return JobPage(jobs=views, **page_fields(found, wanted.page, wanted.listing))

    async def cancel(self, who: Caller, job_id: str) -> JobView:
        """Raises INVALID_TRANSITION while completing and once it has ended otherwise; repeated it is harmless."""
        return await self._change(who, job_id, lambda graph, now: endings.cancel(graph, now=now))

    async def retry(self, who: Caller, job_id: str, request: RetryRequest) -> JobView:
        return await self._change(who, job_id, lambda graph, now: endings.retry(graph, priority=request.priority, now=now))

    async def why(self, who: Caller, job_id: str) -> WhyReply:
        graph = (await self._load(who, job_id)).graph
        return self._explainer.why(graph.job, graph.tasks)

    async def log(self, who: Caller, job_id: str) -> JobLog:
        attempts = (await self._load(who, job_id)).attempts
        return JobLog(attempts=tuple(AttemptLog(task_id=a.task_id, token=a.token, log=a.log_tail) for a in attempts))

    async def outputs(self, who: Caller, job_id: str) -> OutputsReply:
        """Signed links under one prefix. Raises OUTPUTS_NOT_READY until the job has completed."""
        graph = (await self._load(who, job_id)).graph
        rows = await self._store.read(lambda tx: tx.staged(job_id))
        _require_completed(graph)
        expiry = int(self._clock.now()) + LINK_S
        prefix = published_prefix(graph.job)
        base = f"/files/s/{signing.sign(self._secret, method='GET', prefix=prefix, expiry=expiry)}/{prefix}"
        files = (*(_link(row, base) for row in rows), *_metadata_link(graph.job, base))
        return OutputsReply(job_id=job_id, expires_at=rfc3339(expiry), files=files)

    async def output_path(self, who: Caller, job_id: str, path: str) -> str:
        """Where a published file lies in the storage. Raises OUTPUTS_NOT_READY or FILE_NOT_FOUND."""
        graph = (await self._load(who, job_id)).graph
        _require_completed(graph)
        known = await self._store.read(lambda tx: tx.staged_paths([job_id]))
        if path != METADATA and (job_id, path) not in known:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return f"{published_prefix(graph.job)}/{path}"

    async def _load(self, who: Caller, job_id: str) -> _Loaded:
        def load(tx: Transaction) -> _Loaded:
            return _Loaded(_visible(tx, who, job_id), tx.job_attempts(job_id))

        return await self._store.read(load)

    async def _change(self, who: Caller, job_id: str, change: Callable[[Graph, float], Graph]) -> JobView:
        now = self._clock.now()

        def apply(tx: Transaction) -> _Loaded:
            before = _visible(tx, who, job_id)
            after = change(before, now)
            tx.save([before], [after])
            return _Loaded(_visible(tx, who, job_id), tx.job_attempts(job_id))

        loaded = await self._store.transact(apply)
        return job_view(loaded.graph, loaded.attempts)


def _visible(tx: Transaction, who: Caller, job_id: str) -> Graph:
    graph = tx.graphs([job_id]).get(job_id)
    if graph is None or not who.sees(graph.job.tenant):
        raise ReelyardError(ErrorCode.JOB_NOT_FOUND, details={"job_id": job_id})
    return graph


def _require_completed(graph: Graph) -> None:
    if graph.job.state is not JobState.COMPLETED:
        raise ReelyardError(ErrorCode.OUTPUTS_NOT_READY, details={"state": str(graph.job.state)})


def _metadata_link(job: Job, base: str) -> tuple[OutputLink, ...]:
    """A job that publishes nothing has none."""
    if job.outputs_json is None:
        return ()
    place = orjson.loads(job.outputs_json)["outputs"]["metadata_json"]
    url, size, digest = f"{base}/{METADATA}", place["size_bytes"], place["sha256"]
    return (OutputLink(path=METADATA, role="metadata", rendition=None, size_bytes=size, sha256=digest, url=url),)


def _link(row: StagedRow, base: str) -> OutputLink:
    facts = OutputFacts.model_validate_json(row.facts_json)
    return OutputLink(
        path=row.path,
        role=str(facts.role),
        rendition=facts.rendition,
        size_bytes=row.size,
        sha256=row.sha256,
        url=f"{base}/{row.path}",
    )
