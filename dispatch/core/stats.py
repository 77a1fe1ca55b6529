"""Counts become the figures of `/stats`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dispatch.core.metering import HeldCount, JobCount
from dispatch.core.records import UsageRow
from protocol.figures import Figures
from protocol.states import JobState

TB = 1_000_000_000_000
WAITING = frozenset({JobState.PENDING, JobState.RETRYING})


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over all days, jobs that have not ended, and encoding tasks that engines hold: each by tenant."""

    usage: tuple[UsageRow, ...]
    open_jobs: tuple[JobCount, ...]
    held: tuple[HeldCount, ...]

    def of(self, tenant: str) -> Counts:
        return Counts(
            tuple(row for row in self.usage if row.tenant == tenant),
            tuple(row for row in self.open_jobs if row.tenant == tenant),
            tuple(row for row in self.held if row.tenant == tenant),
        )


def figures(counts: Counts, slots: Mapping[str, int]) -> Figures:
    """`slots` are the encoding slots of the engines that are there."""
    usage = counts.usage
    completed = sum(row.jobs_completed for row in usage)
    taken, made = sum(row.input_bytes for row in usage), sum(row.output_bytes for row in usage)
    seconds = sum(row.processing_seconds for row in usage) / completed if completed else 0.0
    busy = utilization(counts.held, slots)
    return Figures(
        total_jobs=sum(row.jobs_created for row in usage),
        pending=sum(row.count for row in counts.open_jobs if row.state in WAITING),
        processing=sum(row.count for row in counts.open_jobs if row.state not in WAITING),
        completed=completed,
        failed=sum(row.jobs_failed for row in usage),
        total_input_bytes=taken,
        total_output_bytes=made,
        total_input_tb=round(taken / TB, 6),
        total_output_tb=round(made / TB, 6),
        avg_processing_seconds=round(seconds, 3),
        avg_processing_time_minutes=round(seconds / 60, 3),
        engine_utilization_percent=busy,
        worker_utilization_percent=busy,
    )


def utilization(held: Iterable[HeldCount], slots: Mapping[str, int]) -> float:
    """Percent of the slots. Short tasks share one: an engine is never more than full."""
    by_engine: dict[str, int] = {}
    for row in held:
        by_engine[row.engine_id] = by_engine.get(row.engine_id, 0) + row.count
    in_use = sum(min(by_engine.get(engine_id, 0), count) for engine_id, count in slots.items())
    total = sum(slots.values())
    return round(100 * in_use / total, 1) if total else 0.0
