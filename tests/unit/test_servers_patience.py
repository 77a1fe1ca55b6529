"""An engine that nobody leads works on, and comes back within seconds, not with all others at once."""

from __future__ import annotations

import pytest

from engine.core import messages as m
from engine.core.backoff import LEADERLESS_S, told_pause
from protocol.errors import ErrorCode
from tests.unit.engine_desk import Desk, grant, leases, runs


@pytest.mark.parametrize(
    ("code", "told", "chance", "pause"),
    [
        (ErrorCode.NOT_LEADER, None, 0.0, LEADERLESS_S / 2),
        (ErrorCode.NOT_LEADER, 1.0, 0.5, LEADERLESS_S),
        (ErrorCode.SHUTTING_DOWN, 2.0, 0.5, 2.0),
        (None, None, 0.5, None),
    ],
)
def test_what_dispatch_asks_to_wait_is_spread_where_nobody_leads(
    code: ErrorCode | None, told: float | None, chance: float, pause: float | None
) -> None:
    assert told_pause(code, told, lambda: chance) == pause


def test_an_engine_that_finds_no_leader_knocks_again_and_leaves_nothing() -> None:
    desk = Desk()
    desk.feed(m.Started())

    assert desk.feed(m.RegisterFailed(ErrorCode.NOT_LEADER, "nobody leads", retry_after=1.0)) == [
        m.Wake(m.Timer.REGISTER, LEADERLESS_S)
    ]


def test_a_poll_that_finds_no_leader_is_repeated_as_it_was() -> None:
    desk = Desk()
    desk.online()
    asked = desk.lease()

    failed = desk.feed(m.LeaseFailed(asked.request_id, ErrorCode.NOT_LEADER, "nobody leads", 1.0))
    again = desk.feed(m.Rang(m.Timer.LEASE_RETRY))

    assert failed == [m.Wake(m.Timer.LEASE_RETRY, LEADERLESS_S)]
    assert leases(again) == [asked]


def test_a_heartbeat_that_finds_no_leader_keeps_what_runs() -> None:
    desk = Desk()
    desk.online()
    begun = desk.granted(grant(1))

    failed = desk.feed(m.HeartbeatFailed(ErrorCode.NOT_LEADER, "nobody leads"))

    assert len(runs(begun)) == 1
    assert failed == [m.Wake(m.Timer.HEARTBEAT, LEADERLESS_S)]
