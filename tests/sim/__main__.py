"""`python -m tests.sim [KIND] SEED [--trace]` runs one world; `python -m tests.sim [KIND] FIRST LAST` runs many and counts.

The kinds are those of `corners.DRAWS`; without one the worlds are ordinary.
"""

from __future__ import annotations

import sys
from collections import Counter

from tests.sim.corners import DRAWS
from tests.sim.plan import draw_plan
from tests.sim.world import run


def main(arguments: list[str]) -> int:
    numbers = [int(argument) for argument in arguments if argument.lstrip("-").isdigit()]
    seeds = range(numbers[0], numbers[-1] + 1)
    draw = next((DRAWS[argument] for argument in arguments if argument in DRAWS), draw_plan)
    faults: Counter[str] = Counter()
    states: Counter[str] = Counter()
    bad = 0
    for seed in seeds:
        story = run(seed, draw)
        faults.update(story.faults)
        states.update({str(state): count for state, count in story.states.items()})
        if "--trace" in arguments:
            print(*story.trace, sep="\n")  # noqa: T201  # the answer of a command
        if story.problems:
            bad += 1
            print(f"seed {seed}:", *story.problems[:5], sep="\n  ")  # noqa: T201  # likewise
    print(f"{len(seeds)} worlds, {bad} bad; jobs {dict(states)}; faults {dict(faults)}")  # noqa: T201  # likewise
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
