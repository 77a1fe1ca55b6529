"""The bytes of one file, block by block, each read in a thread."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from plugins.storage_local.threads import in_thread
from plugins.storage_local.tree import Tree, told_as

BLOCK = 1 << 20


class Blocks(AsyncIterator[bytes]):
    """`open` first, in a thread. The file is closed at its end, by `aclose`, or when nobody holds this any more."""

    def __init__(self, tree: Tree, path: str, *, start: int, length: int | None) -> None:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"{path}: a range begins at 0 or later and is never negative")
        self._tree, self._path = tree, path
        self._at, self._left = start, length
        self._descriptor: int | None = None

    def open(self, names: tuple[str, ...]) -> None:
        self._descriptor = self._tree.open_file(self._path, names)

    async def __anext__(self) -> bytes:
        block = await in_thread(self._next) if self._descriptor is not None else b""
        if not block:
            await self.aclose()
            raise StopAsyncIteration
        return block

    async def aclose(self) -> None:
        self._close()

    def _next(self) -> bytes:
        if self._descriptor is None:
            return b""
        wanted = BLOCK if self._left is None else min(BLOCK, self._left)
        with told_as(self._path):
            block = os.pread(self._descriptor, wanted, self._at)
        self._at += len(block)
        if self._left is not None:
            self._left -= len(block)
        return block

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self._close()
