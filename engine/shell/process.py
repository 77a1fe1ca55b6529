"""Runs one tool process through its minder, or takes over what an engine before this one has begun.

When `run` returns the tool is gone, with its whole session.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.core.slots import Slot, environment
from engine.minder import __main__ as minder
from engine.minder import minding, usage
from engine.minder.spec import BY_ENGINE, BY_LEASE, KILL, STOP, TERM_GRACE_S, TROUBLE, Spec
from engine.ports import Clock, ScratchFull
from engine.shell import secrets
from engine.shell.journal import FAREWELL_S, Begun, End, Journal, ToolLost
from engine.shell.lines import Lines, OnLine
from engine.shell.space import watching_for_space
from protocol.plugins import Invocation, Limit, Outcome

log = structlog.get_logger()

TOOL_PATH = "/usr/local/bin:/usr/bin:/bin"
PATIENCE_S = minding.LAST_WORDS_S * 2
"""How much longer than the tool's grace its minder may take to end."""

Confinement = Callable[[Invocation, str, str | None], Mapping[str, object] | None]
"""The sandbox of an invocation in a work directory, on a GPU: as `engine.minder.confine` takes it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Starts tools. `nice` is added to the engine's own level; `lease_s` is how long one goes on without an engine.

    `minders` are those of the tools that run now.
    """

    clock: Clock
    nice: int = 5
    lease_s: float = 0.0
    boot: str = field(default_factory=usage.machine_run)
    confinement: Confinement | None = None
    minders: set[int] = field(default_factory=set)

    async def run(
        self, invocation: Invocation, directory: str, on_line: OnLine, slot: Slot | None = None, journal: Path | None = None
    ) -> Outcome:
        """Run in the slot to the end or to a limit. Cancelling stops the tool first: TERM, 5 s, KILL.

        What the journal tells of an earlier engine's run of the same is taken as it was: its end, or its running tool.
        Without a journal the tool dies with this engine. Raises ToolLost where an earlier run cannot be taken over,
        ScratchFull, and what `on_line` raised.
        """
        if journal is not None:
            return await _Run(self, invocation, directory, slot, Journal(journal), self.lease_s).outcome(on_line)
        with tempfile.TemporaryDirectory(prefix="journal-", dir=Path(directory).parent) as folder:
            return await _Run(self, invocation, directory, slot, Journal(Path(folder)), lease_s=0.0).outcome(on_line)


@dataclass(frozen=True, slots=True)
class _Run:
    tools: Tools
    invocation: Invocation
    directory: str
    slot: Slot | None
    journal: Journal
    lease_s: float

    async def outcome(self, on_line: OnLine) -> Outcome:
        """Whoever began the tool, and however it ended: its secrets are gone when this returns.

        They went before a later tool was begun, which may still read files of the same names.
        """
        is_past = self.journal.has_later()
        try:
            return await self._found(on_line)
        finally:
            if not is_past:
                secrets.forget(self.directory, self.invocation.secrets)

    async def _found(self, on_line: OnLine) -> Outcome:
        lines = Lines(on_line if self.invocation.streams else _unheard)
        end = self.journal.end()
        if end is None:
            await self._ended(lines)
            end = self.journal.end()
        else:
            log.info("tool_found_ended", invocation=self.invocation.name, exit_code=end.exit_code)
            lines.data_received(self.journal.stdout() if self.invocation.streams else b"")
        if end is None:
            await asyncio.to_thread(self.journal.bury)
            raise self._lost("The minder of the tool was killed.")
        if lines.fault is not None:
            raise lines.fault
        return self._judged(end)

    async def _ended(self, lines: Lines) -> None:
        """Return when a tool that runs, or is started now, has ended; or ended just before we asked for it."""
        connection = self.journal.connect()
        if connection is not None:
            begun = self.journal.begun()
            if begun is not None and begun.recipe != self._recipe():
                connection.close()
                await asyncio.to_thread(self.journal.dismiss)
                raise self._lost("The tool that runs is not the one this engine would run.")
            log.info("tool_taken_over", invocation=self.invocation.name, minder=begun.minder if begun else None)
            await _Link(self, connection, begun.minder if begun else None).followed(lines)
            return
        if self.journal.end() is not None:
            return
        begun = self.journal.begun()
        if begun is not None:
            await asyncio.to_thread(self.journal.bury)
            is_same = begun.boot == self.tools.boot
            raise self._lost("The minder of the tool was killed." if is_same else "The machine restarted while the tool ran.")
        link, process = self._start()
        try:
            await link.followed(lines)
        finally:
            await _reaped(process)

    def _judged(self, end: End) -> Outcome:
        if end.boot != self.tools.boot:
            raise self._lost("The machine restarted after the tool had ended.")
        if end.recipe != self._recipe():
            raise self._lost("The tool that had run is not the one this engine would run.")
        if end.cause == BY_LEASE:
            raise self._lost("No engine came back to the tool within a lease.")
        if end.cause == BY_ENGINE:
            raise self._lost("The tool was stopped with its engine.")
        if end.is_cut:
            raise ScratchFull("there was no room for what the tool said")
        limit = Limit(end.limit) if end.limit else None
        return Outcome(
            invocation=self.invocation,
            exit_code=end.exit_code,
            stdout=b"" if self.invocation.streams else self.journal.stdout(),
            stderr_tail=self.journal.stderr_tail(),
            wall_seconds=end.wall_seconds,
            cpu_seconds=end.cpu_seconds,
            timed_out=limit is Limit.WALL,
            peak_memory_bytes=end.peak_memory_bytes,
            limit=limit,
        )

    def _lost(self, message: str) -> ToolLost:
        evidence = {"invocation": self.invocation.name, "boot": self.tools.boot, "minder_log": self.journal.trouble()}
        found = self.journal.begun()
        if found is not None:
            evidence |= {"minder": f"{found.minder}", "tool": f"{found.tool}", "tool_boot": found.boot}
        return ToolLost(message, {name: word for name, word in evidence.items() if word}, self.journal.stderr_tail())

    def _recipe(self) -> str:
        """A digest of what is run: the same in every run of this engine that plans the same."""
        return hashlib.sha256(repr((self.invocation, self.directory)).encode()).hexdigest()

    def _start(self) -> tuple[_Link, subprocess.Popen[bytes]]:
        """A minder for the tool, in a session of its own; it listens before it lives."""
        for below in self.invocation.makes:
            (Path(self.directory) / below).mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            numbers = []
            for read in self.invocation.reads:
                numbers.append(os.open(Path(self.directory) / read, os.O_RDONLY))
                opened.callback(os.close, numbers[-1])
            with watching_for_space():
                listening = opened.enter_context(self.journal.prepare(self._spec(numbers)))
                secrets.write(self.directory, self.invocation.secrets)
            ours, theirs = socket.socketpair()
            opened.enter_context(theirs)
            trouble = opened.enter_context((self.journal.folder / TROUBLE).open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", minder.__file__, str(listening.fileno()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=trouble,
                cwd=self.journal.folder,
                env={},
                start_new_session=True,
                pass_fds=[*numbers, listening.fileno(), theirs.fileno()],
            )
        return _Link(self, ours, process.pid), process

    def _spec(self, numbers: list[int]) -> Spec:
        invocation, limits, slot, tools = self.invocation, self.invocation.limits, self.slot, self.tools
        sandbox = tools.confinement(invocation, self.directory, slot.device if slot else None) if tools.confinement else None
        return Spec(
            {
                "argv": [_with_descriptors(word, numbers) for word in invocation.argv],
                "directory": self.directory,
                "env": _environment(invocation, self.directory, slot),
                "fds": numbers,
                "recipe": self._recipe(),
                "boot": tools.boot,
                "lease_s": self.lease_s,
                "wall_s": limits.wall_s,
                "cpu_s": limits.cpu_s,
                "memory_bytes": limits.memory_bytes,
                "file_bytes": limits.file_bytes,
                "scratch_bytes": limits.scratch_bytes,
                "open_files": limits.open_files,
                "pids": limits.pids,
                "nice": tools.nice,
                "cpus": list(slot.cpus) if slot else [],
                "streams": invocation.streams,
                "capture_bytes": invocation.capture_bytes,
                "sandbox": dict(sandbox) if sandbox is not None else None,
            }
        )


