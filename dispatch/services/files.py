"""Files by signed link: what engines read and stage, what clients download. The links are checked here, nowhere else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from dispatch.core.feeding import SOURCE, brought_files
from dispatch.core.records import Job, Source
from dispatch.core.s3_inputs import KIND
from dispatch.ports import Clock, Store
from dispatch.services.s3_inputs import NO_BUCKETS, S3Inputs
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import (
    AlreadyExists,
    InvalidPath,
    NotFound,
    StorageError,
    StorageFull,
    StorageProvider,
    StorageUnavailable,
    Written,
)

BLOCK = 1 << 20
DIRECT_S = 3600
"""How long a link past this server is good: whoever needs it longer asks here again."""

PLAYLISTS = (".m3u8", ".mpd", ".vtt")
CODES: tuple[tuple[type[StorageError], ErrorCode], ...] = (
    (NotFound, ErrorCode.FILE_NOT_FOUND),
    (InvalidPath, ErrorCode.FILE_NOT_FOUND),
    (AlreadyExists, ErrorCode.FILE_EXISTS),
    (StorageFull, ErrorCode.STORAGE_FULL),
    (StorageUnavailable, ErrorCode.STORAGE_UNAVAILABLE),
)


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that may be read: on this machine (`local_path`) or through the storage; with `link` also past this server."""

    local_path: str | None
    storage_path: str | None
    size: int
    modified: float
    filename: str
    link: str | None = field(default=None, repr=False)


def as_client_error(error: StorageError) -> ReelyardError:
    """What a caller may know of a storage error: the code, never a path of this machine."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), ErrorCode.STORAGE_UNAVAILABLE)
    retry = 10.0 if code in (ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_UNAVAILABLE) else None
    return ReelyardError(code, retry_after=retry)


class FileService:
    def __init__(
        self, store: Store, storage: StorageProvider, clock: Clock, secret: bytes, buckets: S3Inputs = NO_BUCKETS
    ) -> None:
        self._store, self._storage, self._clock, self._secret = store, storage, clock, secret
        self._buckets = buckets

    async def open_signed(self, signature: str, method: str, path: str) -> Readable:
        """Raises LINK_INVALID, LINK_EXPIRED or FILE_NOT_FOUND."""
        signing.check(self._secret, signature, method=method, path=path, now=self._clock.now())
        if path.startswith("inputs/"):
            return await self._open_input(*path.split("/", 2)[1:])
        return self.past(await self.open_output(path))

    def past(self, file: Readable, *, saved_as: str | None = None) -> Readable:
        """The same file with a link past this server, where the storage gives one; playlists and texts that name pictures are
        always read here, for what they name is found from where they lie. `saved_as` is for a browser that saves it.
        """
        direct, path = self._storage.direct, file.storage_path
        if direct is None or path is None or path.endswith(PLAYLISTS):
            return file
        try:
            return replace(file, link=direct.read_link(path, seconds=DIRECT_S, filename=saved_as))
        except StorageError as error:
            raise as_client_error(error) from error

    async def open_output(self, storage_path: str) -> Readable:
        try:
            found = await self._storage.stat(storage_path)
        except StorageError as error:
            raise as_client_error(error) from error
        filename = storage_path.rsplit("/", 1)[-1]
        return Readable(self._storage.local_path(storage_path), storage_path, found.size, found.modified, filename)

    async def _open_input(self, job_id: str, name: str = SOURCE) -> Readable:
        """What came in for a job: its input by the name `source`, else a file beside it."""
        graph = await self._store.read(lambda tx: tx.graphs([job_id]).get(job_id))
        if graph is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        if name != SOURCE:
            return await self._open_beside(graph.job, name)
        found = graph.job.source
        if found.kind == "storage":
            return await self.open_output(found.path)
        if found.kind == KIND:
            return self._open_object(found)
        if found.kind != "server":
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        try:
            status = await asyncio.to_thread(_look, found.path)
        except OSError:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND) from None
        return Readable(found.path, None, status.st_size, status.st_mtime, found.filename)

    def _open_object(self, source: Source) -> Readable:
        """In a bucket of others, by a link alone: its bytes never come this way."""
        try:
            link = self._buckets.link(source, seconds=DIRECT_S)
        except StorageError as error:
            raise as_client_error(error) from error
        if link is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return Readable(None, None, source.size, 0.0, source.filename, link)

    async def _open_beside(self, job: Job, name: str) -> Readable:
        file = brought_files(job).get(name)
        if file is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return await self.open_output(file.path)

    async def stage(self, signature: str, path: str, blocks: AsyncIterator[bytes]) -> Written:
        """Create-only: what an attempt staged once never changes. Raises FILE_EXISTS, STORAGE_FULL."""
        signing.check(self._secret, signature, method="PUT", path=path, now=self._clock.now())
        try:
            return await self._storage.write(path, blocks, create_only=True)
        except StorageError as error:
            raise as_client_error(error) from error

    async def blocks(self, readable: Readable, start: int, length: int) -> AsyncIterator[bytes]:
        """The bytes, for callers that cannot send the file by its path."""
        if readable.storage_path is not None:
            async for block in await self._storage.read(readable.storage_path, start, length):
                yield block
            return
        assert readable.local_path is not None, "a readable has one of its two paths"  # noqa: S101  # made so above
        with await asyncio.to_thread(open, readable.local_path, "rb") as file:
            await asyncio.to_thread(file.seek, start)
            while length > 0 and (block := await asyncio.to_thread(file.read, min(BLOCK, length))):
                length -= len(block)
                yield block


def _look(path: str) -> os.stat_result:
    """The path was free of links when the job was taken in; one put there since may lead anywhere. Raises OSError."""
    if os.path.realpath(path) != path:
        raise FileNotFoundError(path)
    return os.stat(path)
