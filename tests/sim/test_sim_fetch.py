"""Worlds of jobs by URL: films that change while a dispatch dies between keeping one and saying so."""

from __future__ import annotations

from collections import Counter

from tests.sim.plan import draw_fetch
from tests.sim.world import run

SEEDS = 40


def test_every_original_is_the_film_its_settled_attempt_fetched() -> None:
    faults: Counter[str] = Counter()
    for seed in range(SEEDS):
        story = run(seed, draw_fetch)
        assert not story.problems, f"world {seed} of draw_fetch:\n" + "\n".join(story.problems)
        faults.update(story.faults)

    assert faults["kill dispatch at the storage"] >= SEEDS // 2
    assert faults["fetch fails"] >= 2
