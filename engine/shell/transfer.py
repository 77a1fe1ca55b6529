"""Bytes between dispatch and the scratch disk: inputs come by ranges and are resumed, outputs go up once each."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.ports import Clock
from engine.shell.download import Download, check_answer, is_complete
from engine.shell.resuming import ResumedUpload
from engine.shell.scratch import watching_for_space
from engine.shell.tries import Again, Tries
from protocol.leases import InputAccess
from protocol.storage import Written

BLOCK = 1 << 20
PATIENCE_S = 900.0
"""Seconds without a single byte before a transfer is given up: longer than the longest restart of dispatch (5 min)."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
RESUMED_BYTES = 16 << 20
"""Larger files go up in a way that a cut upload goes on from; for smaller ones that would be a request more each."""

Moved = Callable[[int], None]
"""Told the number of bytes of each block that went through."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """`server` is what links without a host are relative to."""

    session: aiohttp.ClientSession
    server: str
    clock: Clock
    chance: Callable[[], float]
    patience_s: float = PATIENCE_S

    async def fetch(self, access: InputAccess, target: Path) -> None:
        """The whole input in `target`, checked for its size and its digest where dispatch knows one.

        A file of this name is complete: what is not has another, and is gone on with. Raises TransferFailed or ScratchFull.
        """
        if is_complete(target, access):
            return
        tries, download = self._tries(), Download(self.session, self.url_of(access.url), access, target)
        with watching_for_space(), download.open() as file:
            while True:
                try:
                    await download.once(file, tries, TIMEOUT)
                    break
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    await tries.pause(f"input {access.filename}", str(reason))
        with watching_for_space():
            await download.finish()

    async def stage(self, staging_url: str, path: str, source: Path, moved: Moved) -> Written:
        """Put one file below the signed prefix. Raises TransferFailed.

        A file that exists already is one we put there in a try whose answer was lost: the prefix holds our token.
        """
        tries = self._tries()

        def alive(count: int) -> None:
            tries.moved()
            moved(count)

        url = self.url_of(f"{staging_url.rstrip('/')}/{path}")
        with source.open("rb") as file:
            is_large = os.fstat(file.fileno()).st_size > RESUMED_BYTES
            upload = (ResumedUpload if is_large else _OneRequest)(self.session, url, file, alive)
            while True:
                try:
                    return await upload.once(TIMEOUT)
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    await tries.pause(f"output {path}", str(reason))

    def _tries(self) -> Tries:
        return Tries(self.clock, self.chance, self.patience_s)

    def url_of(self, link: str) -> URL:
        return URL(self.server).join(URL(link, encoded=True))


@dataclass(frozen=True, slots=True)
class _OneRequest:
    """A file so small that a cut try is simply made again."""

    session: aiohttp.ClientSession
    url: URL
    file: BufferedReader
    moved: Moved

    async def once(self, timeout: aiohttp.ClientTimeout) -> Written:
        file, digest = self.file, hashlib.sha256()
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        body = _blocks(file, digest.update, self.moved)
        async with self.session.put(self.url, data=body, headers=headers, timeout=timeout) as response:
            if response.status == HTTPStatus.CONFLICT:
                return await asyncio.to_thread(_measured, file)
            check_answer(response, "output")
        if file.tell() != size:
            raise Again(f"answered {response.status} after {file.tell()} of {size} bytes")
        return Written(size, digest.hexdigest())


def _measured(file: BufferedReader) -> Written:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")
    return Written(file.tell(), digest.hexdigest())


async def _blocks(file: BinaryIO, digest: Callable[[bytes], None], moved: Moved) -> AsyncIterator[bytes]:
    def read() -> bytes:
        block = file.read(BLOCK)
        digest(block)
        return block

    while block := await asyncio.to_thread(read):
        yield block
        moved(len(block))
