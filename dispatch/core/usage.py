"""What keys use, by day: derived from jobs that come in and from jobs that end, so that the sums follow from the rows.

A job counts as made on the day it was created. Its end counts on the day it ended, and is taken back when it is tried
again: the sums of ended jobs are always those of the jobs that have ended, purged ones included.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from dispatch.core.records import NO_TENANT, Job, UsageRow
from protocol.states import TERMINAL_JOB_STATES, JobState

DAY_S = 86_400
Account = tuple[str, str, str]  # day, tenant, key id
Amount = int | float

CREATED, COMPLETED, FAILED, CANCELLED, INPUT_BYTES, OUTPUT_BYTES, SECONDS = range(7)
COUNTED = {JobState.COMPLETED: COMPLETED, JobState.FAILED: FAILED, JobState.CANCELLED: CANCELLED}


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_S, UTC).strftime("%Y-%m-%d")


def day_of(moment: float) -> str:
    """The day (UTC) as `2026-01-31`."""
    return _day(int(moment // DAY_S))


def month_of(moment: float) -> str:
    """The month (UTC) as `2026-01`."""
    return day_of(moment)[:7]


def month_end(moment: float) -> float:
    """The moment at which the month (UTC) of this moment is over."""
    first = datetime.fromtimestamp(moment, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return first.replace(year=year, month=month).timestamp()


class Tally:
    """Sums of what was used, still to be written."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[Account, list[Amount]] = {}

    def take_in(self, job: Job) -> None:
        """A new job. One that only looks at an input counts nowhere."""
        if job.tenant == NO_TENANT:
            return
        self._of(job, job.created_at)[CREATED] += 1

    def follow(self, old: Job, new: Job) -> None:
        """A job changed: an end counts, and one that is tried again is taken back."""
        if old.state is new.state or new.tenant == NO_TENANT:
            return
        if old.state in TERMINAL_JOB_STATES:
            self._count(old, -1)
        if new.state in TERMINAL_JOB_STATES:
            self._count(new, 1)

    def merge(self, other: Tally) -> None:
        for account, amounts in other._sums.items():
            sums = self._sums.get(account)
            self._sums[account] = list(amounts) if sums is None else [a + b for a, b in zip(sums, amounts, strict=True)]

    def rows(self) -> Iterator[UsageRow]:
        for (day, tenant, key_id), (created, completed, failed, cancelled, *used) in self._sums.items():
            counts = (int(created), int(completed), int(failed), int(cancelled))
            yield UsageRow(day, tenant, key_id, *counts, int(used[0]), int(used[1]), float(used[2]))

    def input_bytes(self, tenant: str, month: str) -> int:
        sums = (s for (day, owner, _), s in self._sums.items() if owner == tenant and day.startswith(month))
        return int(sum(amounts[INPUT_BYTES] for amounts in sums))

    def _of(self, job: Job, moment: float) -> list[Amount]:
        account = (day_of(moment), job.tenant, job.key_id)
        sums = self._sums.get(account)
        if sums is None:
            sums = self._sums[account] = [0] * 7
        return sums

    def _count(self, job: Job, sign: int) -> None:
        ended_at = job.updated_at if job.ended_at is None else job.ended_at
        sums = self._of(job, ended_at)
        sums[COUNTED[job.state]] += sign
        sums[INPUT_BYTES] += sign * job.source.size
        if job.state is JobState.COMPLETED:
            sums[OUTPUT_BYTES] += sign * output_bytes(job)
            sums[SECONDS] += sign * processing_seconds(job)


def output_bytes(job: Job) -> int:
    """Of everything it published. Jobs that were published before this was noted count as nothing."""
    return 0 if job.outputs_json is None else int(orjson.loads(job.outputs_json).get("size_bytes", 0))


def processing_seconds(job: Job) -> float:
    """From the first start to the end of the work, as the API tells it."""
    if job.completed_at is None or job.started_at is None:
        return 0.0
    return max(0.0, job.completed_at - job.started_at)
