"""Who may write the row of the leader, and what it then says."""

from __future__ import annotations

from dispatch.core.cluster import Leadership, ServerRow
from dispatch.core.leading import Belief, forgotten, is_over, wanted

ME = ServerRow("srv_a", "run_1", "http://a", "1", 0.0, 0.0)
MINE, OTHERS = Leadership("srv_a", "http://a", 4, 100.0), Leadership("srv_b", "http://b", 4, 100.0)


def test_a_row_that_is_not_there_is_taken() -> None:
    assert wanted(None, ME, None, moment=50.0, lease_s=7.0) == Leadership("srv_a", "http://a", 1, 57.0)


def test_the_own_row_is_renewed_under_its_epoch_even_when_it_has_run_out() -> None:
    renewed = [wanted(MINE, ME, 4, moment=moment, lease_s=7.0) for moment in (96.0, 130.0)]

    assert renewed == [Leadership("srv_a", "http://a", 4, 103.0), Leadership("srv_a", "http://a", 4, 137.0)]


def test_the_own_row_of_an_earlier_run_is_taken_at_once_under_the_next_epoch() -> None:
    assert wanted(MINE, ME, None, moment=50.0, lease_s=7.0) == Leadership("srv_a", "http://a", 5, 57.0)


def test_the_row_of_another_is_taken_when_its_time_has_passed_and_not_before() -> None:
    assert wanted(OTHERS, ME, None, moment=99.9, lease_s=7.0) is None
    assert wanted(OTHERS, ME, None, moment=100.0, lease_s=7.0) == Leadership("srv_a", "http://a", 5, 107.0)


def test_who_led_until_now_first_learns_that_it_is_over() -> None:
    assert wanted(OTHERS, ME, 3, moment=200.0, lease_s=7.0) is None
    assert wanted(MINE, ME, 3, moment=200.0, lease_s=7.0) is None


def test_a_term_is_over_under_another_epoch_or_server() -> None:
    rows = (MINE, OTHERS, Leadership("srv_a", "http://a", 5, 100.0), None)

    assert [is_over(row, "srv_a", 4) for row in rows] == [False, True, True, True]


def test_a_belief_ends_with_its_moment() -> None:
    assert [Belief(1, 10.0).holds(monotonic=at) for at in (9.9, 10.0)] == [True, False]


def test_servers_not_seen_for_a_day_are_forgotten() -> None:
    seen = [ServerRow(name, "run", "", "1", 0.0, at) for name, at in (("old", 99.0), ("new", 101.0))]

    assert forgotten(seen, moment=86_500.0) == ["old"]
