"""Heartbeats: one in flight at a time, a spread interval, one more at once when something changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from engine.core.attempts import Attempts, Key
from engine.core.backoff import full_jitter, spread
from protocol.capabilities import Capabilities, Load, Slots
from protocol.leases import Heartbeat, HeartbeatReply
from protocol.states import EngineState

DEFAULT_INTERVAL = 15.0


class Pulse:
    """The sign of life of one engine."""

    def __init__(self, *, boot_id: str, chance: Callable[[], float]) -> None:
        self._boot_id, self._chance = boot_id, chance
        self._interval = DEFAULT_INTERVAL
        self._failures = 0
        self._flying: Heartbeat | None = None
        self._losable: frozenset[Key] = frozenset()
        self._is_wanted_again = self._has_told_work = False
        self._told: Capabilities | None = None

    def start(self, interval: float, told: Capabilities) -> float:
        """After a registration: the time of the next heartbeat."""
        self._interval, self._told = interval, told
        self._failures = 0
        return spread(interval, self._chance())

    def beat(
        self, state: EngineState, load: Load, slots: Slots, capabilities: Capabilities, attempts: Attempts
    ) -> Heartbeat | None:
        """The heartbeat to send now; None while one is in flight: then another follows it at once."""
        if self._flying is not None:
            self._is_wanted_again = True
            return None
        self._is_wanted_again = False
        self._losable = frozenset(attempt.key for attempt in attempts if attempt.is_losable)
        self._flying = Heartbeat(
            boot_id=self._boot_id,
            state=state,
            load=load,
            slots=slots,
            running=attempts.as_running(),
            capabilities=capabilities if capabilities != self._told else None,
        )
        self._has_told_work = bool(self._flying.running)
        return self._flying

    def progress_pause(self, shortest: float) -> float:
        """Until progress may be told: at once after a beat of an idle engine, else as often as dispatch wants to hear."""
        return max(shortest, self._interval) if self._has_told_work else shortest

    def answered(self, reply: HeartbeatReply) -> tuple[frozenset[Key], float]:
        """The attempts whose leases are gone, and the time until the next heartbeat."""
        if self._flying is not None and self._flying.capabilities is not None:
            self._told = self._flying.capabilities
        self._flying = None
        self._failures = 0
        self._interval = reply.heartbeat_s
        lost = self._losable - {Key(renewal.task_id, renewal.token) for renewal in reply.renewed}
        return lost, 0.0 if self._is_wanted_again else spread(self._interval, self._chance())

    def failed(self, retry_after: float | None) -> float:
        """The pause before the next try, never longer than a heartbeat's interval."""
        self._flying = None
        self._failures += 1
        if retry_after is not None:
            return retry_after
        return full_jitter(self._failures, self._chance(), longest=max(1.0, min(self._interval, 30.0)))
