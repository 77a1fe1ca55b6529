"""Finds the tier that holds here, by running a tool that tries to break out of it: what is not proven is not reported."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.minder import landlock, seccomp
from engine.shell import sandbox_probe
from engine.shell.process import Tools
from engine.shell.sandbox import TIERS, Sandboxing, at_tier
from protocol.plugins import Invocation, Limits, Outcome

log = structlog.get_logger()

DATAGRAMS = "datagrams"
BEST_FIRST = (3, 2, 1)
HELD_BY_TIER_1 = frozenset({"see_environment", "find_no_limits"})
PROBE_LIMITS = Limits(wall_s=20.0, cpu_s=20, memory_bytes=1 << 30, file_bytes=1 << 20, scratch_bytes=1 << 20)
EXPECTED_NAMES = frozenset({"PATH", "LANG", "HOME", "TMPDIR", "PWD", "LC_CTYPE", "CUDA_VISIBLE_DEVICES"})


class SandboxUnfit(Exception):
    """The tier that was asked for does not hold on this machine; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What trying a tier showed; no problem means that every check held."""

    tier: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class SandboxCheck:
    """`tools_at` makes what runs tools at a tier: the probe goes the way of every tool. `directory` is the engine's own."""

    tools_at: Callable[[Sandboxing], Tools]
    directory: Path

    async def choose(self, wanted: int | None) -> Sandboxing:
        """The wanted tier, or the best there is. Raises SandboxUnfit."""
        if wanted == 0:
            log.warning("sandbox_off", tier=0)
            return at_tier(0)
        for tier in BEST_FIRST if wanted is None else (wanted,):
            trial = await self.run_once(tier)
            if trial.problem is None:
                log.info("sandbox_tier", tier=tier, means=TIERS[tier])
                return at_tier(tier)
            log.warning("sandbox_tier_unfit", tier=tier, problem=trial.problem)
        remedy = (
            'Set sandbox = "0" to run tools without one' if wanted is None else 'Set sandbox = "auto" to take the best there is'
        )
        raise SandboxUnfit(
            f"sandbox tier {tier} ({TIERS[tier]}) does not hold here: {trial.problem}. {remedy}; `reelyard doctor` shows all."
        )

    async def run_once(self, tier: int) -> Trial:
        lack = _lack(at_tier(tier))
        if lack is not None:
            return Trial(tier, lack)
        tools = self.tools_at(at_tier(tier))
        try:
            with _Outside.made(self.directory) as outside:
                outcome = await tools.run(outside.invocation(), str(outside.work), lambda line: None)
                return Trial(tier, _problem(tier, outcome, outside.managed(outcome)))
        except OSError as fault:
            return Trial(tier, f"it cannot be tried: {fault}")


def _lack(sandboxing: Sandboxing) -> str | None:
    """Why there is nothing to try."""
    if sandboxing.tier >= 2 and os.uname().machine not in seccomp.ARCHES:
        return f"no filter of system calls is known for {os.uname().machine}"
    if sandboxing.tier == 2 and landlock.abi() == 0:
        return "the kernel has no Landlock (Linux 5.13 or newer, switched on by lsm=)"
    if sandboxing.tier == 3 and not sandboxing.bubblewrap:
        return "bwrap is not on the PATH; install the package bubblewrap"
    return None


def _problem(tier: int, outcome: Outcome, managed: frozenset[str] | None) -> str | None:
    if managed is None:
        said = outcome.stderr_tail.strip().splitlines()[-1:] or [f"exit code {outcome.exit_code}"]
        return f"a tool does not work in it ({said[0][:200]})"
    broken = sorted(managed & HELD_BY_TIER_1 if tier == 1 else managed)
    return f"a tool in it could {', '.join(name.replace('_', ' ') for name in broken)}" if broken else None


@dataclass(slots=True)
class _Outside:
    """What lies outside a sandbox, to be reached for: files, listeners, this process."""

    base: Path
    tcp: socket.socket
    udp: socket.socket
    abstract: socket.socket
    was_signalled: bool = field(default=False)

    @classmethod
    @contextmanager
    def made(cls, directory: Path) -> Iterator[_Outside]:
        with ExitStack() as opened:
            base = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=directory, prefix="sandbox-")))
            (base / "work").mkdir(mode=0o700)
            for name in ("secret", "victim", "input"):
                (base / name).write_bytes(name.encode())
            opened.enter_context(_datagrams(base))
            tcp, udp, abstract = (opened.enter_context(one) for one in _listeners())
            outside = cls(base, tcp, udp, abstract)
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGURG, outside._signalled)
            opened.callback(loop.remove_signal_handler, signal.SIGURG)
            yield outside

    @property
    def work(self) -> Path:
        return self.base / "work"

    def _signalled(self) -> None:
        self.was_signalled = True

    def invocation(self) -> Invocation:
        told = {
            "secret": str(self.base / "secret"),
            "victim": str(self.base / "victim"),
            "mark": str(self.base / "mark"),
            "tcp_port": str(self.tcp.getsockname()[1]),
            "udp_port": str(self.udp.getsockname()[1]),
            "abstract": self.abstract.getsockname()[1:].decode(),
            "datagrams": f"../{DATAGRAMS}",
            "pid": str(os.getpid()),
            "names": json.dumps(sorted(set(os.environ) - EXPECTED_NAMES)),
        }
        return Invocation(
            name="sandbox",
            argv=(sys.executable, "-I", "-S", "-B", sandbox_probe.__file__, "{fd0}", json.dumps(told)),
            reads=(str(self.base / "input"),),
            limits=PROBE_LIMITS,
            readable=(*python_files(), sandbox_probe.__file__),
        )

    def managed(self, outcome: Outcome) -> frozenset[str] | None:
        """Which forbidden things the probe did; None if it did not even work."""
        if outcome.exit_code != 0:
            return None
        told = json.loads(outcome.stdout)
        claimed = frozenset(told["managed"]) - {sandbox_probe.signal_engine.__name__}
        heard = {sandbox_probe.signal_engine.__name__} if self.was_signalled else set()
        return claimed | heard if told["works"] else None


def python_files() -> Sequence[str]:
    """What this interpreter reads to start without `site`."""
    paths = sysconfig.get_paths()
    return tuple(
        dict.fromkeys((f"{sys.base_prefix}/lib", f"{sys.base_exec_prefix}/lib", paths["stdlib"], f"{sys.prefix}/pyvenv.cfg"))
    )


def _datagrams(base: Path) -> socket.socket:
    """As those of systemd and its journal; by a way to it that is short, since an address may have 108 bytes."""
    made, directory = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), os.open(base, os.O_PATH | os.O_DIRECTORY)
    made.bind(f"/proc/self/fd/{directory}/{DATAGRAMS}")
    os.close(directory)
    return made


def _listeners() -> Iterator[socket.socket]:
    tcp = socket.create_server(("127.0.0.1", 0))
    yield tcp
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    yield udp
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("")  # an abstract name of the kernel's choice
    abstract.listen()
    yield abstract
