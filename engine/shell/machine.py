"""What the kernel tells of the processors and GPUs this process may use."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from engine.core.layout import ALL_EQUAL, Gpu, Machine, Processor

NVIDIA = "0x10de"
WEAK_CORE = ALL_EQUAL // 2
"""x86 tells only which cores are the small ones, not how weak they are."""


def read_machine(root: Path = Path("/"), allowed: Collection[int] | None = None) -> Machine:
    """Facts below `root`, where /sys and /proc are, on the processors `allowed`: those that this process may run on."""
    return Machine(
        processors=tuple(_processor(root, number) for number in sorted(allowed or os.sched_getaffinity(0))),
        quota=_quota(root),
        gpus=(*_nvidia(root), *_render_nodes(root)),
    )


def numbers_of(text: str) -> tuple[int, ...]:
    """`0-3,8` as the kernel writes lists of numbers."""
    runs = (part.partition("-") for part in text.strip().split(",") if part.strip())
    return tuple(number for first, _, last in runs for number in range(int(first), int(last or first) + 1))


def _processor(root: Path, number: int) -> Processor:
    """What cannot be read is taken for a machine of equal cores without siblings, in one node."""
    place = root / "sys/devices/system/cpu" / f"cpu{number}"
    siblings = numbers_of(_text(place / "topology/thread_siblings_list") or str(number))
    nodes = sorted(int(node.name[4:]) for node in place.glob("node[0-9]*"))
    is_weak = number in numbers_of(_text(root / "sys/devices/cpu_atom/cpus"))
    return Processor(
        number=number,
        core=min(siblings),
        node=nodes[0] if nodes else 0,
        package=max(0, int(_text(place / "topology/physical_package_id") or 0)),
        capacity=int(_text(place / "cpu_capacity") or (WEAK_CORE if is_weak else ALL_EQUAL)),
    )


def _quota(root: Path) -> float | None:
    """The least of the quotas on the way up from our control group: of version 2, else of version 1."""
    quotas = [share for share in (*_quotas_v2(root), *_quotas_v1(root)) if share is not None]
    return min(quotas, default=None)


def _quotas_v2(root: Path) -> Iterator[float | None]:
    for directory in _way_up(root, root / "sys/fs/cgroup", ""):
        quota, _, period = _text(directory / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)


def _quotas_v1(root: Path) -> Iterator[float | None]:
    for directory in _way_up(root, root / "sys/fs/cgroup/cpu", "cpu"):
        quota, period = _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)


def _way_up(root: Path, mount: Path, controller: str) -> Iterator[Path]:
    """Our own control group and all above it. In a container the mount itself may be ours."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            below = [part for part in path.split("/") if part not in ("", "..")]
            yield from (mount.joinpath(*below[:depth]) for depth in range(len(below), 0, -1))
    yield mount


def _nvidia(root: Path) -> Iterator[Gpu]:
    """In the order of their bus addresses, as the driver's library numbers them, and CUDA if it is told to."""
    for index, place in enumerate(sorted((root / "proc/driver/nvidia/gpus").glob("*:*"))):
        known = dict(line.split(":", 1) for line in _text(place / "information").splitlines() if ":" in line)
        cpus = numbers_of(_text(root / "sys/bus/pci/devices" / place.name / "local_cpulist"))
        yield Gpu(str(index), known.get("Model", "").strip(), cpus)


def _render_nodes(root: Path) -> Iterator[Gpu]:
    """GPUs of other makers, by their render nodes."""
    for place in sorted((root / "sys/class/drm").glob("renderD*")):
        vendor = _text(place / "device/vendor")
        if vendor and vendor != NVIDIA and os.access(root / "dev/dri" / place.name, os.R_OK | os.W_OK):
            cpus = numbers_of(_text(place / "device/local_cpulist"))
            yield Gpu(place.name, f"{vendor}:{_text(place / 'device/device')}", cpus)


def _text(path: Path) -> str:
    """What a file of the kernel holds; nothing where there is none or we may not look."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
