"""Every guard that is taken out is missed: some world breaks a promise that it keeps with the guard in its place."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.world import run

SEEDS = 400
DIED_AT = {
    "no token check": 22,
    "sweep without guard": 9,
    "unfenced heartbeat": 34,
    "commit before promote": 2,
    "grant without guard": 1,
    "no request replay": 2,
    "no leases after restart": 1,
    "no promotion after restart": 9,
    "wall clock": 10,
    "cancel overwrites done": 3,
    "settle is not idempotent": 4,
    "event outside of the transaction": 4,
    "original taken by its name": 1,
    "bytes before rows": 6,
    "path forgotten before its bytes": 11,
    "late bytes stay": 11,
    "no idempotency": 2,
    "metadata of the moment": 8,
    "a later event overtakes": 3,
    "no deliveries after restart": 2,
    "offset not looked at": 2,
    "usage counted twice": 2,
    "engine: ack before disk": 11,
    "engine: result forgotten when sent": 50,
    "engine: gives up what was started": 8,
    "engine: drops what runs": 3,
    "engine: takes over in any slot": 1,
    "engine: a crash blames all": 1,
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
