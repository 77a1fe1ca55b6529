"""Everything a job published as one ZIP archive, written while it is read: no temporary file, one block in memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dispatch.core import archive
from dispatch.core.archive import Entry, Stored
from dispatch.core.callers import Caller
from dispatch.services.outputs import OutputService, PublishedFile
from protocol.storage import StorageProvider, StorageUnavailable


@dataclass(frozen=True, slots=True)
class Archive:
    """`length` is exact: what is written has as many bytes, or ends in an error."""

    name: str
    length: int
    entries: tuple[tuple[Entry, PublishedFile], ...]


class ArchiveService:
    def __init__(self, outputs: OutputService, storage: StorageProvider) -> None:
        self._outputs, self._storage = outputs, storage

    async def plan(self, who: Caller, job_id: str) -> Archive:
        """Files lie below `<job_id>/` in it. Raises OUTPUTS_NOT_READY or OUTPUTS_PURGED."""
        found = await self._outputs.published(who, job_id)
        entries = tuple((Entry(f"{job_id}/{file.path}", file.size, found.completed_at), file) for file in found.files)
        return Archive(f"{job_id}.zip", archive.length([entry for entry, _ in entries]), entries)

    async def write(self, planned: Archive) -> AsyncIterator[bytes]:
        """Its bytes. Raises StorageError when a file is gone or is not as long as its row says: the archive is broken off."""
        offset = 0
        stored: list[Stored] = []
        for entry, file in planned.entries:
            begins, crc = offset, 0
            head = archive.local_header(entry)
            yield head
            async for block in self._bytes(file):
                crc = await asyncio.to_thread(zlib.crc32, block, crc)  # a block of 1 MiB takes a thread about 1 ms
                yield block
            tail = archive.descriptor(entry, crc)
            yield tail
            stored.append(Stored(entry, begins, crc))
            offset += len(head) + entry.size + len(tail)
        for row in archive.directory(stored, offset):
            yield row

    async def _bytes(self, file: PublishedFile) -> AsyncIterator[bytes]:
        """Never a byte more than announced, and an error for one less."""
        left = file.size
        async for block in await self._storage.read(file.storage_path):
            left -= len(block)
            if left < 0:
                break
            yield block
        if left:
            raise StorageUnavailable(file.storage_path, "is not as long as when it was published")
