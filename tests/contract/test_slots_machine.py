"""What is read of the kernel's files, from a tree that looks like them, and of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.core.layout import Gpu, Machine, Processor
from engine.shell.machine import read_machine

CPU = "sys/devices/system/cpu"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def siblings(number: int, text: str, package: int = 0) -> dict[str, str]:
    place = f"{CPU}/cpu{number}/topology"
    return {f"{place}/thread_siblings_list": text, f"{place}/physical_package_id": str(package)}


def test_siblings_packages_and_nodes_are_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {**siblings(0, "0,2"), **siblings(2, "0,2"), **siblings(1, "1,3", 1), **siblings(3, "1,3", 1)})
    for number, node in ((0, 0), (2, 0), (1, 1), (3, 1)):
        (root / CPU / f"cpu{number}" / f"node{node}").mkdir()

    assert read_machine(root, (0, 1, 2, 3)) == Machine(
        (Processor(0, 0), Processor(1, 1, 1, 1), Processor(2, 0), Processor(3, 1, 1, 1))
    )


def test_weak_cores_are_known_by_their_capacity_or_their_kind(tmp_path: Path) -> None:
    root = tree(tmp_path, {f"{CPU}/cpu0/cpu_capacity": "446", "sys/devices/cpu_atom/cpus": "4-7"})

    assert read_machine(root, (0, 1, 4)) == Machine(
        (Processor(0, 0, capacity=446), Processor(1, 1), Processor(4, 4, capacity=512))
    )


def test_a_kernel_that_tells_nothing_has_equal_cores(tmp_path: Path) -> None:
    assert read_machine(tmp_path, (0, 1)) == Machine((Processor(0, 0), Processor(1, 1)))


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/a.slice/b", "sys/fs/cgroup/a.slice/cpu.max": "250000 100000"}, 2.5),
        (
            {
                "proc/self/cgroup": "0::/a.slice/b",
                "sys/fs/cgroup/a.slice/cpu.max": "400000 100000",
                "sys/fs/cgroup/a.slice/b/cpu.max": "150000 100000",
            },
            1.5,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
    ids=["one above", "the least", "no limit", "version 1 in a container", "version 1 without a limit"],
)
def test_the_quota_of_the_control_group_counts(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert read_machine(tree(tmp_path, files), (0,)).quota == quota


def test_gpus_are_numbered_by_bus_address_with_what_is_near(tmp_path: Path) -> None:
    gpus, pci = "proc/driver/nvidia/gpus", "sys/bus/pci/devices"
    root = tree(
        tmp_path,
        {
            f"{gpus}/0000:41:00.0/information": "Model: \t\t A card\nIRQ:   \t\t 5\nDevice Minor: \t 0",
            f"{gpus}/0000:01:00.0/information": "Model: \t\t B card\nBus Location: \t 0000:01:00.0\nDevice Minor: \t 1",
            f"{pci}/0000:01:00.0/local_cpulist": "0-3,8",
        },
    )

    assert read_machine(root, (0,)).gpus == (
        Gpu("0", "B card", (0, 1, 2, 3, 8)),
        Gpu("1", "A card"),
    )


def test_other_makers_are_known_by_render_nodes_that_may_be_opened(tmp_path: Path) -> None:
    drm = "sys/class/drm"
    root = tree(
        tmp_path,
        {
            f"{drm}/renderD128/device/vendor": "0x8086",
            f"{drm}/renderD128/device/device": "0x56a5",
            f"{drm}/renderD128/device/local_cpulist": "0-1",
            f"{drm}/renderD129/device/vendor": "0x10de",
            f"{drm}/renderD130/device/vendor": "0x1002",
            "dev/dri/renderD128": "",
            "dev/dri/renderD129": "",
        },
    )

    assert read_machine(root, (0,)).gpus == (Gpu("renderD128", "0x8086:0x56a5", (0, 1)),)


def test_this_machine_has_the_processors_we_may_run_on() -> None:
    assert read_machine().numbers == tuple(sorted(os.sched_getaffinity(0)))
