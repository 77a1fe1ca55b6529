"""What becomes of the attempts that an engine finds in its queue when it starts."""

from __future__ import annotations

from dataclasses import replace

from engine.core.attempts import Key
from engine.core.messages import Saved, SavedAttempt
from engine.core.recovery import Death, changed, recovered
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Fail, Release
from tests.unit.engine_desk import ENGINE, ONE, TWO, completed

SEGFAULT = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1:\n"
RUNNING = SavedAttempt(ONE, 1, is_started=True, slot="cpu-0")
BESIDE = SavedAttempt(TWO, 2, is_started=True, slot="cpu-1")


def held(*rows: SavedAttempt, death: Death | None = None) -> tuple[SavedAttempt, ...]:
    return recovered(Saved(ENGINE, rows), death, max_starts=3).attempts


def test_what_was_started_and_what_waited_go_on_and_the_start_is_counted() -> None:
    waiting = SavedAttempt(TWO, 2)

    assert held(RUNNING, waiting) == (replace(RUNNING, retry_count=1), replace(waiting, retry_count=1))


def test_a_result_is_left_as_it_stands() -> None:
    before = Saved(ENGINE, (replace(RUNNING, final=completed(ONE)),))

    after = recovered(before, Death(SEGFAULT, Key("tsk_1", 1)), max_starts=3)

    assert (after, changed(before, after)) == (before, ())


def test_a_fatal_signal_is_evidence_against_the_attempt_it_struck_in_and_no_other() -> None:
    struck, beside = held(RUNNING, BESIDE, death=Death(SEGFAULT, Key("tsk_1", 1)))

    assert isinstance(struck.final, Fail)
    assert (struck.final.failure.code, struck.final.failure.failure_class) == (ErrorCode.ENGINE_DIED, FailureClass.ENGINE)
    assert struck.final.failure.is_engine_death
    assert struck.final.failure.evidence == {"fatal_signal": "Fatal Python error: Segmentation fault"}
    assert beside == replace(BESIDE, retry_count=1)


def test_a_fatal_signal_outside_all_attempts_is_nobodys_fault() -> None:
    assert held(RUNNING, death=Death(SEGFAULT)) == (replace(RUNNING, retry_count=1),)


def test_an_attempt_found_unfinished_at_the_third_start_is_reported() -> None:
    (killed,) = held(replace(RUNNING, retry_count=2))
    (crashed,) = held(replace(RUNNING, retry_count=2), death=Death(SEGFAULT))
    (beside,) = held(replace(RUNNING, retry_count=2), death=Death(SEGFAULT, Key("tsk_2", 2)))

    assert isinstance(killed.final, Fail)
    assert beside == killed
    assert isinstance(crashed.final, Fail)
    assert (killed.final.failure.failure_class, killed.final.failure.is_engine_death) == (FailureClass.INFRA, False)
    assert (crashed.final.failure.failure_class, crashed.final.failure.is_engine_death) == (FailureClass.ENGINE, True)


def test_an_engine_that_starts_again_and_again_hands_back_what_it_never_starts() -> None:
    (row,) = held(SavedAttempt(ONE, 1, retry_count=2))

    assert isinstance(row.final, Release)


def test_only_rows_that_differ_are_written() -> None:
    done = replace(BESIDE, final=completed(TWO))
    before = Saved(ENGINE, (RUNNING, done))

    assert changed(before, recovered(before, None, max_starts=3)) == (replace(RUNNING, retry_count=1),)
