"""Child processes that cannot outlive us, and the file in which dispatch tells where it listens."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence
from pathlib import Path

from client.location import read_line

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_S = 0.02


def _death_signal() -> Callable[[], None]:
    """Run in the child before exec: the kernel sends it TERM when we die, even by kill -9, so that nothing is orphaned.

    The library is loaded here, before the fork: loading it in the child could wait for a lock that nobody holds any more.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    parent = os.getpid()

    def set_it() -> None:
        if prctl is None:
            return
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # we died between fork and prctl: no signal will come
            os.kill(os.getpid(), signal.SIGTERM)

    return set_it


async def spawn(argv: Sequence[str], *, output: int) -> Process:
    """Start a child with both its outputs on the file descriptor `output`.

    It gets its own session: a Ctrl-C in the terminal goes to us alone, so that we can stop children in their order.
    """
    return await asyncio.create_subprocess_exec(
        *argv, stdin=DEVNULL, stdout=output, stderr=output, start_new_session=True, preexec_fn=_death_signal()
    )


class UrlFile:
    """`<data>/dispatch.url`. What an earlier run left there is told apart by being the same file as before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stale = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    async def written(self) -> str:
        """The URL, once it is there. Looks every 20 ms: a start happens once, and a file has no portable way to tell."""
        while (url := self._fresh()) is None:  # noqa: ASYNC110 - another process writes it: no event of ours can tell
            await asyncio.sleep(LOOK_S)
        return url

    def _fresh(self) -> str | None:
        return None if self._identity() in (None, self._stale) else read_line(self._path)
