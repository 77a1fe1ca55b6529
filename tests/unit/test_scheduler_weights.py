"""Which of the waiting engines a new task wakes: free slots count by the engine's weight."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.scheduler_play import Farm, play
from tests.unit.scheduler_world import Rows, make_engine, make_task


@pytest.mark.parametrize(
    ("weights", "slots", "woken"),
    [
        ((1.0, 1.0), (1, 1), "one"),  # it waits longer
        ((1.0, 2.0), (1, 1), "two"),
        ((1.0, 2.0), (3, 1), "one"),
        ((1.0, 2.0), (3, 2), "two"),
        ((0.1, 1.0), (8, 1), "two"),
    ],
)
def test_a_task_wakes_the_engine_with_the_most_weighted_room(
    weights: tuple[float, float], slots: tuple[int, int], woken: str
) -> None:
    async def story(farm: Farm) -> None:
        asks = {}
        for name, free in zip(("one", "two"), slots, strict=True):
            asks[name] = farm.asking(name, slots=free, wait_s=60.0)
            await asyncio.sleep(1)
        farm.rows.save(make_task("a"))
        await asyncio.sleep(1)

        assert [name for name, ask in asks.items() if ask.done()] == [woken]

    engines = [make_engine(name, weight=weight) for name, weight in zip(("one", "two"), weights, strict=True)]
    play(Rows(engines=engines), story)
