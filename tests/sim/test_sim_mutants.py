"""Every guard that is taken out is missed: some world breaks a promise that it keeps with the guard in its place."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.world import run

SEEDS = 400
DIED_AT = {
    "no token check": 2,
    "sweep without guard": 16,
    "unfenced heartbeat": 35,
    "commit before promote": 5,
    "grant without guard": 1,
    "no request replay": 3,
    "no leases after restart": 1,
    "no promotion after restart": 7,
    "wall clock": 3,
    "cancel overwrites done": 3,
    "settle is not idempotent": 2,
    "event outside of the transaction": 4,
    "original taken by its name": 15,
    "bytes before rows": 40,
    "path forgotten before its bytes": 13,
    "late bytes stay": 8,
    "no idempotency": 2,
    "metadata of the moment": 3,
    "a later event overtakes": 3,
    "no deliveries after restart": 4,
    "offset before bytes": 1,
    "offset not looked at": 2,
    "staged without its digest": 4,
    "usage counted twice": 2,
    "engine: ack before disk": 3,
    "engine: result forgotten when sent": 16,
    "engine: gives up what was started": 8,
    "engine: drops what runs": 8,
    "engine: takes over in any slot": 1,
    "engine: a crash blames all": 1,
    "nothing is wanted back": 4,
    "no epoch in the transaction": 1,
    "a stale leader tells": 13,
}
"""Seeds that noticed before, tried first to save time; when the worlds change, others will notice."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_guard_is_noticed(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in (DIED_AT.get(name, 0), *range(SEEDS)):
        with mutant.applied():
            story = run(seed, mutant.draw)
        if story.problems:
            break
    else:
        pytest.fail(f"{name}: {SEEDS} worlds did not need that {mutant.takes_out}")

    assert run(seed, mutant.draw).problems == ()
