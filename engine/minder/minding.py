"""Minds one tool: reads what it writes, holds it to its limits with or without an engine, and writes down how it ended.

Started in the journal directory. Standard library only. When it dies the tool dies; when no engine is attached for a
lease it ends the tool. Nothing here is written through to the disk: a journal is only believed in the run of the machine
in which it was written, and for that a rename is enough.
"""

from __future__ import annotations

import os
import select
import time

from engine.minder import usage
from engine.minder.child import SIGKILL, Child, adopt_orphans
from engine.minder.output import BLOCK, Engine, First, Last, Spare
from engine.minder.spec import (
    BEGUN,
    BY_ENGINE,
    BY_LEASE,
    BY_LIMIT,
    BY_TOOL,
    END,
    KILL,
    SPARE,
    SPEC,
    STDERR,
    STDOUT,
    STOP,
    TERM_GRACE_S,
    Spec,
    Value,
    as_json,
    load,
)

SIGTERM, SIGXCPU, SIGXFSZ = 15, 24, 25
LOOK_S, LOOK_SHARE = 1.0, 0.005
"""What it uses is measured each second, but never with more than this share of our time. Its directory for itself: many
files are no way to be looked at less."""

LAST_WORDS_S = 2.0
"""How long the pipes of a dead tool are read: a process that cannot be killed may still hold them."""

NEVER = float("inf")
_now = time.monotonic  # noqa: TID251 - this process is its own shell; there is nobody to hand it a clock


def mind(listening: int, engine: int) -> None:
    """The whole life of a minder."""
    os.umask(0o077)
    os.set_inheritable(listening, False)
    os.set_inheritable(engine, False)
    adopt_orphans()
    Minder(load(SPEC), listening, engine).run()
    os._exit(0)


