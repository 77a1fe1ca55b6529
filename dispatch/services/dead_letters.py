"""Dead letters for operators: jobs that failed by no fault of their client are looked at, tried again or discarded."""

from __future__ import annotations

from dispatch.core import dead_letters, endings, purging
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.dead_letters import LISTING
from dispatch.core.paging import Wanted, page_fields
from dispatch.core.purging import Reason
from dispatch.core.records import Graph
from dispatch.core.views import job_view
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.jobs import visible
from dispatch.services.purging import save_purge
from protocol.care import DeadLetterPage
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobView, RetryRequest
from protocol.operations import API


class DeadLetterService:
    def __init__(self, store: Store, once: Idempotency, clock: Clock) -> None:
        self._store, self._once, self._clock = store, once, clock

    async def list(self, wanted: Wanted) -> DeadLetterPage:
        """Newest first, with the evidence and every attempt."""

        def load(tx: Transaction) -> DeadLetterPage:
            found = tx.dead_letters(wanted)
            rows = tuple(dead_letters.dead_letter(job, tx.job_attempts(job.job_id)) for job in found.rows)
            return DeadLetterPage(dead_letters=rows, **page_fields(found, wanted, LISTING))

        return await self._store.search(load)

    async def retry(self, who: Caller, job_id: str, request: RetryRequest, key: IdempotencyKey | None = None) -> Answered:
        """The answer is `JobView`. Raises JOB_NOT_FOUND for what is no dead letter, INPUT_PURGED when its original is gone."""
        now = self._clock.now()

        def again(tx: Transaction) -> Answered:
            before = _dead(tx, who, job_id)
            tx.save([before], [endings.retry(before, priority=request.priority, now=now)])
            audited(tx, who, "retry_dead_letter", job_id, {"priority": request.priority}, now=now)
            view = job_view(visible(tx, who, job_id), tx.job_attempts(job_id))
            return answer_of(view, 202, {"Location": f"{API}/jobs/{job_id}", "ETag": f'"{view.version}"'})

        return await self._once.transact(who, key, again)

    async def discard(self, who: Caller, job_id: str) -> JobView:
        """Purge it. Answers with the job as it was. Raises JOB_NOT_FOUND for what is no dead letter."""
        now = self._clock.now()

        def discard(tx: Transaction) -> JobView:
            graph = _dead(tx, who, job_id)
            last = job_view(graph, tx.job_attempts(job_id))
            save_purge(tx, purging.everything(graph, Reason.DISCARDED, now=now), now=now)
            audited(tx, who, "discard_dead_letter", job_id, {"code": last.error.code if last.error else None}, now=now)
            return last

        return await self._store.transact(discard)


def _dead(tx: Transaction, who: Caller, job_id: str) -> Graph:
    graph = visible(tx, who, job_id)
    if not dead_letters.is_dead_letter(graph.job):
        raise ReelyardError(ErrorCode.JOB_NOT_FOUND, "there is no such dead letter", details={"job_id": job_id})
    return graph
