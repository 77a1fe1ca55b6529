"""Word to the service manager that started this process (systemd's sd_notify). Without one every call does nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress


class Supervision:
    """`environ` is the process's environment, `pid` its number: a watchdog may be meant for another process."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._beat_s = _beat_s(environ, pid) if address else None

    def started(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        self._tell(f"STOPPING=1\nSTATUS={status}")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While inside, the watchdog hears that the event loop turns. One that stands still is killed and started anew."""
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat())
            yield
            beating.cancel()

    async def _beat(self) -> None:
        while self._beat_s is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._beat_s)

    def _tell(self, state: str) -> None:
        """One datagram. A manager that does not listen just now is no reason to wait, or to fail."""
        if self._address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, suppress(OSError):
                end.setblocking(False)
                end.sendto(state.encode(), self._address)


def _beat_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Half of the watchdog's time, as sd_watchdog_enabled(3) advises; None where no watchdog is set for this process."""
    span = environ.get("WATCHDOG_USEC", "")
    if not span.isdecimal() or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(span) / 2e6
