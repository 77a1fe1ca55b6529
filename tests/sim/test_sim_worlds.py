"""A thousand worlds, 200 of them in every run; none may break a promise, and enough went wrong in them to mean something."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from protocol.states import JobState
from tests.sim.corners import DRAWS
from tests.sim.plan import OF_FARMS, FaultKind
from tests.sim.world import run

GROUPS, SEEDS, SLICE = 25, 40, 5
FLOOR = {
    **dict.fromkeys((kind.value for kind in FaultKind if kind not in OF_FARMS), 1),
    FaultKind.KILL_ENGINE.value: 15,
    FaultKind.KILL_DISPATCH.value: 12,
    FaultKind.FREEZE_ENGINE.value: 8,
    FaultKind.CUT_ENGINE.value: 8,
    "request lost": 50,
    "answer lost": 30,
    "request repeated": 50,
    "killed while it worked": 8,
    "tool taken over": 5,
}
"""What 40 worlds meet at the least; kinds of fault that are rarer than that are left to the sum of all."""

RARE = {what for what, least in FLOOR.items() if least == 1}


@pytest.mark.parametrize("group", [pytest.param(n, marks=() if n < SLICE else pytest.mark.trust) for n in range(GROUPS)])
def test_no_world_breaks_a_promise(group: int) -> None:
    faults: Counter[str] = Counter()
    states: Counter[JobState] = Counter()
    for seed in range(group * SEEDS, (group + 1) * SEEDS):
        story = run(seed)
        assert not story.problems, f"rerun with: python -m tests.sim {seed} --trace\n" + "\n".join(story.problems)
        faults.update(story.faults)
        states.update(story.states)

    too_few = {what: faults[what] for what, least in FLOOR.items() if what not in RARE and faults[what] < least}
    assert not too_few, f"the worlds were too kind: {too_few}"
    assert states[JobState.COMPLETED] >= 2 * SEEDS
    assert states[JobState.CANCELLED] >= 3
    assert states[JobState.FAILED] >= 5


def test_every_kind_of_fault_has_its_turn() -> None:
    missing = {kind.value for kind in FaultKind if kind not in OF_FARMS}
    for seed in range(60):
        missing -= run(seed).faults.keys()
        if not missing:
            break  # the other worlds would tell nothing more

    assert not missing


PROGRAM = """
from tests.sim.corners import DRAWS
from tests.sim.world import run
print(run(11).digest, *(run(11, DRAWS[name]).digest for name in reversed(sorted(DRAWS))))
"""


def test_the_same_seed_is_the_same_world_in_every_process() -> None:
    narrow = {name: run(11, DRAWS[name]).digest for name in sorted(DRAWS)}
    here = run(11)
    elsewhere = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for salt in ("1", "2")
    }

    assert elsewhere == {" ".join((here.digest, *reversed(narrow.values())))}
    assert run(11).trace == here.trace
    assert len({here.digest, run(12).digest, *narrow.values()}) == 2 + len(narrow)
