"""When this machine has enough to do: readings of its resources against thresholds, with hysteresis. Pure.

What the engine's own tools use never counts here: they are bounded by slots. Only what others leave is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from protocol.capabilities import GpuLoad, Load
from protocol.plugins import Reading, Resource

MARGIN = 5.0
"""Percent below its threshold at which a resource counts as free again."""

DISK_MARGIN = 2.0
"""Percent above its watermark at which a disk counts as usable again."""

IN_A_ROW = 2
"""So many readings must agree before anything changes: one spike, or one gap in a busy hour, changes nothing."""

GPU_RESOURCES = frozenset({Resource.GPU, Resource.GPU_MEMORY, Resource.GPU_ENCODER})

DISK, GPU_PREFIX = "disk", "gpu:"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Percent in use by others above which a resource is busy; at 100 it never is. Watermarks are percent and bytes free.

    With `disk_plenty_bytes` free a disk is never low.
    """

    percent: Mapping[Resource, float] = field(
        default_factory=lambda: {resource: 90.0 for resource in Resource if resource is not Resource.DISK}
    )
    disk_percent: float = 10.0
    disk_warn_percent: float = 15.0
    disk_plenty_bytes: int = 50 << 30


@dataclass(frozen=True, slots=True)
class Gauge:
    """One resource. `against` counts the latest readings that contradict `is_over`."""

    is_over: bool = False
    against: int = 0

    def after(self, contradicts: bool) -> Gauge:
        against = self.against + 1 if contradicts else 0
        return Gauge(not self.is_over) if against >= IN_A_ROW else Gauge(self.is_over, against)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is known after some readings. `gone` are GPUs that were read once and are not told of any more."""

    gauges: Mapping[tuple[Resource, str | None], Gauge] = field(default_factory=dict)
    devices: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    is_disk_low: bool = False
    is_disk_warned: bool = False

    @property
    def busy(self) -> tuple[str, ...]:
        """Names of what is over: `cpu`, `memory`, `io_wait`, `disk`, `gpu:0`."""
        over = {_name(resource, device) for (resource, device), gauge in self.gauges.items() if gauge.is_over}
        low = {DISK} if self.is_disk_low else set()
        return tuple(sorted(over | low | {f"{GPU_PREFIX}{device}" for device in self.gone}))


def judged(pressure: Pressure, readings: Iterable[Reading], thresholds: Thresholds) -> Pressure:
    """The pressure after one more round of readings. What was not read this time stays as it was, but for lost GPUs."""
    gauges = dict(pressure.gauges)
    seen: set[str] = set()
    is_low, is_warned = pressure.is_disk_low, pressure.is_disk_warned
    for reading in readings:
        if reading.device is not None:
            seen.add(reading.device)
        if reading.resource is Resource.DISK:
            is_low = _is_low(reading, thresholds.disk_percent, thresholds.disk_plenty_bytes, was_low=is_low)
            is_warned = _is_low(reading, thresholds.disk_warn_percent, thresholds.disk_plenty_bytes, was_low=is_warned)
        else:
            key = (reading.resource, reading.device)
            gauges[key] = _moved(gauges.get(key, Gauge()), reading, thresholds.percent.get(reading.resource, 100.0))
    devices = pressure.devices | seen
    return Pressure(gauges, devices, devices - seen, is_low, is_warned)


def _moved(gauge: Gauge, reading: Reading, threshold: float) -> Gauge:
    by_others = max(0.0, reading.used - reading.own)
    return gauge.after(by_others < threshold - MARGIN if gauge.is_over else by_others > threshold)


def _is_low(disk: Reading, percent: float, plenty_bytes: int, *, was_low: bool) -> bool:
    """A full disk is believed at once: there is no such thing as a spike of it."""
    limit = percent + (DISK_MARGIN if was_low else 0.0)
    return 100.0 - disk.used < limit and (disk.free_bytes or 0) < plenty_bytes


def _name(resource: Resource, device: str | None) -> str:
    return resource.value if device is None else f"{GPU_PREFIX}{device}"


def is_whole(name: str) -> bool:
    """Whether what is called so, if it is over, concerns all work and not only that of one GPU."""
    return not name.startswith(GPU_PREFIX)


def closed_devices(load: Load) -> frozenset[str]:
    """The GPUs that get no new work."""
    return frozenset(name.removeprefix(GPU_PREFIX) for name in load.busy if not is_whole(name))


def load_of(readings: Sequence[Reading], pressure: Pressure) -> Load:
    """What the heartbeat tells."""
    whole = {reading.resource: reading for reading in readings if reading.device is None}
    disk = whole.get(Resource.DISK)
    return Load(
        cpu_percent=_used(whole, Resource.CPU),
        memory_percent=_used(whole, Resource.MEMORY),
        io_wait_percent=_used(whole, Resource.IO_WAIT),
        disk_free_bytes=disk.free_bytes or 0 if disk else 0,
        disk_free_percent=100.0 - disk.used if disk else 100.0,
        gpus=tuple(_gpu_load(device, readings) for device in sorted({r.device for r in readings if r.device is not None})),
        busy=pressure.busy,
    )


def _gpu_load(device: str, readings: Iterable[Reading]) -> GpuLoad:
    own = {reading.resource: reading for reading in readings if reading.device == device}
    return GpuLoad(
        index=device,
        name=next((reading.device_name for reading in own.values() if reading.device_name), ""),
        percent=_used(own, Resource.GPU),
        memory_percent=_used(own, Resource.GPU_MEMORY),
        encoder_percent=_used(own, Resource.GPU_ENCODER),
        sessions=next((reading.sessions for reading in own.values() if reading.sessions is not None), 0),
        memory_bytes=next((reading.total_bytes for reading in own.values() if reading.total_bytes is not None), 0),
    )


def _used(readings: Mapping[Resource, Reading], resource: Resource) -> float:
    reading = readings.get(resource)
    return reading.used if reading else 0.0
