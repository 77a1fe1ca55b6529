"""The interface of a storage. Paths are relative, `/`-joined, and never leave the root."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stat:
    """`modified` is a Unix time in seconds, for `Last-Modified` alone."""

    path: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class Space:
    """Room on the storage, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Written:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """A staged file to be published: `staged` is where it lies, `path` where it goes below the target."""

    staged: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DirectWrite:
    """How a file is written past dispatch: `url` takes it whole by one PUT, or `parts` take it in their order.

    Every part but the last holds `part_bytes`. `headers` go with each PUT, as they are. `upload` names a write in parts,
    for `finish_write`; None where one PUT is all.
    """

    url: str | None
    parts: tuple[str, ...] = ()
    part_bytes: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: str | None = None


class DirectAccess(Protocol):
    """A storage that hands out links by which clients and engines read and write for themselves. Spans in seconds.

    Such a link is a key to that one file; the credentials of the storage never leave dispatch.
    """

    def read_link(self, path: str, *, seconds: int, filename: str | None = None) -> str:
        """`filename` is what a browser saves it as. Signing needs no call: whether there is such a file is not asked."""
        ...

    async def start_write(self, path: str, *, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        """A create-only write of exactly these bytes; the storage itself refuses others where it can.

        `sha256` is None where nobody knows it yet. One PUT needs no call to be started.
        """
        ...

    async def finish_write(self, path: str, upload: str, *, size: int) -> None:
        """Make one file of the parts, create-only; once more is harmless. Raises NotFound where a part is missing."""
        ...

    async def abort_write(self, path: str, upload: str) -> None:
        """Forget the parts. Harmless for a write that is over."""
        ...


class StorageError(Exception):
    """The storage failed; `path` names the file. One subclass per thing a caller can do about it."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


class NotFound(StorageError):
    """There is no such file."""


class AlreadyExists(StorageError):
    """A create-only write met an existing file; nothing was changed."""


class InvalidPath(StorageError):
    """The path is not relative, leaves the root, or has a component that is refused."""


class StorageFull(StorageError):
    """No space is left; nothing was kept of what was written."""


class StorageUnavailable(StorageError):
    """The storage cannot be reached or fails on its own; try again."""


class StagedFileLost(StorageError):
    """A staged file is missing, or its size or digest is not what was reported."""


class TargetDiffers(StorageError):
    """Something else stands where the job's outputs belong; nothing was overwritten."""


class StorageProvider(Protocol):
    """Loaded by the entry point group `reelyard.storage`. Every write is atomic and durable before it returns."""

    @property
    def direct(self) -> DirectAccess | None:
        """None where all bytes go through dispatch."""
        ...

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start`, in blocks of at most 1 MiB. Raises NotFound before the first block."""
        ...

    async def write(self, path: str, blocks: AsyncIterator[bytes], *, create_only: bool = True) -> Written: ...

    async def stat(self, path: str) -> Stat: ...
    async def delete(self, path: str) -> None:
        """Remove a file or a whole directory; a missing one is fine."""
        ...

    async def list(self, prefix: str) -> Sequence[Stat]: ...
    def local_path(self, path: str) -> str | None:
        """Where the file lies on this machine, for sendfile; None when it does not."""
        ...

    async def space(self) -> Space: ...
    async def probe(self) -> None:
        """Write, sync and remove a small file. Raises StorageUnavailable or StorageFull."""
        ...

    async def sweep_temporary(self, *, older_than_s: float, now: float) -> int:
        """Remove what writes that never ended have left, older than this. Returns how many there were."""
        ...

    async def link(self, staged: str, target: str, *, size: int, sha256: str) -> None:
        """Give a staged file a second, lasting name, create-only: a hard link, or a copy where links fail.

        Checks size and digest of the bytes that get the name. A `target` that holds these very bytes is a success (a redo
        after a crash). The staged file stays. Raises StagedFileLost or AlreadyExists, with nothing changed.
        """
        ...

    async def append(self, path: str, offset: int, blocks: AsyncIterator[bytes]) -> int:
        """Go on with an unfinished file at `offset` and return its new size; durable before it returns.

        `offset` 0 makes the file. What lies behind `offset` is cut off first. When `blocks` fail, whatever came of them may
        lie behind `offset`: the next call cuts it off. Raises NotFound when the file is shorter than `offset`, and
        AlreadyExists when the file has a lasting name too (`concatenate`), for it never changes again.
        """
        ...

    async def concatenate(self, sources: Sequence[str], target: str) -> int:
        """Make `target`, create-only, of the bytes of `sources` in their order; its size. The sources stay.

        One source becomes a hard link, or a copy where links fail; nothing is checked. Raises NotFound or AlreadyExists,
        with nothing changed.
        """
        ...

    async def promote(self, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> None:
        """Publish all of `files` and `extra` below `target` at once, or nothing.

        Checks size and digest of every staged file, assembles `work` (hard links, copies where links fail), syncs it,
        renames it to `target`. A `target` that already holds exactly these files is a success (a redo after a crash).
        Staged files stay. Raises StagedFileLost or TargetDiffers, with nothing changed.
        """
        ...
