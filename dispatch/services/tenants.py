"""Tenants: who owns jobs. Known by their name."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core import times
from dispatch.core.paging import FIRST, Listing, Wanted, page_fields, refuse
from dispatch.core.records import Tenant
from dispatch.ports import Clock, Store, Transaction
from protocol.admin import TenantPage, TenantRequest, TenantView

TENANTS = Listing("tenants")


class TenantService:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def create(self, request: TenantRequest) -> TenantView:
        tenant = Tenant(request.name, request.weight, self._clock.now())

        def save(tx: Transaction) -> None:
            if request.name in {known.name for known in tx.tenants()}:
                raise refuse("name", f"tenant {request.name} exists already")
            tx.put_tenant(tenant)

        await self._store.transact(save)
        return _view(tenant)

    async def list(self, wanted: Wanted = FIRST) -> TenantPage:
        found = await self._store.read(lambda tx: tx.list_tenants(wanted))
        return TenantPage(tenants=tuple(map(_view, found.rows)), **page_fields(found, wanted, TENANTS))

    async def ensure(self, names: Iterable[str]) -> None:
        """The tenants that must exist, made at the first start."""
        now = self._clock.now()

        def ensure(tx: Transaction) -> None:
            known = {tenant.name for tenant in tx.tenants()}
            for name in names:
                if name not in known:
                    tx.put_tenant(Tenant(name, 1.0, now))

        await self._store.transact(ensure)


def _view(tenant: Tenant) -> TenantView:
    return TenantView(name=tenant.name, weight=tenant.weight, created_at=times.rfc3339(tenant.created_at))
