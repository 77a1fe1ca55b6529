"""Who sends to an upload: one request at a time. A newer one ends an older one that waits for bytes that do not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from dispatch.ports import Clock
from dispatch.services.claims import Claimed, Claims
from protocol.errors import ErrorCode, ReelyardError

STILL_S, GIVE_WAY_S = 2.0, 10.0
"""A request whose client sent nothing for STILL_S is taken for one whose line is dead; it has GIVE_WAY_S to store what
came. Clients that resume wait for a second or more before they try again."""


class Line(Protocol):
    """The connection a request came by."""

    def is_closed(self) -> bool: ...
    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Turn:
    """`waiting_since` is monotonic, None while the server itself is busy with what came."""

    clock: Clock
    line: Line
    waiting_since: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def is_still(self) -> bool:
        if self.line.is_closed():
            return True
        return self.waiting_since is not None and self.clock.monotonic() - self.waiting_since >= STILL_S

    async def watched(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same blocks, with an eye on how long each took to come."""
        self.waiting_since = self.clock.monotonic()
        async for block in blocks:
            self.waiting_since = None
            yield block
            self.waiting_since = self.clock.monotonic()
        self.waiting_since = None


class Turns:
    """`claims` hold what is sent to against other servers. A request that stands still at one of them is ended there alone."""

    def __init__(self, clock: Clock, claims: Claims) -> None:
        self._clock, self._claims = clock, claims
        self._held: dict[str, Turn] = {}

    @asynccontextmanager
    async def take(self, upload_id: str, line: Line) -> AsyncIterator[Turn]:
        """Raises UPLOAD_LOCKED while another request sends."""
        await self.settle(upload_id)
        if upload_id in self._held:
            raise ReelyardError(ErrorCode.UPLOAD_LOCKED, retry_after=STILL_S)
        turn = self._held[upload_id] = Turn(self._clock, line)
        try:
            async with self._claims.held(Claimed("bytes", upload_id, ErrorCode.UPLOAD_LOCKED)):
                yield turn
        finally:
            del self._held[upload_id]
            turn.over.set()

    async def settle(self, upload_id: str, *, whatever: bool = False) -> None:
        """End the request that stands still, or any with `whatever`, and wait until what came of it is stored."""
        turn = self._held.get(upload_id)
        if turn is None or not (whatever or turn.is_still()):
            return
        turn.line.close()
        try:
            async with asyncio.timeout(GIVE_WAY_S):
                await turn.over.wait()
        except TimeoutError:
            raise ReelyardError(ErrorCode.UPLOAD_LOCKED, retry_after=STILL_S) from None
