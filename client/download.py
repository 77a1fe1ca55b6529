"""Fetching published files by their links: whole and checked, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from yarl import URL

from client.errors import ClientCode, ClientError, Unreadable
from client.transport import Transport, refusal
from protocol.base import RelativePath
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import OutputLink

BLOCK = 1 << 20
_PATH: TypeAdapter[str] = TypeAdapter(RelativePath)


def place(directory: Path, path: str) -> Path:
    """Where an output goes below `directory`. Raises Unreadable for a path that would lead out of it."""
    try:
        return directory / _PATH.validate_python(path)
    except ValidationError as error:
        raise Unreadable(200, f"the server named an output {path!r}, which is no plain relative path") from error


async def fetch_file(transport: Transport, link: OutputLink, directory: Path) -> Path:
    """Stream the file beside its place, check size and digest, then rename. A failed try leaves nothing behind."""
    target = place(directory, link.path)
    try:
        partial = await asyncio.to_thread(_make_partial, target)
        try:
            await _stream(transport, link, partial)
            await asyncio.to_thread(os.replace, partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot write {target}: {error.strerror or error}") from error
    return target


def _make_partial(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.fchmod(handle, 0o644)
    os.close(handle)
    return Path(name)


async def _stream(transport: Transport, link: OutputLink, partial: Path) -> None:
    digest, size = hashlib.sha256(), 0
    url = URL(transport.server).join(URL(link.url, encoded=True))
    async with transport.send("GET", url, {}) as response:
        if response.status != 200:
            raise await refusal(response)
        with await asyncio.to_thread(partial.open, "wb") as file:
            async for block in response.content.iter_chunked(BLOCK):
                await asyncio.to_thread(file.write, block)
                digest.update(block)
                size += len(block)
    if (size, digest.hexdigest()) != (link.size_bytes, link.sha256):
        raise ReelyardError(ErrorCode.CHECKSUM_MISMATCH, f"{link.path} did not arrive as it was published; try again")
