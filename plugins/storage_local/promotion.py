"""Staged files become a published directory by one rename. Each method is one blocking step, so a cancel is felt soon."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from plugins.storage_local.paths import components
from plugins.storage_local.tree import Tree, meaning, told_as, walk
from plugins.storage_local.writing import CREATE, blocks_of, link, measured, write_all
from protocol.storage import (
    InvalidPath,
    NotFound,
    Promoted,
    StagedFileLost,
    StorageError,
    StorageUnavailable,
    TargetDiffers,
    Written,
)

# A directory never takes the place of a file or of a directory that holds something: rename(2) itself refuses with one
# of these. An empty directory it may replace, and nothing is lost by that; so no RENAME_NOREPLACE is needed, which
# NFS and some others lack.
TARGET_STANDS = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


class Promotion:
    """`is_published`, else `begin`, `take` for every file, `publish`; after any failure `abandon`.

    Assembled in a directory of its own below `work`: another server that lost its lead in the middle may still be at work
    there, and its last act is to remove what it made.
    """

    def __init__(
        self, tree: Tree, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes], *, unique: str
    ) -> None:
        self._tree, self._target, self._extra = tree, target, extra
        self._all, self._work = work, f"{work}/{unique}"
        self._expected = _expected(files, extra)
        for other in (target, *(file.staged for file in files)):
            components(other)
            if f"{other}/".startswith(f"{work}/"):
                raise InvalidPath(other, f"lies in {work}, which is wiped")

    def is_published(self) -> bool:
        """Whether the target holds exactly these files, and durably. Raises TargetDiffers when it holds others."""
        names = components(self._target)
        if not self._tree.exists(self._target, names):
            return False
        try:
            with self._tree.directory(self._target, names) as target, told_as(self._target):
                found = {file.path: file.size for file in walk(target)}
        except (NotFound, InvalidPath) as error:
            raise TargetDiffers(self._target, "it is not a directory") from error
        if not found and self._expected:
            return False
        if found != {path: written.size for path, written in self._expected.items()}:
            raise TargetDiffers(self._target, "it holds files of other names or sizes")
        self._compare_digests()
        # An earlier try may have died between its rename and this.
        with self._tree.directory(self._target, names[:-1]) as parent, told_as(self._target):
            os.fsync(parent)
        return True

    def begin(self) -> None:
        """A new work directory; what earlier tries left beside it goes once the target stands."""
        self._tree.make(self._work, components(self._work))

    def take(self, file: Promoted) -> None:
        """Check one staged file and give it its place in the work directory."""
        staged, place = components(file.staged), components(f"{self._work}/{file.path}")
        self._tree.make(self._work, place[:-1])
        try:
            with self._tree.file(file.staged, staged) as source:
                self._check(file, source)
                self._place(file, source, staged, place)
        except (NotFound, InvalidPath) as error:
            raise StagedFileLost(file.staged, "the staged file is missing") from error

    def publish(self) -> None:
        """Write the extra files, sync every directory, rename once."""
        for path, content in self._extra.items():
            self._write(components(f"{self._work}/{path}"), content)
        self._sync_directories()
        target, work = components(self._target), components(self._work)
        self._tree.make(self._target, target[:-1])
        with self._tree.directory(self._work, work[:-1]) as origin, self._tree.directory(self._target, target[:-1]) as to:
            try:
                os.rename(work[-1], target[-1], src_dir_fd=origin, dst_dir_fd=to)
            except OSError as error:
                self._redone_by_another(error)
            with told_as(self._target):
                os.fsync(to)
                os.fsync(origin)
        self.clear()

    def abandon(self) -> None:
        """Remove what this try made; what cannot be removed now goes once the target stands."""
        with suppress(StorageError):
            self._tree.remove(self._work, components(self._work))

    def clear(self) -> None:
        """Remove what any try made. Only once the target stands: by then none of them becomes one."""
        with suppress(StorageError):
            self._tree.remove(self._all, components(self._all))

    def _redone_by_another(self, error: OSError) -> None:
        if error.errno not in TARGET_STANDS:
            raise meaning(self._target, error) from error
        if not self.is_published():
            raise StorageUnavailable(self._target, "it came and went while it was published") from error

    def _compare_digests(self) -> None:
        for path, written in self._expected.items():
            whole = f"{self._target}/{path}"
            with self._tree.file(whole, components(whole)) as descriptor, told_as(whole):
                if measured(descriptor) != written:
                    raise TargetDiffers(whole, "its content is another")

    def _check(self, file: Promoted, source: int) -> None:
        with told_as(file.staged):
            # The size first: it spares reading a file that is wrong anyway.
            if os.fstat(source).st_size != file.size or measured(source).sha256 != file.sha256:
                raise StagedFileLost(file.staged, "its size or digest is not what was reported")

    def _place(self, file: Promoted, source: int, staged: tuple[str, ...], place: tuple[str, ...]) -> None:
        with (
            self._tree.directory(file.staged, staged[:-1]) as origin,
            self._tree.directory(self._work, place[:-1]) as to,
            told_as(file.staged),
        ):
            if not link(staged[-1], place[-1], at=origin, to=to):
                copy_new(file, source, place[-1], to=to)
            elif not os.path.samestat(os.fstat(source), os.lstat(place[-1], dir_fd=to)):
                raise StagedFileLost(file.staged, "it was replaced while it was published")

    def _write(self, place: tuple[str, ...], content: bytes) -> None:
        self._tree.make(self._work, place[:-1])
        with self._tree.directory(self._work, place[:-1]) as to, told_as(self._target):
            descriptor = os.open(place[-1], CREATE, 0o666, dir_fd=to)
            try:
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _sync_directories(self) -> None:
        """The files themselves were synced when they were written; their names here were not."""
        work = components(self._work)
        inner = {tuple(path.split("/")[:depth]) for path in self._expected for depth in range(path.count("/") + 1)}
        for names in inner | {()}:
            with self._tree.directory(self._work, (*work, *names)) as descriptor, told_as(self._target):
                os.fsync(descriptor)


def _expected(files: Sequence[Promoted], extra: Mapping[str, bytes]) -> dict[str, Written]:
    expected = {file.path: Written(file.size, file.sha256) for file in files}
    expected |= {path: Written(len(content), hashlib.sha256(content).hexdigest()) for path, content in extra.items()}
    for path in expected:
        components(path)
    if len(expected) != len(files) + len(extra):
        raise InvalidPath(", ".join(sorted(extra)), "two files are to be published under one name")
    return expected


def copy_new(file: Promoted, source: int, name: str, *, to: int) -> None:
    """The bytes of the open staged file under a new name in the directory `to`, durable. Raises StagedFileLost."""
    os.lseek(source, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    descriptor = os.open(name, CREATE, 0o666, dir_fd=to)
    try:
        for block in blocks_of(source):
            digest.update(block)
            write_all(descriptor, block)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if digest.hexdigest() != file.sha256:
        raise StagedFileLost(file.staged, "it changed while it was copied")
