"""Which upload a file was on its way as: one small file each in the user's cache, so that the next run goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from client.tus import LocalFacts

KEPT_S = 7 * 86_400.0
"""Seconds a note is kept. Servers drop an upload that nobody goes on with after a day, unless they are told otherwise."""

_LONGEST = 64
_UPLOAD_ID = re.compile(r"upl_[0-9a-z]{1,40}")


def default_directory() -> Path:
    """Where programs of this user keep what may be lost (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelyard" / "uploads"


@dataclass(slots=True)
class Note:
    """What is known of one file, and whether it may be written down. `descriptor` is None when nothing is kept."""

    path: Path | None = None
    descriptor: int | None = None

    @property
    def upload_id(self) -> str | None:
        if self.descriptor is None:
            return None
        text = os.pread(self.descriptor, _LONGEST, 0).decode("ascii", "replace").strip()
        return text if _UPLOAD_ID.fullmatch(text) else None

    def remember(self, upload_id: str) -> None:
        if self.descriptor is not None:
            with suppress(OSError):  # a full disk costs the comfort, not the upload
                os.pwrite(self.descriptor, upload_id.encode().ljust(_LONGEST), 0)
                self._sweep(os.fstat(self.descriptor).st_mtime - KEPT_S)

    def _sweep(self, before: float) -> None:
        """Remove what nobody came back for; the disk's own clock, which has just dated this note, says how old."""
        for other in self.path.parent.iterdir() if self.path is not None else ():
            if other.stat().st_mtime < before:
                other.unlink(missing_ok=True)

    def close(self) -> None:
        if self.descriptor is not None:
            if self.upload_id is None:
                self.forget()
            os.close(self.descriptor)
            self.descriptor = None

    def clear(self) -> None:
        """The file is on its way as nothing any more; what it goes up as next may be remembered."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self.descriptor, 0)

    def forget(self) -> None:
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


@contextmanager
def hold(directory: Path | None, server: str, file: LocalFacts) -> Iterator[Note]:
    """The note about this state of this file for this server, for one process at a time.

    A second one at the same time, and one that cannot write there, go without.
    """
    try:
        held = _open(directory, server, file) if directory is not None else None
    except OSError:
        held = None
    if held is None:
        yield Note()
        return
    try:
        yield held
    finally:
        held.close()


def _open(directory: Path, server: str, file: LocalFacts) -> Note | None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = "\0".join((server, str(file.path), str(file.size), str(file.modified_ns)))
    path = directory / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:40]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Note(path, descriptor)
