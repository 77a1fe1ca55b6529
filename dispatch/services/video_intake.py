"""Events of other services that become jobs: the same one however often it comes, and a reason for what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson
import structlog

from dispatch.core.incoming import Unusable, is_passing, wanted_of
from dispatch.services.files import as_client_error
from dispatch.services.idempotency import Idempotency
from dispatch.services.submissions import SubmissionService
from dispatch.services.tenants import TenantBook
from protocol.errors import ReelyardError
from protocol.storage import StorageError

log = structlog.get_logger("broker")
LATER_S, LONGEST_LATER_S = 5.0, 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`taken`: committed, now or by an earlier copy. `later`: comes again after `seconds`. `dead`: for `reason`.

    Of what `is_secret` the dead letter holds the reason alone.
    """

    kind: Literal["taken", "later", "dead"]
    reason: str = ""
    seconds: float = 0.0
    is_secret: bool = False


TAKEN = Verdict("taken")


class VideoIntake:
    """`tenants` are those an event may name."""

    def __init__(self, submissions: SubmissionService, once: Idempotency, tenants: Sequence[str], book: TenantBook) -> None:
        self._submissions, self._once, self._tenants, self._book = submissions, once, tuple(tenants), book

    async def take(self, body: bytes) -> Verdict:
        try:
            wanted = wanted_of(body, self._tenants)
        except Unusable as unusable:
            return Verdict("dead", f"VALIDATION_FAILED: {unusable}", is_secret=unusable.is_secret)
        if wanted.who.tenant not in self._book:
            return Verdict("dead", f"TENANT_NOT_FOUND: there is no tenant {wanted.who.tenant}")
        try:
            with self._once.held(wanted.who.tenant, wanted.key.route, wanted.key.key):
                answer = await self._submissions.submit(wanted.who, wanted.submission, wanted.key)
        except (ReelyardError, StorageError) as fault:
            error = as_client_error(fault) if isinstance(fault, StorageError) else fault
            if is_passing(error.code):
                return Verdict("later", error.code.value, min(error.retry_after or LATER_S, LONGEST_LATER_S))
            return Verdict("dead", f"{error.code}: {error.message}")
        job_id = orjson.loads(answer.body)["job_id"]
        log.info("event_taken", job=job_id, tenant=wanted.who.tenant, again=answer.replayed)
        return TAKEN
