"""Whether an object holds the bytes that it should. Nothing is published on anybody's word but the storage's own.

The storage's word is the SHA-256 of the whole object that it checked against the bytes when they came in one PUT; of objects
put in parts it has none, so their bytes are read here, unless this process itself has hashed them and their ETag is still the
same. What was proven is noted in the metadata of the copy that is made; only copies, whose names are never given out for
writing, are believed by that note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice

from plugins.storage_s3.objects import BLOCK, DIGEST, Object, Objects
from plugins.storage_s3.settings import MIB
from plugins.storage_s3.threads import Threads

STEP = 64 * MIB
"""Bytes hashed in one call, so that a cancel is felt within a second."""


MOST_KNOWN = 10_000
"""Objects whose digests are remembered, the newest."""


class Proving:
    def __init__(self, threads: Threads, objects: Objects) -> None:
        self._threads, self._objects = threads, objects
        self._known: dict[tuple[str, str], str] = {}

    def remember(self, found: Object, sha256: str) -> None:
        """This process has hashed these bytes, when it sent or when it read them."""
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[found.key, found.etag] = sha256

    async def holds(self, found: Object, *, size: int, sha256: str) -> bool:
        """Of something that anybody may have written."""
        if found.size != size:
            return False
        told = found.sha256 or self._known.get((found.key, found.etag))
        if told is None:
            told = await self.digest([found])
            self.remember(found, told)
        return told == sha256

    async def is_copy(self, found: Object, *, size: int, sha256: str) -> bool:
        """Of something that only this storage writes: what it noted is enough."""
        if found.size == size and found.metadata.get(DIGEST) == sha256:
            return True
        return await self.holds(found, size=size, sha256=sha256)

    async def digest(self, found: Sequence[Object]) -> str:
        """Of the bytes of these objects, one after the other, as they were seen (by ETag); every byte is read."""
        blocks = chain.from_iterable(self._objects.blocks(one.key, etag=one.etag) for one in found)
        digest = hashlib.sha256()

        def some(left: Iterator[bytes]) -> bool:
            had = False
            for block in islice(left, STEP // BLOCK):
                digest.update(block)
                had = True
            return had

        while await self._threads.run(partial(some, blocks)):
            pass
        return digest.hexdigest()
