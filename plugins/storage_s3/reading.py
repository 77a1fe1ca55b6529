"""The bytes of one file, block by block: of one object, or of the pieces of a file that grows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plugins.storage_s3.faults import told_as
from plugins.storage_s3.objects import BLOCK, Objects
from plugins.storage_s3.threads import Threads
from protocol.storage import NotFound, StorageUnavailable

if TYPE_CHECKING:
    from botocore.response import StreamingBody

RETRIES = 3
"""How often in a row a line that breaks is taken up again where it broke."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """`length` None is up to the end, `etag` None is whatever stands there now."""

    key: str
    start: int
    length: int | None
    etag: str | None = None


class Blocks(AsyncIterator[bytes]):
    """`open` first, in a thread. The line is closed at the end, by `aclose`, or when nobody holds this any more."""

    def __init__(self, threads: Threads, objects: Objects, path: str, stretches: Sequence[Stretch]) -> None:
        self._threads, self._objects, self._path = threads, objects, path
        self._left = [stretch for stretch in stretches if stretch.length != 0]
        self._body: StreamingBody | None = None

    def open(self) -> None:
        """Raises NotFound."""
        if self._left:
            self._connect(self._left[0])

    def _connect(self, now: Stretch) -> StreamingBody | None:
        """None behind the end."""
        try:
            self._body, etag = self._objects.open(now.key, start=now.start, length=now.length, etag=now.etag)
        except EOFError:
            return None
        self._left[0] = replace(now, etag=etag)
        return self._body

    async def __anext__(self) -> bytes:
        block = await self._threads.run(self._next) if self._left else b""
        if not block:
            await self.aclose()
            raise StopAsyncIteration
        return block

    async def aclose(self) -> None:
        self._close()

    def _next(self) -> bytes:
        while self._left:
            if block := self._more():
                self._go_on(len(block))
                return block
            self._close()
            self._left.pop(0)
        return b""

    def _more(self) -> bytes:
        for tries_left in range(RETRIES, -1, -1):
            try:
                return self._read()
            except StorageUnavailable:
                self._close()
                if not tries_left:
                    raise
        return b""

    def _read(self) -> bytes:
        now = self._left[0]
        if now.length == 0:
            return b""
        try:
            body = self._body or self._connect(now)
        except NotFound as gone:
            raise StorageUnavailable(self._path, "it was removed while it was read") from gone
        if body is None:
            return b""
        with told_as(self._path):
            return body.read(BLOCK)

    def _go_on(self, size: int) -> None:
        now = self._left[0]
        self._left[0] = replace(now, start=now.start + size, length=None if now.length is None else now.length - size)

    def _close(self) -> None:
        if self._body is not None:
            with suppress(OSError):
                self._body.close()
            self._body = None

    def __del__(self) -> None:
        self._close()


def stretches_of(pieces: Sequence[tuple[str, int, str]], *, start: int, length: int | None) -> list[Stretch]:
    """Of pieces in their order (key, size, ETag) what lies between `start` and `start + length`."""
    end = start + length if length is not None else sum(size for _, size, _ in pieces)
    found, at = [], 0
    for key, size, etag in pieces:
        first, last = max(start, at), min(end, at + size)
        if first < last:
            found.append(Stretch(key, first - at, last - first, etag))
        at += size
    return found
