"""What a figure needs beside it to mean something: the machine, the versions of what ran, and how busy it was."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from plugins.media.locate import locate
from protocol.errors import ReelyardError


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the average over 1, 5 and 15 minutes before the first bench; `memory_bytes` is all there is."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    sqlite: str
    ffmpeg: str
    load: tuple[float, float, float]

    @property
    def is_quiet(self) -> bool:
        """Whether the load of the minute before left most of the machine to the benches."""
        return self.load[0] < 0.25 * self.cores


def look() -> Machine:
    return Machine(
        cpu=_cpu(Path("/proc/cpuinfo")),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=sys.version.split()[0],
        sqlite=sqlite3.sqlite_version,
        ffmpeg=_ffmpeg(),
        load=os.getloadavg(),
    )


def _cpu(facts: Path) -> str:
    for line in facts.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _ffmpeg() -> str:
    try:
        return locate(os.environ).ffmpeg.version
    except ReelyardError:
        return "none"
