"""Who calls, as far as decisions go."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.admin import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """`key_id` is a key's id, or `jwt:<subject>`. `address` and `request_id` are of this call, for the audit log.

    `jobs_per_hour` bounds the calls that make jobs; None is unlimited.
    """

    key_id: str
    tenant: str
    scopes: frozenset[Scope]
    address: str = ""
    request_id: str = ""
    jobs_per_hour: int | None = None

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    def sees(self, tenant: str) -> bool:
        return self.is_admin or tenant == self.tenant

    def may(self, scope: Scope) -> bool:
        return self.is_admin or scope in self.scopes


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`fingerprint` is the SHA-256 of what was asked; the key belongs to a tenant and a route."""

    route: str
    key: str
    fingerprint: str
