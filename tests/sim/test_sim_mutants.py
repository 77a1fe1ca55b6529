"""Every guard that is taken out is missed: some world breaks a promise that it keeps with the guard in its place."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.world import run

SEEDS = 80


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_guard_is_noticed(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in (*mutant.died_at, *range(SEEDS)):
        with mutant.applied():
            story = run(seed, mutant.draw)
        if story.problems:
            break
    else:
        pytest.fail(f"{name}: {SEEDS} worlds did not need that {mutant.takes_out}")

    assert run(seed, mutant.draw).problems == ()
