"""What a transaction knows of the work that waits."""

from __future__ import annotations

from typing import Protocol

from dispatch.core.backlog import Sample, TaskSum


class BacklogRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def task_sums(self) -> list[TaskSum]:
        """Of all jobs that have not ended. Looks at every task of theirs: run it as a search."""
        ...

    def samples(self, each: int) -> list[Sample]:
        """At most `each` encodes of every class that waits, the oldest first."""
        ...
