"""Live leases in memory: when they run out, who may renew them, and what looks like our own outage."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.core.records import Attempt
from protocol.states import LIVE_ATTEMPT_STATES, AttemptState, TaskKind


def attempt(token: int, state: AttemptState = AttemptState.ACKED, engine: str = "eng_a") -> Attempt:
    return Attempt(token, f"tsk_{token}", "job_1", engine, "boot-0001", f"req-{token}", TaskKind.NOOP, state, 0.0)


def table(*attempts: Attempt, at: float = 0.0) -> LeaseTable:
    made = LeaseTable(LeaseTimes())
    made.apply(attempts, monotonic=at)
    return made


def due(leases: LeaseTable, at: float) -> list[int]:
    return sorted(lease.token for lease in leases.overdue(monotonic=at))


def farm(engines: int, tasks_each: int, *, first: int = 1) -> list[Attempt]:
    return [attempt(first + n, engine=f"eng_{n % engines}") for n in range(engines * tasks_each)]


def pairs(attempts: Iterable[Attempt]) -> list[tuple[str, int]]:
    return [(a.task_id, a.token) for a in attempts]


def test_a_grant_must_be_acked_within_ten_seconds() -> None:
    leases = table(attempt(1, AttemptState.GRANTED))

    assert due(leases, 9.9) == []
    assert due(leases, 10.0) == [1]


def test_an_acked_lease_lives_for_a_minute() -> None:
    leases = table(attempt(1, AttemptState.GRANTED))
    leases.apply([attempt(1)], monotonic=3.0)

    assert due(leases, 59.9) == []
    assert due(leases, 60.0) == [1]


def test_what_is_found_at_a_start_has_one_whole_lease_of_grace() -> None:
    leases = table(attempt(1, AttemptState.RUNNING), at=1000.0)

    assert due(leases, 1059.9) == []
    assert due(leases, 1060.0) == [1]


def test_a_renewal_counts_from_when_it_was_seen() -> None:
    leases = table(attempt(1))

    renewed = leases.renew("eng_a", [("tsk_1", 1)], monotonic=50.0)

    assert [(lease.token, lease.until) for lease in renewed] == [(1, 110.0)]
    assert (due(leases, 109.0), due(leases, 110.0)) == ([], [1])


@pytest.mark.parametrize(
    ("engine", "task", "token"), [("eng_b", "tsk_1", 1), ("eng_a", "tsk_2", 1), ("eng_a", "tsk_1", 2), ("eng_a", "tsk_1", 0)]
)
def test_only_the_holder_renews_its_own_task(engine: str, task: str, token: int) -> None:
    leases = table(attempt(1))

    assert leases.renew(engine, [(task, token)], monotonic=50.0) == []
    assert due(leases, 60.0) == [1]


def test_a_lease_that_is_being_expired_is_not_renewed() -> None:
    leases = table(attempt(1))
    due(leases, 60.0)

    assert leases.renew("eng_a", [("tsk_1", 1)], monotonic=61.0) == []
    assert due(leases, 62.0) == []


def test_an_expiry_that_could_not_be_committed_is_forgiven() -> None:
    leases = table(attempt(1))
    due(leases, 60.0)
    leases.forgive([1])

    assert due(leases, 61.0) == [1]
    leases.forgive([1])
    assert len(leases.renew("eng_a", [("tsk_1", 1)], monotonic=62.0)) == 1


@pytest.mark.parametrize("ended", sorted(set(AttemptState) - LIVE_ATTEMPT_STATES))
def test_an_attempt_that_ended_holds_no_lease(ended: AttemptState) -> None:
    leases = table(attempt(1))
    leases.apply([attempt(1, ended)], monotonic=1.0)

    assert (len(leases), leases.of_engine("eng_a"), due(leases, 100.0)) == (0, [], [])


def test_the_grants_of_one_request_are_those_still_live() -> None:
    leases = table(attempt(1), attempt(2), attempt(3, engine="eng_b"))
    leases.apply([attempt(2, AttemptState.DONE)], monotonic=1.0)

    assert [lease.token for lease in leases.of_request("eng_a", "req-1")] == [1]
    assert leases.of_request("eng_a", "req-2") == []
    assert leases.of_request("eng_a", "req-3") == []


def test_a_third_of_all_leases_at_once_is_our_own_outage_and_is_extended() -> None:
    leases = table(*farm(3, 4))

    assert due(leases, 60.0) == []
    assert leases.has_just_extended


def test_engines_that_are_really_gone_lose_their_leases_after_one_extension() -> None:
    gone = farm(3, 4)
    leases = table(*gone)
    swept = [(at, due(leases, float(at))) for at in range(60, 181, 5)]

    assert [(at, len(tokens)) for at, tokens in swept if tokens] == [(120, len(gone))]


def test_an_extension_that_was_used_may_come_again() -> None:
    living = farm(3, 4)
    leases = table(*living)
    due(leases, 60.0)
    for engine in ("eng_0", "eng_1", "eng_2"):
        leases.renew(engine, pairs(living), monotonic=65.0)

    assert due(leases, 125.0) == []
    assert leases.has_just_extended


@pytest.mark.parametrize(
    ("silent", "others"),
    [
        (farm(3, 3), []),  # nine leases are too few
        (farm(2, 6), []),  # two engines are too few
        (farm(3, 4), farm(5, 5, first=100)),  # 12 of 37 are less than a third
    ],
)
def test_what_is_less_than_an_outage_expires_at_once(silent: list[Attempt], others: list[Attempt]) -> None:
    leases = table(*silent)
    leases.apply(others, monotonic=30.0)

    assert due(leases, 60.0) == sorted(a.token for a in silent)
    assert not leases.has_just_extended
