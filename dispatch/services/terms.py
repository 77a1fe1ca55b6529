"""A term: what a server has in memory and does for as long as it leads, and for no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from dispatch.ports import Commit, CommitListener
from protocol.errors import ReelyardError

log = structlog.get_logger("terms")
AGAIN_S = 1.0
"""Between two tries to load from a database that does not answer."""


class Part(Protocol):
    """A service with a memory of its own."""

    def forget(self) -> None:
        """What is known now is worth nothing any more; whoever waits for it is answered."""
        ...

    async def load(self) -> None:
        """Bring memory up to what the database says."""
        ...


class Following:
    """A CommitListener in front of others, who hear of commits only while they follow, and of none too early.

    While they load, commits are kept: what a snapshot did not hold yet comes after it, in order.
    """

    def __init__(self, listeners: Sequence[CommitListener]) -> None:
        self._listeners = tuple(listeners)
        self._kept: list[Commit] | None = None
        self._follows = False

    def __call__(self, commit: Commit) -> None:
        if self._kept is not None:
            self._kept.append(commit)
        elif self._follows:
            self._tell(commit)

    def keep(self) -> None:
        self._kept = []

    def follow(self) -> None:
        kept, self._kept, self._follows = self._kept or [], None, True
        for commit in kept:
            self._tell(commit)

    def stop(self) -> None:
        self._kept, self._follows = None, False

    def _tell(self, commit: Commit) -> None:
        for listener in self._listeners:
            listener(commit)


@dataclass(frozen=True, slots=True)
class Loop:
    name: str
    run: Callable[[], Awaitable[None]]


class Term:
    """Begun when this server comes to lead, ended when it does not any more; then perhaps begun again.

    `parts` are loaded in their order, from what the database says; `loops` run until the end.
    """

    def __init__(self, following: Following, parts: Sequence[Part], loops: Sequence[Loop]) -> None:
        self._following, self._parts, self._loops = following, tuple(parts), tuple(loops)

    async def run(self, begun: Callable[[], None]) -> None:
        """Until cancelled. `begun` is called when all is loaded. What a loop fails of, this fails of."""
        try:
            await self._begin_at_last()
            begun()
            async with asyncio.TaskGroup() as tasks:
                for loop in self._loops:
                    tasks.create_task(_running(loop), name=loop.name)
        finally:
            self.end()

    async def begin(self) -> None:
        for part in self._parts:
            part.forget()
        self._following.keep()
        for part in self._parts:
            await part.load()
        self._following.follow()

    def end(self) -> None:
        self._following.stop()
        for part in self._parts:
            part.forget()

    async def _begin_at_last(self) -> None:
        while True:
            try:
                await self.begin()
            except ReelyardError as away:
                log.warning("term_waits", code=away.code, reason=away.message)
                await asyncio.sleep(AGAIN_S)
            else:
                return


async def _running(loop: Loop) -> None:
    await loop.run()
