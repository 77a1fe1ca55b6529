"""Slots as an operator writes them: `CPU:0-3`, `CPU_Set:4-7,9`, `GPU:0`, `GPU:0x2`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.core.layout import Machine, cpu_slot, derived, gpu_slots, ranges
from engine.core.slots import LIGHT_SLOTS, Slot, SlotPlan, light_slots

MAX_GPU_SLOTS = 64
FORMS = "CPU:0-3, CPU:5, CPU_Set:4-7,9, GPU:0 or GPU:0x2"
_CPU = re.compile(r"CPU:(?P<numbers>\d{1,5}(-\d{1,5})?)")
_CPU_SET = re.compile(r"CPU_Set:(?P<numbers>\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*)")
_GPU = re.compile(r"GPU:(?P<index>\d{1,3}|renderD\d{1,4})(x(?P<count>\d{1,3}))?")


class SlotSpecProblem(ValueError):
    """A slot cannot be had as it was asked for; the text says why and what can."""


def planned(asked: int | Sequence[str] | None, machine: Machine, light: int = LIGHT_SLOTS) -> SlotPlan:
    """The slots as told: a number of them, each by name, or None for what suits the machine. Raises SlotSpecProblem."""
    if asked is None or isinstance(asked, int):
        return derived(machine, asked, light)
    slots: list[Slot] = []
    owners: dict[str, str] = {}
    for spec in asked:
        made = _slots(spec, machine)
        for part in _parts(made[0]):
            if part in owners:
                raise SlotSpecProblem(f"{spec}: {part} belongs to {owners[part]} already; each may stand in one slot only")
        owners.update(dict.fromkeys(_parts(made[0]), spec))
        slots.extend(made)
    if not slots:
        raise SlotSpecProblem(f"no slot is given; give a number, or slots such as {FORMS}")
    return SlotPlan((*slots, *light_slots(light)))


def _parts(slot: Slot) -> list[str]:
    """What no other spec may name."""
    return [f"CPU {number}" for number in slot.cpus] if slot.device is None else [f"GPU {slot.device}"]


def _slots(spec: str, machine: Machine) -> Sequence[Slot]:
    if found := _CPU.fullmatch(spec) or _CPU_SET.fullmatch(spec):
        return (cpu_slot(_numbers(spec, found["numbers"], machine), machine),)
    if found := _GPU.fullmatch(spec):
        return _gpu(spec, found["index"], int(found["count"] or 1), machine)
    if re.fullmatch(r"CPU:[\d,\-]+,[\d,\-]*", spec):
        raise SlotSpecProblem(f"{spec}: CPU takes one number or one range; for a list write {spec.replace('CPU:', 'CPU_Set:')}")
    raise SlotSpecProblem(f"{spec!r} is no slot; write {FORMS}")


def _numbers(spec: str, text: str, machine: Machine) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        run = range(int(first), int(last or first) + 1)
        if not run:
            raise SlotSpecProblem(f"{spec}: {part} is empty; the smaller number comes first")
        if numbers.intersection(run):
            raise SlotSpecProblem(f"{spec}: {part} names a CPU a second time")
        numbers.update(run)
    if unknown := sorted(numbers.difference(machine.numbers)):
        have = ranges(machine.numbers)
        raise SlotSpecProblem(f"{spec}: this engine may not use CPU {ranges(unknown)} or there is none; it may use {have}")
    return numbers


def _gpu(spec: str, index: str, count: int, machine: Machine) -> Sequence[Slot]:
    known = {gpu.index: gpu for gpu in machine.gpus}
    if index not in known:
        have = ", ".join(known) or "none; is its driver loaded, and may this user open its device files?"
        raise SlotSpecProblem(f"{spec}: there is no GPU {index} here; there is {have}")
    if not 1 <= count <= MAX_GPU_SLOTS:
        raise SlotSpecProblem(f"{spec}: a GPU takes 1 to {MAX_GPU_SLOTS} slots")
    return gpu_slots(known[index], machine, count)
