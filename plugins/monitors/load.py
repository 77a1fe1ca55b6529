"""The load of this machine, by psutil."""

from __future__ import annotations

import psutil

from protocol.capabilities import Load


class PsutilMonitor:
    """Processor and memory of the whole machine, and the room on the disk of `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        psutil.cpu_percent(interval=None)  # the first call only starts the measurement and says 0

    def read(self) -> Load:
        """The load now; processor load is the mean since the last reading. Raises OSError if the disk is gone."""
        disk = psutil.disk_usage(self._directory)
        return Load(
            cpu_percent=psutil.cpu_percent(interval=None),
            memory_percent=psutil.virtual_memory().percent,
            disk_free_bytes=disk.free,
            disk_free_percent=100.0 - disk.percent,
        )
