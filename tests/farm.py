"""A farm of real processes for tests: dispatch and engines on this machine, started, killed and watched by their logs.

Every process is a child of the test's own, dies with it, and is ended by its pid. Nothing here knows what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from client.api import ReelyardClient
from client.location import KEY_FILE, REGISTRATION_FILE, URL_FILE, read_line
from client.processes import UrlFile, spawn

START_S, STOP_S, FACT_S = 30.0, 30.0, 60.0
"""Limits against a hang, far above what each takes here."""

LOOK_S = 0.01
T = TypeVar("T")
Line = Mapping[str, Any]  # Any: a log line's fields are of any type

NEVER_BUSY = {
    "REELYARD_ENGINE_BUSY_CPU_PERCENT": "100",
    "REELYARD_ENGINE_BUSY_MEMORY_PERCENT": "100",
    "REELYARD_ENGINE_BUSY_IO_WAIT_PERCENT": "100",
}
"""An engine under test takes work whatever else its machine does meanwhile."""

QUICK = {
    "REELYARD_DISPATCH_LEASES__LEASE_S": "4",
    "REELYARD_DISPATCH_LEASES__HEARTBEAT_S": "1",
    "REELYARD_DISPATCH_LEASES__ACK_S": "2",
    "REELYARD_DISPATCH_LEASES__SWEEP_S": "0.25",
    "REELYARD_DISPATCH_STORAGE__PROBE_S": "0.25",
    "REELYARD_ENGINE_PROGRESS_S": "0.2",
    "REELYARD_ENGINE_REATTACH_S": "4",
    **NEVER_BUSY,
}
"""Settings of a farm that notices everything within seconds."""


class Log:
    """The JSON lines a process has logged so far; waits for the next ones. Other lines are kept as text."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.text: list[str] = []
        self.is_over = False
        self._more = asyncio.Event()

    async def follow(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.text.append(line.decode(errors="replace").rstrip("\n"))
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(line))
            self._more.set()
        self.is_over = True
        self._more.set()

    def has(self, event: str, *, after: int = 0, **fields: object) -> bool:
        return any(_is(line, event, fields) for line in self.lines[after:])

    async def until(self, event: str, *, after: int = 0, **fields: object) -> Line:
        """The first line, from number `after` on, of this event with these fields. Raises when the process ends before."""
        seen = after
        while True:
            for line in self.lines[seen:]:
                if _is(line, event, fields):
                    return line
            seen = max(seen, len(self.lines))
            if self.is_over:
                raise AssertionError(f"the process ended without {event} {fields}; its log:\n" + "\n".join(self.text[-30:]))
            self._more.clear()
            await self._more.wait()


def _is(line: Line, event: str, fields: Mapping[str, object]) -> bool:
    return line.get("event") == event and all(line.get(name) == value for name, value in fields.items())


@dataclass(slots=True)
class Member:
    """One process of the farm. `log` is that of this process alone, not of the one before it."""

    name: str
    child: Process
    log: Log = field(default_factory=Log)
    reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def is_alive(self) -> bool:
        return self.child.returncode is None

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    async def ended(self) -> int:
        """The exit code, once it has ended and its log is read to the end."""
        async with asyncio.timeout(STOP_S):
            code = await self.child.wait()
            if self.reading is not None:
                await self.reading
        return code

    async def kill(self) -> None:
        """kill -9; harmless when another kill came first."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        await self.ended()

    async def terminate(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def said(self, event: str, *, after: int = 0, **fields: object) -> Line:
        try:
            async with asyncio.timeout(FACT_S):
                return await self.log.until(event, after=after, **fields)
        except TimeoutError:
            tail = "\n".join(self.log.text[-30:])
            raise AssertionError(f"{self.name} did not say {event} {fields} in {FACT_S:.0f} s; its log:\n{tail}") from None


def tools_below(pid: int) -> list[psutil.Process]:
    """FFmpeg and ffprobe processes below a process."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if (words := _words(child)) and "ff" in Path(words[0]).name]


def encoders_below(pid: int) -> list[psutil.Process]:
    """Those that encode a picture right now: not probes, not checks."""
    return [tool for tool in tools_below(pid) if "libx264" in " ".join(_words(tool)) and "-progress" in _words(tool)]


