"""Room for tasks: the slots of this engine, which task takes which kind of them, and what is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from protocol.capabilities import SlotKind as SlotKind
from protocol.capabilities import Slots
from protocol.encoding import HARDWARE_ENCODERS
from protocol.leases import Grant
from protocol.recipes import Recipe, TranscodeRecipe, slot_kind

LIGHT_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one task at a time, by a name that is the same after a restart.

    Its tools run on the processors `cpus` (empty: any) with `threads` threads, and on the GPU `device`.
    """

    name: str
    kind: SlotKind
    cpus: tuple[int, ...] = ()
    device: str | None = None
    threads: int = 1


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
    if slot.device is not None and is_nvidia(slot):
        return (("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", slot.device))
    return (("CUDA_VISIBLE_DEVICES", ""),)


@dataclass(frozen=True, slots=True)
class Room:
    """Free slots of each kind. `ahead`: no processor slot is free, but one will be soon, and nothing waits for it yet."""

    encoding: int
    light: int
    gpu: int = 0
    ahead: bool = False


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


NOTHING_KNOWN: Mapping[str, frozenset[str]] = {}


class Vacancies:
    """The slots nothing runs in, while they are given out; none on a GPU that is `closed`.

    `spare` is how many tasks more each GPU takes that is limited below its slots. `able` is what encodes and decodes on each:
    two cards of one make need not be of one age.
    """

    def __init__(
        self,
        plan: SlotPlan,
        used: Iterable[Slot],
        closed: Collection[str] = (),
        spare: Mapping[str, int] | None = None,
        able: Mapping[str, frozenset[str]] = NOTHING_KNOWN,
    ) -> None:
        self._spare, self._able = dict(spare or {}), able
        self._devices = {slot.device for slot in plan.slots if slot.device is not None}
        taken = {slot.name: slot for slot in used}
        self._free = [slot for slot in plan.slots if taken.pop(slot.name, None) is None and slot.device not in closed]
        for unplanned in taken.values():
            self.take(unplanned.kind)  # the machine is no larger because its plan has changed

    def seat(self, grant: Grant) -> Slot | None:
        """A slot of the kind that the task takes; a GPU must be of a make that has its encoders, and have proven them. Where
        none has proven all, any may fail at it: that is soon told, and a wait would have no end.
        """
        hardware = hardware_of(grant.recipe)
        if not any(self._can(device, hardware) for device in self._devices):
            hardware = frozenset()
        return self.take(kind_for(grant), makes_for(grant.recipe), hardware)

    def take(self, kind: SlotKind, makes: Collection[bool] = (), hardware: frozenset[str] = frozenset()) -> Slot | None:
        fit = (s for s in self._free if s.kind is kind and (not makes or is_nvidia(s) in makes) and self._may(s))
        slot = next((s for s in fit if self._can(s.device, hardware)), None)
        if slot is not None:
            self._free.remove(slot)
            if slot.device in self._spare:
                self._spare[slot.device] -= 1
        return slot

    def count(self, kind: SlotKind) -> int:
        """How many could be taken."""
        counted = [slot for slot in self._free if slot.kind is kind]
        by_device = Counter(slot.device for slot in counted if slot.device is not None)
        return len(counted) - sum(max(0, free - self._spare.get(device, free)) for device, free in by_device.items())

    def _can(self, device: str | None, hardware: frozenset[str]) -> bool:
        return device is None or hardware <= self._able.get(device, hardware)

    def _may(self, slot: Slot) -> bool:
        return slot.device is None or self._spare.get(slot.device, 1) > 0


def is_nvidia(slot: Slot) -> bool:
    """NVIDIA's GPUs go by numbers, all others by the names of their render nodes."""
    return slot.device is not None and slot.device.isdecimal()


def hardware_of(recipe: Recipe) -> frozenset[str]:
    """What a GPU must have proven for the task; empty where it needs none."""
    if not isinstance(recipe, TranscodeRecipe):
        return frozenset()
    encoders = {one.encoder for one in recipe.renditions if one.encoder in HARDWARE_ENCODERS}
    return frozenset(encoders | ({recipe.decoder} if recipe.decoder else set()))


def makes_for(recipe: Recipe) -> frozenset[bool]:
    """Whether the task's hardware encoders are NVIDIA's; empty where it has none."""
    renditions = recipe.renditions if isinstance(recipe, TranscodeRecipe) else ()
    return frozenset(one.encoder.endswith("_nvenc") for one in renditions if one.encoder in HARDWARE_ENCODERS)
