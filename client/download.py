"""Fetching files: beside their place first, on from where a connection broke, renamed once they are whole and checked."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from client.errors import ClientCode, ClientError, Unreadable
from client.patience import Patience
from client.transport import Call, Transport, refusal
from protocol.base import RelativePath
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import OutputLink

BLOCK = 1 << 20
PARTIAL_CONTENT, OK = 206, 200
REDIRECTS = frozenset({302, 303, 307})
"""To where the storage itself gives the bytes: followed once, without the key, which is for the server alone."""

_PATH: TypeAdapter[str] = TypeAdapter(RelativePath)


def place(directory: Path, path: str) -> Path:
    """Where an output goes below `directory`. Raises Unreadable for a path that would lead out of it."""
    try:
        return directory / _PATH.validate_python(path)
    except ValidationError as error:
        raise Unreadable(200, f"the server named an output {path!r}, which is no plain relative path") from error


async def fetch_file(transport: Transport, link: OutputLink, directory: Path) -> Path:
    """One output by its link, with the size and digest it was published with. A failed try leaves nothing behind."""
    target = place(directory, link.path)
    async with _beside(target) as partial:
        patience = Patience(transport.longest_wait_s)
        is_over = False
        while not is_over:
            try:
                await _go_on(transport, link, partial)
                is_over = True
            except (ReelyardError, ClientError) as error:
                await patience.bear(error, at=_size(partial))
        if await asyncio.to_thread(_facts, partial) != (link.size_bytes, link.sha256):
            raise ReelyardError(ErrorCode.CHECKSUM_MISMATCH, f"{link.path} did not arrive as it was published; try again")
        await asyncio.to_thread(os.replace, partial, target)
    return target


async def fetch_whole(transport: Transport, call: Call, target: Path) -> Path:
    """An answer's body as a file, of the length the server told; from the start again when it breaks off."""

    async def once() -> None:
        async with transport.open(call) as response:
            if response.status not in REDIRECTS:
                await _save(response, partial, at=0)
                return
            url = _further(response)
        async with transport.send("GET", url, {}) as response:
            if response.status != OK:
                raise await refusal(response)
            await _save(response, partial, at=0)

    async with _beside(target) as partial:
        await transport.repeat(once, is_repeatable=True)
        await asyncio.to_thread(os.replace, partial, target)
    return target


@asynccontextmanager
async def _beside(target: Path) -> AsyncIterator[Path]:
    """A file of its own in the same directory, gone at the end unless it was renamed. Raises ClientError LOCAL_FILE."""
    try:
        partial = await asyncio.to_thread(_make_partial, target)
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot write {target}: {error.strerror or error}") from error


def _make_partial(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.fchmod(handle, 0o644)
    os.close(handle)
    return Path(name)


def _size(path: Path) -> int:
    return path.stat().st_size


def _facts(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return _size(path), hashlib.file_digest(file, "sha256").hexdigest()


async def _go_on(transport: Transport, link: OutputLink, partial: Path) -> None:
    """One connection. A server that knows no ranges, or has another file now, sends it from the start."""
    have = _size(partial)
    url, headers = URL(transport.server).join(URL(link.url, encoded=True)), {"Range": f"bytes={have}-"} if have else {}
    async with transport.send("GET", url, headers) as response:
        if response.status not in REDIRECTS:
            await _take(response, partial, have)
            return
        url = _further(response)
    async with transport.send("GET", url, headers) as response:
        await _take(response, partial, have)


def _further(response: aiohttp.ClientResponse) -> URL:
    return response.url.join(URL(response.headers.get("Location", ""), encoded=True))


async def _take(response: aiohttp.ClientResponse, partial: Path, have: int) -> None:
    if response.status == PARTIAL_CONTENT and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        await _save(response, partial, at=have)
    elif response.status == OK:
        await _save(response, partial, at=0)
    else:
        raise await refusal(response)


async def _save(response: aiohttp.ClientResponse, partial: Path, *, at: int) -> None:
    with await asyncio.to_thread(partial.open, "r+b") as file:
        file.seek(at)
        file.truncate()
        async for block in response.content.iter_chunked(BLOCK):
            await asyncio.to_thread(file.write, block)
