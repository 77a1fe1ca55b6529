"""What a transaction knows of care: purges, retention and deletions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dispatch.core.records import Deletion, Graph


class CareRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def forget_jobs(self, graphs: Iterable[Graph]) -> None:
        """Remove these jobs with their tasks, attempts and staged rows, guarded by state and version. Raises StaleRow."""
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
