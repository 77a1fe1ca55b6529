"""The wire between processes: it loses requests and answers, repeats and delays them, and can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dispatch.app.assembly import Core
from engine.ports import Unreachable
from protocol.errors import ErrorCode, ReelyardError
from tests.sim.ground import Ground
from tests.sim.server import Server

T = TypeVar("T")
Handler = Callable[[Core], Awaitable[T]]
PATIENCE_S = 15.0
LATE_S = 12.0


@dataclass(slots=True)
class Line:
    """One party's way to dispatch. Cut, nothing passes; frozen, nothing that arrives is seen until it thaws."""

    name: str
    is_cut: bool = False
    frozen: asyncio.Event | None = None

    async def thawed(self) -> None:
        while self.frozen is not None:
            await self.frozen.wait()


class Network:
    def __init__(self, ground: Ground, servers: Sequence[Server]) -> None:
        self._ground, self._servers = ground, servers
        self.on_their_way = 0
        """Requests sent a second time that are still to come: the world is not quiet before."""

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self._servers]

    def _at(self, url: str | None) -> Server:
        """Where the call goes: whoever names no server is sent to any of them."""
        if url is not None:
            return next(server for server in self._servers if server.url == url)
        return self._servers[0] if len(self._servers) == 1 else self._ground.rng.choice(self._servers)

    async def call(self, line: Line, handler: Handler[T], *, wait_s: float = 0.0, url: str | None = None) -> T:
        """The handler's answer. Raises Unreachable, or the ReelyardError it ended with."""
        ground, server = self._ground, self._at(url)
        await line.thawed()
        await self._pass(line, "request lost")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        ground.group.create_task(self._deliver(server, handler, answer))
        if ground.hits("request repeated", ground.rates.repeat):
            ground.group.create_task(self._again(server, handler))
        try:
            async with asyncio.timeout(wait_s + PATIENCE_S):
                result = await answer
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        await line.thawed()
        await self._pass(line, "answer lost")
        return result

    async def _pass(self, line: Line, lost: str) -> None:
        ground = self._ground
        if ground.hits("late", ground.rates.delay):
            await ground.pause(LATE_S)
        else:
            await ground.pause(0.01)
        if line.is_cut or ground.hits(lost, ground.rates.lose):
            await ground.pause(2.0)
            raise Unreachable(lost)

    async def _again(self, server: Server, handler: Handler[T]) -> None:
        self.on_their_way += 1
        await self._ground.pause(LATE_S)
        await self._deliver(server, handler, asyncio.get_running_loop().create_future())
        self.on_their_way -= 1

    async def _deliver(self, server: Server, handler: Handler[T], answer: asyncio.Future[T]) -> None:
        """The packet lives on when its sender has died."""
        result = await server.handle(handler)
        if answer.done():
            return
        if not isinstance(result, BaseException):
            answer.set_result(result)
            return
        answer.set_exception(result)
        answer.exception()  # looked at: its sender may have died


def is_passing(error: ReelyardError) -> bool:
    """Whether a sensible client sends the same again."""
    return error.status >= 500 or error.code is ErrorCode.RATE_LIMITED
