"""Opens originals in place where engine and dispatch see the same disk: only below what is allowed, through no link.

The tool gets the very file that was looked at: the attempt's input is a link to the descriptor that is held open.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import structlog

from engine.core.shared_paths import local_of
from protocol.leases import EDGE_BYTES, InputAccess

log = structlog.get_logger()
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Shares:
    """`pairs` as `engine.core.shared_paths.prefixes` gives them; without any nothing is shared."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = pairs

    def open(self, access: InputAccess) -> int | None:
        """A descriptor of the file, equal in size and at both ends; None where there is none such. The caller closes it."""
        where = None if access.shared is None else local_of(access.shared.path, self._pairs)
        if where is None or access.shared is None:
            return None
        try:
            descriptor = _opened(*where)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            is_same = stat.S_ISREG(found.st_mode) and found.st_size == access.size
            if is_same and _edges(descriptor, access.size) == access.shared.edges_sha256:
                return descriptor
        except OSError as fault:
            log.warning("shared_file_unreadable", problem=fault.strerror)
        os.close(descriptor)
        return None


NOTHING_SHARED = Shares()


def link_to(descriptor: int, target: Path) -> None:
    """`target` leads to the open file, whatever its name leads to meanwhile, for as long as the descriptor is open."""
    target.unlink(missing_ok=True)
    target.symlink_to(f"/proc/self/fd/{descriptor}")


def _opened(root: str, names: tuple[str, ...]) -> int:
    """Name by name, so that no link on the way is followed."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            below = os.open(name, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(names[-1], FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _edges(descriptor: int, size: int) -> str:
    digest = hashlib.sha256(os.pread(descriptor, EDGE_BYTES, 0))
    digest.update(os.pread(descriptor, EDGE_BYTES, max(0, size - EDGE_BYTES)))
    return digest.hexdigest()
