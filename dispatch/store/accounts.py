"""The part of a transaction about accounts: usage, audit, profiles and quotas, and the lists operators page through."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select

from dispatch.core.audit import AuditFilter
from dispatch.core.copying import replace
from dispatch.core.paging import Slice, Wanted
from dispatch.core.records import ApiKey, AuditRow, Engine, Tenant
from dispatch.store import rows, schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.metering import MeterQueries
from dispatch.store.sequences import take
from dispatch.store.statements import inserting

ENGINES, KEYS, TENANTS = Order(schema.engines.c.engine_id), Order(schema.api_keys.c.key_id), Order(schema.tenants.c.name)
INSERT_AUDIT = inserting(schema.audit)
NEWEST_AUDIT = Order(schema.audit.c.audit_id, is_descending=True)


class AccountQueries(MeterQueries):
    """Mixed into SqlTransaction."""

    _connection: Connection
    _audits: list[AuditRow]

    # --- lists

    def list_engines(self, wanted: Wanted) -> Slice[Engine]:
        return load_slice(self._connection, select(schema.engines), ENGINES, wanted, rows.ENGINES.load)

    def list_keys(self, wanted: Wanted) -> Slice[ApiKey]:
        return load_slice(self._connection, select(schema.api_keys), KEYS, wanted, rows.KEYS.load)

    def list_tenants(self, wanted: Wanted) -> Slice[Tenant]:
        return load_slice(self._connection, select(schema.tenants), TENANTS, wanted, rows.TENANTS.load)

    # --- audit

    def audit(self, row: AuditRow) -> None:
        """Append it; it gets its number with the events, just before the commit: ids sort in the order of commits."""
        self._audits.append(row)

    def flush_audits(self) -> None:
        if not self._audits:
            return
        numbers = take(self._connection, "audit", len(self._audits))
        made = [replace(row, audit_id=f"aud_{number:012d}") for number, row in zip(numbers, self._audits, strict=True)]
        INSERT_AUDIT.run_many(self._connection, [rows.AUDIT.values(row) for row in made])
        self._audits.clear()

    def list_audit(self, wanted: AuditFilter) -> Slice[AuditRow]:
        """Newest first."""
        statement = select(schema.audit).where(*_audit_conditions(wanted))
        return load_slice(self._connection, statement, NEWEST_AUDIT, wanted.page, rows.AUDIT.load)


def _audit_conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    table = schema.audit
    conditions: list[ColumnElement[bool]] = []
    if wanted.actor is not None:
        conditions.append(table.c.actor == wanted.actor)
    if wanted.action is not None:
        conditions.append(table.c.action == wanted.action)
    if wanted.since is not None:
        conditions.append(table.c.at >= wanted.since)
    return conditions
