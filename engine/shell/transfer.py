"""Bytes between dispatch and the scratch disk: inputs come by ranges and are resumed, outputs go up once each."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.core.servers import Servers
from engine.ports import Clock
from engine.shell.download import Download, check_answer, check_version, is_complete
from engine.shell.resuming import ResumedUpload
from engine.shell.scratch import watching_for_space
from engine.shell.tries import Again, TransferFailed, Tries, worded
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


@dataclass(slots=True)
class Pace:
    """How fast inputs came in this run of the engine, in the mean over all bytes."""

    size: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float | None:
        """Bytes a second; None before anything worth measuring came."""
        return self.size / self.seconds if self.size >= BLOCK and self.seconds > 0 else None

    def note(self, size: int, seconds: float) -> None:
        self.size, self.seconds = self.size + size, self.seconds + seconds


@dataclass(frozen=True, slots=True)
class Transfer:
    """Links without a host are relative to whichever of `servers` lets bytes through: each of them has all files."""

    session: aiohttp.ClientSession
    servers: Servers
    clock: Clock
    chance: Callable[[], float]
    patience_s: float = PATIENCE_S
    pace: Pace = field(default_factory=Pace)

    async def fetch(self, access: InputAccess, target: Path) -> None:
        """The whole input in `target`, checked for its size and its digest where dispatch knows one.

        A file of this name is complete: what is not has another, and is gone on with. Raises TransferFailed or ScratchFull.
        """
        if is_complete(target, access):
            return
        began = self.clock.now()
        tries, download = self.new_tries(), Download(self.session, access, target)
        with watching_for_space(), download.open() as file:
            while True:
                server = self.servers.for_files
                try:
                    await download.once(self.url_of(access.url), file, tries, TIMEOUT)
                    break
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    self.servers.missed(server)
                    await tries.pause(f"input {access.filename}", worded(reason))
        with watching_for_space():
            await download.finish()
        self.pace.note(access.size, self.clock.now() - began)

    async def blocks(self, access: InputAccess, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to `end`, gone on with after a cut, no faster than they are taken.

        Raises TransferFailed also when the file changes meanwhile, or the server gives no ranges, and InputFailed for an
        object of a bucket that is not the one submitted.
        """
        at, version, tries, what = start, None, self.new_tries(), f"input {access.filename}"
        while at < end:
            headers, server = {"Range": f"bytes={at}-{end - 1}", "Accept-Encoding": "identity"}, self.servers.for_files
            try:
                url = self.url_of(access.url)
                async with self.session.get(url, headers=headers, timeout=TIMEOUT, auto_decompress=False) as response:
                    check_version(response, access)
                    check_answer(response, what)
                    if response.status != HTTPStatus.PARTIAL_CONTENT and at > 0:
                        raise TransferFailed(f"{what}: answered {response.status} where a range was asked for")
                    told = response.headers.get("ETag", "")
                    if version not in (None, told):
                        raise TransferFailed(f"{what}: it changed while it was read")
                    version = told
                    async for block in response.content.iter_chunked(BLOCK):
                        block = block[: end - at]
                        at += len(block)
                        tries.moved()
                        yield block
                        if at == end:
                            return
                if at < end:
                    raise Again(f"ended before byte {at} of {end}")
            except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                self.servers.missed(server)
                await tries.pause(what, worded(reason))

    async def stage(self, staging_url: str, path: str, source: Path, moved: Moved) -> Written:
        """Put one file below the signed prefix. Raises TransferFailed.

        A file that exists already is one we put there in a try whose answer was lost: the prefix holds our token.
        """
        tries = self.new_tries()

        def alive(count: int) -> None:
            tries.moved()
            moved(count)

        link = f"{staging_url.rstrip('/')}/{path}"
        with source.open("rb") as file:
            is_large = os.fstat(file.fileno()).st_size > RESUMED_BYTES
            upload = (ResumedUpload if is_large else _OneRequest)(self.session, file, alive)
            while True:
                server = self.servers.for_files
                try:
                    return await upload.once(self.url_of(link), TIMEOUT)
                except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                    self.servers.missed(server)
                    await tries.pause(f"output {path}", worded(reason))

    async def put(self, prefix_url: str, path: str, content: bytes) -> None:
        """A small file that replaces what stood there, as the playlists of a stream do. Raises TransferFailed."""
        tries, link = self.new_tries(), f"{prefix_url.rstrip('/')}/{path}"
        while True:
            server = self.servers.for_files
            try:
                async with self.session.put(self.url_of(link), data=content, timeout=TIMEOUT) as response:
                    check_answer(response, f"output {path}")
                    return
            except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                self.servers.missed(server)
                await tries.pause(f"output {path}", worded(reason))

    def new_tries(self) -> Tries:
        return Tries(self.clock, self.chance, self.patience_s)

    def url_of(self, link: str) -> URL:
        return URL(self.servers.for_files).join(URL(link, encoded=True))


@dataclass(frozen=True, slots=True)
class _OneRequest:
    """A file so small that a cut try is simply made again."""

    session: aiohttp.ClientSession
    file: BufferedReader
    moved: Moved

    async def once(self, url: URL, timeout: aiohttp.ClientTimeout) -> Written:
        file, digest = self.file, hashlib.sha256()
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        body = _blocks(file, digest.update, self.moved)
        async with self.session.put(url, data=body, headers=headers, timeout=timeout) as response:
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
