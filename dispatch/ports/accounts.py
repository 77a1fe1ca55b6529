"""What a transaction knows of accounts: usage, audit, profiles and quotas."""

from __future__ import annotations

from typing import Protocol

from dispatch.core.audit import AuditFilter
from dispatch.core.paging import Slice, Wanted
from dispatch.core.records import ApiKey, AuditRow, Engine, Tenant
from dispatch.ports.metering import MeterRows


class AccountRows(MeterRows, Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def list_engines(self, wanted: Wanted) -> Slice[Engine]: ...
    def list_keys(self, wanted: Wanted) -> Slice[ApiKey]: ...
    def list_tenants(self, wanted: Wanted) -> Slice[Tenant]: ...

    def audit(self, row: AuditRow) -> None:
        """Append it; its `audit_id` is given here, rising in the order of commits."""
        ...

    def list_audit(self, wanted: AuditFilter) -> Slice[AuditRow]: ...
