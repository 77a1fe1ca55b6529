"""Feeds a tool that reads its input in one pass: from dispatch into a named pipe, no faster than the tool takes it.

The pipe's end is kept open until the tool has taken every byte that dispatch announced. A stream that breaks for good stops
the tool instead of ending its input: a tool that saw an early end would make a short file and call it a success.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from engine.shell.transfer import Transfer
from protocol.leases import InputAccess
from protocol.plugins import Outcome

PIPE_BYTES = 1 << 20
LOOK_S = 0.02
"""Between two looks whether the tool has taken the last bytes."""


class NotRead(Exception):
    """The tool ended well without having read its whole input."""


@dataclass(frozen=True, slots=True)
class Feeder:
    transfer: Transfer
    access: InputAccess
    pipe: Path

    def prepare(self) -> None:
        self.pipe.unlink(missing_ok=True)
        os.mkfifo(self.pipe, 0o600)

    async def feed(self, running: Awaitable[Outcome]) -> Outcome:
        """The outcome of the tool that reads the pipe. Raises NotRead, or TransferFailed when the stream broke for good."""
        flow = _Flow(self)
        try:
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(flow.run())
                outcome = await running
                feeding.cancel()
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from broken
        finally:
            flow.close()
        if outcome.exit_code == 0 and not flow.is_taken:
            raise NotRead(f"the tool read {flow.fed} of {self.access.size} bytes")
        return outcome


class _Flow:
    """Opened for reading too, so that neither side waits for the other to open it."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._pipe: int | None = os.open(feeder.pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.fed, self.is_taken = 0, False

    async def run(self) -> None:
        feeder, pipe = self._feeder, self._pipe
        if pipe is None:
            return
        async for block in feeder.transfer.blocks(feeder.access, 0, feeder.access.size):
            await self._write(pipe, memoryview(block))
        while _waiting(pipe):
            await feeder.transfer.clock.sleep(LOOK_S)
        self.is_taken = True
        self.close()

    async def _write(self, pipe: int, rest: memoryview) -> None:
        while rest:
            try:
                written = os.write(pipe, rest)
            except BlockingIOError:
                await _room(pipe)
            else:
                self.fed, rest = self.fed + written, rest[written:]

    def close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


async def _room(pipe: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(pipe, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(pipe)


def _waiting(pipe: int) -> int:
    """Bytes in the pipe that nobody has read."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)
