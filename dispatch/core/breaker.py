"""A breaker: what fails again and again is left alone for a while, so that nobody waits for it. Pure but for its own counts."""

from __future__ import annotations

from enum import StrEnum
from math import inf


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One call is under way to see; the others still fail at once."""


class Breaker:
    """Opens at `failures` in a row, for `open_s` seconds; then one call at a time is let through, and its end decides.

    `now` is a monotonic clock's. A call that was let through and never ended does not keep it half open: after `open_s` more
    the next one is. A success of any call closes it: it is proof, whenever that call began.
    """

    def __init__(self, *, failures: int = 5, open_s: float = 5.0) -> None:
        self._most, self._open_s = failures, open_s
        self._failed = 0
        self._until = -inf
        self._is_trying = False

    def state(self, now: float) -> BreakerState:
        if self._failed < self._most:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._is_trying and now < self._until else BreakerState.OPEN

    def admits(self, now: float) -> bool:
        """Whether a call may go now. The one that is let through to see counts as under way until it ends."""
        if self._failed < self._most:
            return True
        if now < self._until:
            return False
        self._is_trying, self._until = True, now + self._open_s
        return True

    def succeeded(self) -> None:
        self._failed, self._is_trying, self._until = 0, False, -inf

    def failed(self, now: float) -> None:
        """Failures of calls that began before it opened change nothing while it is open."""
        if self._failed >= self._most and not self._is_trying:
            return
        self._failed += 1
        if self._failed >= self._most:
            self._is_trying, self._until = False, now + self._open_s

    def wait_s(self, now: float) -> float:
        """How long until a call may go; 0 when one may now."""
        return max(0.0, self._until - now) if self._failed >= self._most else 0.0
