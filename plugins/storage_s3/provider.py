"""`S3Storage`: the storage interface over a bucket. It checks paths, and puts the blocking parts into threads in their order."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from plugins.storage_s3.copying import Copying
from plugins.storage_s3.direct import S3Direct
from plugins.storage_s3.growing import Growing, chain, pieces_of
from plugins.storage_s3.keys import PROBE, Keys
from plugins.storage_s3.linking import Linking
from plugins.storage_s3.listing import Listing
from plugins.storage_s3.objects import Made, Object, Objects
from plugins.storage_s3.probing import Probing
from plugins.storage_s3.promotion import Promotion, Tools
from plugins.storage_s3.proving import Proving
from plugins.storage_s3.reading import Blocks, Stretch, stretches_of
from plugins.storage_s3.settings import S3Settings
from plugins.storage_s3.threads import Threads
from plugins.storage_s3.trial import Trial, Unfit
from plugins.storage_s3.writing import Writing
from protocol.storage import DirectAccess, NotFound, Promoted, Space, Stat, StorageUnavailable, Written

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PLENTY = 1 << 60
"""S3 tells no free space, and runs out of none that could be seen coming."""


def _unique() -> str:
    return secrets.token_hex(8)


class S3Storage:
    """A bucket that exists already. `signer` only signs links. `unique` names each try of a write, never twice the same.

    Nothing is written before the server has shown, once, that it honours create-only.
    """

    def __init__(self, client: S3Client, signer: S3Client, settings: S3Settings, *, unique: Callable[[], str] = _unique) -> None:
        self._settings, self._unique = settings, unique
        self._keys = Keys(settings.prefix)
        self._threads = Threads(settings.connections)
        self._objects = Objects(client, settings.bucket, self._keys)
        self._copying = Copying(self._threads, self._objects, copy_bytes=settings.copy_bytes)
        self._proving = Proving(self._threads, self._objects)
        self._listing = Listing(self._objects, self._keys)
        self._direct = S3Direct(signer, self._objects, self._threads, self._keys, settings, unique)
        self._probing = Probing(self._probe)
        self._is_tried = False

    @property
    def direct(self) -> DirectAccess | None:
        return self._direct if self._settings.direct else None

    def try_out(self) -> None:
        """Blocking. Find out what this server keeps. Raises Unfit where it is too little, and StorageUnavailable."""
        Trial(self._objects, self._keys, unique=self._unique()).run()
        self._is_tried = True

    def close(self) -> None:
        """The threads; nothing may be under way any more. The clients are whose who made them."""
        self._probing.close()
        self._threads.close()

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"{path}: a range begins at 0 or later and is never negative")
        key = self._keys.of(path)
        if length == 0:
            await self.stat(path)
        blocks = Blocks(self._threads, self._objects, path, [Stretch(key, start, length)])
        try:
            await self._threads.run(blocks.open)
        except NotFound:
            pieces = await self._pieces(path)
            found = stretches_of([(one.key, one.size, one.etag) for one in pieces], start=start, length=length)
            return Blocks(self._threads, self._objects, path, found)
        return blocks

    async def write(self, path: str, blocks: AsyncIterator[bytes], *, create_only: bool = True) -> Written:
        """A cancel or a failure leaves nothing; a cancel in the very last call may come too late, like a lost reply."""
        key = self._keys.of(path)
        await self._try_once()
        writing = Writing(self._threads, self._objects, self._proving, key, self._made())
        return await writing.run(blocks, first=self._settings.part_bytes, create_only=create_only)

    async def stat(self, path: str) -> Stat:
        found = await self._sources(path)
        return Stat(path, sum(one.size for one in found), found[-1].modified)

    async def delete(self, path: str) -> None:
        await self._threads.run(partial(self._listing.delete, path))

    async def list(self, prefix: str) -> Sequence[Stat]:
        """Every file at or below `prefix` (whole names: `a` is not a prefix of `ab`; empty for all), by path."""
        return await self._threads.run(partial(self._listing.below, prefix))

    def local_path(self, path: str) -> str | None:
        self._keys.of(path)
        return None

    async def space(self) -> Space:
        return Space(free=PLENTY, total=PLENTY)

    async def probe(self) -> None:
        await self._probing.run()

    async def link(self, staged: str, target: str, *, size: int, sha256: str) -> None:
        """Always a copy: objects have one name."""
        linking = Linking(self._tools(), Promoted(staged, target, size, sha256), write=self._unique())
        await self._try_once()
        await linking.run()

    async def append(self, path: str, offset: int, blocks: AsyncIterator[bytes]) -> int:
        if offset < 0:
            raise ValueError(f"{path}: a file begins at 0")
        growing = Growing(self._threads, self._objects, self._keys.of(path), path, self._made())
        await self._try_once()
        return await growing.append(offset, blocks, piece_bytes=self._settings.part_bytes)

    async def concatenate(self, sources: Sequence[str], target: str) -> int:
        """Copied inside the storage, but for pieces below 5 MiB, which are read and sent again."""
        if not sources:
            raise ValueError(f"{target}: of no file nothing can be made")
        key = self._keys.of(target)
        for source in sources:
            self._keys.of(source)
        await self._try_once()
        await self._threads.run(partial(self._objects.refuse, key))
        parts = [one for source in sources for one in await self._sources(source)]
        return await self._copying.join(parts, key, self._made())

    async def promote(self, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> None:
        """`work` is only cleared: copies go to their places at once, and the committed row alone leads readers there."""
        promotion = Promotion(self._tools(), target, work, files, extra, write=self._unique())
        await self._try_once()
        await promotion.run()
        await self.delete(work)

    async def sweep_temporary(self, *, older_than_s: float, now: float) -> int:
        """End writes in parts that were begun before then, whoever began them; how many. `now`: Unix time."""
        return await self._threads.run(partial(self._listing.sweep, before=now - older_than_s))

    async def _try_once(self) -> None:
        """For a server that was away at the start."""
        if not self._is_tried:
            await self._threads.run(self._try_now)

    def _try_now(self) -> None:
        if self._is_tried:
            return
        try:
            self.try_out()
        except Unfit as unfit:
            raise StorageUnavailable(".", str(unfit)) from unfit

    async def _sources(self, path: str) -> Sequence[Object]:
        """The object, or the pieces of a file that grows. Raises NotFound."""
        found = await self._threads.run(partial(self._objects.find, self._keys.of(path)))
        return [found] if found is not None else await self._pieces(path)

    async def _pieces(self, path: str) -> Sequence[Object]:
        pieces = chain(await self._threads.run(partial(pieces_of, self._objects, self._keys.of(path))))
        if not pieces:
            raise NotFound(path, "there is no such file")
        return pieces

    def _probe(self) -> None:
        self._try_now()
        key = self._keys.own(PROBE)
        self._objects.put(key, bytes(4096), self._made(), create_only=False)
        self._objects.delete(key)

    def _made(self) -> Made:
        return Made(self._unique())

    def _tools(self) -> Tools:
        return Tools(self._threads, self._objects, self._keys, self._copying, self._proving)
