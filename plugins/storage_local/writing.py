"""One file on its way into the storage: an unfinished file beside the target, sealed, then put in place. Blocking."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from plugins.storage_local.paths import TEMPORARY, components
from plugins.storage_local.tree import Tree, told_as
from protocol.storage import AlreadyExists, NotFound, StorageError, StorageUnavailable, Written

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 1 << 20
CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})
"""Another filesystem, one without hard links, or a file of somebody else: its bytes are copied instead."""


class Incoming:
    """Call `open`, `append` and `count` for each block, `seal`, a `commit`; after any failure `discard`."""

    def __init__(self, tree: Tree, path: str, *, unique: str) -> None:
        self._tree, self._path = tree, path
        self._names = components(path)
        self._temporary = f"{TEMPORARY}{unique}"
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def open(self) -> None:
        self._tree.make(self._path, self._names[:-1])
        with self._parent() as parent, told_as(self._path):
            self._descriptor = os.open(self._temporary, CREATE, 0o666, dir_fd=parent)

    def open_new(self) -> None:
        self.refuse_existing()
        self.open()

    def refuse_existing(self) -> None:
        """Raise AlreadyExists before any byte is sent in vain. `commit_new` decides; this only spares the work."""
        if self._tree.exists(self._path, self._names):
            raise AlreadyExists(self._path, "there is a file of this name")

    def append(self, blocks: list[bytes]) -> None:
        descriptor = self._opened()
        with told_as(self._path):
            for block in blocks:
                write_all(descriptor, block)

    def count(self, blocks: list[bytes]) -> None:
        """Every block goes through here as well as through `append`, in another thread: hashing is half of the work."""
        for block in blocks:
            self._digest.update(block)
            self._size += len(block)

    def seal(self) -> Written:
        """The bytes are on stable storage, not yet under their name."""
        with told_as(self._path):
            os.fsync(self._opened())
        return Written(self._size, self._digest.hexdigest())

    def commit_new(self) -> None:
        """Give the file its name, unless somebody else has it. Linking is the one call that decides between two writers."""
        with self._parent() as parent:
            put_new(parent, self._temporary, self._names[-1], path=self._path)
        self._close()

    def commit_over(self) -> None:
        with self._parent() as parent, told_as(self._path):
            os.rename(self._temporary, self._names[-1], src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)
        self._close()

    def discard(self) -> None:
        """Leave nothing behind. Harmless at any moment; what cannot be removed now is left to the sweep."""
        if self._descriptor is None:
            return
        self._close()
        with suppress(StorageError, OSError), self._parent() as parent:
            os.unlink(self._temporary, dir_fd=parent)

    @contextmanager
    def _parent(self) -> Iterator[int]:
        try:
            with self._tree.directory(self._path, self._names[:-1]) as parent:
                yield parent
        except NotFound as error:
            raise StorageUnavailable(self._path, "its directory was removed meanwhile") from error

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self._path}: not open")
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def link(source: str, name: str, *, at: int | None = None, to: int) -> bool:
    """A second name in the directory `to` for the file `source` (in the directory `at`). False where links fail."""
    try:
        os.link(source, name, src_dir_fd=at, dst_dir_fd=to, follow_symlinks=False)
    except OSError as error:
        if error.errno in CANNOT_LINK:
            return False
        raise
    return True


def write_all(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def put_new(parent: int, temporary: str, name: str, *, path: str) -> None:
    """Name the file `temporary` in `parent`, create-only and durable. Raises AlreadyExists."""
    with told_as(path):
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        try:
            os.unlink(temporary, dir_fd=parent)
            os.fsync(parent)
        except OSError:
            # Not known to be durable: take the name back, so that the caller may simply write again.
            os.unlink(name, dir_fd=parent)
            raise


def blocks_of(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, BLOCK):
        yield block


def measured(descriptor: int) -> Written:
    """Size and digest of what an open file holds from here to its end."""
    digest, size = hashlib.sha256(), 0
    for block in blocks_of(descriptor):
        digest.update(block)
        size += len(block)
    return Written(size, digest.hexdigest())