def encoders_in(place: Path) -> list[psutil.Process]:
    """The encodes of an engine's data directory, whoever began them: an engine takes over what another left."""
    found = []
    for begun in place.glob("scratch/*/tools/*/begun.json"):
        try:
            tool = psutil.Process(json.loads(begun.read_bytes())["tool"])
        except (FileNotFoundError, psutil.NoSuchProcess):
            continue
        if "-progress" in _words(tool):
            found.append(tool)
    return found


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended; one that nobody has reaped yet has ended too."""
    return not _words(process)


def _words(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has ended."""
    try:
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def processes_of(root: Path) -> list[str]:
    """The command lines of all processes that work below a directory, or name it in their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            words, place = _words(process), process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):  # gone, a stranger's, or too deep to have a name
            continue
        if process.pid != os.getpid() and (Path(place).is_relative_to(root) or any(str(root) in word for word in words)):
            found.append(" ".join(words))
    return found


async def fact(seen: Callable[[], bool], what: str, *, within_s: float = FACT_S) -> None:
    """Wait until something is so that only the system can tell: a process, a file. Raises AssertionError if it never is."""
    try:
        async with asyncio.timeout(within_s):
            while not seen():  # noqa: ASYNC110 - the kernel tells nobody when a grandchild starts
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:.0f} s: {what}") from None


async def told(ask: Callable[[], Awaitable[T]], is_right: Callable[[T], bool], what: str) -> T:
    """Ask until the answer is right, and return it. For what no event announces."""
    answer = await ask()
    try:
        async with asyncio.timeout(FACT_S):
            while not is_right(answer):
                await asyncio.sleep(5 * LOOK_S)
                answer = await ask()
    except TimeoutError:
        raise AssertionError(f"not within {FACT_S:.0f} s: {what}; the last answer: {answer}") from None
    return answer


class Proofs:
    """What the first engine of this run has proven, given to those after it: the probes of all tools take 5 s of processor time.

    It is the engine's own cache: an engine whose tools, version or sandbox are others does not believe it.
    """

    def __init__(self) -> None:
        self._found: bytes | None = None

    def give(self, data: Path) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._found is not None and not (data / CACHE).exists():
            (data / CACHE).write_bytes(self._found)

    def take(self, data: Path) -> None:
        if self._found is None and (data / CACHE).exists():
            self._found = (data / CACHE).read_bytes()


CACHE = "capabilities.json"
PROOFS = Proofs()


class Farm:
    """Starts the processes, in one directory, and ends what still runs."""

    def __init__(self, root: Path, owner: asyncio.TaskGroup, settings: Mapping[str, str]) -> None:
        self.root = root
        self.settings = dict(settings)
        self._owner = owner
        self._members: list[Member] = []
        self.url = ""

    @property
    def data(self) -> Path:
        return self.root / "dispatch"

    @property
    def storage(self) -> Path:
        return self.data / "storage"

    @property
    def key(self) -> str:
        return read_line(self.data / KEY_FILE) or ""

    def engine_data(self, name: str) -> Path:
        return self.root / name

    def client(self, key: str | None = None) -> ReelyardClient:
        return ReelyardClient(self.url, self.key if key is None else key)

    async def start_dispatch(self) -> Member:
        """The first takes any free port; those after it the same one, so that engines find them."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        url_file = UrlFile(self.data / URL_FILE)
        member = await self._start("dispatch", ["-m", "dispatch", "--data", str(self.data), "--listen", listen])
        line = await member.said("listening")
        self.url = str(line["url"])
        assert await url_file.written() == self.url
        return member

    async def start_engine(self, name: str, *words: str, environment: Mapping[str, str] | None = None) -> Member:
        """Returns at once: what the engine does is told by its log."""
        PROOFS.give(self.engine_data(name))
        data = ["--server", self.url, "--data", str(self.engine_data(name)), "--name", name]
        token = ["--token-file", str(self.data / REGISTRATION_FILE)]
        return await self._start(name, ["-m", "engine", *data, *token, *words], environment or {})

    async def _start(self, name: str, words: list[str], environment: Mapping[str, str] | None = None) -> Member:
        return await self._run(name, [sys.executable, *words], environment)

    async def _run(self, name: str, words: list[str], environment: Mapping[str, str] | None = None) -> Member:
        """Its log comes through a pipe of its own, so that every line is a fact to wait for."""
        read, write = os.pipe()
        try:
            child = await spawn([*_with(self.settings | dict(environment or {})), *words], output=write)
        finally:
            os.close(write)
        member = Member(name, child)
        self._members.append(member)
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe = os.fdopen(read, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        member.reading = self._owner.create_task(member.log.follow(reader))
        return member

    async def stop(self) -> None:
        """By force, for whatever a test left running."""
        for member in self._members:
            if member.is_alive:
                await member.kill()
            PROOFS.take(self.engine_data(member.name))

    def logs(self) -> str:
        """What every process said last, for the report of a failed test."""
        told = (f"--- {member.name} ({member.child.returncode})\n" + "\n".join(member.log.text[-40:]) for member in self._members)
        return "\n".join(told)


def _with(settings: Mapping[str, str]) -> list[str]:
    """The words before a command that give it these settings and no other; `env` becomes the command, with its pid."""
    foreign = [name for name in os.environ if name.startswith("REELYARD_") and name not in settings]
    return ["env", *(word for name in foreign for word in ("-u", name)), *(f"{name}={value}" for name, value in settings.items())]


@asynccontextmanager
async def farm(root: Path, **settings: str) -> AsyncIterator[Farm]:
    """Nothing runs yet. Settings are environment variables, over those of `QUICK`. At the end nothing runs any more."""
    fault: Exception | None = None
    async with asyncio.TaskGroup() as owner:
        made = Farm(root, owner, QUICK | settings)
        try:
            yield made
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group that would wrap it
            error.add_note(made.logs())
            fault = error
        finally:
            await made.stop()
    if fault is not None:
        raise fault
