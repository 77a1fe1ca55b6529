"""The part of a transaction about accounts: usage, audit, profiles and quotas, and the lists operators page through."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, insert, select

from dispatch.core.audit import AuditFilter
from dispatch.core.copying import replace
from dispatch.core.paging import Slice, Wanted
from dispatch.core.records import ApiKey, AuditRow, Engine, Tenant
from dispatch.store import rows, schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.metering import MeterQueries
from dispatch.store.sequences import take

ENGINES, KEYS, TENANTS = Order(schema.engines.c.engine_id), Order(schema.api_keys.c.key_id), Order(schema.tenants.c.name)
NEWEST_AUDIT = Order(schema.audit.c.audit_id, is_descending=True)


class AccountQueries(MeterQueries):
    """Mixed into SqlTransaction."""

    _connection: Connection

    # --- lists

    def list_engines(self, wanted: Wanted) -> Slice[Engine]:
        return load_slice(self._connection, select(schema.engines), ENGINES, wanted, rows.ENGINES.load)

    def list_keys(self, wanted: Wanted) -> Slice[ApiKey]:
        return load_slice(self._connection, select(schema.api_keys), KEYS, wanted, rows.KEYS.load)

    def list_tenants(self, wanted: Wanted) -> Slice[Tenant]:
        return load_slice(self._connection, select(schema.tenants), TENANTS, wanted, rows.TENANTS.load)

    # --- audit

    def audit(self, row: AuditRow) -> None:
        """Append it under the next number: ids sort in the order of commits."""
        (number,) = take(self._connection, "audit", 1)
        self._connection.execute(insert(schema.audit), rows.AUDIT.params(replace(row, audit_id=f"aud_{number:012d}")))

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
