"""Keys, tenants, profiles, health and the contract itself."""

from __future__ import annotations

from protocol import admin
from protocol.admin import Scope as S
from protocol.operations.rows import API, PAGED, Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation("create_key", "POST", f"{API}/admin/api-keys", S.ADMIN, "Make an API key", admin.KeyRequest, admin.KeyCreated, 201),
    Operation(
        "list_keys",
        "GET",
        f"{API}/admin/api-keys",
        S.ADMIN,
        "All API keys, without their secrets",
        None,
        admin.KeyPage,
        query=PAGED,
    ),
    Operation("revoke_key", "DELETE", f"{API}/admin/api-keys/{{key_id}}", S.ADMIN, "Revoke an API key", None, admin.KeyView),
    Operation(
        "list_audit",
        "GET",
        f"{API}/admin/audit",
        S.ADMIN,
        "Who changed what, newest first",
        None,
        admin.AuditPage,
        query=("actor", "action", "since", *PAGED),
    ),
    Operation(
        "create_tenant", "POST", f"{API}/admin/tenants", S.ADMIN, "Make a tenant", admin.TenantRequest, admin.TenantView, 201
    ),
    Operation("list_tenants", "GET", f"{API}/admin/tenants", S.ADMIN, "All tenants", None, admin.TenantPage, query=PAGED),
    Operation(
        "list_profiles", "GET", f"{API}/profiles", S.JOBS_READ, "The profiles jobs may name", None, admin.ProfilePage, query=PAGED
    ),
    Operation("version", "GET", f"{API}/version", S.JOBS_READ, "The server's version", None, admin.VersionReply),
    Operation("health", "GET", f"{API}/health", S.OPEN, "Every part's health", None, admin.Health),
    Operation("healthz", "GET", "/healthz", S.OPEN, "The process lives", None, admin.Pong),
    Operation("readyz", "GET", "/readyz", S.OPEN, "The server takes work; 503 when it does not", None, admin.Health),
    Operation("openapi", "GET", "/openapi.json", S.OPEN, "This contract as OpenAPI 3.1", None, None),
)
