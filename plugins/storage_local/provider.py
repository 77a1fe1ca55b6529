"""`LocalStorage`: the storage interface over a directory. It only puts the blocking parts into threads, in their order."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from plugins.storage_local.growing import Gathering, Growing
from plugins.storage_local.linking import Linking
from plugins.storage_local.paths import components
from plugins.storage_local.promotion import Promotion
from plugins.storage_local.reading import Blocks
from plugins.storage_local.threads import in_thread, pump
from plugins.storage_local.tree import Tree, sweep, told_as, walk
from plugins.storage_local.writing import Incoming
from protocol.storage import DirectAccess, NotFound, Promoted, Space, Stat, Written

PROBE = "probe"


def _unique() -> str:
    return secrets.token_hex(8)


class LocalStorage:
    """A directory that exists already. `unique` names unfinished files, never twice the same."""

    direct: DirectAccess | None = None

    def __init__(self, root: str, *, unique: Callable[[], str] = _unique) -> None:
        self._root = os.path.realpath(root)
        self._tree = Tree(self._root)
        self._unique = unique

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        blocks = Blocks(self._tree, path, start=start, length=length)
        await in_thread(partial(blocks.open, components(path)))
        return blocks

    async def write(self, path: str, blocks: AsyncIterator[bytes], *, create_only: bool = True) -> Written:
        """A cancel or a failure leaves nothing; a cancel in the very last step may come too late, like a lost reply."""
        incoming = Incoming(self._tree, path, unique=self._unique())
        try:
            await in_thread(incoming.open_new if create_only else incoming.open)
            await pump(blocks, incoming.append, incoming.count)
            written = await in_thread(incoming.seal)
            await in_thread(incoming.commit_new if create_only else incoming.commit_over)
        except BaseException:
            await in_thread(incoming.discard)
            raise
        return written

    async def stat(self, path: str) -> Stat:
        return await in_thread(partial(self._stat, path))

    async def delete(self, path: str) -> None:
        await in_thread(partial(self._tree.remove, path, components(path)))

    async def list(self, prefix: str) -> Sequence[Stat]:
        """Every file at or below `prefix` (whole names: `a` is not a prefix of `ab`; empty for all), by path."""
        return await in_thread(partial(self._list, prefix))

    def local_path(self, path: str) -> str | None:
        """None as well when no such file is here, or a link is in the way: `read` then tells why."""
        whole = os.path.join(self._root, *components(path))
        return whole if os.path.isfile(whole) and os.path.realpath(whole) == whole else None

    async def space(self) -> Space:
        return await in_thread(self._space)

    async def probe(self) -> None:
        await in_thread(self._probe)

    async def link(self, staged: str, target: str, *, size: int, sha256: str) -> None:
        linking = Linking(self._tree, Promoted(staged, target, size, sha256), unique=self._unique())
        await in_thread(linking.run)

    async def append(self, path: str, offset: int, blocks: AsyncIterator[bytes]) -> int:
        """One block is held at a time: many uploads run at once, and each is as slow as its line."""
        growing = Growing(self._tree, path, offset=offset)
        try:
            await in_thread(growing.open)
            async for block in blocks:
                await in_thread(partial(growing.append, block))
            return await in_thread(growing.seal)
        finally:
            growing.close()

    async def concatenate(self, sources: Sequence[str], target: str) -> int:
        gathering = Gathering(self._tree, sources, target, unique=self._unique())
        try:
            await in_thread(gathering.begin)
            while not await in_thread(gathering.step):
                pass
            return await in_thread(gathering.publish)
        finally:
            await in_thread(gathering.close)

    async def promote(self, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> None:
        promotion = Promotion(self._tree, target, work, files, extra, unique=self._unique())
        if await in_thread(promotion.is_published):
            await in_thread(promotion.clear)
            return
        try:
            await in_thread(promotion.begin)
            for file in files:
                await in_thread(partial(promotion.take, file))
            await in_thread(promotion.publish)
        except BaseException:
            await in_thread(promotion.abandon)
            raise

    async def sweep_temporary(self, *, older_than_s: float, now: float) -> int:
        """Remove unfinished files that a crash left, not written to for `older_than_s`; how many. `now`: Unix time."""
        return await in_thread(partial(self._sweep, now - older_than_s))

    def _stat(self, path: str) -> Stat:
        with self._tree.file(path, components(path)) as descriptor, told_as(path):
            found = os.fstat(descriptor)
        return Stat(path, found.st_size, found.st_mtime)

    def _list(self, prefix: str) -> Sequence[Stat]:
        names = components(prefix) if prefix else ()
        try:
            with self._tree.directory(prefix, names) as below, told_as(prefix):
                found = [replace(file, path="/".join((*names, file.path))) for file in walk(below)]
        except NotFound:
            return self._list_one(prefix)
        return sorted(found, key=lambda file: file.path)

    def _list_one(self, path: str) -> Sequence[Stat]:
        try:
            return [self._stat(path)]
        except NotFound:
            return []

    def _space(self) -> Space:
        with self._tree.root(".") as root, told_as("."):
            found = os.fstatvfs(root)
        return Space(free=found.f_bavail * found.f_frsize, total=found.f_blocks * found.f_frsize)

    def _probe(self) -> None:
        probe = Incoming(self._tree, PROBE, unique=self._unique())
        try:
            probe.open()
            probe.append([bytes(4096)])
            probe.seal()
        finally:
            probe.discard()

    def _sweep(self, before: float) -> int:
        with self._tree.root(".") as root, told_as("."):
            return sweep(root, before=before)
