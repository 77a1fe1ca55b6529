"""What the engine and a minder agree on: the files of a journal, the bytes on their connection, and what is to be run.

Standard library only, and little of it: this is imported at every start of a tool.
"""

from __future__ import annotations

import marshal

SPEC, BEGUN, END, STDOUT, STDERR = "spec", "begun.json", "end.json", "stdout", "stderr"
SOCKET, TROUBLE, SPARE = "socket", "minder.log", "spare"
"""A journal: what to run, who runs it, how it ended, the first or last of its output; where the minder listens, its faults,
and room held back on the disk."""

STOP, KILL = b"S", b"K"
"""What an engine says to a minder: TERM, 5 s, KILL; or KILL. A minder sends what the tool writes, and closes at the end."""

BY_TOOL, BY_LIMIT, BY_ENGINE, BY_LEASE = "tool", "limit", "engine", "lease"
"""Who brought the end about."""

TERM_GRACE_S = 5.0
"""FFmpeg can ignore TERM for minutes; then the whole group is killed."""

TAIL_BYTES = 64 << 10
LAUNCH_FAILED, LAUNCH_MARK = 127, "reelyard-launch: "
"""How the child says that it could not become the tool."""

Value = int | float | str | bool | None


class Spec:
    """One tool process. Seconds and bytes; `lease_s` is how long it may run without an engine, `fds` are the tool's.

    `recipe` is a digest by which a later engine knows that this is what it would run; `boot` names the run of the machine.
    """

    argv: list[str]
    directory: str
    env: dict[str, str]
    fds: list[int]
    recipe: str
    boot: str
    lease_s: float
    wall_s: float
    cpu_s: int
    memory_bytes: int
    file_bytes: int
    scratch_bytes: int
    open_files: int
    pids: int
    nice: int
    cpus: list[int]
    streams: bool
    capture_bytes: int
    sandbox: dict[str, object] | None

    def __init__(self, fields: dict[str, object]) -> None:
        for name in self.__annotations__:
            setattr(self, name, fields[name])

    def dumped(self) -> bytes:
        return marshal.dumps({name: getattr(self, name) for name in self.__annotations__})


def load(path: str) -> Spec:
    """What the engine, the same interpreter, wrote into a directory that is its alone."""
    with open(path, "rb") as file:
        return Spec(marshal.load(file))


def as_json(fields: dict[str, Value]) -> str:
    """Plain words and numbers; `json` would take a third of a minder's start."""
    return "{" + ", ".join(f'"{name}": {_value(value)}' for name, value in fields.items()) + "}\n"


def _value(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f'"{value}"' if isinstance(value, str) else repr(value)
