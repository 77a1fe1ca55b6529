"""How many tasks of each tenant engines hold, and how many they may. Knows nothing of queues."""

from __future__ import annotations


class Running:
    """A task counts from its choice, before the grant is committed, until it is held no more."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._caps: dict[str, int] = {}

    def set_cap(self, tenant: str, cap: int | None) -> None:
        if cap is None:
            self._caps.pop(tenant, None)
        else:
            self._caps[tenant] = cap

    def take(self, task_id: str, tenant: str) -> None:
        """Harmless when it counts already."""
        if task_id not in self._holders:
            self._holders[task_id] = tenant
            self._counts[tenant] = self._counts.get(tenant, 0) + 1

    def leave(self, task_id: str) -> str | None:
        """The tenant whose task counted until now."""
        tenant = self._holders.pop(task_id, None)
        if tenant is not None:
            left = self._counts[tenant] - 1
            if left:
                self._counts[tenant] = left
            else:
                del self._counts[tenant]
        return tenant

    def count(self, tenant: str) -> int:
        return self._counts.get(tenant, 0)

    def room(self, tenant: str) -> int | None:
        """How many more may run; None where nothing limits them. Below 0 when the cap was lowered."""
        cap = self._caps.get(tenant)
        return None if cap is None else cap - self.count(tenant)

    def is_capped(self, tenant: str) -> bool:
        return tenant in self._caps

    def is_full(self, tenant: str) -> bool:
        cap = self._caps.get(tenant)
        return cap is not None and self._counts.get(tenant, 0) >= cap
