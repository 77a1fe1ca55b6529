"""Who may call, and as whom: keys, the registration token, the audit log, tenants."""

from __future__ import annotations

from client.calls.base import Calls, if_match
from protocol import admin


class AccessCalls(Calls):
    async def create_key(self, request: admin.KeyRequest, *, key: str | None = None) -> admin.KeyCreated:
        """The answer holds the key itself, this once. `key` is the Idempotency-Key."""
        return await self._ask("create_key", admin.KeyCreated, body=request, headers=self._once(key))

    async def keys(self, **query: str) -> admin.KeyPage:
        return await self._ask("list_keys", admin.KeyPage, query=query)

    async def rotate_key(self, key_id: str, *, overlap_s: float = 86_400.0, key: str | None = None) -> admin.KeyCreated:
        """A new secret for the same key; the one until now stays good for `overlap_s` seconds."""
        body = admin.RotateRequest(overlap_s=overlap_s)
        return await self._ask("rotate_key", admin.KeyCreated, ids={"key_id": key_id}, body=body, headers=self._once(key))

    async def revoke_key(self, key_id: str) -> admin.KeyView:
        return await self._ask("revoke_key", admin.KeyView, ids={"key_id": key_id})

    async def rotate_registration_token(self, *, key: str | None = None) -> admin.RegistrationToken:
        return await self._ask("rotate_registration_token", admin.RegistrationToken, headers=self._once(key))

    async def audit(self, **query: str) -> admin.AuditPage:
        """One page, newest first; the keywords are `actor`, `action`, `since`."""
        return await self._ask("list_audit", admin.AuditPage, query=query)

    async def create_tenant(self, request: admin.TenantRequest, *, key: str | None = None) -> admin.TenantView:
        return await self._ask("create_tenant", admin.TenantView, body=request, headers=self._once(key))

    async def tenants(self, **query: str) -> admin.TenantPage:
        return await self._ask("list_tenants", admin.TenantPage, query=query)

    async def tenant(self, name: str) -> admin.TenantView:
        return await self._ask("get_tenant", admin.TenantView, ids={"tenant": name})

    async def patch_tenant(self, seen: admin.TenantView, change: admin.TenantPatch) -> admin.TenantView:
        """Change a tenant as it was `seen`. Raises PRECONDITION_FAILED when it has changed since."""
        headers = if_match(seen.version)
        return await self._ask("patch_tenant", admin.TenantView, ids={"tenant": seen.name}, body=change, headers=headers)
