"""Reports on their way to dispatch: due, in flight on a request, or settled."""

from __future__ import annotations

from engine.core.attempts import Key, Report, key_of
from protocol.errors import ErrorCode
from protocol.leases import Complete, Fail, Settlement, digest_of

MAX_REPORTS = 1024
"""What 16 slots bring at once when 64 short tasks share each: their results go back on one request."""

MAX_WEIGHT = 8 << 20
"""Bytes, roughly; the lease call takes 16 MB."""

NOT_NOW = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE,
        ErrorCode.STORAGE_FULL,
        ErrorCode.DATABASE_UNAVAILABLE,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.RATE_LIMITED,
    }
)
"""Answers to a report that settle nothing: it is sent again later."""


def weigh(report: Report) -> int:
    """About how many bytes a report takes on the wire."""
    match report:
        case Complete(result=result):
            return 400 + 400 * len(result.files) + 400 * len(result.steps) + 2 * len(result.log_tail)
        case Fail(failure=failure):
            return 600 + 2 * len(failure.log_tail) + sum(2 * len(text) for text in failure.evidence.values())
        case _:
            return 150


class Outbox:
    """Due reports in the order they came. What a failed request carried becomes due again, at the front."""

    def __init__(self) -> None:
        self._due: dict[Key, list[Report]] = {}
        self._flying: dict[str, dict[Key, list[Report]]] = {}

    @property
    def has_due(self) -> bool:
        return bool(self._due)

    def add(self, report: Report) -> None:
        self._due.setdefault(key_of(report), []).append(report)

    def discard(self, key: Key) -> None:
        """Never send anything about this attempt again; what is in flight arrives or does not."""
        self._due.pop(key, None)
        for reports in self._flying.values():
            reports.pop(key, None)

    def peek(self, limit: int) -> tuple[Report, ...]:
        """What the next request carries: as many as `limit` and the weight allow, at least one if any is due."""
        taken: list[Report] = []
        weight = 0
        for reports in self._due.values():
            for report in reports:
                weight += weigh(report)
                if taken and (len(taken) >= limit or weight > MAX_WEIGHT):
                    return tuple(taken)
                taken.append(report)
        return tuple(taken)

    def take(self, request_id: str, limit: int) -> tuple[Report, ...]:
        """Put the next reports on this request."""
        taken = self.peek(limit)
        flying = self._flying[request_id] = {}
        for report in taken:
            key = key_of(report)
            flying.setdefault(key, []).append(report)
            waiting = self._due[key]
            waiting.pop(0)
            if not waiting:
                del self._due[key]
        return taken

    def landed(self, request_id: str) -> None:
        """The request was answered."""
        self._flying.pop(request_id, None)

    def give_back(self, request_id: str) -> None:
        """The request failed and is not repeated: its reports are due again."""
        reports = self._flying.pop(request_id, {})
        self.renew(tuple(report for of_one in reports.values() for report in of_one))

    def renew(self, reports: tuple[Report, ...]) -> None:
        """Make these due before all others."""
        again: dict[Key, list[Report]] = {}
        for report in reports:
            again.setdefault(key_of(report), []).append(report)
        for key, later in self._due.items():
            again.setdefault(key, []).extend(later)
        self._due = again


def is_open(report: Report, answer: Settlement) -> bool:
    """Whether the answer leaves the report unsettled: it is another's, means "later", or names another digest.

    What a final report tells may only be deleted once dispatch has named the digest of what it stored.
    """
    if key_of(report) != (answer.task_id, answer.token) or answer.error in NOT_NOW:
        return True
    return answer.error is None and answer.digest != digest_of(report)
