"""How many engines the farm needs now, from the rows of its tasks and the engines that are there: the same on every server."""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf

from dispatch.core.backlog import Goal, Place, scaling
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.registry import EngineRegistry
from protocol.scaling import Scaling

FRESH_S = 5.0
"""How long one look serves everybody who asks: it reads every task of the jobs that have not ended."""

SAMPLES = 16
"""Encodes of each class whose recipes are read for what measured speeds make of them."""


class BacklogService:
    def __init__(self, store: Store, registry: EngineRegistry, clock: Clock, goal: Goal) -> None:
        self._store, self._registry, self._clock, self._goal = store, registry, clock, goal
        self._looking = asyncio.Lock()
        self._known: Scaling | None = None
        self._looked_at = -inf

    async def scaling(self) -> Scaling:
        """At most `FRESH_S` old. One look at a time; who comes meanwhile is told the same."""
        async with self._looking:
            if self._known is None or self._clock.monotonic() - self._looked_at >= FRESH_S:
                places = self._registry.places()
                self._known = await self._store.search(partial(self._look, places))
                self._looked_at = self._clock.monotonic()
            return self._known

    def _look(self, places: list[Place], tx: Transaction) -> Scaling:
        """Reckoned where it is read, too: two hundred classes among ten thousand engines take a tenth of a second."""
        return scaling(tx.task_sums(), tx.samples(SAMPLES), places, self._goal)
