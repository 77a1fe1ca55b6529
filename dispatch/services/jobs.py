"""Looking at jobs, cancelling and retrying them. A foreign job is the same 404 as a missing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from dispatch.core import amending, endings, live
from dispatch.core.amending import JobFields
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.job_list import JobFilter
from dispatch.core.paging import page_fields, refuse
from dispatch.core.records import Attempt, Graph, Job, Task
from dispatch.core.views import job_view
from dispatch.core.webhooks import check_webhook_url
from dispatch.core.why import with_last_failure
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.crowding import AtOnce
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.view_cache import MOST_BYTES, ViewCache
from protocol.addresses import AddressPolicy
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import MAX_METADATA_BYTES, AttemptLog, JobLog, JobPage, JobPatch, JobView, RetryRequest, WhyReply
from protocol.operations import API

MOST_SEARCHES, SEARCH_AGAIN_S = 8, 2.0
"""Of one tenant at once; among a million jobs one search takes a second, and searches wait for one another."""

Versions = frozenset[int] | None
"""Those a change may be made from; None for any."""


class Explainer(Protocol):
    """The scheduler, as far as `why` needs it."""

    def why(self, job: Job, tasks: Sequence[Task]) -> WhyReply: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    graph: Graph
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class _Act:
    """What is done to a job: the operation's name, the change, and what the audit log tells of it."""

    name: str
    change: Callable[[Graph, float], Graph]
    details: Mapping[str, object] = field(default_factory=dict)


