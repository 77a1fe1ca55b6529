"""A second, lasting name for a staged file: the same bytes, create-only and durable. Blocking."""

from __future__ import annotations

import os
from contextlib import suppress

from plugins.storage_local.paths import TEMPORARY, components
from plugins.storage_local.promotion import copy_new
from plugins.storage_local.tree import Tree, told_as
from plugins.storage_local.writing import link, measured, put_new
from protocol.storage import AlreadyExists, InvalidPath, NotFound, Promoted, StagedFileLost, Written


class Linking:
    """`file.path` is the target; `run` may be repeated after a crash at any point."""

    def __init__(self, tree: Tree, file: Promoted, *, unique: str) -> None:
        self._tree, self._file = tree, file
        self._staged, self._target = components(file.staged), components(file.path)
        self._temporary = f"{TEMPORARY}{unique}"

    def run(self) -> None:
        if self._stands():
            return
        self._tree.make(self._file.path, self._target[:-1])
        try:
            with self._tree.file(self._file.staged, self._staged) as source:
                self._check(source)
                self._put(source)
        except (NotFound, InvalidPath) as error:
            raise StagedFileLost(self._file.staged, "the staged file is missing") from error
        except AlreadyExists:
            if not self._stands():
                raise

    def _stands(self) -> bool:
        """Whether the target holds these bytes, and durably. Raises AlreadyExists when it holds others."""
        if not self._tree.exists(self._file.path, self._target):
            return False
        try:
            with self._tree.file(self._file.path, self._target) as found, told_as(self._file.path):
                if os.fstat(found).st_size != self._file.size or measured(found).sha256 != self._file.sha256:
                    raise AlreadyExists(self._file.path, "other bytes have this name")
        except (NotFound, InvalidPath) as error:
            raise AlreadyExists(self._file.path, "it is not a file") from error
        # An earlier try may have died between its link and this.
        with self._tree.directory(self._file.path, self._target[:-1]) as parent, told_as(self._file.path):
            os.fsync(parent)
        return True

    def _check(self, source: int) -> None:
        with told_as(self._file.staged):
            if os.fstat(source).st_size != self._file.size or measured(source) != Written(self._file.size, self._file.sha256):
                raise StagedFileLost(self._file.staged, "its size or digest is not what was reported")

    def _put(self, source: int) -> None:
        with (
            self._tree.directory(self._file.staged, self._staged[:-1]) as origin,
            self._tree.directory(self._file.path, self._target[:-1]) as to,
        ):
            try:
                with told_as(self._file.staged):
                    if not link(self._staged[-1], self._temporary, at=origin, to=to):
                        copy_new(self._file, source, self._temporary, to=to)
                    elif not os.path.samestat(os.fstat(source), os.lstat(self._temporary, dir_fd=to)):
                        raise StagedFileLost(self._file.staged, "it was replaced while it was linked")
                put_new(to, self._temporary, self._target[-1], path=self._file.path)
            finally:
                with suppress(OSError):
                    os.unlink(self._temporary, dir_fd=to)
