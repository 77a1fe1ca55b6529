"""The audit log: who changed what. An entry is a row of the transaction that makes the change."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from dispatch.core.audit import AUDIT, AuditFilter
from dispatch.core.callers import Caller
from dispatch.core.paging import page_fields
from dispatch.core.records import AuditRow
from dispatch.core.times import rfc3339
from dispatch.ports import Store, Transaction
from protocol.admin import AuditPage, AuditView


def audited(
    tx: Transaction, who: Caller, action: str, target: str, details: Mapping[str, object] | None = None, *, now: float
) -> None:
    """Note in this transaction that `who` did `action` (an operation's name) to `target` (an id or a name).

    `details` are JSON values that tell what changed; never a secret, nor a part of one. The store numbers the entries in
    the order of their commits.
    """
    text = orjson.dumps(dict(details or {})).decode()
    tx.audit(AuditRow("", now, who.tenant, who.key_id, action, target, who.address, who.request_id, text))


class AuditService:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, wanted: AuditFilter) -> AuditPage:
        """Newest first."""
        found = await self._store.read(lambda tx: tx.list_audit(wanted))
        return AuditPage(audit=tuple(map(_view, found.rows)), **page_fields(found, wanted.page, AUDIT))


def _view(row: AuditRow) -> AuditView:
    return AuditView(
        audit_id=row.audit_id,
        at=rfc3339(row.at),
        tenant=row.tenant,
        actor=row.actor,
        action=row.action,
        target=row.target,
        address=row.address,
        request_id=row.request_id,
        details=orjson.loads(row.details_json),
    )
