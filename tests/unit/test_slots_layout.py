"""The slots of several machines: the cores dealt out by their topology, quotas kept, GPUs added."""

from __future__ import annotations

from engine.core.layout import Gpu, Machine, Processor, derived, ranges
from engine.core.slots import Slot, SlotKind, SlotPlan, light_slots

LIGHT = light_slots(2)


def cores(count: int) -> tuple[Processor, ...]:
    """As many equal cores without siblings."""
    return tuple(Processor(n, core=n) for n in range(count))


def threaded(count: int, nodes: int = 1) -> tuple[Processor, ...]:
    """Cores with two threads each, numbered as Linux does: first each core's one, then each core's other."""
    per_node = count // nodes
    return tuple(
        Processor(n, core=n % count, node=n % count // per_node, package=n % count // per_node) for n in range(2 * count)
    )


BIG_LITTLE = tuple(Processor(n, core=n, capacity=446 if n < 4 else 1024) for n in range(8))
HYBRID = (
    *(Processor(n, core=n - n % 2) for n in range(12)),
    *(Processor(n, core=n, capacity=512) for n in range(12, 20)),
)
"""Six strong cores with two threads each and eight weak ones."""


def cpu(spec: str, cpus: tuple[int, ...], threads: int | None = None) -> Slot:
    return Slot(spec, SlotKind.CPU, cpus, threads=threads or len(cpus))


def plan(*slots: Slot) -> SlotPlan:
    return SlotPlan((*slots, *LIGHT))


def test_two_cores_are_one_slot_of_two_threads() -> None:
    assert derived(Machine(cores(2))) == plan(cpu("CPU:0-1", (0, 1)))


def test_sixteen_cores_with_siblings_are_four_slots_that_share_no_core() -> None:
    assert derived(Machine(threaded(16))) == plan(
        cpu("CPU_Set:0-3,16-19", (0, 1, 2, 3, 16, 17, 18, 19)),
        cpu("CPU_Set:4-7,20-23", (4, 5, 6, 7, 20, 21, 22, 23)),
        cpu("CPU_Set:8-11,24-27", (8, 9, 10, 11, 24, 25, 26, 27)),
        cpu("CPU_Set:12-15,28-31", (12, 13, 14, 15, 28, 29, 30, 31)),
    )


def test_no_slot_of_two_sockets_of_64_cores_lies_in_both() -> None:
    machine = Machine(threaded(128, nodes=2))
    node_of = {processor.number: processor.node for processor in machine.processors}

    slots = [slot for slot in derived(machine).slots if slot.kind is SlotKind.CPU]

    assert [len(slot.cpus) for slot in slots] == [8] * 32
    assert {len({node_of[number] for number in slot.cpus}) for slot in slots} == {1}
    assert sorted(number for slot in slots for number in slot.cpus) == list(range(256))


def test_nodes_too_small_for_a_slot_each_are_one() -> None:
    small = tuple(Processor(n, core=n, node=n // 2) for n in range(4))

    assert derived(Machine(small)) == plan(cpu("CPU:0-3", (0, 1, 2, 3)))


def test_a_quota_counts_instead_of_processors_and_nothing_is_pinned() -> None:
    """Every container on the machine sees the same processors: all would crowd on the first."""
    assert derived(Machine(cores(64), quota=9.5)) == plan(cpu("cpu-0", (), 4), cpu("cpu-1", (), 4))


def test_a_quota_below_one_processor_is_one_slot_of_one_thread() -> None:
    assert derived(Machine(cores(64), quota=0.5)) == plan(cpu("cpu-0", (), 1))


def test_a_quota_above_what_there_is_limits_nothing() -> None:
    assert derived(Machine(cores(4), quota=8.0)) == plan(cpu("CPU:0-3", (0, 1, 2, 3)))


def test_strong_cores_and_weak_ones_do_not_share_a_slot_and_the_strong_come_first() -> None:
    assert derived(Machine(BIG_LITTLE)) == plan(cpu("CPU:4-7", (4, 5, 6, 7)), cpu("CPU:0-3", (0, 1, 2, 3)))


def test_a_hybrid_processor_keeps_siblings_together() -> None:
    assert derived(Machine(HYBRID)) == plan(
        cpu("CPU:0-7", tuple(range(8))), cpu("CPU:8-14", tuple(range(8, 15))), cpu("CPU:15-19", tuple(range(15, 20)))
    )


def test_processors_that_are_not_ours_are_in_no_slot() -> None:
    ours = tuple(processor for processor in cores(16) if processor.number in (1, 2, 9, 10))

    assert derived(Machine(ours)) == plan(cpu("CPU_Set:1-2,9-10", (1, 2, 9, 10)))


def test_a_number_that_is_asked_for_shares_the_cores_evenly() -> None:
    assert derived(Machine(cores(8)), asked=3) == plan(
        cpu("CPU:0-1", (0, 1)), cpu("CPU:2-4", (2, 3, 4)), cpu("CPU:5-7", (5, 6, 7))
    )


def test_more_slots_than_cores_divide_siblings_at_the_last() -> None:
    assert derived(Machine(threaded(2)), asked=4) == plan(*(cpu(f"CPU:{n}", (n,)) for n in (0, 2, 1, 3)))


def test_more_slots_than_processors_are_pinned_nowhere() -> None:
    assert derived(Machine(cores(2)), asked=3) == plan(*(cpu(f"cpu-{n}", (), 1) for n in range(3)))


def test_each_gpu_is_a_slot_besides_on_the_processors_near_it_that_are_ours() -> None:
    near = Gpu("0", "one", cpus=(2, 3, 90))
    unknown = Gpu("renderD128", "other")

    assert derived(Machine(cores(4), gpus=(near, unknown))) == plan(
        cpu("CPU:0-3", (0, 1, 2, 3)),
        Slot("GPU:0", SlotKind.GPU, (2, 3), "0", 4),
        Slot("GPU:renderD128", SlotKind.GPU, (), "renderD128", 4),
    )


def test_numbers_are_written_as_the_kernel_writes_them() -> None:
    assert [ranges(numbers) for numbers in ((), (3,), (0, 1, 2), (0, 1, 4, 6, 7))] == ["", "3", "0-2", "0-1,4,6-7"]
