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
from typing import Protocol

from engine.shell.transfer import Transfer
from protocol.leases import InputAccess
from protocol.plugins import Outcome

PIPE_BYTES = 1 << 20
LOOK_S = 0.02
"""Between two looks whether the tool has taken the last bytes."""


class NotRead(Exception):
    """The tool ended well without having read its whole input."""


class Feeds(Protocol):
    """Whatever brings a tool its input by a named pipe. `is_journaled`: what the tool made is of use without its feeder."""

    @property
    def pipe(self) -> Path: ...
    @property
    def is_journaled(self) -> bool: ...
    async def feed(self, running: Awaitable[Outcome]) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Feeder:
    """Of a file: a tool that loses it midway has made nothing of use."""

    transfer: Transfer
    access: InputAccess
    pipe: Path

    @property
    def is_journaled(self) -> bool:
        return False

    def prepare(self) -> None:
        make_pipe(self.pipe)

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


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)


def open_pipe(path: Path) -> int:
    """For reading too, so that neither side waits for the other to open it."""
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return pipe


async def fill(pipe: int, rest: memoryview) -> None:
    """Write all of it, no faster than the tool takes it."""
    while rest:
        try:
            rest = rest[os.write(pipe, rest) :]
        except BlockingIOError:
            await _room(pipe)


class _Flow:
    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._pipe: int | None = open_pipe(feeder.pipe)
        self.fed, self.is_taken = 0, False

    async def run(self) -> None:
        feeder, pipe = self._feeder, self._pipe
        if pipe is None:
            return
        async for block in feeder.transfer.blocks(feeder.access, 0, feeder.access.size):
            await fill(pipe, memoryview(block))
            self.fed += len(block)
        while _waiting(pipe):
            await feeder.transfer.clock.sleep(LOOK_S)
        self.is_taken = True
        self.close()

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
