"""Every guard that is taken out is missed: some world breaks a promise that it keeps with the guard in its place."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.world import run

SEEDS = 400
DIED_AT = {
    "no token check": 2,
    "sweep without guard": 24,
    "unfenced heartbeat": 2,
    "commit before promote": 9,
    "grant without guard": 6,
    "no request replay": 5,
    "no leases after restart": 1,
    "no promotion after restart": 7,
    "wall clock": 10,
    "cancel overwrites done": 3,
    "settle is not idempotent": 3,
    "event outside of the transaction": 2,
    "original taken by its name": 7,
    "bytes before rows": 32,
    "path forgotten before its bytes": 11,
    "late bytes stay": 22,
    "no idempotency": 9,
    "metadata of the moment": 13,
    "a later event overtakes": 5,
    "no deliveries after restart": 2,
    "offset not looked at": 2,
    "usage counted twice": 2,
    "engine: ack before disk": 25,
    "engine: result forgotten when sent": 13,
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
