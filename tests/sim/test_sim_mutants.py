"""Every guard that is taken out is missed: some world breaks a promise that it keeps with the guard in its place."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.world import run

SEEDS = 400
DIED_AT = {
    "no token check": 21,
    "sweep without guard": 14,
    "unfenced heartbeat": 2,
    "commit before promote": 17,
    "grant without guard": 187,
    "no request replay": 9,
    "no leases after restart": 1,
    "no promotion after restart": 5,
    "wall clock": 14,
    "cancel overwrites done": 3,
    "no quarantine": 29,
    "infra is charged": 55,
    "settle is not idempotent": 12,
    "bytes before rows": 83,
    "path forgotten before its bytes": 11,
    "late bytes stay": 6,
    "no idempotency": 2,
    "metadata of the moment": 169,
    "index drops nothing": 44,
    "a later event overtakes": 3,
    "no deliveries after restart": 2,
    "engine: ack before disk": 1,
    "engine: result forgotten when sent": 159,
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
