"""Encoder sessions of GPUs as a resource: how many there are is learnt from refusals, and tried again now and then.

No driver tells its limit, and other programs may use part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from protocol.capabilities import Capabilities

TRY_MORE_S = 3600.0
"""How long a limit stands before one session more is tried: who else used the GPU may be gone."""

MOST_SESSIONS = 64
"""A limit that has grown to this is none."""


@dataclass(frozen=True, slots=True)
class SessionLimit:
    """At most `sessions` are open at once on the GPU `device`. `per_task` is the most that one task opened there."""

    device: str
    sessions: int
    per_task: int


class Sessions:
    """The limits that are known, by device."""

    def __init__(self) -> None:
        self._limits: dict[str, SessionLimit] = {}

    def __iter__(self) -> Iterator[SessionLimit]:
        return iter(self._limits.values())

    def restore(self, limits: Iterable[SessionLimit]) -> None:
        self._limits = {limit.device: limit for limit in limits if limit.sessions < MOST_SESSIONS}

    def refused(self, device: str, *, needed: int, others: int) -> SessionLimit:
        """A task that needs so many got too few, while others had so many open: no more than theirs, or fewer than it needs."""
        known = self._limits.get(device)
        sessions = others if others > 0 else needed - 1
        limit = SessionLimit(device, sessions, max(needed, known.per_task if known else 0))
        self._limits[device] = limit
        return limit

    def try_more(self) -> tuple[SessionLimit, ...]:
        """One session more on each device; a limit that has grown so far that it is none comes a last time, as such."""
        grown = tuple(replace(limit, sessions=limit.sessions + 1) for limit in self._limits.values())
        self._limits = {limit.device: limit for limit in grown if limit.sessions < MOST_SESSIONS}
        return grown

    def spare(self, open_now: Mapping[str, int]) -> dict[str, int]:
        """How many tasks more each limited device takes, beside the sessions that are open there now."""
        return {
            limit.device: max(0, limit.sessions - open_now.get(limit.device, 0)) // max(1, limit.per_task)
            for limit in self._limits.values()
        }

    def told(self, capabilities: Capabilities) -> Capabilities:
        """What dispatch is told of the devices."""
        if not self._limits or not capabilities.devices:
            return capabilities
        limits = {limit.device: limit.sessions for limit in self._limits.values()}
        devices = tuple(device.model_copy(update={"max_sessions": limits.get(device.index)}) for device in capabilities.devices)
        return capabilities.model_copy(update={"devices": devices})
