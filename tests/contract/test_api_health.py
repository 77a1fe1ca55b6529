"""Health: calls that anybody may make, and that cost the server next to nothing however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dispatch.ports import Store
from dispatch.services.health import FRESH_S, HealthService, Hindrances
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.services_world import World, world


class Counted:
    """The store, with what is asked of its writer counted; away, or without a word, while it is told so."""

    def __init__(self, store: Store) -> None:
        self._store, self.asked, self.is_away, self.is_silent = store, 0, False, False

    async def transact(self, function: Callable[[Any], Any]) -> Any:  # whatever the function gives
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        if self.is_silent:
            await asyncio.Event().wait()
        return await self._store.transact(function)


def health_on(farm: World, store: Any) -> HealthService:  # counted, with what is asked for here
    work = farm.core.work
    return HealthService(store, work.gate, work.registry, farm.clock, Hindrances(lambda: None), patience_s=0.05)


async def test_however_many_ask_the_database_is_looked_at_once_a_second(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        store = Counted(farm.core.outside.store)
        health = health_on(farm, store)
        at_once, _ = await asyncio.gather(asyncio.gather(*(health.ready() for _ in range(50))), health.part("db"))
        first = store.asked
        store.is_away = True
        soon = await health.ready()
        farm.clock.advance(FRESH_S)
        later = await asyncio.gather(*(health.ready() for _ in range(50)))

    assert ({one.status for one in at_once}, first, soon.status) == ({"ok"}, 1, "ok")
    assert ({one.status for one in later}, store.asked) == ({"unavailable"}, 2)


async def test_a_database_that_does_not_answer_is_told_as_away(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        store = Counted(farm.core.outside.store)
        store.is_silent = True
        async with asyncio.timeout(20):
            answer = await health_on(farm, store).ready()

    assert (answer.status, answer.services["db"].message) == ("unavailable", "The database does not answer.")
