"""Objects become one object inside the storage: create-only, of exactly the bytes that were looked at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from plugins.storage_s3.joining import Copied, Part, Sent, parts_of
from plugins.storage_s3.objects import Made, Object, Objects
from plugins.storage_s3.parts import InParts
from plugins.storage_s3.settings import MIB, MOST_PARTS, SMALLEST_PART
from plugins.storage_s3.threads import Threads, each
from protocol.storage import StorageError

AT_ONCE = 8
LARGEST_COPIED = 64 * MIB
"""A part that is copied: parts go side by side, so smaller ones than S3 allows are sooner done."""

ROOM = MOST_PARTS - 1000
"""Parts that are planned at most; the beginnings of long pieces may add some."""


class Copying:
    def __init__(self, threads: Threads, objects: Objects, *, copy_bytes: int) -> None:
        self._threads, self._objects, self._copy_bytes = threads, objects, copy_bytes

    async def join(self, sources: Sequence[Object], key: str, made: Made) -> int:
        """The size. Raises AlreadyExists, and NotFound when a source is not what it was."""
        size = sum(source.size for source in sources)
        if size == 0:
            await self._threads.run(partial(self._objects.put, key, b"", made, create_only=True))
        elif len(sources) == 1 and size <= self._copy_bytes and self._objects.copies_new:
            await self._threads.run(partial(self._objects.copy, sources[0], key, made))
        else:
            await self._in_parts(sources, key, made, size)
        return size

    async def _in_parts(self, sources: Sequence[Object], key: str, made: Made, size: int) -> None:
        smallest = max(SMALLEST_PART, -(-size // ROOM))
        largest = max(smallest, min(LARGEST_COPIED, self._copy_bytes), -(-size // ROOM))
        planned = parts_of([source.size for source in sources], smallest=smallest, largest=largest)
        joined = InParts(self._objects, key, made)

        async def make(numbered: tuple[int, Part]) -> None:
            await self._threads.run(partial(self._make, joined, sources, *numbered))

        try:
            await self._threads.run(joined.begin)
            await each(enumerate(planned, start=1), make, at_once=AT_ONCE)
            await self._threads.run(joined.complete)
            await self._threads.run(partial(self._objects.expect, key, size))
        except BaseException:
            with suppress(StorageError):  # the sweep ends it
                await self._threads.run(joined.abort)
            raise

    def _make(self, joined: InParts, sources: Sequence[Object], number: int, part: Part) -> None:
        match part:
            case Copied(span):
                joined.copy(number, sources[span.piece], (span.first, span.size))
            case Sent(spans):
                content = bytearray()
                for span in spans:
                    source = sources[span.piece]
                    for block in self._objects.blocks(source.key, start=span.first, length=span.size, etag=source.etag):
                        content += block
                joined.send(number, bytes(content))
