"""Which calls are given up: those that wait where nobody answers, and those that another leader has overtaken."""

from __future__ import annotations

import pytest

from engine.core.open_calls import OpenCalls, beat_patience

A, B = "http://a:8080", "http://b:8080"


def test_where_one_call_came_to_nothing_the_others_wait_in_vain() -> None:
    calls = OpenCalls()
    poll, beat = calls.begin(A, is_led=True), calls.begin(A, is_led=True)
    staging = calls.begin(A, is_led=False)
    calls.begin(B, is_led=True)

    calls.end(beat)

    assert calls.at(A) == (poll, staging)


def test_a_leader_that_answers_overtakes_what_was_asked_elsewhere_before() -> None:
    calls = OpenCalls()
    poll = calls.begin(A, is_led=True)
    calls.begin(B, is_led=True)
    beat = calls.begin(B, is_led=True)

    assert calls.overtaken(by=beat) == (poll,)


def test_a_late_answer_of_the_leader_before_overtakes_nothing_that_was_asked_after_it() -> None:
    calls = OpenCalls()
    late = calls.begin(A, is_led=True)
    calls.begin(B, is_led=True)

    assert calls.overtaken(by=late) == ()


def test_staging_is_answered_by_any_server_and_overtakes_nothing_nor_is_overtaken() -> None:
    calls = OpenCalls()
    calls.begin(A, is_led=False)
    calls.begin(A, is_led=True)
    staging, beat = calls.begin(B, is_led=False), calls.begin(A, is_led=True)

    assert (calls.overtaken(by=staging), calls.overtaken(by=beat)) == ((), ())


@pytest.mark.parametrize(("lease_s", "patience"), [(4.0, 3.0), (20.0, 5.0), (60.0, 15.0), (600.0, 15.0)])
def test_a_heartbeat_is_given_up_while_the_lease_still_holds(lease_s: float, patience: float) -> None:
    assert beat_patience(lease_s, longest=15.0) == patience