class JobService:
    """`webhooks` is what URLs to be told are held against; `kept` are bytes of views."""

    def __init__(
        self, store: Store, once: Idempotency, explainer: Explainer, clock: Clock, webhooks: AddressPolicy, kept: int = MOST_BYTES
    ) -> None:
        self._webhooks = webhooks
        self._searches = AtOnce(MOST_SEARCHES, "searches", retry_after_s=SEARCH_AGAIN_S)
        self._store, self._once, self._explainer, self._clock = store, once, explainer, clock
        self._whole = ViewCache[JobView](kept // 2)
        self._listed = ViewCache[JobView](kept // 2)  # without attempts, as lists tell them

    async def get(self, who: Caller, job_id: str) -> JobView:
        return await self._store.read(lambda tx: self._view(tx, who, job_id))

    async def list(self, who: Caller, wanted: JobFilter) -> JobPage:
        """Raises RATE_LIMITED while too many searches of the tenant are under way."""
        if not wanted.is_search:
            return await self._store.read(lambda tx: self._page(tx, wanted))
        with self._searches.turn(who.tenant):
            return await self._store.search(lambda tx: self._page(tx, wanted))

    async def cancel(self, who: Caller, job_id: str, versions: Versions = None) -> JobView:
        """Raises INVALID_TRANSITION while completing and once it has ended otherwise; repeated it is harmless.

        A live stream that runs is stopped instead, and its recording kept.
        """
        act = _Act("cancel_job", lambda graph, now: live.cancel(graph, now=now))
        return await self._change(who, job_id, act, versions)

    async def retry(
        self,
        who: Caller,
        job_id: str,
        request: RetryRequest,
        versions: Versions = None,
        key: IdempotencyKey | None = None,
    ) -> Answered:
        """The answer is `JobView`. Raises INVALID_TRANSITION for a job that has not failed."""
        now, priority = self._clock.now(), request.priority
        act = _Act("retry_job", lambda graph, now: endings.retry(graph, priority=priority, now=now), {"priority": priority})

        def again(tx: Transaction) -> Answered:
            view = _acted(tx, who, job_id, act, versions, now)
            return answer_of(view, 202, {"Location": f"{API}/jobs/{job_id}", "ETag": f'"{view.version}"'})

        return await self._once.transact(who, key, again)

    async def patch(self, who: Caller, job_id: str, patch: JobPatch, versions: Versions) -> JobView:
        """Raises PRECONDITION_FAILED for another version than these, INVALID_TRANSITION once the job no longer waits."""
        if patch.webhook_url is not None:
            check_webhook_url(patch.webhook_url, self._webhooks)
        fields = _fields(patch)
        act = _Act(
            "patch_job", lambda graph, now: amending.amend(graph, fields, now=now), {"fields": sorted(patch.model_fields_set)}
        )
        return await self._change(who, job_id, act, versions)

    async def why(self, who: Caller, job_id: str) -> WhyReply:
        loaded = await self._load(who, job_id)
        return with_last_failure(self._explainer.why(loaded.graph.job, loaded.graph.tasks), loaded.attempts)

    async def log(self, who: Caller, job_id: str) -> JobLog:
        attempts = (await self._load(who, job_id)).attempts
        return JobLog(attempts=tuple(AttemptLog(task_id=a.task_id, token=a.token, log=a.log_tail) for a in attempts))

    def _view(self, tx: Transaction, who: Caller, job_id: str) -> JobView:
        found = tx.job_version(job_id)
        if found is None or not who.sees(found.tenant):
            raise not_found(job_id)
        known = self._whole.get(job_id, found.version)
        if known is not None:
            return known
        return self._whole.put(job_id, found.version, job_view(tx.graphs([job_id])[job_id], tx.job_attempts(job_id)))

    def _page(self, tx: Transaction, wanted: JobFilter) -> JobPage:
        """Made where it is read: two hundred jobs with much metadata would hold everybody up for a quarter of a second."""
        found = tx.list_jobs(wanted)
        known = {row.job_id: self._listed.get(row.job_id, row.version) for row in found.rows}
        graphs = tx.graphs([job_id for job_id, view in known.items() if view is None])
        jobs = (
            known[row.job_id] or self._listed.put(row.job_id, row.version, job_view(graphs[row.job_id])) for row in found.rows
        )
        return JobPage(jobs=tuple(jobs), **page_fields(found, wanted.page, wanted.listing))

    async def _load(self, who: Caller, job_id: str) -> _Loaded:
        def load(tx: Transaction) -> _Loaded:
            return _Loaded(visible(tx, who, job_id), tx.job_attempts(job_id))

        return await self._store.read(load)

    async def _change(self, who: Caller, job_id: str, act: _Act, versions: Versions = None) -> JobView:
        now = self._clock.now()
        return await self._store.transact(lambda tx: _acted(tx, who, job_id, act, versions, now))


def _acted(tx: Transaction, who: Caller, job_id: str, act: _Act, versions: Versions, now: float) -> JobView:
    """The job after the change, which is in the audit log unless it was none."""
    before = visible(tx, who, job_id, versions)
    after = act.change(before, now)
    tx.save([before], [after])
    if after is not before:
        audited(tx, who, act.name, job_id, act.details, now=now)
    return job_view(visible(tx, who, job_id), tx.job_attempts(job_id))


def visible(tx: Transaction, who: Caller, job_id: str, versions: Versions = None) -> Graph:
    """The job as it is in this transaction. Raises JOB_NOT_FOUND, the same for one of another tenant.

    Raises PRECONDITION_FAILED when it is none of these versions.
    """
    graph = tx.graphs([job_id]).get(job_id)
    if graph is None or not who.sees(graph.job.tenant):
        raise not_found(job_id)
    if versions is not None and graph.job.version not in versions:
        raise ReelyardError(ErrorCode.PRECONDITION_FAILED)
    return graph


def not_found(job_id: str) -> ReelyardError:
    return ReelyardError(ErrorCode.JOB_NOT_FOUND, details={"job_id": job_id})


def _fields(patch: JobPatch) -> JobFields:
    """What the patch names, as the columns it changes. Raises VALIDATION_FAILED for too much metadata."""
    fields = JobFields()
    if "priority" in patch.model_fields_set:
        fields["priority"] = patch.priority
    if "metadata" in patch.model_fields_set:
        stored = orjson.dumps(patch.metadata)
        if len(stored) > MAX_METADATA_BYTES:
            raise refuse("metadata", f"is larger than {MAX_METADATA_BYTES} bytes")
        fields["user_metadata_json"] = stored.decode()
    if "webhook_url" in patch.model_fields_set:
        fields["webhook_url"] = patch.webhook_url
    return fields
