"""Processor, memory, waiting for disks, and the room on the engine's disk, by psutil."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil

from plugins.monitors.processes import OwnTree, Process, spent
from protocol.plugins import Reading, Resource, Surroundings

UPTIME = Path("/proc/uptime")


class LoadMonitor:
    """The whole machine, and the share of the engine's own processes in it."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._tree = OwnTree()
        self._own: dict[int, Process] = {}
        self._read_at = uptime()
        self._times = psutil.cpu_times()

    def read(self) -> Sequence[Reading]:
        """Shares of processor time are means since the last reading. Raises OSError if the disk is gone."""
        now, times = uptime(), psutil.cpu_times()
        own = self._tree.read(self._surroundings.own_pids())
        own_cpu, own_wait = spent(self._own, own, since=self._read_at)
        spans = {name: getattr(times, name) - getattr(self._times, name) for name in TIMES}
        self._own, self._read_at, self._times = own, now, times
        whole = sum(max(0.0, span) for span in spans.values())
        idle = spans["idle"] + spans["iowait"]
        return (
            Reading(Resource.CPU, _percent(whole - idle, whole), own=_percent(own_cpu, whole)),
            Reading(Resource.IO_WAIT, _percent(spans["iowait"], whole), own=_percent(own_wait, whole)),
            self._memory(own),
            self._disk(),
        )

    def _memory(self, own: dict[int, Process]) -> Reading:
        memory = psutil.virtual_memory()
        used = self._tree.memory_bytes(own)
        return Reading(Resource.MEMORY, memory.percent, own=_percent(used, memory.total), free_bytes=memory.available)

    def _disk(self) -> Reading:
        disk = psutil.disk_usage(self._surroundings.directory)
        return Reading(Resource.DISK, disk.percent, free_bytes=disk.free)


TIMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""All of a processor's time; what guests use is in `user` and `nice` already."""


def uptime() -> float:
    """Seconds since the machine started, the clock by which processes tell their start."""
    return float(UPTIME.read_text(encoding="ascii").split()[0])


def _percent(part: float, whole: float) -> float:
    return min(100.0, max(0.0, 100.0 * part / whole)) if whole > 0 else 0.0
