"""Calls under way, and those among them that wait for a server that is not the one to ask any more. Decides only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

LEAST_BEAT_S = 3.0
"""A busy server answers a heartbeat within this; sooner than that nobody is given up."""

BEATS_IN_A_LEASE = 4
"""A server that is frozen is found out before the lease of what runs is over, with time left to find the next one."""


def beat_patience(lease_s: float, longest: float) -> float:
    """Seconds that a heartbeat waits for its answer."""
    return min(longest, max(LEAST_BEAT_S, lease_s / BEATS_IN_A_LEASE))


@dataclass(frozen=True, slots=True)
class OpenCall:
    """`number` rises with each call begun. Those that are `led` are answered by the server that leads, and no other."""

    number: int
    server: str
    is_led: bool


class OpenCalls:
    def __init__(self) -> None:
        self._numbers = count()
        self._open: dict[int, OpenCall] = {}

    def begin(self, server: str, *, is_led: bool) -> OpenCall:
        call = OpenCall(next(self._numbers), server, is_led)
        self._open[call.number] = call
        return call

    def end(self, call: OpenCall) -> None:
        self._open.pop(call.number, None)

    def at(self, server: str) -> tuple[OpenCall, ...]:
        """One call there came to nothing: what else waits there waits in vain."""
        return tuple(other for other in self._open.values() if other.server == server)

    def overtaken(self, by: OpenCall) -> tuple[OpenCall, ...]:
        """What was asked elsewhere before the server that leads was asked and answered: nobody will answer that."""
        if not by.is_led:
            return ()
        older = (other for other in self._open.values() if other.is_led and other.number < by.number)
        return tuple(other for other in older if other.server != by.server)
