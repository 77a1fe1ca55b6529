"""Forks, and becomes the tool: death signal, limits, pinning, the sandbox, exec."""

from __future__ import annotations

import ctypes
import os
import resource

from engine.minder.spec import LAUNCH_FAILED, LAUNCH_MARK, Spec

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25  # `signal` costs a quarter of a minder's start
DIES_FIRST = b"500"
"""When the machine runs out of memory the kernel is to take a tool, not the engine."""

SPARE_TASKS = 1024
"""Processes and threads that others of this user may start while the tool runs; the minder counts the tool's own."""

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A forked process that waits at its gate; `go` lets it become the tool. If its parent dies before, so does it."""

    def __init__(self, spec: Spec) -> None:
        self.stdout, out = os.pipe2(os.O_CLOEXEC)
        self.stderr, err = os.pipe2(os.O_CLOEXEC)
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            _become(spec, parent, gate, (out, err))
        for end in (out, err, gate):
            os.close(end)

    def go(self) -> None:
        os.write(self._gate, b"!")
        os.close(self._gate)


def adopt_orphans() -> None:
    """What a tool leaves behind becomes a child of this process, not of init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _become(spec: Spec, parent: int, gate: int, outputs: tuple[int, int]) -> None:
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent or not os.read(gate, 1):
            os._exit(LAUNCH_FAILED)
        for number, end in enumerate(outputs, start=1):
            os.dup2(end, number)
        os.umask(0o077)
        os.chdir(spec.directory)
        _limit(spec)
        for ignored in (SIGPIPE, SIGXFSZ):  # Python ignores these, and a tool would inherit that
            _libc.signal(ignored, None)
        argv = _confined(spec)
        os.execve(argv[0], argv, spec.env)
    except OSError as fault:
        os.write(2, f"{LAUNCH_MARK}{spec.argv[0]}: {fault.strerror or fault}\n".encode())
    except BaseException as fault:  # noqa: BLE001 - whatever it is, a forked minder may not go on as a second one
        os.write(2, f"{LAUNCH_MARK}{type(fault).__name__}: {fault}\n".encode())
    os._exit(LAUNCH_FAILED)


def _limit(spec: Spec) -> None:
    if allowed := os.sched_getaffinity(0).intersection(spec.cpus):  # none of them ours any more: any will do, if slowly
        os.sched_setaffinity(0, allowed)
    os.nice(spec.nice)
    with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
        score.write(DIES_FIRST)
    with open("/proc/loadavg", encoding="ascii") as load:
        tasks = int(load.read().split()[3].partition("/")[2])
    _set_limit(resource.RLIMIT_CORE, 0, 0)
    _set_limit(resource.RLIMIT_CPU, spec.cpu_s, spec.cpu_s + 5)
    _set_limit(resource.RLIMIT_DATA, spec.memory_bytes, spec.memory_bytes)
    _set_limit(resource.RLIMIT_FSIZE, spec.file_bytes, spec.file_bytes)
    _set_limit(resource.RLIMIT_NOFILE, spec.open_files, spec.open_files)
    processes = tasks + spec.pids + SPARE_TASKS  # the kernel counts all of this user's, on the whole machine
    _set_limit(resource.RLIMIT_NPROC, processes, processes)


def _set_limit(which: int, soft: int, hard: int) -> None:
    """Never above what this process may have anyway."""
    _, allowed = resource.getrlimit(which)
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(which, (soft, hard))


def _confined(spec: Spec) -> list[str]:
    """What to exec, with this process confined as far as it is to be before that."""
    if spec.sandbox is None:
        return spec.argv
    from engine.minder import confine  # only who needs it pays for it

    sandbox: confine.Sandbox = spec.sandbox  # type: ignore[assignment]  # made by engine.shell.sandbox, carried as plain values
    confine.confine(sandbox, spec.fds)
    if sandbox["tier"] != 3:
        return spec.argv
    from engine.minder import mounts

    mounts.protect(spec.fds)
    filter_fd = os.memfd_create("filter", 0)
    os.write(filter_fd, confine.filter_program())
    os.lseek(filter_fd, 0, os.SEEK_SET)
    return confine.bubblewrap(sandbox, spec.argv, filter_fd)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
