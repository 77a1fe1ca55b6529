"""When a transfer that broke off goes on, and when it is given up."""

from __future__ import annotations

import pytest

from client.errors import ClientCode, ClientError, Unreachable, Unreadable
from client.patience import MOST_IN_A_ROW, Patience, is_passing
from protocol.errors import ErrorCode, ReelyardError

BROKEN = Unreachable("the line broke")


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (BROKEN, True),
        (Unreachable("refused", is_unsent=True), True),
        (Unreadable(502, "a proxy"), True),
        (Unreadable(200, "a stranger"), False),
        (ReelyardError(ErrorCode.UPLOAD_LOCKED), True),
        (ReelyardError(ErrorCode.UPLOAD_OFFSET), True),
        (ReelyardError(ErrorCode.CHECKSUM_MISMATCH), True),
        (ReelyardError(ErrorCode.SHUTTING_DOWN), True),
        (ReelyardError(ErrorCode.STORAGE_FULL), False),
        (ReelyardError(ErrorCode.UPLOAD_GONE), False),
        (ReelyardError(ErrorCode.UNAUTHORIZED), False),
        (ClientError(ClientCode.LOCAL_FILE, "it changed"), False),
    ],
)
def test_what_passes_and_what_stays(error: ReelyardError | ClientError, passing: bool) -> None:
    assert is_passing(error) == passing


def test_waits_grow_up_to_the_longest() -> None:
    patience = Patience(1.5)

    assert [patience.wait_s(BROKEN, at=0) for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]


def test_failures_in_a_row_end_it_and_a_byte_gained_begins_anew() -> None:
    patience = Patience(0.0)
    without_gain = [patience.wait_s(BROKEN, at=7) for _ in range(MOST_IN_A_ROW)]

    assert None not in without_gain
    assert patience.wait_s(BROKEN, at=8) is not None
    assert [patience.wait_s(BROKEN, at=8) for _ in range(MOST_IN_A_ROW)][-1] is None


def test_a_lost_byte_is_no_gain() -> None:
    patience = Patience(0.0)
    patience.wait_s(BROKEN, at=8)

    assert [patience.wait_s(BROKEN, at=at) for at in [0, 8] * MOST_IN_A_ROW][-1] is None


def test_what_does_not_pass_is_given_up_at_once() -> None:
    assert Patience(1.0).wait_s(ReelyardError(ErrorCode.UPLOAD_GONE), at=0) is None
