"""The live leases in memory, judged by the monotonic clock of this process. A hint for sweeps: guards in SQL decide.

It follows the commits. Over a restart no stored moment is trusted: every live lease starts with one whole length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dispatch.core.copying import replace
from dispatch.core.records import Attempt
from protocol.states import LIVE_ATTEMPT_STATES, AttemptState


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. `outage_share` and its floors: a sweep that would expire so many at once blames our own outage."""

    lease_s: float = 60.0
    ack_s: float = 10.0
    outage_share: float = 1 / 3
    outage_leases: int = 10
    outage_engines: int = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """`is_extended`: it was kept alive once without a word of its engine; only a renewal earns that again."""

    token: int
    task_id: str
    job_id: str
    engine_id: str
    request_id: str
    is_acked: bool
    until: float
    ack_until: float
    is_extended: bool = False


class LeaseTable:
    """`is_kept`: it follows what happens; on a server that does not lead it is empty, and says nothing."""

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._leases: dict[int, Lease] = {}
        self._by_engine: dict[str, set[int]] = {}
        self._expiring: set[int] = set()
        self._extended = False
        self.is_kept = True

    def forget(self) -> None:
        """Whatever is known, until it is loaded anew."""
        self._leases.clear()
        self._by_engine.clear()
        self._expiring.clear()
        self._extended = self.is_kept = False

    def __len__(self) -> int:
        return len(self._leases)

    def apply(self, attempts: Iterable[Attempt], *, monotonic: float) -> None:
        """Take over what a commit says of attempts."""
        for attempt in attempts:
            if attempt.state in LIVE_ATTEMPT_STATES:
                self._put(attempt, monotonic)
            else:
                self._drop(attempt.token)

    def _put(self, attempt: Attempt, monotonic: float) -> None:
        is_acked = attempt.state is not AttemptState.GRANTED
        known = self._leases.get(attempt.token)
        if known is not None:
            if known.is_acked is not is_acked:
                self._leases[attempt.token] = replace(known, is_acked=is_acked)
            return
        self._leases[attempt.token] = Lease(
            token=attempt.token,
            task_id=attempt.task_id,
            job_id=attempt.job_id,
            engine_id=attempt.engine_id,
            request_id=attempt.request_id,
            is_acked=is_acked,
            until=monotonic + self._times.lease_s,
            ack_until=monotonic + self._times.ack_s,
        )
        self._by_engine.setdefault(attempt.engine_id, set()).add(attempt.token)

    def _drop(self, token: int) -> None:
        lease = self._leases.pop(token, None)
        if lease is not None:
            of_engine = self._by_engine[lease.engine_id]
            of_engine.discard(token)
            if not of_engine:
                del self._by_engine[lease.engine_id]
        self._expiring.discard(token)

    def of_engine(self, engine_id: str) -> list[Lease]:
        return [self._leases[token] for token in sorted(self._by_engine.get(engine_id, ()))]

    def of_request(self, engine_id: str, request_id: str) -> list[Lease]:
        """The grants of one lease call that are still live."""
        return [lease for lease in self.of_engine(engine_id) if lease.request_id == request_id]

    def renew(self, engine_id: str, pairs: Iterable[tuple[str, int]], *, monotonic: float) -> list[Lease]:
        """Extend those of the pairs that are live, this engine's, and not being expired at this moment."""
        renewed = []
        for task_id, token in pairs:
            lease = self._leases.get(token)
            if lease is None or token in self._expiring or (lease.task_id, lease.engine_id) != (task_id, engine_id):
                continue
            self._leases[token] = replace(lease, until=monotonic + self._times.lease_s, is_extended=False)
            renewed.append(self._leases[token])
        return renewed

    def overdue(self, *, monotonic: float) -> list[Lease]:
        """Leases to expire now; they can no longer be renewed. So many at once as look like our outage live on, once."""
        found = [
            lease
            for lease in self._leases.values()
            if lease.token not in self._expiring
            and monotonic >= (lease.until if lease.is_acked else min(lease.until, lease.ack_until))
        ]
        fresh = [lease for lease in found if not lease.is_extended]
        self._extended = self._looks_like_our_outage(fresh)
        if self._extended:
            until = monotonic + self._times.lease_s
            for lease in fresh:
                self._leases[lease.token] = replace(lease, until=until, is_acked=True, is_extended=True)
            found = [lease for lease in found if lease.is_extended]
        self._expiring.update(lease.token for lease in found)
        return found

    def _looks_like_our_outage(self, found: list[Lease]) -> bool:
        engines = {lease.engine_id for lease in found}
        times = self._times
        return (
            len(found) >= times.outage_leases
            and len(engines) >= times.outage_engines
            and len(found) > times.outage_share * len(self._leases)
        )

    def forgive(self, tokens: Iterable[int]) -> None:
        """The expiry of these could not be committed: they may be renewed again."""
        self._expiring.difference_update(tokens)

    @property
    def has_just_extended(self) -> bool:
        return self._extended
