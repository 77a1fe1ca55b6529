"""One at a time, over all servers of a farm: who sends to a file that grows, who runs a call whose work begins before its commit.

A claim is a row that names the run of the server that holds it. It ends with the call, or with that server: a claim of one
that was not seen for a while is free. On a database that nobody shares memory is enough, and nothing is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from dispatch.core.records import IdempotencyRow
from dispatch.ports import Clock, Store, Transaction
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("claims")
GONE_S = 15.0
"""A server shows every three seconds that it is there (`cluster.renew_s`)."""

AGAIN_S = 2.0
ROUTE = "claim: "
"""No operation's name begins so: claims lie beside the answers to calls with an Idempotency-Key, and go with them."""

NOBODY = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is held: `what` is a kind of thing, `name` one of them. `busy` tells those who come meanwhile."""

    what: str
    name: str
    busy: ErrorCode
    tenant: str = "-"


class Claims:
    def __init__(self, store: Store, clock: Clock, boot_id: str, *, is_shared: bool) -> None:
        self._store, self._clock, self._boot_id, self._is_shared = store, clock, boot_id, is_shared
        self._left: dict[tuple[str, str, str], IdempotencyRow] = {}

    @asynccontextmanager
    async def held(self, wanted: Claimed) -> AsyncIterator[None]:
        """Raises `busy` while another server holds it; within one server its callers see to that themselves."""
        if not self._is_shared:
            yield
            return
        row = self._row(wanted)
        try:
            await self._store.transact(lambda tx: self._take(tx, row, wanted.busy))
        except ReelyardError as fault:
            if fault.code is not wanted.busy:
                self._left[_name(row)] = row  # it may have been committed all the same
            raise
        self._left.pop(_name(row), None)
        try:
            yield
        finally:
            self._left[_name(row)] = row
            await self._give_back(row)

    async def run_once(self) -> None:
        """What could not be given back when its call ended."""
        for row in list(self._left.values()):
            await self._give_back(row)

    def _row(self, wanted: Claimed) -> IdempotencyRow:
        return IdempotencyRow(
            tenant=wanted.tenant,
            route=ROUTE + wanted.what,
            key=wanted.name,
            fingerprint="",
            status=0,
            body="",
            boot_id=self._boot_id,
            created_at=self._clock.now(),
        )

    def _take(self, tx: Transaction, row: IdempotencyRow, busy: ErrorCode) -> None:
        held = tx.idempotency(row.tenant, row.route, row.key)
        if held is not None and held.boot_id not in (NOBODY, self._boot_id) and self._is_held(tx, held):
            raise ReelyardError(busy, retry_after=AGAIN_S)
        tx.put_idempotency(row)

    def _is_held(self, tx: Transaction, row: IdempotencyRow) -> bool:
        """A run that nobody has seen yet may just have begun."""
        seen = next((server.seen_at for server in tx.servers() if server.boot_id == row.boot_id), None)
        if seen is None:
            return self._clock.now() - row.created_at < GONE_S
        return tx.moment() - seen < GONE_S

    async def _give_back(self, row: IdempotencyRow) -> None:
        def free(tx: Transaction) -> None:
            if tx.idempotency(row.tenant, row.route, row.key) == row:
                tx.put_idempotency(replace(row, boot_id=NOBODY))

        try:
            await self._store.transact(free)
        except ReelyardError as away:
            log.warning("claim_not_given_back", what=row.route, reason=away.message)
        else:
            if self._left.get(_name(row)) is row:
                del self._left[_name(row)]


def _name(row: IdempotencyRow) -> tuple[str, str, str]:
    return row.tenant, row.route, row.key
