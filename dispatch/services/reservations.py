"""Room that is promised before a byte is read: on the disk, and of what a tenant may take in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dispatch.ports.uploads import ByteQuota
from dispatch.services.gate import StorageGate

STEP = 64 << 20
"""Bytes reserved at a time for a body that does not tell its length."""


class NoQuota:
    """Satisfies ByteQuota where nobody limits anything."""

    async def check_bytes(self, tenant: str, size: int) -> None:
        return None


@dataclass(slots=True)
class _Held:
    """`ahead` are bytes that are still to come, `whole` all that were reserved."""

    tenant: str
    ahead: int
    whole: int


class Reservations:
    """In memory alone: after a restart `load` derives them from the rows of open uploads; bodies in flight died with it."""

    def __init__(self, gate: StorageGate, quota: ByteQuota) -> None:
        self._gate, self._quota = gate, quota
        self._held: dict[str, _Held] = {}

    def load(self, uploads: Iterable[tuple[str, str, int, int]]) -> None:
        """Of each open upload: holder, tenant, bytes to come, bytes in all."""
        self._held = {holder: _Held(tenant, ahead, whole) for holder, tenant, ahead, whole in uploads}

    @property
    def ahead(self) -> int:
        """Bytes promised that are not on the disk yet."""
        return sum(held.ahead for held in self._held.values())

    async def take(self, holder: str, tenant: str, size: int) -> None:
        """So many bytes more. Raises STORAGE_FULL, QUOTA_EXCEEDED; then nothing is reserved.

        They are booked before anybody is asked, so that two at once cannot both have the last room.
        """
        held = self._held.setdefault(holder, _Held(tenant, 0, 0))
        held.ahead += size
        held.whole += size
        try:
            await self._quota.check_bytes(tenant, sum(h.whole for h in self._held.values() if h.tenant == tenant))
            await self._gate.check_room(self.ahead)
        except BaseException:
            self._give_back(holder, size)
            raise

    def came(self, holder: str, size: int) -> None:
        """So many of its bytes lie on the disk now."""
        if (held := self._held.get(holder)) is not None:
            held.ahead = max(0, held.ahead - size)

    def left(self, holder: str) -> int:
        held = self._held.get(holder)
        return 0 if held is None else held.ahead

    def keep(self, holder: str) -> None:
        """What was reserved for a body that is over and did not come is free again."""
        self._give_back(holder, self.left(holder))

    def release(self, holder: str) -> None:
        self._held.pop(holder, None)

    def _give_back(self, holder: str, size: int) -> None:
        if (held := self._held.get(holder)) is None:
            return
        held.ahead, held.whole = max(0, held.ahead - size), held.whole - size
        if held.whole <= 0:
            del self._held[holder]
