"""A second, lasting name for a staged file: a copy of proven bytes, create-only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from plugins.storage_s3.growing import chain, pieces_of
from plugins.storage_s3.objects import DIGEST, Made, Object
from plugins.storage_s3.promotion import Tools
from protocol.storage import AlreadyExists, NotFound, Promoted, StagedFileLost


class Linking:
    """`file.path` is the target; `run` may be repeated after a crash at any point."""

    def __init__(self, tools: Tools, file: Promoted, *, write: str) -> None:
        self._tools, self._file, self._write = tools, file, write
        self._staged, self._target = tools.keys.of(file.staged), tools.keys.of(file.path)

    async def run(self) -> None:
        if await self._stands():
            return
        sources = await self._tools.threads.run(self._sources)
        await self._check(sources)
        made = Made(self._write, {DIGEST: self._file.sha256})
        try:
            await self._tools.copying.join(sources, self._target, made)
        except NotFound as error:
            raise StagedFileLost(self._file.staged, "it was replaced while it was copied") from error
        except AlreadyExists:
            if not await self._stands():
                raise
        else:
            await self._note(sources)

    async def _note(self, sources: Sequence[Object]) -> None:
        """What the storage cannot vouch for need not be read once more when the job is published."""
        if len(sources) > 1 or sources[0].sha256 is None:
            found = await self._tools.threads.run(partial(self._tools.objects.expect, self._target, self._file.size))
            self._tools.proving.remember(found, self._file.sha256)

    async def _stands(self) -> bool:
        """Whether the target holds these bytes. Raises AlreadyExists when it holds others."""
        found = await self._tools.threads.run(self._look)
        if found is None:
            return False
        if not await self._tools.proving.is_copy(found, size=self._file.size, sha256=self._file.sha256):
            raise AlreadyExists(self._file.path, "other bytes have this name")
        return True

    def _look(self) -> Object | None:
        found = self._tools.objects.find(self._target)
        if found is None and any(self._tools.objects.list(f"{self._target}/", most=1)):
            raise AlreadyExists(self._file.path, "it is not a file")
        return found

    def _sources(self) -> Sequence[Object]:
        found = self._tools.objects.find(self._staged)
        return [found] if found is not None else chain(pieces_of(self._tools.objects, self._staged))

    async def _check(self, sources: Sequence[Object]) -> None:
        if not sources:
            raise StagedFileLost(self._file.staged, "the staged file is missing")
        size = sum(one.size for one in sources)
        if size != self._file.size or await self._digest(sources) != self._file.sha256:
            raise StagedFileLost(self._file.staged, "its size or digest is not what was reported")

    async def _digest(self, sources: Sequence[Object]) -> str:
        told = sources[0].sha256 if len(sources) == 1 else None
        return told or await self._tools.proving.digest(sources)
