"""When a long transfer that broke off goes on, and when it is given up. Pure but for the waiting itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from client.errors import ClientError, Unreachable, Unreadable
from protocol.errors import ErrorCode, ReelyardError

MOST_IN_A_ROW = 20
"""Failures without a single byte gained between them: with waits of up to 3 s, a minute, time for a server to restart."""

FIRST_WAIT_S = 0.25
_PASSING_STATUS = frozenset({502, 503, 504})
_PASSING = frozenset(
    {
        ErrorCode.UPLOAD_LOCKED,
        ErrorCode.UPLOAD_OFFSET,
        ErrorCode.CHECKSUM_MISMATCH,
        ErrorCode.BODY_TOO_SLOW,
        ErrorCode.BODY_INCOMPLETE,
        ErrorCode.RATE_LIMITED,
    }
)


def is_passing(error: ReelyardError | ClientError) -> bool:
    """Whether the same bytes may well go through a moment later."""
    match error:
        case Unreachable():
            return True
        case ReelyardError(code=code):
            return code in _PASSING or error.status in _PASSING_STATUS
        case Unreadable(status=status):
            return status in _PASSING_STATUS
        case _:
            return False


@dataclass(slots=True)
class Patience:
    """Counts failures in a row; a byte gained since the last one wipes the slate."""

    longest_wait_s: float
    reached: int = 0
    failures: int = 0

    def wait_s(self, error: ReelyardError | ClientError, *, at: int) -> float | None:
        """Seconds to wait before going on from byte `at`, or None to give up."""
        if not is_passing(error):
            return None
        self.failures = 1 if at > self.reached else self.failures + 1
        self.reached = max(self.reached, at)
        if self.failures > MOST_IN_A_ROW:
            return None
        return min(FIRST_WAIT_S * 2.0 ** (self.failures - 1), self.longest_wait_s)

    async def bear(self, error: ReelyardError | ClientError, *, at: int) -> None:
        """Wait, or raise the error."""
        wait_s = self.wait_s(error, at=at)
        if wait_s is None:
            raise error
        await asyncio.sleep(wait_s)
