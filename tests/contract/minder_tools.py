"""Minders with real processes and no engine: starts one for a program, or lets a whole engine's side do it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from engine.clock import SystemClock
from engine.shell.journal import Begun, Journal
from engine.shell.process import Tools
from protocol.plugins import Invocation, Limits, Outcome

PATIENCE_S = 20.0
LOOK_S = 0.01
TICKS = "import itertools, time\nfor n in itertools.count():\n    print(n, flush=True); time.sleep(0.02)"
"""A program that says something all the time, for ever."""

RUNNER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from tests.contract.minder_tools import journal_of, python, tools

async def run():
    directory, code, lease_s, wall_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    say = partial(print, flush=True)
    await tools(lease_s).run(python(code, wall_s=wall_s), str(directory), say, None, journal_of(directory).folder)

asyncio.run(run())
"""
"""An engine of one tool, to be killed."""


def tools(lease_s: float, boot: str | None = None) -> Tools:
    made = Tools(SystemClock(), lease_s=lease_s)
    return made if boot is None else replace(made, boot=boot)


def python(code: str, *, limits: Limits | None = None, wall_s: float = 60.0) -> Invocation:
    argv = (sys.executable, "-I", "-S", "-c", code)
    return Invocation(name="tool", argv=argv, limits=limits or Limits(wall_s=wall_s), streams=True)


def work(root: Path) -> Path:
    """A work directory with its journal beside it."""
    directory = root / "work"
    directory.mkdir()
    return directory


def journal_of(directory: Path) -> Journal:
    return Journal(directory.parent / "tools" / "0")


async def killed_while_it_ran(directory: Path, code: str, *, lease_s: float, wall_s: float = 60.0) -> Begun:
    """An engine began this tool and was killed with kill -9 once the tool had said something."""
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, str(directory), code, str(lease_s), str(wall_s), stdout=asyncio.subprocess.PIPE
    )
    assert engine.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        await engine.stdout.readline()
        engine.send_signal(signal.SIGKILL)
        await engine.wait()
        await engine.stdout.read()
    begun = journal_of(directory).begun()
    assert begun is not None
    return begun


async def fact(seen: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until something is so that only the kernel can tell."""
    async with asyncio.timeout(within_s):
        while not seen():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_S)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def is_gone(begun: Begun) -> bool:
    """The tool is; its minder may take another moment for its exit."""
    is_left = lives(begun.tool)
    await fact(lambda: not lives(begun.minder), within_s=2.0)
    return not is_left


async def run(lease_s: float, directory: Path, invocation: Invocation, lines: list[str] | None = None) -> Outcome:
    heard = lines if lines is not None else []
    return await tools(lease_s).run(invocation, str(directory), heard.append, None, journal_of(directory).folder)
