"""Processor time of processes that run on their own."""

from __future__ import annotations

from contextlib import suppress

import psutil


def seconds(pid: int) -> float:
    """Of the process, of its children that live, and of those it has waited for."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    used = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            used += seconds(child.pid)
    return float(used)
