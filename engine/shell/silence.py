"""What the log says of a dispatch that does not answer: at first, now and then while it lasts, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from engine.ports import Clock, Unreachable

FIRST_REMINDER_S, LONGEST_REMINDER_S = 60.0, 3600.0
"""An outage of a day is some thirty lines."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Outage:
    since: float
    reminder_at: float
    reminder_s: float = FIRST_REMINDER_S
    calls: int = 1


class Silence:
    """Heartbeats, leases and registrations fail together, several times a second: one line each would fill the disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._outage: _Outage | None = None

    def unanswered(self, problem: Unreachable) -> None:
        """A call came to nothing."""
        now, outage = self._clock.now(), self._outage
        if outage is None:
            self._outage = _Outage(since=now, reminder_at=now + FIRST_REMINDER_S)
            log.warning("dispatch_unanswered", problem=str(problem), advice="is it running, and is --server right?")
            return
        outage.calls += 1
        if now < outage.reminder_at:
            return
        log.warning("dispatch_still_silent", problem=str(problem), silent_s=round(now - outage.since), calls=outage.calls)
        outage.reminder_s = min(2 * outage.reminder_s, LONGEST_REMINDER_S)
        outage.reminder_at = now + outage.reminder_s

    def answered(self) -> None:
        """A call was answered, whatever the answer says."""
        outage, self._outage = self._outage, None
        if outage is not None:
            log.info("dispatch_answers_again", silent_s=round(self._clock.now() - outage.since), calls=outage.calls)
