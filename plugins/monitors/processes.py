"""The engine's own processes and all below them, as /proc tells it: who they are, and what they have used."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `cpu_s` includes its reaped children; `io_wait_s` is 0 where the kernel does not account for it.

    `began` is its start in seconds after that of the machine.
    """

    pid: int
    parent: int
    cpu_s: float
    io_wait_s: float
    began: float


class OwnTree:
    """Finds the processes below some roots. It remembers strangers, so that a round reads only its own and new ones."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._strangers: set[int] = set()
        self._roots: frozenset[int] = frozenset()

    def read(self, roots: Collection[int]) -> dict[int, Process]:
        """The roots and all below them that live now, by pid. Without roots nothing is read."""
        if not roots:
            self._strangers.clear()
            return {}
        if self._roots != frozenset(roots):
            self._roots = frozenset(roots)
            self._strangers.clear()
        there = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        self._strangers &= there
        found = {pid: process for pid in there - self._strangers if (process := read_process(self._proc, pid)) is not None}
        own = _below(self._roots, found)
        self._strangers |= found.keys() - own
        return {pid: found[pid] for pid in own}

    def memory_bytes(self, pids: Iterable[int]) -> int:
        """What they hold in memory for themselves: resident, less what is shared with others."""
        return sum(_unshared(self._proc, pid) for pid in pids)


def _below(roots: Collection[int], found: Mapping[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    own: set[int] = set()
    waiting = [pid for pid in roots if pid in found]
    while waiting:
        pid = waiting.pop()
        if pid not in own:
            own.add(pid)
            waiting.extend(children.get(pid, ()))
    return own


def read_process(proc: Path, pid: int) -> Process | None:
    """None for one that is gone. The fields are those of proc(5), counted after the name, which may hold anything."""
    try:
        words = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    used = sum(int(word) for word in words[11:15])  # utime, stime, cutime, cstime
    waited = int(words[39]) if len(words) > 39 else 0  # delayacct_blkio_ticks
    return Process(pid, int(words[1]), used * TICK_S, waited * TICK_S, int(words[19]) * TICK_S)


def _unshared(proc: Path, pid: int) -> int:
    try:
        words = (proc / str(pid) / "statm").read_bytes().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return max(0, int(words[1]) - int(words[2])) * PAGE


def spent(before: Mapping[int, Process], now: Mapping[int, Process], *, since: float) -> tuple[float, float]:
    """Processor seconds, and seconds waited for disks, that these processes used since `before` was read at `since`.

    What a process had used when it ended stands in its parent's account as soon as that has reaped it.
    """
    cpu = waited = 0.0
    for process in now.values():
        earlier = before.get(process.pid)
        if earlier is not None and earlier.began == process.began:
            cpu += process.cpu_s - earlier.cpu_s
            waited += process.io_wait_s - earlier.io_wait_s
        elif process.began >= since:
            cpu += process.cpu_s
            waited += process.io_wait_s
    cpu -= sum(gone.cpu_s for gone in before.values() if gone.pid not in now and gone.parent in now)
    return max(0.0, cpu), max(0.0, waited)
