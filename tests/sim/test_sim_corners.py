"""Worlds drawn for one kind of trouble each: none breaks a promise, and each met the trouble it was drawn for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim.corners import DRAWS
from tests.sim.world import run

SEEDS = 25
FLOOR: dict[str, dict[str, int]] = {
    "edge": {"freeze engine": 50, "slow commit": 500},
    "fetch": {"kill dispatch at the storage": 12, "fetch fails": 2},
    "purge": {"purged job": 50, "purged outputs": 6, "kill dispatch at a commit": 20},
    "cancel": {"slow commit": 500},
    "failing": {"killed while it worked": 50},
    "outage": {"kill dispatch": 25, "killed while it worked": 40, "tool taken over": 60},
    "upload": {"bytes lost with the power": 12, "body broken": 12, "request repeated": 60},
    "graph": {"read of a sibling": 150, "kill dispatch": 20, "killed while it worked": 5},
    "measured": {"found by measuring": 60, "staged file lost": 10, "kill dispatch": 20, "killed while it worked": 5},
    "capped": {"at the cap": 1000, "kill dispatch": 40},
    "ahead": {"waited ahead": 300, "wanted back": 20},
    "farm": {"terms": 60, "freeze dispatch": 20, "cut database off": 8, "kill dispatch": 8, "not the leader": 300},
    "untrusted": {"in a sandbox": 100, "kill dispatch": 40},
}


@pytest.mark.parametrize("name", DRAWS)
def test_no_narrow_world_breaks_a_promise(name: str) -> None:
    faults: Counter[str] = Counter()
    for seed in range(SEEDS):
        story = run(seed, DRAWS[name])
        assert not story.problems, f"rerun with: python -m tests.sim {name} {seed} --trace\n" + "\n".join(story.problems)
        faults.update(story.faults)

    too_few = {what: faults[what] for what, least in FLOOR[name].items() if faults[what] < least}
    assert not too_few, f"the worlds were too kind: {too_few}"
