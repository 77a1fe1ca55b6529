"""Every hostile file takes the real path: refused with a stable code that blames it, or made into a job that holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from engine.shell.sandbox import Sandboxing
from protocol.errors import FailureClass
from tests.hostile import references
from tests.hostile.cases import Case
from tests.hostile.corpus import CASES
from tests.hostile.detectors import baited
from tests.hostile.trial import MEMORY_CAP, ranged

CPU_S = 15.0
"""What all tools together may spend on one of these files, in seconds of a processor."""


def _title(case: Case) -> str:
    return f"{case.kind}-{case.name}"


def _sliced(cases: tuple[Case, ...]) -> list[ParameterSet]:
    """Every run holds what names other files, and every sixth of the rest."""
    return [
        pytest.param(case, marks=() if case.kind == references.CASES[0].kind or n % 6 == 0 else pytest.mark.trust)
        for n, case in enumerate(cases)
    ]


@pytest.mark.parametrize("case", _sliced(CASES), ids=_title)
async def test_a_hostile_file_reaches_nothing_and_gets_its_code(
    case: Case, outside: Path, tmp_path: Path, sandboxing: Sandboxing
) -> None:
    async with baited(outside) as bait, ranged(bait, tmp_path / "scratch", sandboxing) as where:
        verdict = await where.trial(case)

    assert verdict.faults == ()
    assert verdict.code in case.expects, verdict
    assert verdict.failure is None or verdict.failure.failure_class is FailureClass.INPUT
    assert verdict.cpu_seconds < CPU_S
    assert verdict.peak_bytes < MEMORY_CAP


@pytest.mark.parametrize("case", references.CASES, ids=_title)
async def test_what_a_file_names_is_not_opened_though_no_sandbox_forbids_it(case: Case, outside: Path, tmp_path: Path) -> None:
    async with baited(outside) as bait, ranged(bait, tmp_path / "scratch", Sandboxing(tier=1)) as where:
        verdict = await where.trial(case)

    assert verdict.faults == ()
    assert verdict.code in case.expects, verdict


def test_the_corpus_is_as_large_as_promised_and_each_file_has_its_name() -> None:
    names = {(case.kind, case.name) for case in CASES}

    assert len(CASES) >= 120
    assert len(names) == len(CASES)
    assert all(case.expects for case in CASES)
