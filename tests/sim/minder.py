"""The tool of an attempt as its minder runs it: it goes on while its engine is down, up to a lease. Told by virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    RUNS = "runs"
    ENDED = "ended"
    STOPPED = "stopped"  # by its engine, as it was told
    LEFT = "left"  # by every engine for longer than a lease


@dataclass(slots=True)
class Minder:
    """`parts` are the moments at which a part of the work is done, the last of them all of it. `lease_s` as in the minder.

    `left_at` is since when no engine is attached. `is_judged`: what the job's script lets happen has happened.
    """

    parts: tuple[float, ...]
    lease_s: float
    left_at: float | None = None
    is_stopped: bool = False
    is_judged: bool = field(default=False)

    @property
    def gone_at(self) -> float:
        """When nobody's tool is killed."""
        return float("inf") if self.left_at is None else self.left_at + self.lease_s

    def fate(self, now: float) -> Fate:
        if self.is_stopped:
            return Fate.STOPPED
        if self.parts[-1] <= min(now, self.gone_at):
            return Fate.ENDED
        return Fate.LEFT if now >= self.gone_at else Fate.RUNS

    def leave(self, now: float) -> None:
        """Its engine was killed."""
        if self.left_at is None:
            self.left_at = now

    def attach(self, now: float) -> Fate:
        """An engine has come, and finds it so."""
        found = self.fate(now)
        if found is Fate.RUNS:
            self.left_at = None
        return found
