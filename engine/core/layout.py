"""Which slots a machine has room for, of what is known of its processors and GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.core.slots import LIGHT_SLOTS, Slot, SlotKind, SlotPlan, light_slots

CORES_PER_SLOT = 4
GPU_THREADS = 4
"""What feeds a GPU: demuxing, decoding where the GPU cannot, sound. More threads are waited for by the encoder."""

ALL_EQUAL = 1024
"""The kernel's capacity of the strongest kind of core."""


@dataclass(frozen=True, slots=True)
class Processor:
    """One logical processor. Those with the same `core` are siblings; `capacity` tells strong cores from weak ones."""

    number: int
    core: int
    node: int = 0
    package: int = 0
    capacity: int = ALL_EQUAL


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `index` is its driver's number of it, or the name of its render node; `cpus` are near it, if that is told."""

    index: str
    name: str = ""
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use. `quota` is how many processors' time it gets, where that is limited."""

    processors: tuple[Processor, ...]
    quota: float | None = None
    gpus: tuple[Gpu, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(processor.number for processor in self.processors))

    @property
    def is_throttled(self) -> bool:
        """Whether there is less time than processors."""
        return self.quota is not None and self.quota < len(self.processors)

    @property
    def worth(self) -> float:
        """How many processors' time there is."""
        return float(len(self.processors)) if self.quota is None else min(self.quota, float(len(self.processors)))


def derived(machine: Machine, asked: int | None = None, light: int = LIGHT_SLOTS) -> SlotPlan:
    """One slot per 4 cores and at least one, or as many as `asked`; one for each GPU; and the light ones."""
    slots = _throttled(machine, asked) if machine.is_throttled else _pinned(machine, asked)
    gpus = [slot for gpu in machine.gpus for slot in gpu_slots(gpu, machine)]
    return SlotPlan((*slots, *gpus, *light_slots(light)))


def cpu_slot(cpus: Iterable[int], machine: Machine) -> Slot:
    """A slot pinned to these processors, named by them. Its threads are no more than there is time for."""
    numbers = tuple(sorted(cpus))
    return Slot(
        f"{_word(numbers)}:{ranges(numbers)}", SlotKind.CPU, numbers, threads=max(1, min(len(numbers), int(machine.worth)))
    )


def gpu_slots(gpu: Gpu, machine: Machine, count: int = 1) -> tuple[Slot, ...]:
    """Slots on one GPU, on the processors near it where the kernel tells which of ours those are."""
    allowed = set(machine.numbers)
    cpus = tuple(number for number in gpu.cpus if number in allowed)
    threads = max(1, min(GPU_THREADS, int(machine.worth)))
    names = [f"GPU:{gpu.index}", *(f"GPU:{gpu.index}#{n}" for n in range(2, count + 1))]
    return tuple(Slot(name, SlotKind.GPU, cpus, gpu.index, threads) for name in names)


def ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers as the kernel writes them: `0-3,8`."""
    runs = (list(run) for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]))
    return ",".join(str(run[0][1]) if len(run) == 1 else f"{run[0][1]}-{run[-1][1]}" for run in runs)


def _word(numbers: Sequence[int]) -> str:
    return "CPU" if numbers and numbers[-1] - numbers[0] == len(numbers) - 1 else "CPU_Set"


def _throttled(machine: Machine, asked: int | None) -> list[Slot]:
    """Not pinned: whoever shares the processors with us would start at the same ones."""
    count = asked if asked is not None else max(1, int(machine.worth) // CORES_PER_SLOT)
    return _unpinned(count, machine)


def _unpinned(count: int, machine: Machine) -> list[Slot]:
    threads = max(1, int(machine.worth) // max(1, count))
    return [Slot(f"cpu-{n}", SlotKind.CPU, threads=threads) for n in range(count)]


def _pinned(machine: Machine, asked: int | None) -> list[Slot]:
    """Siblings stay together, then strong cores with strong ones, then the cores of a NUMA node."""
    cores = _cores(machine)
    count = asked if asked is not None else max(1, len(cores) // CORES_PER_SLOT)
    if count > len(machine.processors):
        return _unpinned(count, machine)
    if count > len(cores):
        cores = [(processor,) for core in cores for processor in core]
    nodes = [list(run) for _, run in groupby(cores, key=lambda core: core[0].node)]
    if count < len(nodes):
        nodes = [cores]
    shares = _shares(count, [len(node) for node in nodes])
    return [cpu_slot(cpus, machine) for node, share in zip(nodes, shares, strict=True) for cpus in _cut(node, share)]


def _cores(machine: Machine) -> list[tuple[Processor, ...]]:
    """The physical cores, in the order in which they are dealt out."""
    ordered = sorted(machine.processors, key=lambda one: (one.node, one.package, -one.capacity, one.core, one.number))
    return [tuple(run) for _, run in groupby(ordered, key=lambda one: (one.node, one.package, one.core))]


def _shares(count: int, weights: Sequence[int]) -> list[int]:
    """`count` dealt out by weight, at least one each."""
    shares = [1] * len(weights)
    for _ in range(count - len(weights)):
        neediest = max(range(len(weights)), key=lambda n: weights[n] / shares[n])
        shares[neediest] += 1
    return shares


def _cut(cores: Sequence[tuple[Processor, ...]], parts: int) -> Iterator[list[int]]:
    """Runs of whole cores, as even as they can be."""
    for n in range(parts):
        run = cores[n * len(cores) // parts : (n + 1) * len(cores) // parts]
        yield [processor.number for core in run for processor in core]
