"""A stream of unknown length into one object: one PUT while it fits into a part, else in parts that go side by side."""

from __future__ import annotations

import asyncio
import hashlib
from asyncio import Future
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from plugins.storage_s3.joining import part_size
from plugins.storage_s3.objects import Made, Object, Objects
from plugins.storage_s3.parts import InParts
from plugins.storage_s3.proving import Proving
from plugins.storage_s3.threads import Threads, ended
from protocol.storage import StorageError, Written

AT_ONCE = 8
"""Parts of one write under way, besides the one that fills."""


class Writing:
    """`run` once. A failure or a cancel leaves nothing; in the very last call a cancel may come too late, like a lost reply."""

    def __init__(self, threads: Threads, objects: Objects, proving: Proving, key: str, made: Made) -> None:
        self._threads, self._objects, self._proving, self._key, self._made = threads, objects, proving, key, made
        self._parts = InParts(objects, key, made)
        self._digest, self._size, self._number = hashlib.sha256(), 0, 0
        self._running: set[Future[None]] = set()
        self._counting: Future[None] | None = None

    async def run(self, blocks: AsyncIterator[bytes], *, first: int, create_only: bool) -> Written:
        held: list[bytes] = []
        filled = 0
        try:
            async for block in blocks:
                held.append(block)
                filled += len(block)
                if filled >= part_size(self._number + 1, first=first):
                    await self._part(held, create_only=create_only)
                    held, filled = [], 0
            return await self._end(held, create_only=create_only)
        except BaseException:
            for running in (*self._running, *([] if self._counting is None else [self._counting])):
                await ended(running)
            with suppress(StorageError):  # the sweep ends it
                await self._threads.run(self._parts.abort)
            raise

    async def _part(self, held: list[bytes], *, create_only: bool) -> None:
        content = b"".join(held)
        if self._number == 0:
            await self._threads.run(partial(self._begin, create_only=create_only))
        await self._until_under_way(AT_ONCE - 1)
        self._number += 1
        self._running.add(self._threads.start(partial(self._parts.send, self._number, content)))
        await self._counted()
        self._count(content)

    async def _end(self, held: list[bytes], *, create_only: bool) -> Written:
        if self._number == 0:
            content = b"".join(held)
            self._count(content)
            await self._counted()
            written = self._written()
            put = partial(self._objects.put, create_only=create_only, sha256=written.sha256)
            await self._threads.run(partial(put, self._key, content, self._made))
            return written
        if held:
            await self._part(held, create_only=create_only)
        await self._until_under_way(0)
        await self._counted()
        found = await self._threads.run(partial(self._complete, create_only=create_only))
        written = self._written()
        self._proving.remember(found, written.sha256)
        return written

    async def _until_under_way(self, most: int) -> None:
        """Whichever ends first makes room. Raises what one of them raised."""
        while len(self._running) > most:
            ended_ones, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            self._running -= ended_ones
            failures = [failure for one in ended_ones if (failure := one.exception()) is not None]  # all seen, one told
            if failures:
                raise failures[0]

    def _begin(self, *, create_only: bool) -> None:
        """A name that is taken is told before more is sent in vain; the end decides."""
        if create_only:
            self._objects.refuse(self._key)
        self._parts.begin()

    def _complete(self, *, create_only: bool) -> Object:
        self._parts.complete(create_only=create_only)
        return self._objects.expect(self._key, self._size)

    def _count(self, content: bytes) -> None:
        """In a thread, while the part is sent and the next one fills; one after the other, for a digest has an order."""
        self._counting = self._threads.start(partial(self._digest.update, content))
        self._size += len(content)

    async def _counted(self) -> None:
        if self._counting is not None:
            await self._threads.finish(self._counting)
            self._counting = None

    def _written(self) -> Written:
        return Written(self._size, self._digest.hexdigest())
