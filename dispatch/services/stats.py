"""What is counted, told to clients: the figures of `/stats` and usage by key and day."""

from __future__ import annotations

from dispatch.core.callers import Caller
from dispatch.core.metering import USAGE, UsageFilter
from dispatch.core.paging import page_fields
from dispatch.core.records import UsageRow
from dispatch.core.stats import Counts, figures
from dispatch.ports import Store, Transaction
from dispatch.services.backlog import BacklogService
from dispatch.services.registry import EngineRegistry
from protocol.admin import Scope
from protocol.figures import Stats, UsagePage, UsageView

HOUR_S = 3600.0


class StatsService:
    """Nothing here looks at jobs that have ended: their sums are the usage of each day, a row a key."""

    def __init__(self, store: Store, registry: EngineRegistry, backlog: BacklogService) -> None:
        self._store, self._registry, self._backlog = store, registry, backlog

    async def stats(self, who: Caller) -> Stats:
        """An admin sees the farm and each tenant, others their own tenant alone; what engines are needed is for operators."""
        tenant = None if who.is_admin else who.tenant

        def count(tx: Transaction) -> tuple[Counts, list[str]]:
            counts = Counts(tuple(tx.usage_sums(tenant)), tuple(tx.open_jobs(tenant)), tuple(tx.held_counts(tenant)))
            return counts, [row.name for row in tx.tenants()] if who.is_admin else []

        counts, names = await self._store.read(count)
        slots = self._registry.encoding_slots()
        each = {name: figures(counts.of(name), slots) for name in names} if who.is_admin else None
        scaling = await self._backlog.scaling() if who.may(Scope.ENGINES_READ) else None
        return Stats(**figures(counts, slots).model_dump(), tenants=each, scaling=scaling)

    async def usage(self, wanted: UsageFilter) -> UsagePage:
        """Newest day first."""
        found = await self._store.read(lambda tx: tx.list_usage(wanted))
        return UsagePage(usage=tuple(map(_view, found.rows)), **page_fields(found, wanted.page, USAGE))


def _view(row: UsageRow) -> UsageView:
    return UsageView(
        day=row.day,
        tenant=row.tenant,
        key_id=row.key_id,
        jobs_created=row.jobs_created,
        jobs_completed=row.jobs_completed,
        jobs_failed=row.jobs_failed,
        jobs_cancelled=row.jobs_cancelled,
        input_bytes=row.input_bytes,
        output_bytes=row.output_bytes,
        processing_hours=round(max(0.0, row.processing_seconds) / HOUR_S, 6),
    )
