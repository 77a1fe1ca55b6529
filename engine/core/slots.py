"""Room for tasks: how many at a time, and with how many threads each."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.leases import Grant
from protocol.states import LIGHT_TASK_KINDS

CORES_PER_SLOT = 4
LIGHT_SLOTS = 2


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """`threads` is the share of one encoding slot."""

    encoding: int
    light: int = LIGHT_SLOTS
    threads: int = 1


def plan_slots(cores: int, asked: int | None = None, light: int = LIGHT_SLOTS) -> SlotPlan:
    """One encoding slot per 4 cores and at least one, unless `asked` says otherwise; the cores are shared evenly."""
    encoding = asked if asked is not None else max(1, cores // CORES_PER_SLOT)
    return SlotPlan(encoding, light, threads=max(1, cores // max(1, encoding)))


@dataclass(frozen=True, slots=True)
class Room:
    """Free slots of both sizes."""

    encoding: int
    light: int

    def fits(self, grant: Grant) -> bool:
        return (self.light if grant.kind in LIGHT_TASK_KINDS else self.encoding) > 0


NO_ROOM = Room(0, 0)
