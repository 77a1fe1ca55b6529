"""The way out: what is inside is finished, whoever knocks is sent away, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiohttp import web

from protocol.errors import ErrorCode, ReelyardError

RETRY_S = 2.0


class Door:
    """Counts the requests inside. `endings` end what waits below, such as long polls and streams."""

    def __init__(self, endings: Iterable[Callable[[], object]]) -> None:
        self._endings = tuple(endings)
        self.inside = 0
        self.is_closed = False
        self._empty = asyncio.Event()

    def refuse(self) -> ReelyardError:
        return ReelyardError(ErrorCode.SHUTTING_DOWN, retry_after=RETRY_S)

    def leave(self) -> None:
        self.inside -= 1
        if self.is_closed and not self.inside:
            self._empty.set()

    async def close(self, longest_s: float) -> None:
        """Let nobody in, and wait until everybody has left. Closing twice is harmless."""
        self.is_closed = True
        for end in self._endings:
            end()
        if not self.inside:
            return
        try:
            async with asyncio.timeout(longest_s):
                await self._empty.wait()
        except TimeoutError:
            return  # what is still inside is broken off with its connection


DOOR = web.AppKey("door", Door)
