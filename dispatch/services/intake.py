"""One body on its way into an upload: counted, summed, cut into steps that are durable one by one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from dispatch.core.tus import Checksum
from protocol.errors import ErrorCode, ReelyardError

BLOCK, STEP = 1 << 17, 16 << 20
"""Bytes: what is worth a thread's while, and after how many what came is synced. A crash costs at most a step."""


class Intake:
    """`step` never raises what is wrong with the body: that stands in `fault`, and the bytes before it are kept."""

    def __init__(self, blocks: AsyncIterator[bytes], *, room: int, checksum: Checksum | None) -> None:
        self._blocks, self._room, self._checksum = blocks, room, checksum
        self._digest = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        self._held = bytearray()
        self.is_over = False
        self.fault: ReelyardError | None = None

    async def step(self) -> AsyncIterator[bytes]:
        """A body with a checksum is one step: none of it counts before all of it is there."""
        size = 0
        try:
            async for block in self._blocks:
                self._count(len(block))
                if (whole := self._gathered(block)) is None:
                    continue
                size += len(whole)
                yield await self._summed(whole)
                if size >= STEP and self._digest is None:
                    return
        except ReelyardError as fault:
            self.fault = fault
        if self._held:
            yield await self._summed(bytes(self._held))
        self.is_over = True

    def _gathered(self, block: bytes) -> bytes | None:
        """A block that is worth a thread's while; the only copy of it, for a hundred may be on their way."""
        if not self._held and len(block) >= BLOCK:
            return block
        self._held += block
        if len(self._held) < BLOCK:
            return None
        whole, self._held = bytes(self._held), bytearray()
        return whole

    def verify(self) -> None:
        """Raises what was wrong with the body, or CHECKSUM_MISMATCH."""
        if self.fault is not None:
            raise self.fault
        if self._digest is not None and self._checksum is not None and self._digest.digest() != self._checksum.digest:
            raise ReelyardError(
                ErrorCode.CHECKSUM_MISMATCH, "the bytes are not those of Upload-Checksum; none was kept, send them again"
            )

    def _count(self, size: int) -> None:
        if size > self._room:
            raise ReelyardError(ErrorCode.UPLOAD_TOO_LARGE)
        self._room -= size

    async def _summed(self, block: bytes) -> bytes:
        if self._digest is not None:
            await asyncio.to_thread(self._digest.update, block)
        return block
