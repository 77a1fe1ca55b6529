"""The interface of a transcoder plugin. A plugin is pure: it says what to run and judges what came out; the engine runs it.

The life of one attempt in the engine:

1. `plan(work)` gives the invocations that do the work, run in order, each with its own tool process.
2. Every line of an invocation's stdout goes to `read(invocation, line)` if it `streams`.
3. When it ends, `judge(work, outcome)` accepts it (None) or names the failure.
4. `checks(work, files)` gives the invocations that prove the outputs, run and judged in the same way.
5. `conclude(work, outcomes, files)` gives the result, or the failure when the outputs are not what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from protocol.capabilities import PluginDescription
from protocol.packaging import ContentKeys
from protocol.recipes import Recipe
from protocol.results import AttemptResult, Failure, OutputFacts, StepReport


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt as a plugin sees it. `input_path` and `directory` are absolute; outputs go below `directory`.

    `threads` is the share of this slot, on the processors `cpus` (empty: any). `device` is the GPU of the slot, as its
    driver numbers it, None on a slot without one. `inputs` are the absolute paths of what sibling tasks made, by name.
    `input_name` is the client's file name: for messages, never for arguments.
    """

    recipe: Recipe
    steps: tuple[str, ...]
    directory: str
    threads: int
    input_path: str | None = None
    input_name: str | None = None
    input_size: int = 0
    cpus: tuple[int, ...] = ()
    device: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    keys: ContentKeys | None = field(default=None, repr=False)


class Limit(StrEnum):
    """Which cap ended a tool process."""

    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    PIDS = "pids"


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one tool process. Seconds and bytes. `warn_s` is when the engine logs that it runs long.

    `file_bytes` is the longest file it may write, `scratch_bytes` all of its work directory together.
    """

    wall_s: float = 4 * 3600.0
    warn_s: float = 3.75 * 3600.0
    cpu_s: int = 4 * 3600
    memory_bytes: int = 8 << 30
    file_bytes: int = 50 << 30
    scratch_bytes: int = 50 << 30
    open_files: int = 1024
    pids: int = 512


@dataclass(frozen=True, slots=True)
class Invocation:
    """One tool process. `argv[0]` is the tool's path. The engine opens each of `reads` and replaces `{fd0}`, `{fd1}`,
    ... in `argv` by the numbers of those descriptors. `makes` are directories, below the work directory, made before.
    `streams`: stdout is read line by line for progress, else it is captured whole (at most `capture_bytes`).
    `readable` are files and directories the tool must be able to read besides itself, the system's libraries and its
    work directory: a model, a Python environment. `env` is added to its almost empty environment; never a client's words.
    `secrets` are small files below the work directory that only this process may find: written right before it, removed
    right after it, in no journal and no log.
    """

    name: str
    argv: tuple[str, ...]
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    streams: bool = False
    capture_bytes: int = 64 << 20
    limits: Limits = field(default_factory=Limits)
    readable: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended. `exit_code` is negative for a signal. `stderr_tail` holds at most the last 64 KiB.

    `limit` names the cap that ended it, where that is known for sure; `timed_out` is `limit` WALL.
    """

    invocation: Invocation
    exit_code: int
    stdout: bytes
    stderr_tail: str
    wall_seconds: float
    cpu_seconds: float
    timed_out: bool = False
    peak_memory_bytes: int = 0
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file found below the work directory after the work; `path` is relative to it."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A success: what each file to be staged is, and the result but for `files`, which the engine fills in.

    `extra` are small files by path below the work directory, each with its facts, that the engine writes and stages too.
    """

    facts: Mapping[str, OutputFacts]
    result: AttemptResult
    extra: Mapping[str, bytes] = field(default_factory=dict)


@runtime_checkable
class TranscoderPlugin(Protocol):
    """Loaded by the entry point group `reelyard.transcoders`; made without arguments by the engine."""

    @property
    def name(self) -> str: ...
    @property
    def operations(self) -> tuple[str, ...]:
        """The task kinds this plugin does."""
        ...

    def probes(self, directory: str) -> Sequence[Invocation]:
        """What to run at start to prove what this machine can do. Raises ReelyardError(TOOL_MISSING) without its tools."""
        ...

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription: ...
    def plan(self, work: Work) -> Sequence[Invocation]: ...
    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        """The progress this line tells, for the steps it concerns; empty when it tells none."""
        ...

    def judge(self, work: Work, outcome: Outcome) -> Failure | None: ...
    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure: ...
    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure: ...


@runtime_checkable
class Follower(Protocol):
    """What a plugin may offer besides: work whose next step depends on what the last one found."""

    def follow(self, work: Work, outcomes: Sequence[Outcome]) -> Sequence[Invocation]:
        """What to run next, after the plan and everything that followed it; empty when the work is done.

        Called anew with the same outcomes after a crash of the engine, and must give the same again.
        """
        ...


STREAM_HEAD = "stream-head"
"""Among the inputs of a live task: the first bytes of the stream, to be looked at; `input_path` is the pipe it comes by."""

JOINED = "joined.mp4"
"""What `join` makes, below the work directory."""


@runtime_checkable
class InputJoiner(Protocol):
    """What a plugin may offer besides: picture and sound of a playlist, fetched apart, become one input by stream copy."""

    def join(self, work: Work, picture: str, sound: str) -> Invocation:
        """`picture` and `sound` are absolute paths. The outcome is judged like any other."""
        ...


@runtime_checkable
class DeviceUser(Protocol):
    """What a plugin may offer besides: encoders that run on a GPU, each to be proven on each of them."""

    def device_probes(self, device: str) -> Sequence[Invocation]:
        """What to run with that GPU at hand; asked after `probes`."""
        ...

    def device_encoders(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]: ...


@runtime_checkable
class DeviceDecoder(Protocol):
    """What a `DeviceUser` may offer besides: decoders that leave the pictures in the GPU's memory, as `h264_cuda`."""

    def device_decoders(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        """Of the outcomes of the same probes."""
        ...


class Resource(StrEnum):
    """What a monitor watches. GPU resources come once per device."""

    CPU = "cpu"
    MEMORY = "memory"
    IO_WAIT = "io_wait"
    DISK = "disk"
    GPU = "gpu"
    GPU_MEMORY = "gpu_memory"
    GPU_ENCODER = "gpu_encoder"


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a resource is in use, in percent of the whole: by anybody, and `own` by this engine's tools.

    `device` is the GPU it belongs to, `device_name` what its driver calls it. `free_bytes` is told for disks and memory,
    `total_bytes` for that of GPUs. `sessions` are encoder sessions open now.
    """

    resource: Resource
    used: float
    own: float = 0.0
    device: str | None = None
    free_bytes: int | None = None
    sessions: int | None = None
    device_name: str = ""
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a monitor is made with: the directory whose disk counts, and the processes that are the engine's own."""

    directory: str
    own_pids: Callable[[], Collection[int]]


class ResourceMonitor(Protocol):
    """Loaded by the entry point group `reelyard.monitors`; made with Surroundings.

    Making one raises LookupError where there is nothing to watch (no GPU driver): normal, told in one log line.
    """

    def read(self) -> Sequence[Reading]:
        """What is in use now, or was on average since the last reading. Raises OSError when it cannot be told now."""
        ...
