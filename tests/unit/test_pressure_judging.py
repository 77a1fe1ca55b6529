"""When a machine counts as busy, and when as free again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from engine.core.pressure import Pressure, Thresholds, closed_devices, judged, load_of
from protocol.capabilities import GpuLoad, Load
from protocol.plugins import Reading, Resource


def busy_after(rounds: Iterable[Iterable[Reading]], thresholds: Thresholds | None = None) -> list[tuple[str, ...]]:
    """What is over after each round of readings."""
    pressure, told = Pressure(), []
    for readings in rounds:
        pressure = judged(pressure, readings, thresholds or Thresholds())
        told.append(pressure.busy)
    return told


def cpu(*used: float, own: float = 0.0) -> list[list[Reading]]:
    return [[Reading(Resource.CPU, percent, own=own)] for percent in used]


def disk(free: float, free_bytes: int = 10**9) -> list[Reading]:
    return [Reading(Resource.DISK, 100.0 - free, free_bytes=free_bytes)]


def gpu(device: str, used: float, *, own: float = 0.0, resource: Resource = Resource.GPU) -> Reading:
    return Reading(resource, used, own=own, device=device)


def test_one_spike_changes_nothing() -> None:
    assert busy_after(cpu(95, 20, 95, 20)) == [(), (), (), ()]


def test_two_readings_in_a_row_over_the_threshold_make_it_busy() -> None:
    assert busy_after(cpu(95, 95)) == [(), ("cpu",)]


def test_it_stays_busy_until_two_readings_are_clearly_below() -> None:
    assert busy_after(cpu(95, 95, 86, 86, 84, 88, 84, 84)) == [(), *[("cpu",)] * 6, ()]


def test_the_engines_own_load_does_not_count() -> None:
    assert busy_after(cpu(100, 100, 100, own=80)) == [(), (), ()]


def test_others_load_beside_our_own_counts_alone() -> None:
    half = Thresholds(percent={Resource.CPU: 50.0})

    assert busy_after(cpu(100, 100, own=45), half) == [(), ("cpu",)]
    assert busy_after(cpu(100, 100, own=55), half) == [(), ()]


def test_own_load_read_later_than_the_whole_is_no_negative_load() -> None:
    assert busy_after(cpu(50, 50, own=70)) == [(), ()]


@pytest.mark.parametrize("resource", [Resource.CPU, Resource.MEMORY, Resource.IO_WAIT])
def test_every_resource_of_the_machine_is_judged_by_its_own_threshold(resource: Resource) -> None:
    thresholds = Thresholds(percent={each: 60.0 if each is resource else 100.0 for each in Resource})
    everything = [Reading(each, 75.0) for each in (Resource.CPU, Resource.MEMORY, Resource.IO_WAIT)]

    assert busy_after([everything, everything], thresholds)[-1] == (resource.value,)


def test_a_threshold_of_one_hundred_is_never_passed() -> None:
    assert busy_after(cpu(100, 100), Thresholds(percent={Resource.CPU: 100.0})) == [(), ()]


def test_a_full_disk_is_believed_at_once_and_free_again_only_clearly_above() -> None:
    rounds = [disk(10.5), disk(9.9), disk(10.5), disk(11.9), disk(12.0)]

    assert busy_after(rounds) == [(), ("disk",), ("disk",), ("disk",), ()]


def test_a_large_disk_is_never_low() -> None:
    assert busy_after([disk(5.0, 100 << 30)]) == [()]


def test_a_disk_is_warned_of_before_work_stops() -> None:
    pressure = judged(Pressure(), disk(14.0), Thresholds())

    assert (pressure.is_disk_warned, pressure.busy) == (True, ())


@pytest.mark.parametrize("resource", [Resource.GPU, Resource.GPU_MEMORY, Resource.GPU_ENCODER])
def test_a_busy_gpu_is_named_alone(resource: Resource) -> None:
    both = [gpu("0", 20.0), gpu("1", 96.0, resource=resource)]

    told = busy_after([both, both])[-1]

    assert told == ("gpu:1",)
    assert closed_devices(Load(busy=told)) == {"1"}


def test_a_gpu_our_own_tools_fill_stays_open() -> None:
    full = [gpu("0", 99.0, own=99.0)]

    assert busy_after([full, full]) == [(), ()]


def test_a_gpu_that_is_not_told_of_any_more_is_closed_at_once_until_it_is_back() -> None:
    rounds = [[gpu("0", 5.0), gpu("1", 5.0)], [gpu("0", 5.0)], [gpu("0", 5.0), gpu("1", 5.0)]]

    assert busy_after(rounds) == [(), ("gpu:1",), ()]


def test_what_was_not_read_this_time_stays_as_it_was() -> None:
    assert busy_after([*cpu(95, 95), disk(50.0), *cpu(20, 20)]) == [(), ("cpu",), ("cpu",), ("cpu",), ()]


def test_the_heartbeat_tells_all_that_was_read() -> None:
    readings = [
        Reading(Resource.CPU, 40.0, own=30.0),
        Reading(Resource.MEMORY, 50.0, free_bytes=4 << 30),
        Reading(Resource.IO_WAIT, 2.0),
        *disk(60.0),
        Reading(Resource.GPU_MEMORY, 10.0, device="0", device_name="L4"),
        Reading(Resource.GPU, 20.0, device="0", device_name="L4"),
        Reading(Resource.GPU_ENCODER, 30.0, device="0", sessions=2, device_name="L4"),
    ]

    load = load_of(readings, Pressure(is_disk_low=True))

    assert load == Load(
        cpu_percent=40.0,
        memory_percent=50.0,
        disk_free_bytes=10**9,
        disk_free_percent=60.0,
        io_wait_percent=2.0,
        gpus=(GpuLoad(index="0", name="L4", percent=20.0, memory_percent=10.0, encoder_percent=30.0, sessions=2),),
        busy=("disk",),
    )
