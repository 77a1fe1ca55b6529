"""The lock of a data directory: one process works in it, and the file names that process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dispatch.app.secrets import Unusable

LOCK = "dispatch.lock"


class InUse(Unusable):
    """Another process holds the lock."""


def lock(data: Path) -> int:
    """Only one server works in a data directory; the lock ends with the process. Raises InUse."""
    descriptor = _opened(data)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(f"{data} is in use by another dispatch server; stop it, or give another --data") from None
    _sign(descriptor)
    return descriptor


def take_over(data: Path, *, within_s: float, say: Callable[[str], None]) -> int:
    """The lock; a server that holds it is asked to stop, as by SIGTERM, and waited for. Raises Unusable when it does not."""
    try:
        return lock(data)
    except InUse:
        server = _holder(data)
    say(f"the server on {data} (process {server.pid}) is asked to stop; engines go on with what they hold")
    descriptor = _opened(data)
    # Already waiting when the lock is let go: a supervisor that starts the server again comes too late.
    waiting = threading.Thread(target=fcntl.flock, args=(descriptor, fcntl.LOCK_EX), daemon=True)
    waiting.start()
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
        server.terminate()
    waiting.join(within_s)
    if waiting.is_alive():
        raise Unusable(f"the server (process {server.pid}) has not stopped within {within_s:.0f} s; nothing was changed")
    _sign(descriptor)
    return descriptor


@contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Let it go at the end, where the process lives on."""
    try:
        yield
    finally:
        os.close(descriptor)


def _opened(data: Path) -> int:
    return os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _holder(data: Path) -> psutil.Process:
    """The process that the file names, if it does hold the file open: a number may be an old one. Raises Unusable."""
    path = data.resolve() / LOCK
    try:
        server = psutil.Process(int(path.read_text(encoding="ascii")))
        if any(Path(file.path) == path for file in server.open_files()):
            return server
    except (ValueError, psutil.Error):
        pass  # not a number, or a process that is gone or not ours to look at
    raise Unusable(f"{data} is in use by a server that cannot be told from here; stop it, then run this again")
