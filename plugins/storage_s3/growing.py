"""A file that grows, kept as pieces: S3 cannot append. Each piece is an object named by its offset.

The file is the chain of pieces from 0 on; what lies behind a gap, or begins within another piece, does not belong to it.
Whoever goes on at an offset first removes every piece from there on, the last one first, so that a crash between any two
calls leaves a file that ends somewhere, never one with foreign bytes in it. A piece is never put over another one: a call
of somebody who was thought to be gone, and that comes late, changes nothing that was put meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial

from plugins.storage_s3.joining import part_size
from plugins.storage_s3.keys import BEGUN, PIECES, piece
from plugins.storage_s3.objects import Made, Object, Objects
from plugins.storage_s3.threads import Threads
from protocol.storage import AlreadyExists, NotFound, StorageUnavailable


def offset_of(one: Object) -> int:
    """`begun` is the file without any byte."""
    name = one.key.rpartition("/")[2]
    return 0 if name == BEGUN else int(name)


def chain(pieces: Iterable[Object]) -> list[Object]:
    """Those that follow each other without a gap, from 0; of a file without any byte its mark alone."""
    ordered = sorted(pieces, key=lambda one: (offset_of(one), one.size))
    found: list[Object] = []
    end = 0
    for one in ordered:
        if one.size and offset_of(one) == end:
            found.append(one)
            end += one.size
    return found or [one for one in ordered if not one.size]


def pieces_of(objects: Objects, key: str) -> list[Object]:
    """Every piece there is, in a chain or not, by offset."""
    return sorted(objects.list(f"{key}{PIECES}"), key=lambda one: (offset_of(one), one.size))


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
        put = partial(self._objects.put, create_only=True)
        try:
            await self._threads.run(partial(put, piece(self._key, offset), b"".join(held), self._made))
        except AlreadyExists as late:
            raise StorageUnavailable(self._path, "another call goes on with the file at the same place") from late

    def _cut(self, offset: int) -> None:
        """The file ends at `offset`. Raises NotFound where it is shorter, AlreadyExists where it is an object already."""
        if offset == 0 and self._objects.find(self._key) is not None:
            raise AlreadyExists(self._path, "the file is whole and never changes")
        pieces = pieces_of(self._objects, self._key)
        if offset and not pieces:
            raise NotFound(self._path, "there is no such file")
        if (size := sum(one.size for one in chain(pieces))) < offset:
            raise NotFound(self._path, f"only {size} of {offset} bytes are there")
        for one in reversed(pieces):
            if one.size and offset_of(one) >= offset:
                self._objects.delete(one.key)
        if offset == 0:
            self._objects.put(f"{self._key}{PIECES}{BEGUN}", b"", self._made, create_only=False)
        else:
            self._shorten([one for one in pieces if offset_of(one) < offset], offset)

    def _shorten(self, pieces: Sequence[Object], offset: int) -> None:
        """Of the piece that reaches beyond `offset` only its beginning stays."""
        last = chain(pieces)[-1]
        if (kept := offset - offset_of(last)) < last.size:
            content = b"".join(self._objects.blocks(last.key, length=kept, etag=last.etag))
            self._objects.put(last.key, content, self._made, create_only=False)
