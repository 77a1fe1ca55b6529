"""A process that can be killed: its tasks end at the await they stand at, and nothing it owns answers it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.sim.freezing import Frozen, context_of
from tests.sim.ground import Ground


class Process:
    """What it runs are tasks of the world. After `kill`, whatever still unwinds in it reaches nothing outside."""

    def __init__(self, ground: Ground, name: str, *, may_freeze: bool = False) -> None:
        self._ground, self.name = ground, name
        self.may_freeze = may_freeze
        self._context = context_of(self) if may_freeze else None
        self.frozen: Frozen = None
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.is_dead = False
        self.over = asyncio.Event()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._ground.group.create_task(coroutine, context=self._context)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    def kill(self) -> None:
        """kill -9."""
        if not self.is_dead:
            self._ground.note("killed", self.name)
            self.is_dead = True
            self.end()
            self.thaw()

    def freeze(self) -> None:
        if self.frozen is None:
            self.frozen = asyncio.Event()

    def thaw(self) -> None:
        frozen, self.frozen = self.frozen, None
        if frozen is not None:
            frozen.set()

    def end(self) -> None:
        """Cancel what runs, as a process does that stops in order."""
        self.over.set()
        for task in tuple(self._tasks):
            task.cancel()

    def die(self) -> None:
        """Kill itself, here and now."""
        self.kill()
        self.check()

    def check(self) -> None:
        """Called by everything that reaches outside the process."""
        if self.is_dead:
            raise asyncio.CancelledError(f"{self.name} was killed")
