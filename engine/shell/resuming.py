"""One large file on its way up: a cut upload goes on from what dispatch says it has, also in another engine process."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.shell.tries import Again, TransferFailed
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import Written

OFFSET, LENGTH, DIGEST, ASKS = "Staged-Offset", "Staged-Length", "Staged-Digest", "*"
BLOCK = 1 << 20
WHOLE = -1
OTHER_BYTES = ReelyardError(ErrorCode.CHECKSUM_MISMATCH).status
MOST_MISMATCHES = 2
"""So often dispatch may say that other bytes came than were sent before the file on our disk is suspected."""


class ResumedUpload:
    """Keeps nothing that a new one could not find out: the offset is dispatch's, the digest that of the file."""

    def __init__(self, session: aiohttp.ClientSession, file: BinaryIO, moved: Callable[[int], None]) -> None:
        self._session, self._file, self._moved = session, file, moved
        self._size = os.fstat(file.fileno()).st_size
        self._digest, self._hashed, self._told = hashlib.sha256(), 0, 0
        self._mismatches = 0

    async def once(self, url: URL, timeout: aiohttp.ClientTimeout) -> Written:
        """One try, from wherever it stands to the end; `url` may be another server's each time.

        Raises Again, TransferFailed or aiohttp's errors.
        """
        at = await self._ask(url, {OFFSET: ASKS}, timeout)
        if at not in (WHOLE, self._size):
            await self._read_to(at)
            await self._send(url, at, timeout)
        await self._read_to(self._size)
        written = Written(self._size, self._digest.hexdigest())
        if at != WHOLE:
            await self._ask(url, {OFFSET: str(self._size), LENGTH: str(self._size), DIGEST: written.sha256}, timeout)
        return written

    async def _ask(self, url: URL, headers: dict[str, str], timeout: aiohttp.ClientTimeout) -> int:
        """How many bytes dispatch has; WHOLE when the file stands under its name: then it is ours, put there before."""
        async with self._session.put(url, headers=headers, timeout=timeout) as response:
            if response.status == HTTPStatus.CONFLICT and OFFSET in headers:
                if await _code(response) == ErrorCode.FILE_EXISTS:
                    return WHOLE
                raise Again("dispatch has another number of bytes")
            self._check(response)
            return int(response.headers.get(OFFSET, "0"))

    async def _send(self, url: URL, at: int, timeout: aiohttp.ClientTimeout) -> None:
        headers = {OFFSET: str(at), "Content-Length": str(self._size - at), "Content-Type": "application/octet-stream"}
        async with self._session.put(url, data=self._blocks(at), headers=headers, timeout=timeout) as response:
            if response.status == HTTPStatus.CONFLICT:
                raise Again("dispatch has another number of bytes")
            self._check(response)
            if int(response.headers.get(OFFSET, "0")) != self._size:
                raise Again("dispatch has not got all bytes")

    async def _blocks(self, at: int) -> AsyncIterator[bytes]:
        while at < self._size:
            block = await asyncio.to_thread(self._read, at)
            if not block:
                raise TransferFailed("the file became shorter while it was sent")
            yield block
            at += len(block)
            self._tell(at)

    async def _read_to(self, at: int) -> None:
        """The digest of what is not sent any more, or not by this process."""
        while self._hashed < at:
            if not await asyncio.to_thread(self._read, self._hashed):
                raise TransferFailed("the file became shorter while it was sent")
        self._tell(at)

    def _read(self, at: int) -> bytes:
        block = os.pread(self._file.fileno(), BLOCK, at)
        if at <= self._hashed < at + len(block):
            self._digest.update(memoryview(block)[self._hashed - at :])
            self._hashed = at + len(block)
        return block

    def _tell(self, at: int) -> None:
        if at > self._told:
            self._moved(at - self._told)
            self._told = at

    def _check(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == OTHER_BYTES:
            self._mismatches += 1
            if self._mismatches < MOST_MISMATCHES:
                raise Again("other bytes came than were sent")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
            *(HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.LOCKED),
        ):
            raise Again(f"answered {status}")
        if status >= HTTPStatus.BAD_REQUEST:
            raise TransferFailed(f"output: answered {status} {response.reason}")


async def _code(response: aiohttp.ClientResponse) -> str:
    try:
        return str((await response.json())["error"]["code"])
    except (ValueError, KeyError, TypeError, aiohttp.ContentTypeError):
        return ""
