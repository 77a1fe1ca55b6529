"""Tenants: who owns jobs. Known by their name; what is in force of them is kept in memory and follows the commits."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core import tenancy, times
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.paging import FIRST, Listing, Wanted, page_fields
from dispatch.core.records import Tenant
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.profiles import ProfileBook
from protocol.admin import TenantPage, TenantPatch, TenantRequest, TenantView
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API

TENANTS = Listing("tenants")
Versions = frozenset[int] | None
"""What If-Match accepts; None is any."""


class TenantBook:
    """A CommitListener. Every tenant as it stands now."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}

    def load(self, tenants: Iterable[Tenant]) -> None:
        """Called once; of what another server changed while these were read, the commit has told already."""
        self._tenants = {tenant.name: tenant for tenant in tenants} | self._tenants

    def __call__(self, commit: Commit) -> None:
        for tenant in commit.tenants:
            self._tenants[tenant.name] = tenant

    def __contains__(self, name: object) -> bool:
        return name in self._tenants

    def find(self, name: str) -> Tenant:
        """One that has no row has no quotas; that it may call at all is decided where callers are let in."""
        return self._tenants.get(name) or Tenant(name, 1.0, 0.0)


class TenantService:
    def __init__(self, store: Store, once: Idempotency, book: TenantBook, profiles: ProfileBook, clock: Clock) -> None:
        self._store, self._once, self._book = store, once, book
        self._profiles, self._clock = profiles, clock

    async def load(self, names: Iterable[str]) -> None:
        """Make those that must exist, then know all there are. Called once, before calls are taken."""
        now = self._clock.now()

        def ensure(tx: Transaction) -> list[Tenant]:
            known = {tenant.name for tenant in tx.tenants()}
            for name in names:
                if name not in known:
                    tx.put_tenant(Tenant(name, 1.0, now))
            return tx.tenants()

        self._book.load(await self._store.transact(ensure))

    async def create(self, who: Caller, request: TenantRequest, key: IdempotencyKey | None = None) -> Answered:
        """The answer is `TenantView`. Raises VALIDATION_FAILED, PROFILE_NOT_FOUND."""
        self._check_profile(request.default_profile)
        now = self._clock.now()

        def save(tx: Transaction) -> Answered:
            tenant = tenancy.made(request, tx.tenants(), now=now)
            tx.put_tenant(tenant)
            audited(tx, who, "create_tenant", tenant.name, request.model_dump(exclude={"name"}), now=now)
            headers = {"Location": f"{API}/admin/tenants/{tenant.name}", "ETag": f'"{tenant.version}"'}
            return answer_of(_view(tenant), 201, headers)

        return await self._once.transact(who, key, save)

    async def list(self, wanted: Wanted = FIRST) -> TenantPage:
        found = await self._store.read(lambda tx: tx.list_tenants(wanted))
        return TenantPage(tenants=tuple(map(_view, found.rows)), **page_fields(found, wanted, TENANTS))

    async def get(self, name: str) -> TenantView:
        """Raises TENANT_NOT_FOUND."""
        return _view(await self._store.read(lambda tx: _present(tx, name)))

    async def patch(self, who: Caller, name: str, patch: TenantPatch, versions: Versions) -> TenantView:
        """In force at once. Raises TENANT_NOT_FOUND, PRECONDITION_FAILED, VALIDATION_FAILED, PROFILE_NOT_FOUND."""
        self._check_profile(patch.default_profile)
        now = self._clock.now()

        def change(tx: Transaction) -> Tenant:
            before = _present(tx, name)
            if versions is not None and before.version not in versions:
                raise ReelyardError(ErrorCode.PRECONDITION_FAILED)
            after = tenancy.changed(before, patch, tx.tenants(), has_jobs=tx.has_jobs(name))
            if after is not before:
                tx.put_tenant(after)
                audited(tx, who, "patch_tenant", name, patch.model_dump(exclude_unset=True), now=now)
            return after

        return _view(await self._store.transact(change))

    def _check_profile(self, name: str | None) -> None:
        if name is not None:
            self._profiles.find(name)


def _present(tx: Transaction, name: str) -> Tenant:
    found = tx.tenant(name)
    if found is None:
        raise ReelyardError(ErrorCode.TENANT_NOT_FOUND, details={"tenant": name})
    return found


def _view(tenant: Tenant) -> TenantView:
    return TenantView(
        name=tenant.name,
        weight=tenant.weight,
        max_running=tenant.max_running,
        max_queued=tenant.max_queued,
        max_bytes_per_month=tenant.max_bytes_per_month,
        prefix=tenancy.root_of(tenant),
        default_profile=tenant.default_profile,
        created_at=times.rfc3339(tenant.created_at),
        version=tenant.version,
        untrusted=tenant.untrusted,
        limits=tenancy.told_limits(tenant),
    )
