"""What a tool writes: kept in bounded files, and sent on to the engine that is attached."""

from __future__ import annotations

import io
import os

from engine.minder.spec import TAIL_BYTES

BLOCK = 64 << 10
SPARE_BYTES = 3 * TAIL_BYTES
MAX_UNSENT = 256 << 10
"""An engine that does not read loses progress, not the tool its time."""


class First:
    """Keeps the first bytes in a file and drops what goes beyond. `is_cut`: the disk had no room for one of them."""

    def __init__(self, path: str, limit: int) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - open as long as this process lives
        self._room = limit
        self.is_cut = False

    def take(self, data: bytes) -> None:
        kept = data[: self._room]
        self._room -= len(kept)
        self.is_cut = self.is_cut or len(_rest(self._file, kept)) > 0

    def kept(self) -> bytes:
        return b""

    def settle(self) -> None:
        """Nothing is left to write: what is cut is of no use."""


class Last:
    """Keeps the last bytes in a file: at least 64 KiB, at most twice that, from the beginning of a line on."""

    is_cut = False

    def __init__(self, path: str) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 - open as long as this process lives
        self._unwritten = b""

    def take(self, data: bytes) -> None:
        self._unwritten += data
        self.settle()

    def settle(self) -> None:
        """Write what the disk takes; the rest waits until it has room again."""
        if self._file.tell() + len(self._unwritten) > 2 * TAIL_BYTES:
            last = (self.kept() + self._unwritten)[-TAIL_BYTES:]
            self._unwritten = last[last.find(b"\n", 0, -1) + 1 :]
            self._file.seek(0)
            self._file.truncate()
        self._unwritten = _rest(self._file, self._unwritten)

    def kept(self) -> bytes:
        return os.pread(self._file.fileno(), 2 * TAIL_BYTES, 0)


class Spare:
    """Room on the disk that is held back for a tool's last words: it may die of a disk that it has filled."""

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, SPARE_BYTES)

    def give_back(self) -> None:
        os.unlink(self._path)


def _rest(file: io.FileIO, data: bytes) -> bytes:
    """What of `data` could not be written."""
    try:
        return data[file.write(data) :] if data else b""
    except OSError:
        return data


class Engine:
    """The connection to the engine that is attached, if one is. Never waited for."""

    def __init__(self) -> None:
        self.fd: int | None = None
        self._unsent = b""

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def attach(self, fd: int, greeting: bytes = b"") -> None:
        """Whoever comes last is the engine; the one before is gone or about to be."""
        self.detach()
        os.set_blocking(fd, False)
        self.fd, self._unsent = fd, greeting
        self.send()

    def detach(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
        self.fd, self._unsent = None, b""

    def tell(self, data: bytes) -> None:
        if self.fd is None:
            return
        self._unsent += data
        if len(self._unsent) > MAX_UNSENT:
            self._unsent = self._unsent[: self._unsent.rfind(b"\n", 0, MAX_UNSENT) + 1]
        self.send()

    def send(self) -> None:
        if self.fd is None or not self._unsent:
            return
        try:
            self._unsent = self._unsent[os.write(self.fd, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.detach()

    def heard(self) -> bytes:
        """What it says; nothing more once it is gone."""
        if self.fd is None:
            return b""
        try:
            said = os.read(self.fd, BLOCK)
        except BlockingIOError:
            return b""
        except OSError:
            said = b""
        if not said:
            self.detach()
        return said
