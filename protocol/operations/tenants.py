"""Tenants, and what they use."""

from __future__ import annotations

from protocol import admin
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, PAGED, Operation

_TENANT = f"{API}/admin/tenants/{{tenant}}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "create_tenant",
        "POST",
        f"{API}/admin/tenants",
        S.ADMIN,
        "Make a tenant",
        admin.TenantRequest,
        admin.TenantView,
        201,
        is_idempotent_by_key=True,
        is_tagged=True,
        errors=(ErrorCode.PROFILE_NOT_FOUND,),
    ),
    Operation("list_tenants", "GET", f"{API}/admin/tenants", S.ADMIN, "All tenants", None, admin.TenantPage, query=PAGED),
    Operation("get_tenant", "GET", _TENANT, S.ADMIN, "One tenant", None, admin.TenantView, is_tagged=True),
    Operation(
        "patch_tenant",
        "PATCH",
        _TENANT,
        S.ADMIN,
        "Change weight, quotas, prefix or default profile; in force at once",
        admin.TenantPatch,
        admin.TenantView,
        errors=(ErrorCode.PRECONDITION_FAILED, ErrorCode.PRECONDITION_REQUIRED, ErrorCode.PROFILE_NOT_FOUND),
        is_tagged=True,
        needs_match=True,
    ),
)
