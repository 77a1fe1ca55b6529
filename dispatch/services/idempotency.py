"""Idempotency keys: the answer to the first call is stored in the transaction of its effect, and given again for a day.

How a service uses it, when its effect is one transaction and its answer follows from that:

    async def create(self, who: Caller, request: KeyRequest, key: IdempotencyKey | None) -> Answered:
        def make(tx: Transaction) -> Answered:
            tx.put_thing(thing)
            return answer_of(view, 201, {"Location": url})

        return await self._once.transact(who, key, make)

Whatever `make` raises is not stored, so a refused call may be repeated with the same key. Work that should not be done
twice before the transaction (a file checked, a body stored) asks `replay` first. What must happen after the commit, such
as a cache to be told, is done for a replay too, or only `if not answer.replayed`. The API layer holds the key while the
call runs (`held`, `claimed`), for every row of the operations table with `is_idempotent_by_key`; handlers get the key by
`call.keyed_message` and give the answer by `dispatch.api.keyed.answered`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import orjson
from pydantic import BaseModel

from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.records import IdempotencyRow
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.claims import Claimed, Claims
from dispatch.services.sealing import Sealer, Unsealable
from protocol.errors import ErrorCode, ReelyardError

SEALED = "sealed:"
"""No body of ours begins so: they are JSON, or empty."""

UNSEEN = {"Cache-Control": "no-store"}
AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it goes out and as it is replayed. `headers` are those that belong to it, such as Location and ETag."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


def answer_of(reply: BaseModel, status: int, headers: Mapping[str, str] | None = None) -> Answered:
    return Answered(status, reply.model_dump_json(by_alias=True).encode(), headers or {})


@dataclass(frozen=True, slots=True)
class KeyRules:
    """`is_required`: calls that take a key are refused without one. `boot_id` is that of this server's run.

    `is_shared`: other servers work on the same database.
    """

    boot_id: str
    is_required: bool = False
    is_shared: bool = False


class Idempotency:
    def __init__(self, store: Store, sealer: Sealer, clock: Clock, rules: KeyRules) -> None:
        self._store, self._sealer, self._clock, self._rules = store, sealer, clock, rules
        self._running: set[tuple[str, str, str]] = set()
        self.claims = Claims(store, clock, rules.boot_id, is_shared=rules.is_shared)

    @contextmanager
    def held(self, tenant: str, route: str, key: str | None) -> Iterator[None]:
        """For as long as the call runs. Raises IDEMPOTENCY_KEY_REQUIRED, and IDEMPOTENCY_IN_PROGRESS while another holds it.

        Held in memory: with the process the call has ended, and what it had done by then stands in the database.
        """
        if key is None:
            if self._rules.is_required:
                raise ReelyardError(ErrorCode.IDEMPOTENCY_KEY_REQUIRED)
            yield
            return
        name = (tenant, route, key)
        if name in self._running:
            raise ReelyardError(ErrorCode.IDEMPOTENCY_IN_PROGRESS, retry_after=AGAIN_S)
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)

    @asynccontextmanager
    async def claimed(self, tenant: str, route: str, key: str | None) -> AsyncIterator[None]:
        """The same for a call whose work begins long before its commit, against other servers too: a row tells who runs it.

        Calls without such work need no row: of two at once one is committed, and the other gives its answer.
        """
        with self.held(tenant, route, key):
            if key is None:
                yield
                return
            async with self.claims.held(Claimed(route, key, ErrorCode.IDEMPOTENCY_IN_PROGRESS, tenant)):
                yield

    async def replay(self, who: Caller, key: IdempotencyKey | None) -> Answered | None:
        """The answer to the first call, if there was one. Raises IDEMPOTENCY_MISMATCH when that asked for something else."""
        return None if key is None else await self._store.read(lambda tx: self._earlier(tx, who, key))

    async def transact(
        self, who: Caller, key: IdempotencyKey | None, effect: Callable[[Transaction], Answered], *, has_secret: bool = False
    ) -> Answered:
        """Run the effect durably with its answer, or give the earlier answer.

        `has_secret`: the answer is stored sealed, and caches are told to keep nothing.
        """
        return await self._store.transact(lambda tx: self.within(tx, who, key, effect, has_secret=has_secret))

    def within(
        self,
        tx: Transaction,
        who: Caller,
        key: IdempotencyKey | None,
        effect: Callable[[Transaction], Answered],
        *,
        has_secret: bool = False,
    ) -> Answered:
        """The same inside a transaction of the caller's own."""
        earlier = None if key is None else self._earlier(tx, who, key)
        if earlier is not None:
            return earlier
        answer = effect(tx)
        if has_secret:
            answer = replace(answer, headers={**answer.headers, **UNSEEN})
        if key is not None:
            tx.put_idempotency(self._row(who, key, answer, has_secret=has_secret))
        return answer

    def _row(self, who: Caller, key: IdempotencyKey, answer: Answered, *, has_secret: bool) -> IdempotencyRow:
        text = answer.body.decode()
        return IdempotencyRow(
            tenant=who.tenant,
            route=key.route,
            key=key.key,
            fingerprint=key.fingerprint,
            status=answer.status,
            body=SEALED + self._sealer.seal(text) if has_secret else text,
            boot_id=self._rules.boot_id,
            created_at=self._clock.now(),
            headers_json=orjson.dumps(dict(answer.headers)).decode(),
        )

    def _earlier(self, tx: Transaction, who: Caller, key: IdempotencyKey) -> Answered | None:
        row = first_call(tx, who, key)
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise ReelyardError(ErrorCode.IDEMPOTENCY_MISMATCH)
        return Answered(row.status, self._body(row).encode(), orjson.loads(row.headers_json), replayed=True)

    def _body(self, row: IdempotencyRow) -> str:
        if not row.body.startswith(SEALED):
            return row.body
        try:
            return self._sealer.open(row.body.removeprefix(SEALED))
        except Unsealable:
            message = "the answer to the first call was sealed with a secret this server no longer has; use a new key"
            raise ReelyardError(ErrorCode.IDEMPOTENCY_MISMATCH, message) from None


def first_call(tx: Transaction, who: Caller, key: IdempotencyKey) -> IdempotencyRow | None:
    """What the first call with this key left; keys belong to a tenant and a route."""
    return tx.idempotency(who.tenant, key.route, key.key)
