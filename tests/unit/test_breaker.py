"""The breaker: closed, open, half open, by the moments it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.breaker import Breaker, BreakerState


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(failures=3, open_s=5.0)
    for _ in range(3):
        assert breaker.admits(at)
        breaker.failed(at)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()

    assert (breaker.state(0.0), breaker.admits(4.9), breaker.wait_s(1.0)) == (BreakerState.OPEN, False, 4.0)


def test_a_success_between_begins_the_count_anew() -> None:
    breaker = Breaker(failures=3, open_s=5.0)
    for fails in (True, True, False, True, True):
        breaker.failed(0.0) if fails else breaker.succeeded()

    assert (breaker.state(0.0), breaker.admits(0.0)) == (BreakerState.CLOSED, True)


def test_after_its_span_one_call_goes_and_the_others_wait_for_it() -> None:
    breaker = opened()

    assert [breaker.admits(5.0), breaker.admits(5.0), breaker.admits(6.0)] == [True, False, False]
    assert breaker.state(6.0) is BreakerState.HALF_OPEN


def test_the_call_that_went_to_see_closes_it() -> None:
    breaker = opened()
    breaker.admits(5.0)
    breaker.succeeded()

    assert (breaker.state(5.0), breaker.admits(5.0), breaker.wait_s(5.0)) == (BreakerState.CLOSED, True, 0.0)


def test_the_call_that_went_to_see_opens_it_again() -> None:
    breaker = opened()
    breaker.admits(5.0)
    breaker.failed(6.0)

    assert (breaker.state(6.0), breaker.admits(10.9), breaker.admits(11.0)) == (BreakerState.OPEN, False, True)


def test_a_call_that_never_ends_does_not_keep_the_others_out() -> None:
    breaker = opened()
    breaker.admits(5.0)

    assert [breaker.admits(9.9), breaker.admits(10.0)] == [False, True]


def test_late_failures_of_earlier_calls_do_not_keep_it_open_longer() -> None:
    breaker = opened()
    breaker.failed(4.0)

    assert breaker.admits(5.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_whatever_happens_a_call_may_go_within_its_span(steps: list[tuple[float, bool]]) -> None:
    breaker, now = Breaker(failures=2, open_s=5.0), 0.0
    for span, is_good in steps:
        now += span
        if breaker.admits(now):
            breaker.succeeded() if is_good else breaker.failed(now)

    assert breaker.admits(now + 5.0)
