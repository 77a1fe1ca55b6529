"""Room that is promised before a byte is read: on the disk, and of what a tenant may take in this month."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from dispatch.core import quotas
from dispatch.ports import Clock, Store, Transaction
from dispatch.ports.uploads import ByteQuota
from dispatch.services.gate import StorageGate

STEP = 64 << 20
"""Bytes reserved at a time for a body that does not tell its length."""


class MonthlyBytes:
    """Satisfies ByteQuota by the tenant's row and what the store has counted."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def check_bytes(self, tenant: str, size: int) -> None:
        now = self._clock.now()

        def check(tx: Transaction) -> None:
            row = tx.tenant(tenant)
            if row is None or not quotas.is_limited(row):
                return
            no = quotas.refusal(row, tx.standing(row, now), jobs=0, size=size, now=now)
            if no is not None:
                raise no

        await self._store.read(check)


@dataclass(slots=True)
class _Held:
    """`ahead` are bytes that are not on the disk yet, `uncounted` those that stand in no row that a quota counts.

    `moved_at`, monotonic: when something was reserved or came last.
    """

    tenant: str
    ahead: int
    uncounted: int
    moved_at: float


class Reservations:
    """In memory alone: after a restart `load` derives them from the rows of open uploads; bodies in flight died with it.

    Room on the disk is held for `idle_s` after the last byte: who only announced bytes keeps nobody else out for long.
    """

    def __init__(self, gate: StorageGate, quota: ByteQuota, clock: Clock, idle_s: float) -> None:
        self._gate, self._quota, self._clock, self._idle_s = gate, quota, clock, idle_s
        self._held: dict[str, _Held] = {}

    def load(self, uploads: Iterable[tuple[str, str, int]]) -> None:
        """Of each open upload: holder, tenant, bytes to come."""
        now = self._clock.monotonic()
        self._held = {holder: _Held(tenant, ahead, 0, now) for holder, tenant, ahead in uploads}

    @property
    def ahead(self) -> int:
        """Bytes promised that are not on the disk yet."""
        return sum(held.ahead for held in self._held.values() if not self._has_lapsed(held))

    async def take(self, holder: str, tenant: str, size: int) -> None:
        """So many bytes more. Raises STORAGE_FULL, QUOTA_EXCEEDED; then nothing is reserved.

        They are booked before anybody is asked, so that two at once cannot both have the last room.
        """
        held = self._book(holder, tenant, size)
        held.uncounted += size
        try:
            await self._quota.check_bytes(tenant, sum(h.uncounted for h in self._held.values() if h.tenant == tenant))
            await self._gate.check_room(self.ahead)
        except BaseException:
            self._give_back(holder, size)
            raise

    async def take_room(self, holder: str, tenant: str, size: int) -> None:
        """Room on the disk alone, for bytes that count already. Raises STORAGE_FULL."""
        self._book(holder, tenant, size)
        try:
            await self._gate.check_room(self.ahead)
        except BaseException:
            self._give_back(holder, size)
            raise

    def _book(self, holder: str, tenant: str, size: int) -> _Held:
        held = self._held.setdefault(holder, _Held(tenant, 0, 0, self._clock.monotonic()))
        held.ahead = self._left_of(held) + size
        held.moved_at = self._clock.monotonic()
        return held

    def _left_of(self, held: _Held) -> int:
        return 0 if self._has_lapsed(held) else held.ahead

    def _has_lapsed(self, held: _Held) -> bool:
        return self._clock.monotonic() - held.moved_at > self._idle_s

    def came(self, holder: str, size: int) -> None:
        """So many of its bytes lie on the disk now."""
        if (held := self._held.get(holder)) is not None:
            held.ahead, held.moved_at = max(0, held.ahead - size), self._clock.monotonic()

    def counted(self, holder: str, size: int) -> None:
        """A row tells of so many of its bytes now."""
        if (held := self._held.get(holder)) is not None:
            held.uncounted = max(0, held.uncounted - size)

    def renew(self, holder: str) -> None:
        """More of its bytes are about to come."""
        self.came(holder, 0)

    def left(self, holder: str) -> int:
        """What it may still bring without asking; nothing once it has lapsed."""
        held = self._held.get(holder)
        return 0 if held is None else self._left_of(held)

    def release(self, holder: str) -> None:
        self._held.pop(holder, None)

    async def along(self, holder: str, tenant: str, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same blocks, each with its room: what was not reserved before is reserved now, step by step."""
        async for block in blocks:
            if self.left(holder) < len(block):
                await self.take(holder, tenant, STEP)
            self.came(holder, len(block))
            yield block

    def _give_back(self, holder: str, size: int) -> None:
        if (held := self._held.get(holder)) is None:
            return
        held.ahead, held.uncounted = max(0, held.ahead - size), max(0, held.uncounted - size)
        if not held.ahead and not held.uncounted:
            del self._held[holder]
