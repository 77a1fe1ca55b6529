"""A file that grows, kept as pieces: S3 cannot append. Each piece is an object named by its offset.

The file is the chain of pieces from 0 on; what lies behind a gap does not belong to it. Whoever goes on at an offset first
removes every piece from there on, the last one first, so that a crash between any two calls leaves a file that ends
somewhere, never one with foreign bytes in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial

from plugins.storage_s3.joining import part_size
from plugins.storage_s3.keys import PIECES, piece
from plugins.storage_s3.objects import Made, Object, Objects
from plugins.storage_s3.threads import Threads
from protocol.storage import AlreadyExists, NotFound

FIRST_LARGER = 1000
"""From this many pieces of the smallest size on they are larger."""


def offset_of(key: str) -> int:
    return int(key.rpartition("/")[2])


def chain(pieces: Iterable[Object]) -> list[Object]:
    """Those that follow each other without a gap, from 0."""
    found: list[Object] = []
    end = 0
    for one in sorted(pieces, key=lambda one: offset_of(one.key)):
        if offset_of(one.key) != end:
            break
        found.append(one)
        end += one.size
    return found


def pieces_of(objects: Objects, key: str) -> list[Object]:
    """Every piece there is, in a chain or not, by offset."""
    return sorted(objects.list(f"{key}{PIECES}"), key=lambda one: offset_of(one.key))


class Growing:
    def __init__(self, threads: Threads, objects: Objects, key: str, path: str, made: Made) -> None:
        self._threads, self._objects, self._key, self._path, self._made = threads, objects, key, path, made

    async def append(self, offset: int, blocks: AsyncIterator[bytes], *, piece_bytes: int) -> int:
        """The new size. Less than a piece is held at a time; what came of blocks that fail may be lost, up to a piece."""
        await self._threads.run(partial(self._cut, offset))
        held: list[bytes] = []
        filled = 0
        async for block in blocks:
            held.append(block)
            filled += len(block)
            if filled >= part_size(1 + offset // piece_bytes, first=piece_bytes):
                await self._put(offset, held)
                offset, held, filled = offset + filled, [], 0
        if filled:
            await self._put(offset, held)
        return offset + filled

    async def _put(self, offset: int, held: Sequence[bytes]) -> None:
        put = partial(self._objects.put, create_only=False)
        await self._threads.run(partial(put, piece(self._key, offset), b"".join(held), self._made))

    def _cut(self, offset: int) -> None:
        """The file ends at `offset`. Raises NotFound where it is shorter, AlreadyExists where it is an object already."""
        if offset == 0 and self._objects.find(self._key) is not None:
            raise AlreadyExists(self._path, "the file is whole and never changes")
        pieces = pieces_of(self._objects, self._key)
        size = sum(one.size for one in chain(pieces))
        if offset and not pieces:
            raise NotFound(self._path, "there is no such file")
        if size < offset:
            raise NotFound(self._path, f"only {size} of {offset} bytes are there")
        self._remove([one for one in pieces if offset_of(one.key) >= max(offset, 1)])
        before = [one for one in pieces if offset_of(one.key) < max(offset, 1)]
        if offset == 0:
            self._objects.put(piece(self._key, 0), b"", self._made, create_only=False)
        elif (excess := offset_of(before[-1].key) + before[-1].size - offset) > 0:
            kept = b"".join(self._objects.blocks(before[-1].key, length=before[-1].size - excess, etag=before[-1].etag))
            self._objects.put(before[-1].key, kept, self._made, create_only=False)

    def _remove(self, pieces: Sequence[Object]) -> None:
        for one in reversed(pieces):
            self._objects.delete(one.key)
