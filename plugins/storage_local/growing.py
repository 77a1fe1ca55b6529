"""Files that grow: an unfinished file is continued in place, finished ones become one. Each method is a blocking step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from plugins.storage_local.paths import TEMPORARY, components
from plugins.storage_local.tree import Tree, told_as
from plugins.storage_local.writing import BLOCK, CREATE, link, put_new, write_all
from protocol.storage import AlreadyExists, NotFound, StorageError

CONTINUE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STEP = 64 << 20
"""Bytes copied in one call of `Gathering.step`, so that a cancel is felt within a second."""


class Growing:
    """`open`, `append` for each block, `seal`; at the end `close`, whatever happened."""

    def __init__(self, tree: Tree, path: str, *, offset: int) -> None:
        if offset < 0:
            raise ValueError(f"{path}: a file begins at 0")
        self._tree, self._path, self._names, self._offset = tree, path, components(path), offset
        self._descriptor: int | None = None

    def open(self) -> None:
        """At `offset`, with nothing behind it. The name of a new file is on stable storage before its bytes are."""
        if self._offset == 0:
            self._tree.make(self._path, self._names[:-1])
        with self._tree.directory(self._path, self._names[:-1]) as parent, told_as(self._path):
            flags = CONTINUE | os.O_CREAT if self._offset == 0 else CONTINUE
            self._descriptor = descriptor = os.open(self._names[-1], flags, 0o666, dir_fd=parent)
            found = os.fstat(descriptor)
            if found.st_nlink > 1:
                raise AlreadyExists(self._path, "the file has a lasting name and never changes")
            if found.st_size < self._offset:
                raise NotFound(self._path, f"only {found.st_size} of {self._offset} bytes are there")
            os.ftruncate(descriptor, self._offset)
            os.lseek(descriptor, self._offset, os.SEEK_SET)
            if self._offset == 0:
                os.fsync(parent)

    def append(self, block: bytes) -> None:
        with told_as(self._path):
            write_all(self._opened(), block)

    def seal(self) -> int:
        descriptor = self._opened()
        with told_as(self._path):
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self._path}: not open")
        return self._descriptor


class Gathering:
    """`begin`, `step` until it says that all is there, `publish`; at the end `close`, whatever happened."""

    def __init__(self, tree: Tree, sources: Sequence[str], target: str, *, unique: str) -> None:
        if not sources:
            raise ValueError(f"{target}: of no file nothing can be made")
        self._tree, self._sources, self._path = tree, [(s, components(s)) for s in sources], target
        self._target, self._temporary = components(target), f"{TEMPORARY}{unique}"
        self._left = list(self._sources)
        self._reading: int | None = None
        self._writing: int | None = None
        self._is_linked = False

    def begin(self) -> None:
        if self._tree.exists(self._path, self._target):
            raise AlreadyExists(self._path, "there is a file of this name")
        self._tree.make(self._path, self._target[:-1])
        self._is_linked = len(self._sources) == 1 and self._link()
        if not self._is_linked:
            with self._tree.directory(self._path, self._target[:-1]) as to, told_as(self._path):
                self._writing = os.open(self._temporary, CREATE, 0o666, dir_fd=to)

    def step(self) -> bool:
        """Copy some more; whether there is nothing left to copy."""
        if self._writing is None or (self._reading is None and not self._left):
            return True
        if self._reading is None:
            self._reading = self._tree.open_file(*self._left.pop(0))
        with told_as(self._path):
            for _ in range(STEP // BLOCK):
                block = os.read(self._reading, BLOCK)
                if not block:
                    os.close(self._reading)
                    self._reading = None
                    break
                write_all(self._writing, block)
        return False

    def publish(self) -> int:
        with self._tree.directory(self._path, self._target[:-1]) as to:
            with told_as(self._path):
                if self._writing is not None:
                    os.fsync(self._writing)
                size = os.lstat(self._temporary, dir_fd=to).st_size
            put_new(to, self._temporary, self._target[-1], path=self._path)
        return size

    def close(self) -> None:
        """Leave no unfinished file; what cannot be removed now is left to the sweep."""
        for descriptor in (self._reading, self._writing):
            if descriptor is not None:
                os.close(descriptor)
        self._reading = self._writing = None
        with suppress(StorageError, OSError), self._tree.directory(self._path, self._target[:-1]) as to:
            os.unlink(self._temporary, dir_fd=to)

    def _link(self) -> bool:
        source, names = self._sources[0]
        with (
            self._tree.file(source, names) as opened,
            self._tree.directory(source, names[:-1]) as origin,
            self._tree.directory(self._path, self._target[:-1]) as to,
            told_as(source),
        ):
            if not link(names[-1], self._temporary, at=origin, to=to):
                return False
            if os.path.samestat(os.fstat(opened), os.lstat(self._temporary, dir_fd=to)):
                return True
            raise NotFound(source, "it was replaced while it was linked")
