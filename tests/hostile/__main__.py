"""`python -m tests.hostile [NAME...]` tries the corpus; `--mutations N --seed S` tries N damaged clips instead.

Prints a row for each file: name, verdict, failure class, seconds, processor seconds, megabytes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.shell.sandbox import TIERS
from protocol.errors import FailureClass
from tests.hostile.cases import REFUSED, VALID, Case, fixed
from tests.hostile.corpus import CASES
from tests.hostile.damage import mutated
from tests.hostile.detectors import baited
from tests.hostile.ground import RECIPES, clip, furnish
from tests.hostile.trial import Range, Verdict, best_sandbox, ranged

ANY = REFUSED | {VALID}
SOUNDS = ("wav", "mp3", "aac", "flac", "ogg_sound")


def drawn(seed: int, count: int) -> Iterator[Case]:
    """`count` damaged clips; the same seed draws the same ones."""
    names = sorted(set(RECIPES) - {"jpeg", "png", "gif"})
    for number in range(seed, seed + count):
        name = random.Random(number).choice(names)
        yield Case("mutation", f"{name}-{number}", "damaged", fixed(mutated(clip(name), number)), ANY, sound=name in SOUNDS)


def is_right(case: Case, verdict: Verdict) -> bool:
    blames_the_file = verdict.failure is None or verdict.failure.failure_class is FailureClass.INPUT
    return not verdict.faults and verdict.code in case.expects and blames_the_file


@asynccontextmanager
async def _place() -> AsyncIterator[Range]:
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(directory) / "outside"
        furnish(outside)
        sandboxing = await best_sandbox(Path(directory))
        async with baited(outside) as bait, ranged(bait, Path(directory) / "scratch", sandboxing) as where:
            _print(f"sandbox tier {sandboxing.tier}: {TIERS[sandboxing.tier]}")
            yield where


async def main(cases: Iterator[Case], *, only_wrong: bool) -> int:
    codes: Counter[str] = Counter()
    wrong, peak, slowest = 0, 0, 0.0
    async with _place() as where:
        for case in cases:
            verdict = await where.trial(case)
            right = is_right(case, verdict)
            codes[verdict.code] += 1
            wrong += not right
            peak, slowest = max(peak, verdict.peak_bytes), max(slowest, verdict.seconds)
            if not (right and only_wrong):
                _print(row(case, verdict, right=right))
    _print(f"{codes.total()} files, {wrong} wrong, {slowest:.1f} s the slowest, {peak >> 20} MB the most; {dict(codes)}")
    return 1 if wrong else 0


def row(case: Case, verdict: Verdict, *, right: bool) -> str:
    blame = verdict.failure.failure_class.value if verdict.failure else "-"
    cost = f"{verdict.seconds:6.2f} s {verdict.cpu_seconds:6.2f} cpu {verdict.peak_bytes >> 20:5} MB"
    told = "" if right else f"  WRONG {' '.join(verdict.faults)} {verdict.failure.message if verdict.failure else ''}"
    return f"{case.kind + ':' + case.name:36} {verdict.code:16} {blame:7} {verdict.stage:9} {cost}{told}"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("names", nargs="*", help="only cases whose `kind:name` holds one of these words")
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chosen = (case for case in CASES if not given.names or any(word in f"{case.kind}:{case.name}" for word in given.names))
    files = drawn(given.seed, given.mutations) if given.mutations else iter(chosen)
    sys.exit(asyncio.run(main(files, only_wrong=bool(given.mutations))))