@dataclass(frozen=True, slots=True)
class _Link:
    """The connection to a minder. While it stands this engine is attached; at the end the minder closes it."""

    run: _Run
    connection: socket.socket
    minder: int | None

    async def followed(self, lines: Lines) -> None:
        """Hand on what the tool writes until its minder is done. Cancelling stops the tool."""
        tools, limits = self.run.tools, self.run.invocation.limits
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_unix_connection(lambda: lines, sock=self.connection)
        except asyncio.CancelledError:
            with self.connection, suppress(OSError):
                self.connection.send(KILL)
            raise
        began = self._begun_at()
        warning = loop.call_later(max(0.0, began + limits.warn_s - tools.clock.now()), self._warn)
        if self.minder is not None:
            tools.minders.add(self.minder)
        try:
            await lines.closed.wait()
        except asyncio.CancelledError:
            await self._stop(transport, lines)
            raise
        finally:
            warning.cancel()
            self._make_sure(transport, lines)
            if self.minder is not None:
                tools.minders.discard(self.minder)

    def _begun_at(self) -> float:
        begun: Begun | None = self.run.journal.begun()
        return begun.at if begun is not None else self.run.tools.clock.now()

    def _warn(self) -> None:
        limits = self.run.invocation.limits
        log.warning("tool_runs_long", invocation=self.run.invocation.name, warn_s=limits.warn_s, wall_s=limits.wall_s)

    async def _stop(self, transport: asyncio.WriteTransport, lines: Lines) -> None:
        transport.write(STOP)
        with suppress(TimeoutError):
            async with asyncio.timeout(TERM_GRACE_S + PATIENCE_S):
                await lines.closed.wait()

    def _make_sure(self, transport: asyncio.WriteTransport, lines: Lines) -> None:
        """Nobody waits any more: whatever still lives is killed now, and its minder if that does not listen."""
        if not lines.closed.is_set():
            transport.write(KILL)
            hung_up = select.poll()
            hung_up.register(self.connection, 0)  # hanging up is told unasked
            if not hung_up.poll(FAREWELL_S * 1000):
                self.run.journal.bury()
        transport.close()


def _environment(invocation: Invocation, directory: str, slot: Slot | None) -> dict[str, str]:
    """What the slot says comes last: no plugin reaches another slot's GPU."""
    known = {"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": directory, **dict(invocation.env)}
    return {**known, **dict(environment(slot))} if slot else known


def _unheard(line: str) -> None:
    """The line of a tool that does not stream."""


async def _reaped(process: subprocess.Popen[bytes]) -> None:
    """A minder closes its connection as its last act."""
    pidfd = os.pidfd_open(process.pid)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(FAREWELL_S):
            await ended.wait()
    except TimeoutError:
        process.kill()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if not ended.is_set():
            process.kill()
        process.wait()


def _with_descriptors(word: str, numbers: list[int]) -> str:
    for n, number in enumerate(numbers):
        word = word.replace(f"{{fd{n}}}", str(number))
    return word
