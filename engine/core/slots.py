"""Room for tasks: the slots of this engine, which task takes which kind of them, and what is free."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from protocol.capabilities import SlotKind as SlotKind
from protocol.capabilities import Slots
from protocol.leases import Grant
from protocol.recipes import slot_kind

LIGHT_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one task at a time, by a name that is the same after a restart.

    Its tools run on the processors `cpus` (empty: any) with `threads` threads, and on the GPU `device`, which needs the
    device files `nodes`.
    """

    name: str
    kind: SlotKind
    cpus: tuple[int, ...] = ()
    device: str | None = None
    threads: int = 1
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """All slots of an engine, in the order in which they are taken."""

    slots: tuple[Slot, ...]

    @property
    def total(self) -> Room:
        return room_of(self.slots)

    @property
    def encoding(self) -> int:
        return self.total.encoding

    @property
    def light(self) -> int:
        return self.total.light

    @property
    def gpu(self) -> int:
        return self.total.gpu

    def again(self, grant: Grant, name: str) -> Slot:
        """The slot an attempt ran in before a restart; one that is planned no more stays what its tool has."""
        known = next((slot for slot in self.slots if slot.name == name), None)
        return known or Slot(name, kind_for(grant))


def plain_slots(encoding: int, light: int = LIGHT_SLOTS, *, threads: int = 1) -> SlotPlan:
    """Slots that are pinned nowhere."""
    heavy = [Slot(f"cpu-{n}", SlotKind.CPU, threads=threads) for n in range(encoding)]
    return SlotPlan((*heavy, *light_slots(light)))


def light_slots(count: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"light-{n}", SlotKind.LIGHT) for n in range(count))


def environment(slot: Slot) -> tuple[tuple[str, str], ...]:
    """What a tool's environment says of GPUs: the one of its slot, by the order of their bus addresses, or none."""
    if slot.device is not None and slot.device.isdecimal():
        return (("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", slot.device))
    return (("CUDA_VISIBLE_DEVICES", ""),)


@dataclass(frozen=True, slots=True)
class Room:
    """Free slots of each kind."""

    encoding: int
    light: int
    gpu: int = 0


NO_ROOM = Room(0, 0)


def kind_for(grant: Grant) -> SlotKind:
    """The only kind of slot that may hold this task."""
    return slot_kind(grant.kind, grant.recipe)


def room_of(slots: Iterable[Slot]) -> Room:
    kinds = [slot.kind for slot in slots]
    return Room(kinds.count(SlotKind.CPU), kinds.count(SlotKind.LIGHT), kinds.count(SlotKind.GPU))


def told(total: Room, free: Room) -> Slots:
    """As dispatch is told."""
    return Slots(
        encoding=total.encoding,
        light=total.light,
        gpu=total.gpu,
        free_encoding=free.encoding,
        free_light=free.light,
        free_gpu=free.gpu,
    )


class Vacancies:
    """The slots nothing runs in, while they are given out; none on a GPU that is `closed`."""

    def __init__(self, plan: SlotPlan, used: Iterable[Slot], closed: Collection[str] = ()) -> None:
        taken = {slot.name: slot for slot in used}
        self._free = [slot for slot in plan.slots if taken.pop(slot.name, None) is None and slot.device not in closed]
        for unplanned in taken.values():
            self.take(unplanned.kind)  # the machine is no larger because its plan has changed

    def take(self, kind: SlotKind) -> Slot | None:
        slot = next((slot for slot in self._free if slot.kind is kind), None)
        if slot is not None:
            self._free.remove(slot)
        return slot
