"""Slots as operators write them, and what they are told when it cannot be."""

from __future__ import annotations

import pytest

from engine.core.layout import Gpu, Machine, Processor
from engine.core.slot_specs import SlotSpecProblem, planned
from engine.core.slots import Slot, SlotKind, SlotPlan, light_slots

MACHINE = Machine(tuple(Processor(n, core=n) for n in range(10)), gpus=(Gpu("0"), Gpu("1")))


def test_a_box_is_dealt_out_as_it_is_told() -> None:
    assert planned(("CPU:0-3", "CPU_Set:4-7,9", "CPU:8", "GPU:0"), MACHINE, 1) == SlotPlan(
        (
            Slot("CPU:0-3", SlotKind.CPU, (0, 1, 2, 3), threads=4),
            Slot("CPU_Set:4-7,9", SlotKind.CPU, (4, 5, 6, 7, 9), threads=5),
            Slot("CPU:8", SlotKind.CPU, (8,), threads=1),
            Slot("GPU:0", SlotKind.GPU, device="0", threads=4),
            *light_slots(1),
        )
    )


def test_a_gpu_may_have_several_slots() -> None:
    slots = planned(("GPU:1x3",), MACHINE, 1).slots

    assert [(slot.name, slot.device) for slot in slots if slot.kind is SlotKind.GPU] == [
        ("GPU:1", "1"),
        ("GPU:1#2", "1"),
        ("GPU:1#3", "1"),
    ]


def test_an_engine_with_only_gpu_slots_takes_no_processor_work() -> None:
    plan = planned(("GPU:0",), MACHINE, 1)

    assert (plan.encoding, plan.gpu, plan.light) == (0, 1, 1)


def test_threads_are_no_more_than_the_quota() -> None:
    throttled = Machine(MACHINE.processors, quota=2.5)

    assert [slot.threads for slot in planned(("CPU:0-3",), throttled, 0).slots] == [2]


@pytest.mark.parametrize(
    ("specs", "problem"),
    [
        (("CPU:8-11",), "CPU:8-11: this engine may not use CPU 10-11 or there is none; it may use 0-9"),
        (("CPU:0-3", "CPU_Set:3,5"), "CPU_Set:3,5: CPU 3 belongs to CPU:0-3 already; each may stand in one slot only"),
        (("CPU:1", "CPU:1"), "CPU:1: CPU 1 belongs to CPU:1 already; each may stand in one slot only"),
        (("CPU_Set:1,0-2",), "CPU_Set:1,0-2: 0-2 names a CPU a second time"),
        (("CPU:3-0",), "CPU:3-0: 3-0 is empty; the smaller number comes first"),
        (("CPU:0,2",), "CPU:0,2: CPU takes one number or one range; for a list write CPU_Set:0,2"),
        (("GPU:0", "GPU:0"), "GPU:0: GPU 0 belongs to GPU:0 already; each may stand in one slot only"),
        (("GPU:0", "GPU:0x2"), "GPU:0x2: GPU 0 belongs to GPU:0 already; each may stand in one slot only"),
        (("GPU:7",), "GPU:7: there is no GPU 7 here; there is 0, 1"),
        (("GPU:0x0",), "GPU:0x0: a GPU takes 1 to 64 slots"),
        (("CPU:",), "'CPU:' is no slot; write CPU:0-3, CPU:5, CPU_Set:4-7,9, GPU:0 or GPU:0x2"),
        (("3", "4"), "'3' is no slot; write CPU:0-3, CPU:5, CPU_Set:4-7,9, GPU:0 or GPU:0x2"),
        ((), "no slot is given; give a number, or slots such as CPU:0-3, CPU:5, CPU_Set:4-7,9, GPU:0 or GPU:0x2"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(specs: tuple[str, ...], problem: str) -> None:
    with pytest.raises(SlotSpecProblem) as told:
        planned(specs, MACHINE)

    assert str(told.value) == problem


def test_a_box_without_a_gpu_says_what_to_look_at() -> None:
    with pytest.raises(SlotSpecProblem, match="there is none; is its driver loaded, and may this user open its device files"):
        planned(("GPU:0",), Machine(MACHINE.processors))
