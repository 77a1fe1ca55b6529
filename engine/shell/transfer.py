"""Bytes between dispatch and the scratch disk: inputs come by ranges and are resumed, outputs go up once each."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.ports import Clock
from engine.shell.scratch import watching_for_space
from engine.shell.tries import Again, TransferFailed, Tries
from protocol.leases import InputAccess
from protocol.storage import Written

BLOCK = 1 << 20
PATIENCE_S = 900.0
"""Seconds without a single byte before a transfer is given up: longer than the longest restart of dispatch (5 min)."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

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
        """The whole input in `target`, checked for its size. Raises TransferFailed or ScratchFull."""
        tries = self._tries()
        with watching_for_space(), target.open("wb") as file:
            while file.tell() < access.size:
                try:
                    await self._fetch_rest(access, file, tries)
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    await tries.pause(f"input {access.filename}", str(reason))

    async def _fetch_rest(self, access: InputAccess, file: BinaryIO, tries: Tries) -> None:
        begin = file.tell()
        headers = {"Range": f"bytes={begin}-", "Accept-Encoding": "identity"}
        async with self.session.get(self._url(access.url), headers=headers, timeout=TIMEOUT) as response:
            _check(response, f"input {access.filename}")
            if response.status == HTTPStatus.OK and begin:
                file.seek(0)
                file.truncate()
            async for block in response.content.iter_chunked(BLOCK):
                if file.tell() + len(block) > access.size:
                    raise TransferFailed(f"input {access.filename}: longer than the {access.size} bytes announced")
                await asyncio.to_thread(file.write, block)
                tries.moved()
        if file.tell() < access.size:
            raise Again(f"ended after {file.tell()} of {access.size} bytes")

    async def stage(self, staging_url: str, path: str, source: Path, moved: Moved) -> Written:
        """Put one file below the signed prefix. Raises TransferFailed.

        A file that exists already is one we put there in a try whose answer was lost: the prefix holds our token.
        """
        tries = self._tries()

        def alive(count: int) -> None:
            tries.moved()
            moved(count)

        while True:
            try:
                return await self._put(f"{staging_url.rstrip('/')}/{path}", source, alive)
            except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                await tries.pause(f"output {path}", str(reason))

    async def _put(self, url: str, source: Path, moved: Moved) -> Written:
        with source.open("rb") as file:
            size, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            body = _blocks(file, digest.update, moved)
            async with self.session.put(self._url(url), data=body, headers=headers, timeout=TIMEOUT) as response:
                if response.status == HTTPStatus.CONFLICT:
                    return await asyncio.to_thread(_measured, source)
                _check(response, source.name)
            if file.tell() != size:
                raise Again(f"answered {response.status} after {file.tell()} of {size} bytes")
        return Written(size, digest.hexdigest())

    def _tries(self) -> Tries:
        return Tries(self.clock, self.chance, self.patience_s)

    def _url(self, link: str) -> URL:
        return URL(self.server).join(URL(link, encoded=True))


def _measured(source: Path) -> Written:
    with source.open("rb") as file:
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


def _check(response: aiohttp.ClientResponse, what: str) -> None:
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in LATER:
        raise Again(f"answered {response.status}")
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise TransferFailed(f"{what}: answered {response.status} {response.reason}")
