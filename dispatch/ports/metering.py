"""What a transaction knows of what tenants use: sums by key and day, counts of jobs, quotas, profiles that were put in."""

from __future__ import annotations

from typing import Protocol

from dispatch.core.metering import HeldCount, JobCount, UsageFilter
from dispatch.core.paging import Slice
from dispatch.core.quotas import Standing
from dispatch.core.records import ProfileRow, Task, Tenant, UsageRow
from dispatch.ports.backlog import BacklogRows


class MeterRows(BacklogRows, Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def tenant(self, name: str) -> Tenant | None: ...
    def has_jobs(self, tenant: str) -> bool: ...
    def standing(self, tenant: Tenant, now: float) -> Standing:
        """What counts against its quotas now, what this batch of transactions did included. Jobs are counted to the quota."""
        ...

    def list_usage(self, wanted: UsageFilter) -> Slice[UsageRow]:
        """Newest day first."""
        ...

    def usage_sums(self, tenant: str | None) -> list[UsageRow]:
        """Of all days and keys, by tenant; `day` and `key_id` are empty."""
        ...

    def open_jobs(self, tenant: str | None) -> list[JobCount]:
        """How many jobs there are in each state that is no end, by tenant."""
        ...

    def held_counts(self, tenant: str | None) -> list[HeldCount]: ...
    def held_tasks(self) -> list[Task]:
        """Those that an engine holds."""
        ...

    def profile(self, name: str) -> ProfileRow | None: ...
    def profiles(self) -> list[ProfileRow]: ...
    def put_profile(self, profile: ProfileRow) -> None: ...
    def delete_profile(self, name: str) -> None: ...
