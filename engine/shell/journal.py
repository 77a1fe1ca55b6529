"""The journal of one tool process, on the engine's side: what its minder wrote, and the way to a minder that lives."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.minder import usage
from engine.minder.spec import BEGUN, END, KILL, SOCKET, SPEC, STDERR, STDOUT, TAIL_BYTES, TROUBLE, Spec, load

FAREWELL_S = 3.0
"""How long a minder that was told to kill its tool may take for it."""

MAX_TROUBLE = 2000
T = TypeVar("T", "Begun", "End")


class ToolLost(Exception):
    """What became of a tool process that an engine before this one had started cannot be used. `evidence` is for people."""

    def __init__(self, message: str, evidence: Mapping[str, str], log_tail: str) -> None:
        self.message, self.evidence, self.log_tail = message, evidence, log_tail
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Begun:
    """Who runs the tool: process numbers with their start times, in ticks since the machine started. `at` is monotonic."""

    minder: int
    minder_start: int
    tool: int
    tool_start: int
    boot: str
    recipe: str
    at: float


@dataclass(frozen=True, slots=True)
class End:
    """How the tool ended, and who brought that about. `is_cut`: the disk had no room for all it had to say."""

    exit_code: int
    cpu_seconds: float
    peak_memory_bytes: int
    wall_seconds: float
    limit: str | None
    cause: str
    boot: str
    recipe: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Journal:
    """The directory `folder`; made by `prepare`."""

    folder: Path

    def begun(self) -> Begun | None:
        return self._read(BEGUN, Begun)

    def end(self) -> End | None:
        return self._read(END, End)

    def has_later(self) -> bool:
        """Whether a later tool of the same attempt was begun: their journals are numbered in their order."""
        number = self.folder.name
        return number.isdecimal() and (self.folder.parent / str(int(number) + 1) / BEGUN).exists()

    def _read(self, name: str, kind: type[T]) -> T | None:
        """None also for a file that a power cut has left half written: the machine has restarted then anyway."""
        try:
            return kind(**json.loads((self.folder / name).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None

    def stdout(self) -> bytes:
        return self._bytes(STDOUT)

    def stderr_tail(self) -> str:
        return self._bytes(STDERR)[-TAIL_BYTES:].decode(errors="replace")

    def trouble(self) -> str:
        """What the minder itself complained of."""
        return self._bytes(TROUBLE)[-MAX_TROUBLE:].decode(errors="replace")

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return b""

    def prepare(self, spec: Spec) -> socket.socket:
        """Write down what is to be run, and listen in the minder's stead: whoever finds nobody listening has lost it."""
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        for name in (SOCKET, BEGUN, END):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / SPEC).write_bytes(spec.dumped())
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _reachable(self.folder) as address:
            listening.bind(address)
        listening.listen()
        return listening

    def connect(self) -> socket.socket | None:
        """A connection to the minder; None if there is none any more, or was none."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _reachable(self.folder) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionError):
            connection.close()
            return None
        return connection

    def dismiss(self) -> None:
        """Have the minder, if one lives, kill its tool; return when both are gone. Blocks, for a moment as a rule."""
        connection = self.connect()
        if connection is not None:
            with connection, suppress(OSError):
                connection.settimeout(FAREWELL_S)
                connection.sendall(KILL)
                while connection.recv(TAIL_BYTES):
                    continue
        self.bury()

    def bury(self) -> None:
        """After a minder that is gone, or ought to be: it, its tool, and what the tool has left behind.

        In another run of the machine all of it is gone, and the numbers are those of others.
        """
        begun = self.begun()
        if begun is None or begun.boot != usage.machine_run() or self.end() is not None:
            return
        if begun.minder_start == usage.started_at(begun.minder) != 0:
            with suppress(ProcessLookupError):
                os.kill(begun.minder, usage.SIGKILL)
        with suppress(FileNotFoundError, EOFError, ValueError, TypeError, KeyError):  # another interpreter may have written it
            usage.kill_left_behind(begun.tool, begun.tool_start, load(str(self.folder / SPEC)).directory)


@contextmanager
def _reachable(folder: Path) -> Iterator[str]:
    """The socket's address: short, since one may have 108 bytes, and the directory's own path may be longer."""
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
