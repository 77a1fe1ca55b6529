"""Room for tasks: which kind of slot a task takes, what an engine has free of each kind, and how a choice fills that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from protocol.capabilities import SlotKind
from protocol.encoding import HARDWARE_ENCODERS
from protocol.states import LIGHT_TASK_KINDS, TaskKind

SHORT_S, MOST_SHORT = 1.0, 64
"""Tasks of together at most this much estimated work, and at most so many, share one slot: they are done before a longer
one could have been fetched. Without it a farm of tiny tasks is bound by one round trip per task and slot."""

PREFETCH_S = 60.0
"""Only a task of less estimated work waits at an engine for a slot to be free; from the design."""

GPU_NEEDS = frozenset(f"encoder:{name}" for name in HARDWARE_ENCODERS)


def kind_of(kind: TaskKind, needs: tuple[str, ...]) -> SlotKind:
    """The only kind of slot a task with these needs goes to."""
    if kind in LIGHT_TASK_KINDS:
        return SlotKind.LIGHT
    return SlotKind.CPU if GPU_NEEDS.isdisjoint(needs) else SlotKind.GPU


class Room(NamedTuple):
    """Free slots of an engine."""

    encoding: int
    light: int
    gpu: int = 0

    def of(self, kind: SlotKind) -> int:
        return self.light if kind is SlotKind.LIGHT else self.gpu if kind is SlotKind.GPU else self.encoding

    def less(self, kinds: Mapping[SlotKind, int]) -> Room:
        """What is left after so many of each kind are taken; more may have been taken than this room knows of."""
        return Room(
            max(0, self.encoding - kinds.get(SlotKind.CPU, 0)),
            max(0, self.light - kinds.get(SlotKind.LIGHT, 0)),
            max(0, self.gpu - kinds.get(SlotKind.GPU, 0)),
        )


ONE = {SlotKind.CPU: Room(1, 0), SlotKind.LIGHT: Room(0, 1), SlotKind.GPU: Room(0, 0, 1)}
"""Room for one task of a kind."""


class Pick(NamedTuple):
    """`opens_slot` is False for a short task that shares the slot of the one before it."""

    task_id: str
    kind: SlotKind
    opens_slot: bool = True


class Filling:
    """What is left of a room while tasks are chosen for it. Only processor slots are shared by short tasks.

    `is_ahead`: for a slot that is not free yet, so that only what may be prefetched goes there.
    """

    __slots__ = ("encoding", "gpu", "is_ahead", "light", "shared", "spare_s")

    def __init__(self, room: Room, *, is_ahead: bool = False) -> None:
        self.encoding, self.light, self.gpu = room
        self.is_ahead = is_ahead
        self.shared, self.spare_s = 0, 0.0

    def allowed(self, masks: tuple[int, int, int]) -> int:
        """Those of the lanes for processor, light and GPU slots that a task may come from now."""
        encoding, light, gpu = masks
        takes_encoding = self.encoding > 0 or self.shared > 0
        return (encoding if takes_encoding else 0) | (light if self.light > 0 else 0) | (gpu if self.gpu > 0 else 0)

    def fits(self, cost_s: float, kind: SlotKind) -> bool:
        if self.is_ahead and cost_s >= PREFETCH_S:
            return False
        return kind is not SlotKind.CPU or self.encoding > 0 or (self.shared > 0 and cost_s <= self.spare_s)

    def fill(self, cost_s: float, kind: SlotKind) -> bool:
        """Take the place for one task; True when it opened a slot of its own."""
        if kind is SlotKind.LIGHT:
            self.light -= 1
            return True
        if kind is SlotKind.GPU:
            self.gpu -= 1
            return True
        if self.shared > 0 and cost_s <= self.spare_s:
            self.shared, self.spare_s = self.shared - 1, self.spare_s - cost_s
            return False
        self.encoding -= 1
        self.shared, self.spare_s = (MOST_SHORT - 1, SHORT_S - cost_s) if cost_s < SHORT_S else (0, 0.0)
        return True