class Minder:
    def __init__(self, spec: Spec, listening: int, engine: int) -> None:
        self._spec, self._listening = spec, listening
        self._stdout = Last(STDOUT) if spec.streams else First(STDOUT, spec.capture_bytes)
        self._stderr = Last(STDERR)
        self._spare = Spare(SPARE)
        self._engine = Engine()
        self._engine.attach(engine)
        self._cause, self._limit, self._is_killed = BY_TOOL, "", False
        self._kill_at = self._lease_at = NEVER
        self._oom_kills = usage.oom_kills()
        self._reaches_only_own = _reaches_only_own(spec)
        self._cpu_seconds, self._peak_bytes = 0.0, 0
        self._child = Child(spec)
        self._began = _now()
        self._wall_at, self._look_at = self._began + spec.wall_s, self._began + LOOK_S
        self._measure_at = self._look_at
        self._pidfd = os.pidfd_open(self._child.pid)
        self._pipes = {self._child.stdout: self._read_stdout, self._child.stderr: self._read_stderr}

    def run(self) -> None:
        """Let the tool begin, mind it to its end, and tell it."""
        self._write(BEGUN, {"minder": os.getpid(), "minder_start": usage.started_at(os.getpid()), **self._identity()})
        self._child.go()
        while not self._is_over():
            self._turn()
            self._keep_time(_now())
        end = self._buried()
        until = _now() + LAST_WORDS_S
        while self._pipes and _now() < until:
            self._listen([*self._pipes], until - _now())
        while self._engine.fd is not None and self._engine.has_unsent and _now() < until:
            self._listen([self._engine.fd], until - _now())
        self._spare.give_back()
        self._stdout.settle()
        self._stderr.settle()
        self._write(END, {**end, "is_cut": self._stdout.is_cut})
        self._engine.detach()

    def _identity(self) -> dict[str, Value]:
        child, spec = self._child.pid, self._spec
        return {
            "tool": child,
            "tool_start": usage.started_at(child),
            "boot": spec.boot,
            "recipe": spec.recipe,
            "at": round(self._began, 3),
        }

    def _write(self, name: str, fields: dict[str, Value]) -> None:
        with open(f"{name}.tmp", "w", encoding="utf-8") as file:
            file.write(as_json(fields))
        os.rename(f"{name}.tmp", name)

    # What happens

    def _turn(self) -> None:
        """Wait for something to happen, and see to it."""
        deadline = min(self._wall_at, self._kill_at, self._lease_at, self._look_at, self._measure_at)
        numbers = [*self._pipes, self._pidfd, self._listening]
        if self._engine.fd is not None:
            numbers.append(self._engine.fd)
        self._listen(numbers, deadline - _now())

    def _listen(self, numbers: list[int], seconds: float) -> None:
        waiting = select.poll()
        for number in numbers:
            waiting.register(number, select.POLLIN)
        if self._engine.fd in numbers and self._engine.has_unsent:
            waiting.modify(self._engine.fd, select.POLLIN | select.POLLOUT)
        for number, what in waiting.poll(max(0, int(seconds * 1000) + 1)):
            if number in self._pipes:
                self._pipes[number]()
            elif number == self._listening:
                self._admit()
            elif number == self._engine.fd:
                self._hear(what)

    def _read_stdout(self) -> None:
        data = self._read(self._child.stdout)
        self._stdout.take(data)
        if self._spec.streams:
            self._engine.tell(data)

    def _read_stderr(self) -> None:
        self._stderr.take(self._read(self._child.stderr))

    def _read(self, pipe: int) -> bytes:
        data = os.read(pipe, BLOCK)
        if not data:
            del self._pipes[pipe]
        return data

    def _admit(self) -> None:
        """A new engine: another process of the same user. It is told the last of what the tool said."""
        import socket  # costs a third of a start, and is needed after a crash alone
        import struct

        with socket.socket(fileno=os.dup(self._listening)) as listening:
            connection, _ = listening.accept()
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        if user != os.getuid():
            connection.close()
            return
        self._engine.attach(connection.detach(), self._stdout.kept())
        self._lease_at = NEVER

    def _hear(self, what: int) -> None:
        if what & select.POLLOUT:
            self._engine.send()
        if what & ~select.POLLOUT:
            said = self._engine.heard()
            if KILL in said:
                self._end(BY_ENGINE, is_at_once=True)
            elif STOP in said:
                self._end(BY_ENGINE)

    # Limits

    def _keep_time(self, now: float) -> None:
        if self._engine.fd is None and self._lease_at == NEVER and not self._is_killed:
            self._lease_at = now + self._spec.lease_s
        if now >= self._wall_at:
            self._wall_at = NEVER
            self._end(BY_LIMIT, "wall")
        if now >= self._lease_at:
            self._lease_at = NEVER
            self._end(BY_LEASE, is_at_once=True)
        if now >= self._kill_at:
            self._kill_at = NEVER
            self._signal(SIGKILL)
        if now >= self._look_at:
            self._look()
            self._reap_orphans()
            self._look_at = _next(now)
        if now >= self._measure_at:
            began = _now()
            self._measure()
            self._measure_at = _next(began)

    def _look(self) -> None:
        found = usage.below(os.getpid(), self._spec.pids)  # orphans of the tool are our children
        if sum(found.values()) > self._spec.pids:
            self._end(BY_LIMIT, "pids", is_at_once=True)
            return
        memory_bytes = usage.memory_bytes(found, self._spec.memory_bytes)
        self._peak_bytes = max(self._peak_bytes, memory_bytes)
        if memory_bytes > self._spec.memory_bytes:
            self._end(BY_LIMIT, "memory", is_at_once=True)

    def _measure(self) -> None:
        directory, cap = self._spec.directory, self._spec.scratch_bytes
        removed = usage.removed_bytes(usage.below(os.getpid(), self._spec.pids), directory)
        if removed + usage.disk_bytes(directory, cap - removed) > cap:
            self._end(BY_LIMIT, "disk", is_at_once=True)

    def _end(self, cause: str, limit: str = "", *, is_at_once: bool = False) -> None:
        """TERM and, after 5 s, KILL; or KILL. The first cause is the one that is told."""
        if self._cause == BY_TOOL:
            self._cause, self._limit = cause, limit
        if is_at_once:
            self._signal(SIGKILL)
        elif self._kill_at == NEVER and not self._is_killed:
            self._kill_at = _now() + TERM_GRACE_S
            self._signal(SIGTERM)

    def _signal(self, number: int) -> None:
        self._is_killed = self._is_killed or number == SIGKILL
        if number == SIGKILL:
            self._kill_all()
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            os.kill(self._child.pid, number)  # it has not become a group leader yet; nobody has reaped it

    def _kill_all(self) -> None:
        """All that come of the tool in one stroke, faster than they can multiply."""
        if self._reaches_only_own:
            usage.kill_everybody()

    # The end

    def _is_over(self) -> bool:
        seen = select.poll()
        seen.register(self._pidfd, select.POLLIN)
        return bool(seen.poll(0))

    def _reap_orphans(self) -> None:
        while (orphan := _dead_child()) not in (0, self._child.pid):
            self._reap(orphan)

    def _reap(self, pid: int, options: int = 0) -> tuple[int, int]:
        """Bury a child, and count what it and its own have used. Bubblewrap leaves the tool to the first process inside."""
        found, status, used = os.wait4(pid, options)
        self._cpu_seconds += used.ru_utime + used.ru_stime
        self._peak_bytes = max(self._peak_bytes, used.ru_maxrss * 1024)
        return found, status

    def _has_children(self) -> bool:
        """After reaping those that have ended."""
        try:
            while self._reap(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return False
        return True

    def _buried(self) -> dict[str, Value]:
        """The tool is dead, and its number still its own: kill its group, and then whatever got away from it."""
        wall_seconds = _now() - self._began
        was_killed = self._is_killed
        usage.kill_group(self._child.pid)
        self._kill_all()
        _, status = self._reap(self._child.pid)
        until = _now() + LAST_WORDS_S
        while _now() < until and self._has_children():
            usage.kill_children()
            _wait_for_a_child(0.01)
        exit_code = self._own_exit_code(os.waitstatus_to_exitcode(status))
        if self._cause == BY_TOOL:
            self._limit = self._limit_met(exit_code, was_killed=was_killed)
        return {
            "exit_code": exit_code,
            "cpu_seconds": round(self._cpu_seconds, 3),
            "peak_memory_bytes": self._peak_bytes,
            "wall_seconds": round(wall_seconds, 3),
            "limit": self._limit or None,
            "cause": self._cause,
            "boot": self._spec.boot,
            "recipe": self._spec.recipe,
        }

    def _own_exit_code(self, code: int) -> int:
        tier = self._spec.sandbox["tier"] if self._spec.sandbox else 0
        if tier != 3 or code <= 128:
            return code
        from engine.minder.confine import exit_code

        return exit_code(3, code)

    def _limit_met(self, exit_code: int, *, was_killed: bool) -> str:
        """The limit that the kernel held it to, where that is sure."""
        if exit_code == 0:
            return ""
        if exit_code == -SIGXCPU or self._cpu_seconds >= self._spec.cpu_s:
            return "cpu"
        if exit_code == -SIGXFSZ:
            return "disk"
        if exit_code == -SIGKILL and not was_killed and usage.oom_kills() > self._oom_kills:
            return "memory"
        return ""


def _reaches_only_own(spec: Spec) -> bool:
    if spec.sandbox is None:
        return False
    from engine.minder import confine

    sandbox: confine.Sandbox = spec.sandbox  # type: ignore[assignment]  # made by engine.shell.sandbox, carried as plain values
    return confine.reach_only_own(sandbox)


def _next(began: float) -> float:
    """When to look again after what began then."""
    now = _now()
    return now + max(LOOK_S, (now - began) / LOOK_SHARE)


def _dead_child() -> int:
    """A child that has ended and is not reaped yet; 0 if there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def _wait_for_a_child(seconds: float) -> None:
    select.poll().poll(seconds * 1000)
