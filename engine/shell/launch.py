"""Runs as its own small process between the engine and a tool: sets limits and the death signal, then becomes the tool.

Standard library only, started with `-I -S`: it runs in an empty environment. The death signal follows the thread that
forked; the engine forks in its main thread, which lives as long as the engine.
"""

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
MARK = "reelyard-launch: "


def set_limit(which: int, soft: int, hard: int) -> None:
    """Never above what this process may have anyway."""
    _, allowed = resource.getrlimit(which)
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(which, (soft, hard))


def die_with_parent(parent: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"{MARK}no death signal: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit(f"{MARK}the engine is gone")


def pin(cpus: list[int]) -> None:
    """To these processors; where none of them is ours any more, any will do: slow work is better than none."""
    if cpus and (allowed := os.sched_getaffinity(0).intersection(cpus)):
        os.sched_setaffinity(0, allowed)


def main() -> None:
    """`launch.py <limits as JSON> <tool> <arguments>`"""
    limits, argv = json.loads(sys.argv[1]), sys.argv[2:]
    die_with_parent(limits["parent"])
    set_limit(resource.RLIMIT_CORE, 0, 0)
    set_limit(resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 5)
    set_limit(resource.RLIMIT_DATA, limits["memory_bytes"], limits["memory_bytes"])
    set_limit(resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"])
    set_limit(resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"])
    pin(limits["cpus"])
    os.nice(limits["nice"])
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and a tool would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)
    except OSError as fault:
        sys.stderr.write(f"{MARK}{argv[0]}: {fault.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
