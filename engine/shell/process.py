"""Runs one tool process: limits, its output, its end. When `run` returns it is gone and its whole group was killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from engine.core.slots import Slot, environment
from engine.ports import Clock
from engine.shell import launch
from protocol.plugins import Invocation, Outcome

TERM_GRACE_S = 5.0
"""FFmpeg can ignore TERM for minutes; then the whole group is killed."""

TAIL_BYTES = 64 << 10
MAX_LINE = 64 << 10
TOOL_PATH = "/usr/local/bin:/usr/bin:/bin"

OnLine = Callable[[str], None]


class Tail(asyncio.Protocol):
    """Keeps the last bytes of a pipe."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * TAIL_BYTES:
            del self._kept[:-TAIL_BYTES]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def text(self) -> str:
        return bytes(self._kept[-TAIL_BYTES:]).decode(errors="replace")


class Capture(asyncio.Protocol):
    """Keeps the first bytes of a pipe and drops what goes beyond."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.kept += data[: self._limit - len(self.kept)]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class Lines(asyncio.Protocol):
    """Hands on every whole line of a pipe; a line longer than 64 KiB is dropped."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest, self._is_skipping = b"", False
        self.fault: Exception | None = None
        self.kept = bytearray()
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand_on(line)
        if len(self._rest) > MAX_LINE:
            self._rest, self._is_skipping = b"", True

    def _hand_on(self, line: bytes) -> None:
        is_whole, self._is_skipping = not self._is_skipping and len(line) <= MAX_LINE, False
        if self.fault is not None or not is_whole:
            return
        try:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
        except Exception as fault:  # noqa: BLE001 - a plugin's fault ends its attempt, raised by `run`, not the event loop
            self.fault = fault

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._hand_on(self._rest)
        if not self.closed.done():
            self.closed.set_result(None)


@dataclass(frozen=True, slots=True)
class Tools:
    """Starts tools. `nice` is added to the engine's own level."""

    clock: Clock
    nice: int = 5

    async def run(self, invocation: Invocation, directory: str, on_line: OnLine, slot: Slot | None = None) -> Outcome:
        """Run in the slot to the end or to the wall time limit. Cancelling stops the tool first: TERM, 5 s, KILL."""
        began = self.clock.now()
        stdout = Lines(on_line) if invocation.streams else Capture(invocation.capture_bytes)
        stderr = Tail()
        with _started(invocation, directory, self.nice, slot) as process:
            is_timed_out = await _watch(process, stdout, stderr, invocation.limits.wall_s)
        if isinstance(stdout, Lines) and stdout.fault is not None:
            raise stdout.fault
        return Outcome(
            invocation=invocation,
            exit_code=process.exit_code,
            stdout=bytes(stdout.kept),
            stderr_tail=stderr.text,
            wall_seconds=self.clock.now() - began,
            cpu_seconds=process.cpu_seconds,
            timed_out=is_timed_out,
            peak_memory_bytes=process.peak_memory_bytes,
        )


class _Process:
    """One child and its process group, watched through a pidfd. Reaped exactly once, after its group was killed."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.exit_code, self.cpu_seconds, self.peak_memory_bytes = 0, 0.0, 0
        self._pidfd = os.pidfd_open(popen.pid)
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self.signal(signal.SIGKILL)  # what it left behind in its group; the dead child keeps the number from reuse
        _, status, usage = os.wait4(self.popen.pid, 0)
        self.popen.returncode = self.exit_code = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_memory_bytes = usage.ru_maxrss * 1024
        self.ended.set()

    def signal(self, number: int) -> None:
        if not self.ended.is_set():
            try:
                os.killpg(self.popen.pid, number)
            except ProcessLookupError:
                return  # it has not become a group leader yet, or is gone

    async def stop(self) -> None:
        """TERM, and KILL if that was not heard in 5 s."""
        try:
            self.signal(signal.SIGTERM)
            async with asyncio.timeout(TERM_GRACE_S):
                await self.ended.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.ended.wait()
        finally:
            self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Nobody waits any more: whatever still lives is killed and reaped now."""
        if not self.ended.is_set():
            self.signal(signal.SIGKILL)
            self._on_end()
        os.close(self._pidfd)


@contextmanager
def _started(invocation: Invocation, directory: str, nice: int, slot: Slot | None) -> Iterator[_Process]:
    """The tool as a child of this thread, in its own session, with an almost empty environment."""
    for below in invocation.makes:
        (Path(directory) / below).mkdir(parents=True, exist_ok=True)
    limits = {
        "parent": os.getpid(),
        "nice": nice,
        "cpus": slot.cpus if slot else (),
        "cpu_s": invocation.limits.cpu_s,
        "memory_bytes": invocation.limits.memory_bytes,
        "file_bytes": invocation.limits.file_bytes,
        "open_files": invocation.limits.open_files,
    }
    with ExitStack() as opened:
        numbers = []
        for read in invocation.reads:
            numbers.append(os.open(Path(directory) / read, os.O_RDONLY))
            opened.callback(os.close, numbers[-1])
        argv = [_with_descriptors(word, numbers) for word in invocation.argv]
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", launch.__file__, json.dumps(limits), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=directory,
            env=_environment(invocation, directory, slot),
            start_new_session=True,
            umask=0o077,
            pass_fds=numbers,
        )
    process = _Process(popen)
    try:
        yield process
    finally:
        process.close()


def _environment(invocation: Invocation, directory: str, slot: Slot | None) -> dict[str, str]:
    """What the slot says comes last: no plugin reaches another slot's GPU."""
    known = {"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": directory, **dict(invocation.env)}
    return {**known, **dict(environment(slot))} if slot else known


def _with_descriptors(word: str, numbers: list[int]) -> str:
    for n, number in enumerate(numbers):
        word = word.replace(f"{{fd{n}}}", str(number))
    return word


async def _watch(process: _Process, stdout: Lines | Capture, stderr: Tail, wall_s: float) -> bool:
    """Read both pipes until the process has ended; True if it was stopped for running too long."""
    is_timed_out = False
    async with _Pipes(process.popen, stdout, stderr):
        try:
            async with asyncio.timeout(wall_s):
                await process.ended.wait()
        except TimeoutError:
            is_timed_out = True
            await process.stop()
        except asyncio.CancelledError:
            await process.stop()
            raise
        await asyncio.wait((stdout.closed, stderr.closed), timeout=TERM_GRACE_S)
    return is_timed_out


def _always(reader: asyncio.Protocol) -> Callable[[], asyncio.Protocol]:
    return lambda: reader


class _Pipes:
    """Connects a child's pipes to their readers, and closes them whatever happens."""

    def __init__(self, popen: subprocess.Popen[bytes], stdout: asyncio.Protocol, stderr: asyncio.Protocol) -> None:
        self._ends = ((popen.stdout, stdout), (popen.stderr, stderr))
        self._transports: list[asyncio.ReadTransport] = []

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        for pipe, reader in self._ends:
            transport, _ = await loop.connect_read_pipe(_always(reader), pipe)
            self._transports.append(transport)

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for transport in self._transports:
            transport.close()
