"""What a transaction knows of care: purges, retention and deletions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dispatch.core.paging import Slice, Wanted
from dispatch.core.records import Deletion, Graph, Job
from dispatch.core.retention import Cutoffs, Item, Kind


class CareRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def forget_jobs(self, graphs: Iterable[Graph]) -> None:
        """Remove these jobs with their tasks, attempts, staged rows and ended webhook deliveries.

        Guarded by state and version. Raises StaleRow.
        """
        ...

    def forget_staged(self, job_id: str) -> None:
        """Remove the rows of what the job's tasks staged."""
        ...

    def put_deletions(self, deletions: Iterable[Deletion]) -> None:
        """A path that waits already is fine."""
        ...

    def deletions(self, after: str, limit: int) -> list[Deletion]:
        """Paths whose bytes have to go, by path, those behind `after`."""
        ...

    def drop_deletions(self, paths: Iterable[str]) -> None: ...

    def due_items(self, at: Cutoffs, wanted: Wanted, kinds: Iterable[Kind]) -> Slice[Item]:
        """What is due, longest kept first."""
        ...

    def empty_logs(self, tokens: Iterable[int], before: float) -> int:
        """Empty the log of those attempts that ended before then; how many."""
        ...

    def oldest_events(self, limit: int) -> list[tuple[int, float]]:
        """(seq, at) of the first events there are, but never of the last one."""
        ...

    def drop_events(self, upto: int) -> int: ...
    def drop_deliveries(self, before: float, limit: int) -> int:
        """Remove webhook deliveries that ended before then; how many."""
        ...

    def count_audit(self, before: float) -> int:
        """Entries of the audit log from before then."""
        ...

    def drop_audit(self, before: float, limit: int) -> int:
        """Remove so many of them at the most; how many."""
        ...

    def dead_letters(self, wanted: Wanted) -> Slice[Job]:
        """Failed jobs whose failure is not their client's, newest first."""
        ...

    def jobs_of(self, tenant: str) -> list[str]:
        """Ids of all jobs of a tenant."""
        ...

    def known_jobs(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these jobs that exist."""
        ...

    def purged_jobs(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these jobs of which an event tells that all of it was purged."""
        ...
