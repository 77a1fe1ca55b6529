"""A call on its way from server to server, and what it learns on it told to the other calls that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from engine.core.open_calls import OpenCall, OpenCalls
from engine.core.servers import Route, Servers
from engine.ports import Unreachable, Unsent
from protocol.errors import ErrorCode, ReelyardError

T = TypeVar("T")
Ask = Callable[[str], Awaitable[T]]
"""One try at the server with this base URL. Raises Unreachable, Unsent where nothing left this machine, or what it answered."""


class GivenUp(Unreachable):
    """Another call found the server out; this one says nothing new about it."""


class Calls:
    """Those that wait where nobody answers, or nobody leads any more, wait no longer than the first that finds it out."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._open = OpenCalls()
        self._spans: dict[OpenCall, asyncio.Timeout] = {}

    def led_by(self, leader: str) -> None:
        """As the one that leads has told by another way."""
        self._servers.told_leader(leader)

    async def make(self, name: str, ask: Ask[T], *, is_led: bool) -> T:
        """Asks one server after the other, as far as they point at one another or nobody is there."""
        route: Route | None = self._servers.begin()
        fault: Exception | None = None
        while route is not None:
            try:
                answer = await self._once(name, ask, route.server, is_led=is_led)
            except GivenUp:
                raise
            except Unreachable as silence:
                is_unsent = isinstance(silence, Unsent)
                is_pointed = is_unsent and isinstance(fault, ReelyardError)
                fault = _leader_gone(route.server, silence) if is_pointed else silence
                self._give_up(self._open.at(route.server))
                route = self._servers.failed(route, is_unsent=is_unsent)
            except ReelyardError as refused:
                if refused.code is not ErrorCode.NOT_LEADER:
                    self._servers.answered(route)
                    raise
                fault = refused
                route = self._servers.pointed(route, _leader(refused))
            else:
                self._servers.answered(route)
                return answer
        raise fault or Unreachable(f"{name}: there is nobody to ask")

    async def _once(self, name: str, ask: Ask[T], server: str, *, is_led: bool) -> T:
        call = self._open.begin(server, is_led=is_led)
        try:
            async with asyncio.timeout(None) as span:
                self._spans[call] = span
                answer = await ask(server)
        except TimeoutError as over:
            raise GivenUp(f"{name}: another call found that {server} is not the one to wait for") from over
        finally:
            self._open.end(call)
            self._spans.pop(call, None)
        self._give_up(self._open.overtaken(by=call))
        return answer

    def _give_up(self, calls: Iterable[OpenCall]) -> None:
        now = asyncio.get_running_loop().time()
        for call in calls:
            if not self._spans[call].expired():
                self._spans[call].reschedule(now)


def _leader_gone(leader: str, silence: Unreachable) -> ReelyardError:
    """Others still take it for the leader: soon another one is."""
    return ReelyardError(ErrorCode.NOT_LEADER, f"{leader} is said to lead and cannot be reached: {silence}")


def _leader(answer: ReelyardError) -> str | None:
    told = answer.details.get("leader")
    return told if isinstance(told, str) else None
