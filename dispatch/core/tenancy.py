"""What a tenant may be called, where its files lie, and what a change of it may not do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dispatch.core.callers import Caller
from dispatch.core.copying import replace
from dispatch.core.paging import refuse
from dispatch.core.records import Tenant
from protocol.admin import TenantLimits, TenantPatch, TenantRequest
from protocol.recipes import InputLimits

TAKEN = frozenset({"staging", "inputs", "uploads"})
"""Directories of the storage that belong to nobody: a tenant's files may not lie there, so none may be called so."""


SANDBOXED = "sandbox:2"
"""What engines provide on which a tool reads, writes and reaches nothing but its own task."""


def needs_of(tenant: Tenant) -> frozenset[str]:
    """What each task of its jobs asks of an engine, whatever the work is."""
    return frozenset({SANDBOXED}) if tenant.untrusted else frozenset()


def root_of(tenant: Tenant) -> str:
    """The first component of every path of its own in the storage."""
    return tenant.prefix or tenant.name


def limits_of(tenant: Tenant, limits: InputLimits) -> InputLimits:
    """The server's limits on inputs, but for those that are the tenant's own."""
    own = told_limits(tenant)
    return limits if own is None else limits.model_copy(update=own.model_dump(exclude_none=True))


def told_limits(tenant: Tenant) -> TenantLimits | None:
    return None if tenant.limits_json is None else TenantLimits.model_validate_json(tenant.limits_json)


def _stored(limits: TenantLimits | None) -> str | None:
    return None if limits is None else limits.model_dump_json(exclude_none=True)


def asked_for(query: Mapping[str, str], who: Caller) -> str | None:
    """Whose rows a list shows; None, all tenants', for an admin. Raises VALIDATION_FAILED for a tenant others may not ask for."""
    named = query.get("tenant")
    if who.is_admin:
        return named
    if named is not None and named != who.tenant:
        raise refuse("tenant", f"names another tenant; this key sees what is of {who.tenant} alone, so leave it out")
    return who.tenant


def made(request: TenantRequest, others: Iterable[Tenant], *, now: float) -> Tenant:
    """Raises VALIDATION_FAILED for a name that is taken or reserved, and for a prefix that is."""
    known = list(others)
    if request.name in TAKEN:
        raise refuse("name", f"{request.name} is reserved; take another name")
    if request.name in {tenant.name for tenant in known}:
        raise refuse("name", f"tenant {request.name} exists already")
    tenant = Tenant(
        name=request.name,
        weight=request.weight,
        created_at=now,
        max_running=request.max_running,
        max_queued=request.max_queued,
        max_bytes_per_month=request.max_bytes_per_month,
        prefix=request.prefix or "",
        default_profile=request.default_profile,
        untrusted=request.untrusted,
        limits_json=_stored(request.limits),
    )
    _check_root(tenant, known)
    return tenant


def changed(tenant: Tenant, patch: TenantPatch, others: Iterable[Tenant], *, has_jobs: bool) -> Tenant:
    """Fields that are not given stay; null takes a quota, prefix or profile away. Raises VALIDATION_FAILED."""
    told = {name: getattr(patch, name) for name in patch.model_fields_set - {"limits"}}
    if "limits" in patch.model_fields_set:
        told["limits_json"] = _stored(patch.limits)
    told["prefix"] = told.get("prefix", tenant.prefix) or ""
    if told.get("weight", tenant.weight) is None:
        raise refuse("weight", "cannot be taken away; give a number")
    if told.get("untrusted", tenant.untrusted) is None:
        raise refuse("untrusted", "is true or false")
    after = replace(tenant, **told)
    if root_of(after) != root_of(tenant):
        if has_jobs:
            raise refuse("prefix", "is fixed once the tenant has jobs: their files lie there")
        _check_root(after, others)
    return tenant if after == tenant else replace(after, version=tenant.version + 1)


def _check_root(tenant: Tenant, others: Iterable[Tenant]) -> None:
    """Each tenant's files lie in a directory of its own."""
    root = root_of(tenant)
    field = "prefix" if tenant.prefix else "name"
    if root in TAKEN:
        raise refuse(field, f"{root} is reserved; take another one")
    for other in others:
        if other.name != tenant.name and root_of(other) == root:
            raise refuse(field, f"the files of another tenant lie in {root}; take another one")
