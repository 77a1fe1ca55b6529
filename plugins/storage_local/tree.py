"""The directory tree under the root, walked name by name so that no symbolic link is ever followed. Blocking."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from plugins.storage_local.paths import TEMPORARY
from protocol.storage import AlreadyExists, InvalidPath, NotFound, Stat, StorageError, StorageFull, StorageUnavailable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a named pipe that somebody put there must not hang the reader. It changes nothing for a regular file.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

MEANING: dict[int, type[StorageError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ELOOP: InvalidPath,
    errno.ENOTDIR: InvalidPath,
    errno.EISDIR: InvalidPath,
    errno.ENAMETOOLONG: InvalidPath,
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
}
"""What an error number says to the caller. Any other (EIO, EROFS, EACCES, ESTALE, ...) is the storage's own trouble."""


def meaning(path: str, error: OSError) -> StorageError:
    kind = MEANING.get(error.errno or 0, StorageUnavailable)
    return kind(path, error.strerror or str(error))


@contextmanager
def told_as(path: str) -> Iterator[None]:
    """Raise an OSError of the body as the StorageError it means for `path`."""
    try:
        yield
    except OSError as error:
        raise meaning(path, error) from error


class Tree:
    """Opens directories and files below `root`. The root itself is never made: a disk that is away must not be replaced."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._making = threading.Lock()

    @contextmanager
    def root(self, path: str) -> Iterator[int]:
        """A descriptor of the root. Raises StorageUnavailable for `path` when there is no such directory."""
        try:
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageUnavailable(path, f"the storage's root cannot be opened: {error.strerror}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def directory(self, path: str, names: tuple[str, ...]) -> Iterator[int]:
        """A descriptor of the directory `names`. Raises NotFound or InvalidPath, told for `path`."""
        with self.root(path) as descriptor:
            reached = os.dup(descriptor)
            try:
                for name in names:
                    reached = _step(reached, path, name)
                yield reached
            finally:
                os.close(reached)

    def make(self, path: str, names: tuple[str, ...]) -> None:
        """Make the directory `names` with its parents, each on stable storage.

        One at a time: whoever finds a directory made by another thread may trust that it has been synced.
        """
        with self._making, self.root(path) as descriptor:
            reached = os.dup(descriptor)
            try:
                for name in names:
                    with told_as(path):
                        _make_one(reached, name)
                    reached = _step(reached, path, name, missing=StorageUnavailable, blocked=InvalidPath)
            finally:
                os.close(reached)

    @contextmanager
    def file(self, path: str, names: tuple[str, ...]) -> Iterator[int]:
        """A descriptor of a regular file, for reading."""
        descriptor = self.open_file(path, names)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_file(self, path: str, names: tuple[str, ...]) -> int:
        """The same for a caller who closes it. Raises NotFound for a directory or anything else that is no file."""
        with self.directory(path, names[:-1]) as parent:
            with told_as(path):
                descriptor = os.open(names[-1], READ, dir_fd=parent)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            raise NotFound(path, "not a file")

    def exists(self, path: str, names: tuple[str, ...]) -> bool:
        """Whether anything at all has this name."""
        try:
            with self.directory(path, names[:-1]) as parent:
                return _mode(parent, names[-1]) is not None
        except NotFound:
            return False

    def remove(self, path: str, names: tuple[str, ...]) -> None:
        """Remove a file, a link (never what it points to) or a whole directory. A missing one is fine."""
        try:
            with self.directory(path, names[:-1]) as parent, told_as(path):
                remove(parent, names[-1])
        except NotFound:
            return


def remove(parent: int, name: str) -> None:
    try:
        if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            shutil.rmtree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _step(
    reached: int,
    path: str,
    name: str,
    *,
    missing: type[StorageError] = NotFound,
    blocked: type[StorageError] = NotFound,
) -> int:
    """The descriptor of the directory `name` in `reached`, which is closed. On an error `reached` stays open."""
    try:
        below = os.open(name, DIRECTORY, dir_fd=reached)
    except (FileNotFoundError, NotADirectoryError) as error:
        found = _mode(reached, name)
        if found is None:
            raise missing(path, f"there is no directory {name}") from error
        if stat.S_ISLNK(found):
            raise InvalidPath(path, f"{name} is a symbolic link") from error
        raise blocked(path, f"{name} is a file, not a directory") from error
    except OSError as error:
        raise meaning(path, error) from error
    os.close(reached)
    return below


def _mode(parent: int, name: str) -> int | None:
    try:
        return os.lstat(name, dir_fd=parent).st_mode
    except FileNotFoundError:
        return None


def _make_one(parent: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return
    try:
        os.fsync(parent)
    except OSError:
        os.rmdir(name, dir_fd=parent)  # the next one must not trust a directory that is not on the disk
        raise


def walk(directory: int) -> Iterator[Stat]:
    """Every regular file below `directory`, in no order. Unfinished files, links and devices are passed over."""
    for top, below, names, descriptor in os.fwalk(".", onerror=_unless_gone, dir_fd=directory):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield from _regular(descriptor, name, os.path.normpath(f"{top}/{name}"))


def _regular(parent: int, name: str, path: str) -> Iterator[Stat]:
    try:
        found = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return  # removed while the list was made
    if stat.S_ISREG(found.st_mode):
        yield Stat(path, found.st_size, found.st_mtime)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def sweep(directory: int, *, before: float) -> int:
    """Remove unfinished files last written before the Unix time `before`; how many there were."""
    removed = 0
    for _, _, names, descriptor in os.fwalk(".", onerror=_unless_gone, dir_fd=directory):
        for name in names:
            if name.startswith(TEMPORARY):
                removed += _swept(descriptor, name, before)
    return removed


def _swept(parent: int, name: str, before: float) -> bool:
    """A write that ends meanwhile takes its file away itself: that one is not ours."""
    try:
        is_old = os.lstat(name, dir_fd=parent).st_mtime < before
        if is_old:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return is_old
